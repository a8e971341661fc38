/* configs/: every set has every pair and every method, and each resolves to the published weights.
 */
#include "support/check.h"

#include <ftw.h>
#include <stdio.h>

#include "config/epochs.h"
#include "config/methods.h"
#include "config/run_config.h"
#include "ctkd/temperature.h"

static const char *const sets[] = { "cifar100", "cifar10", "fashion-mnist" };
/* The first six are there for every set; CIFAR-100 has all (doc/methods.md, "Published results").
 */
static const char *const pairs[][2] = {
    { "resnet56", "resnet20" },    { "resnet110", "resnet32" },   { "resnet110", "resnet20" },
    { "wrn_40_2", "wrn_16_2" },    { "wrn_40_2", "wrn_40_1" },    { "vgg13", "vgg8" },
    { "wrn_40_2", "ShuffleV1" },   { "vgg13", "MobileNetV2" },    { "ResNet50", "MobileNetV2" },
    { "resnet32x4", "ShuffleV1" }, { "resnet32x4", "ShuffleV2" },
};
enum { N_SETS = sizeof sets / sizeof *sets, N_PAIRS = 6, N_ALL = sizeof pairs / sizeof *pairs };

static const struct recipe {
    const char *name, *method;
    int kind; /* ctkd_temperature_kind */
    double ce, kd, weight;
} recipes[] = {
    { "kd", "none", CTKD_TEMPERATURE_FIXED, 0.1, 0.9, 0 },
    { "kd+ctkd", "none", CTKD_TEMPERATURE_GLOBAL, 0.1, 0.9, 0 },
    { "kd+ctkd-instance", "none", CTKD_TEMPERATURE_INSTANCE, 0.1, 0.9, 0 },
    { "dkd", "dkd", CTKD_TEMPERATURE_FIXED, 1, 0, 1 },
    { "dkd+ctkd", "dkd", CTKD_TEMPERATURE_GLOBAL, 1, 0, 1 },
    { "pkt", "pkt", CTKD_TEMPERATURE_FIXED, 0.1, 0.9, 30000 },
    { "pkt+ctkd", "pkt", CTKD_TEMPERATURE_GLOBAL, 0.1, 0.9, 30000 },
    { "sp", "sp", CTKD_TEMPERATURE_FIXED, 0.1, 0.9, 3000 },
    { "sp+ctkd", "sp", CTKD_TEMPERATURE_GLOBAL, 0.1, 0.9, 3000 },
    { "vid", "vid", CTKD_TEMPERATURE_FIXED, 0.1, 0.9, 1 },
    { "vid+ctkd", "vid", CTKD_TEMPERATURE_GLOBAL, 0.1, 0.9, 1 },
    { "crd", "crd", CTKD_TEMPERATURE_FIXED, 0.1, 0.9, 0.8 },
    { "crd+ctkd", "crd", CTKD_TEMPERATURE_GLOBAL, 0.1, 0.9, 0.8 },
    { "srrl", "srrl", CTKD_TEMPERATURE_FIXED, 0.1, 0.9, 1 },
    { "srrl+ctkd", "srrl", CTKD_TEMPERATURE_GLOBAL, 0.1, 0.9, 1 },
};
/* The first five are there for every set; CIFAR-100 has all (doc/methods.md, "Published results").
 */
enum { N_RECIPES = 5, N_ALL_RECIPES = sizeof recipes / sizeof *recipes };

/* The published learning rate: 0.05, and 0.01 for the small mobile networks. */
static double rate_of(const char *network)
{
    return strncmp(network, "Shuffle", 7) == 0 || strcmp(network, "MobileNetV2") == 0 ? 0.01 : 0.05;
}

/* The checked configuration of a file below configs/; destroyed by the caller. */
static struct ctkd__config *read_recipe(const char *file, bool distil)
{
    char path[1024];
    ctkd_error err = { 0 };
    struct ctkd__config *config;
    snprintf(path, sizeof path, "%s/configs/%s", CTKD_SOURCE_DIR, file);
    check_ok(ctkd__config_create(&config, &err), &err);
    check_ok(ctkd__sections_read_yaml(ctkd__config_sections(config), path, &err), &err);
    check_ok(ctkd__config_check(config, distil, &err), &err);
    return config;
}

static void check_set(const struct ctkd__config *config, const char *set)
{
    assert_int_equal(strncmp(config->data.set, set, strlen(set)), 0);
    check_close(config->optimizer.lr, rate_of(config->student.network), 1e-7, 0);
    check_close(config->optimizer.weight_decay, 5e-4, 1e-7, 0);
    check_close(config->schedule.factor, 0.1, 1e-7, 0);
    assert_int_equal(config->train.batch, 64);
}

static void check_recipe(const char *set, const char *const pair[2], const struct recipe *recipe)
{
    char file[256], teacher[256];
    snprintf(file, sizeof file, "%s/%s-%s/%s.yaml", set, pair[0], pair[1], recipe->name);
    snprintf(teacher, sizeof teacher, "runs/train-%s-%s-seed0", set, pair[0]);
    struct ctkd__config *config = read_recipe(file, true);
    check_set(config, set);
    assert_string_equal(config->teacher.path, teacher);
    assert_string_equal(config->student.network, pair[1]);
    assert_string_equal(config->method.name, recipe->method);
    check_close(config->method.ce_weight, recipe->ce, 1e-7, 0);
    check_close(config->method.kd_weight, recipe->kd, 1e-7, 0);
    struct ctkd__methods methods;
    check_ok(ctkd__methods_resolve(config, &methods, NULL), NULL);
    assert_int_equal(methods.count, recipe->weight > 0);
    if (methods.count)
        check_close(methods.items[0].weight, recipe->weight, 1e-7, 0);
    check_close(config->method.warmup_epochs, 0, 0, 0);
    assert_int_equal(config->temperature.kind, recipe->kind);
    check_close(config->temperature.tau, 4, 1e-7, 0);
    check_close(config->temperature.tau_min, 1, 1e-7, 0);
    check_close(config->temperature.tau_span, 20, 1e-7, 0);
    check_close(config->temperature.theta_init, 1, 1e-7, 0);
    ctkd__config_destroy(config);
}

static void every_pair_has_every_method_with_the_published_weights(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SETS; i++)
        for (size_t j = 0; j < N_PAIRS; j++)
            for (size_t k = 0; k < N_RECIPES; k++)
                check_recipe(sets[i], pairs[j], &recipes[k]);
    for (size_t j = 0; j < N_ALL; j++)
        for (size_t k = 0; k < N_ALL_RECIPES; k++)
            check_recipe("cifar100", pairs[j], &recipes[k]);
}

/* configs/methods has every method of the registry, with the weight that its entry says. */
static void every_method_has_a_file_with_its_weight(void **state)
{
    (void)state;
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++) {
        char file[256];
        snprintf(file, sizeof file, "%s/configs/methods/%s.yaml", CTKD_SOURCE_DIR, (*def)->name);
        ctkd_error err = { 0 };
        struct ctkd__config *config;
        struct ctkd__methods methods;
        check_ok(ctkd__config_create(&config, &err), &err);
        check_ok(ctkd__sections_read_yaml(ctkd__config_sections(config), file, &err), &err);
        check_ok(ctkd__methods_resolve(config, &methods, &err), &err);
        if (strcmp((*def)->name, "kd") != 0)
            check_close(methods.items[0].weight, (*def)->weight, 1e-6, 0);
        ctkd__config_destroy(config);
    }
}

/* configs/imagenet: the schedules of CTKD (120 epochs) and of mdistiller (100). */
static const struct photographs {
    const char *name, *method;
    int kind;                           /* ctkd_temperature_kind */
    double ce, kd, weights[2], tau, lr; /* weight of the method for either pair */
    int64_t batch, group, epochs;
} photographs[] = {
    { "kd", "none", CTKD_TEMPERATURE_FIXED, 1, 1, { 0, 0 }, 4, 0.1, 256, 32, 120 },
    { "dkd", "dkd", CTKD_TEMPERATURE_FIXED, 1, 0, { 1, 1 }, 4, 0.1, 256, 32, 120 },
    { "pkt", "pkt", CTKD_TEMPERATURE_FIXED, 1, 1, { 30000, 30000 }, 4, 0.1, 256, 32, 120 },
    { "sp", "sp", CTKD_TEMPERATURE_FIXED, 1, 1, { 3000, 3000 }, 4, 0.1, 256, 32, 120 },
    { "vid", "vid", CTKD_TEMPERATURE_FIXED, 1, 1, { 1, 1 }, 4, 0.1, 256, 32, 120 },
    { "crd", "crd", CTKD_TEMPERATURE_FIXED, 1, 1, { 0.8, 0.8 }, 4, 0.1, 256, 32, 120 },
    { "srrl", "srrl", CTKD_TEMPERATURE_FIXED, 1, 1, { 1, 1 }, 4, 0.1, 256, 32, 120 },
    { "at", "at", CTKD_TEMPERATURE_FIXED, 1, 1, { 1000, 1000 }, 4, 0.1, 256, 32, 120 },
    { "rkd", "rkd", CTKD_TEMPERATURE_FIXED, 1, 1, { 1, 1 }, 4, 0.1, 256, 32, 120 },
    { "reviewkd", "reviewkd", CTKD_TEMPERATURE_FIXED, 1, 1, { 1, 8 }, 4, 0.1, 256, 32, 120 },
    { "ofd", "ofd", CTKD_TEMPERATURE_FIXED, 1, 1, { 1e-3, 1e-4 }, 4, 0.1, 256, 32, 120 },
    { "kd-mdistiller", "none", CTKD_TEMPERATURE_FIXED, 0.5, 0.5, { 0, 0 }, 1, 0.2, 512, 64, 100 },
    { "dkd-mdistiller", "dkd", CTKD_TEMPERATURE_FIXED, 1, 0, { 1, 1 }, 1, 0.2, 512, 64, 100 },
    { "at-mdistiller", "at", CTKD_TEMPERATURE_FIXED, 1, 0, { 1000, 1000 }, 4, 0.2, 512, 64, 100 },
    { "crd-mdistiller", "crd", CTKD_TEMPERATURE_FIXED, 1, 0, { 0.8, 0.8 }, 4, 0.1, 256, 32, 100 },
    { "reviewkd-mdistiller",
      "reviewkd",
      CTKD_TEMPERATURE_FIXED,
      1,
      0,
      { 1, 8 },
      4,
      0.1,
      256,
      32,
      100 },
    { "ofd-mdistiller",
      "ofd",
      CTKD_TEMPERATURE_FIXED,
      1,
      0,
      { 1e-3, 1e-4 },
      4,
      0.05,
      128,
      16,
      100 },
};

static float loss_option(const struct ctkd__config *config, const ctkd_loss_def *loss,
                         const char *name);

static void check_photographs(const struct photographs *p, size_t pair, bool ctkd)
{
    static const char *const of_imagenet[2][2] = { { "resnet34", "resnet18" },
                                                   { "resnet50", "MobileNetV1" } };
    char file[256];
    snprintf(file, sizeof file, "imagenet/%s-%s/%s%s.yaml", of_imagenet[pair][0],
             of_imagenet[pair][1], p->name, ctkd ? "+ctkd" : "");
    struct ctkd__config *config = read_recipe(file, true);
    struct ctkd__methods methods;
    check_ok(ctkd__methods_resolve(config, &methods, NULL), NULL);
    check_ok(ctkd__epochs_resolve(config, NULL), NULL);
    assert_string_equal(config->data.set, "imagenet:data");
    assert_string_equal(config->teacher.network, of_imagenet[pair][0]);
    check_close(config->teacher.expect_top1, pair ? 76.13 : 73.31, 1e-6, 0);
    assert_string_equal(config->student.network, of_imagenet[pair][1]);
    assert_string_equal(config->method.name, p->method);
    check_close(config->method.ce_weight, p->ce, 1e-6, 0);
    check_close(config->method.kd_weight, p->kd, 1e-6, 0);
    assert_int_equal(methods.count, p->weights[pair] > 0);
    if (methods.count)
        check_close(methods.items[0].weight, p->weights[pair], 1e-6, 0);
    assert_int_equal(config->temperature.kind, ctkd ? CTKD_TEMPERATURE_GLOBAL : p->kind);
    check_close(config->temperature.tau, p->tau, 1e-6, 0);
    check_close(config->temperature.curriculum_epochs, 5, 0, 0);
    check_close(config->optimizer.lr, p->lr, 1e-6, 0);
    check_close(config->optimizer.weight_decay, 1e-4, 1e-6, 0);
    assert_int_equal(config->train.batch, p->batch);
    assert_int_equal(config->train.batch_norm_group, p->group);
    assert_int_equal(config->train.epochs, p->epochs);
    assert_string_equal(config->schedule.milestones, "30,60,90");
    const bool is_dkd = strcmp(p->method, "dkd") == 0, own = p->epochs == 120;
    const bool warms = strcmp(p->method, "reviewkd") == 0 || (is_dkd && !own);
    check_close(config->method.warmup_epochs, warms ? 1 : 0, 0, 0);
    if (is_dkd)
        check_close(loss_option(config, ctkd_loss_find("dkd"), "beta"),
                    own    ? 1
                    : pair ? 2
                           : 0.5,
                    1e-6, 0);
    ctkd__config_destroy(config);
}

static void recipes_of_imagenet_have_the_published_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof photographs / sizeof *photographs; i++)
        for (size_t pair = 0; pair < 2; pair++) {
            check_photographs(&photographs[i], pair, false);
            if (photographs[i].epochs == 120 || photographs[i].tau < 4)
                check_photographs(&photographs[i], pair, true);
        }
    static const char *const networks[] = { "resnet18", "resnet34" };
    for (size_t i = 0; i < 2; i++) {
        char file[256];
        snprintf(file, sizeof file, "imagenet/vanilla/%s.yaml", networks[i]);
        struct ctkd__config *config = read_recipe(file, false);
        check_ok(ctkd__epochs_resolve(config, NULL), NULL);
        assert_string_equal(config->student.network, networks[i]);
        assert_int_equal(config->train.batch, 256);
        assert_int_equal(config->train.batch_norm_group, 32);
        assert_int_equal(config->train.epochs, 100);
        assert_string_equal(config->schedule.milestones, "30,60,90");
        check_close(config->optimizer.lr, 0.1, 1e-6, 0);
        ctkd__config_destroy(config);
    }
}

static void other_recipes_of_photographs_resolve(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        bool distil;
        const char *network;
        int64_t batch, epochs;
        const char *milestones;
        double lr;
    } rows[] = {
        { "tiny-imagenet/vanilla/ResNet18", false, "ResNet18", 256, 200, "60,120,160", 0.2 },
        { "tiny-imagenet/vanilla/ShuffleV2", false, "ShuffleV2", 256, 200, "60,120,160", 0.2 },
        { "tiny-imagenet/vanilla/MobileNetV2", false, "MobileNetV2", 256, 200, "60,120,160", 0.2 },
        { "tiny-imagenet/ResNet18-ShuffleV2/kd", true, "ShuffleV2", 256, 200, "60,120,160", 0.2 },
        { "tiny-imagenet/ResNet18-ShuffleV2/dkd+ctkd", true, "ShuffleV2", 256, 200, "60,120,160",
          0.2 },
        { "tiny-imagenet/ResNet18-MobileNetV2/kd+ctkd", true, "MobileNetV2", 256, 200, "60,120,160",
          0.2 },
        { "tiny-imagenet/ResNet18-MobileNetV2/dkd", true, "MobileNetV2", 256, 200, "60,120,160",
          0.2 },
        { "folder/teacher", false, "resnet34", 32, 30, "15,24", 0.01 },
        { "folder/student", false, "resnet18", 32, 30, "15,24", 0.01 },
        { "folder/kd", true, "resnet18", 32, 30, "15,24", 0.01 },
        { "folder/kd+ctkd", true, "resnet18", 32, 30, "15,24", 0.01 },
        { "folder/dkd", true, "resnet18", 32, 30, "15,24", 0.01 },
        { "folder/dkd+ctkd", true, "resnet18", 32, 30, "15,24", 0.01 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char file[256];
        snprintf(file, sizeof file, "%s.yaml", rows[i].file);
        struct ctkd__config *config = read_recipe(file, rows[i].distil);
        check_ok(ctkd__epochs_resolve(config, NULL), NULL);
        assert_string_equal(config->student.network, rows[i].network);
        assert_true((config->student.init[0] != '\0') == (rows[i].file[0] == 'f'));
        assert_int_equal(config->train.batch, rows[i].batch);
        assert_int_equal(config->train.epochs, rows[i].epochs);
        assert_string_equal(config->schedule.milestones, rows[i].milestones);
        check_close(config->optimizer.lr, rows[i].lr, 1e-6, 0);
        const bool is_tiny = rows[i].file[0] == 't';
        check_close(config->data.rotation, is_tiny ? 20 : 0, 0, 0);
        assert_int_equal(config->data.augment,
                         is_tiny ? CTKD__AUGMENT_FLIP : CTKD__AUGMENT_CROP_FLIP);
        check_close(config->optimizer.weight_decay, is_tiny ? 5e-4 : 1e-4, 1e-6, 0);
        ctkd__config_destroy(config);
    }
}

/* The configuration of a file in configs/methods, after that of the CIFAR-100 schedule. */
static struct ctkd__config *read_method(const char *name)
{
    char path[1024];
    ctkd_error err = { 0 };
    struct ctkd__config *config;
    check_ok(ctkd__config_create(&config, &err), &err);
    snprintf(path, sizeof path, "%s/configs/base/cifar100.yaml", CTKD_SOURCE_DIR);
    check_ok(ctkd__sections_read_yaml(ctkd__config_sections(config), path, &err), &err);
    snprintf(path, sizeof path, "%s/configs/methods/%s.yaml", CTKD_SOURCE_DIR, name);
    check_ok(ctkd__sections_read_yaml(ctkd__config_sections(config), path, &err), &err);
    return config;
}

/* Recipes of configs/methods that are more than a name and a weight (doc/methods.md, "Published
 * recipes").
 */
static const struct variant {
    const char *name;
    double ce, tau, lr, initial_lr;
    int64_t epochs, warmup;
    size_t count; /* of methods */
    double weights[2];
} variants[] = {
    { "dist", 1, 4, 0.05, -1, 240, 0, 1, { 2 } },
    { "ft", 1, 4, 0.05, -1, 240, 0, 1, { 200 } },
    { "ft-resnet", 1, 4, 0.05, 0.01, 240, 0, 1, { 200 } },
    { "lskd", 0.1, 2, 0.05, -1, 240, 0, 1, { 9 } },
    { "lskd-dkd", 1, 2, 0.05, -1, 240, 20, 1, { 9 } },
    { "lskd-mlkd", 0.1, 2, 0.025, -1, 480, 0, 1, { 9 } },
    { "mlkd", 0.1, 4, 0.025, -1, 240, 0, 1, { 0.9 } },
    { "mlkd-small", 0.1, 4, 0.01, -1, 480, 0, 1, { 0.9 } },
    { "reviewkd", 1, 4, 0.05, -1, 240, 20, 1, { 1 } },
    { "ttm", 1, 4, 0.05, -1, 240, 0, 1, { 45 } },
    { "wttm", 1, 4, 0.05, -1, 240, 0, 1, { 4 } },
    { "wttm-crd", 1, 4, 0.05, -1, 240, 0, 2, { 4, 0.8 } },
};

static void recipes_of_methods_have_the_published_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const struct variant *const v = &variants[i];
        struct ctkd__config *config = read_method(v->name);
        struct ctkd__methods methods;
        check_ok(ctkd__methods_resolve(config, &methods, NULL), NULL);
        check_close(config->method.ce_weight, v->ce, 1e-6, 0);
        assert_true(methods.kd_weight == 0);
        check_close(config->temperature.tau, v->tau, 1e-6, 0);
        assert_int_equal(config->temperature.kind, CTKD_TEMPERATURE_FIXED);
        check_close(config->optimizer.lr, v->lr, 1e-6, 0);
        check_close(config->method.initial_lr, v->initial_lr, 1e-6, 0);
        assert_int_equal(config->train.epochs, v->epochs);
        check_ok(ctkd__epochs_resolve(config, NULL), NULL);
        check_close(config->method.warmup_epochs, v->warmup, 0, 0);
        assert_string_equal(config->schedule.milestones, "150,180,210");
        assert_int_equal(methods.count, v->count);
        for (size_t m = 0; m < v->count; m++)
            check_close(methods.items[m].weight, v->weights[m], 1e-6, 0);
        ctkd__config_destroy(config);
    }
}

static void every_network_has_a_vanilla_recipe(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SETS; i++)
        for (size_t j = 0; j < (i == 0 ? N_ALL : N_PAIRS); j++)
            for (size_t k = 0; k < 2; k++) {
                char file[256];
                snprintf(file, sizeof file, "%s/vanilla/%s.yaml", sets[i], pairs[j][k]);
                struct ctkd__config *config = read_recipe(file, false);
                check_set(config, sets[i]);
                assert_string_equal(config->student.network, pairs[j][k]);
                ctkd__config_destroy(config);
            }
}

static void recipes_have_their_schedule_and_keep_its_shape_in_a_shorter_run(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        int64_t epochs, shorter;
        const char *milestones, *shorter_milestones;
        double curriculum, shorter_curriculum;
    } cases[] = { { "cifar100", 240, 30, "150,180,210", "19,23,26", 10, 1 },
                  { "cifar10", 24, 240, "15,18,21", "150,180,210", 5, 50 },
                  { "fashion-mnist", 6, 3, "3,4,5", "2,2,2", 3, 2 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char file[256];
        snprintf(file, sizeof file, "%s/resnet56-resnet20/kd+ctkd.yaml", cases[i].set);
        struct ctkd__config *config = read_recipe(file, true), *shorter = read_recipe(file, true);
        assert_int_equal(config->train.epochs, cases[i].epochs);
        shorter->train.epochs = cases[i].shorter;
        check_ok(ctkd__epochs_resolve(config, NULL), NULL);
        check_ok(ctkd__epochs_resolve(shorter, NULL), NULL);
        assert_string_equal(config->schedule.milestones, cases[i].milestones);
        check_close(config->temperature.curriculum_epochs, cases[i].curriculum, 0, 0);
        assert_string_equal(shorter->schedule.milestones, cases[i].shorter_milestones);
        check_close(shorter->temperature.curriculum_epochs, cases[i].shorter_curriculum, 0, 0);
        ctkd__config_destroy(config);
        ctkd__config_destroy(shorter);
    }
}

static float loss_option(const struct ctkd__config *config, const ctkd_loss_def *loss,
                         const char *name)
{
    const ctkd_option *option = ctkd_option_find(loss->options, name);
    float value;
    assert_non_null(option);
    memcpy(&value, (const char *)ctkd__config_loss(config, loss) + option->offset, sizeof value);
    return value;
}

static void dkd_has_the_weights_of_the_ctkd_scripts(void **state)
{
    (void)state;
    struct ctkd__config *config = read_recipe("cifar100/vgg13-vgg8/dkd+ctkd.yaml", true);
    const ctkd_loss_def *dkd = ctkd_loss_find(config->method.name);
    assert_non_null(dkd);
    check_close(loss_option(config, dkd, "alpha"), 1, 0, 0);
    check_close(loss_option(config, dkd, "beta"), 2, 0, 0);
    ctkd__config_destroy(config);
}

static bool loss_switch(const struct ctkd__config *config, const ctkd_loss_def *loss,
                        const char *name)
{
    const ctkd_option *option = ctkd_option_find(loss->options, name);
    assert_non_null(option);
    return *((const char *)ctkd__config_loss(config, loss) + option->offset) != 0;
}

static void logit_standardisation_has_its_bases(void **state)
{
    (void)state;
    const ctkd_loss_def *const lskd = ctkd_loss_find("lskd"), *const mlkd = ctkd_loss_find("mlkd");
    struct ctkd__config *config = read_method("lskd-dkd");
    check_close(loss_option(config, lskd, "alpha"), 1, 0, 0);
    check_close(loss_option(config, lskd, "beta"), 8, 0, 0);
    assert_true(loss_switch(config, lskd, "base")); /* dkd is the second */
    ctkd__config_destroy(config);
    config = read_method("lskd-mlkd");
    assert_true(loss_switch(config, mlkd, "standardise") && !loss_switch(config, mlkd, "mask"));
    assert_string_equal(config->method.name, "mlkd");
    ctkd__config_destroy(config);
    config = read_method("wttm-crd");
    check_close(loss_option(config, ctkd_loss_find("wttm"), "exponent"), 0.2, 1e-6, 0);
    ctkd__config_destroy(config);
}

static void a_foreign_teacher_keeps_its_own_normalisation(void **state)
{
    (void)state;
    char path[1024];
    const char *const names[] = { "kd", "kd+ctkd" };
    for (size_t i = 0; i < 2; i++) {
        ctkd_error err = { 0 };
        struct ctkd__config *config;
        snprintf(path, sizeof path, "%s/configs/cifar10/resnet56a-resnet20/%s.yaml",
                 CTKD_SOURCE_DIR, names[i]);
        check_ok(ctkd__config_create(&config, &err), &err);
        check_ok(ctkd__sections_read_yaml(ctkd__config_sections(config), path, &err), &err);
        assert_string_equal(config->teacher.network, "resnet56a");
        assert_string_equal(config->teacher.mean, "0.485,0.456,0.406");
        assert_string_equal(config->data.mean, "");
        assert_int_equal(ctkd__config_check(config, true, &err), CTKD_EINVAL); /* no path yet */
        assert_non_null(strstr(err.message, "teacher.path"));
        ctkd__config_destroy(config);
    }
}

static size_t n_recipes;

static int check_uses(const char *path, const struct stat *info, int kind)
{
    (void)info;
    const char *const end = strstr(path, ".yaml");
    if (kind != FTW_F || !end || end[5] || strstr(path, "/configs/base/") ||
        strstr(path, "/configs/methods/")) /* what recipes are made of */
        return 0;
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    char text[256];
    check_ok(ctkd__config_create(&config, &err), &err);
    check_ok(ctkd__run_config_read(path, config, &err), &err);
    const bool distils = config->teacher.path[0] || config->teacher.network[0];
    ctkd__config_unused(config, distils ? CTKD__READER_DISTILS : CTKD__READER_TRAINS, NULL, NULL,
                        text, sizeof text);
    if (text[0])
        fail_msg("%s: its run does not use %s", path, text);
    ctkd__config_destroy(config);
    n_recipes++;
    return 0;
}

static void no_recipe_gives_a_key_that_its_run_does_not_use(void **state)
{
    (void)state;
    assert_int_equal(ftw(CTKD_SOURCE_DIR "/configs", check_uses, 8), 0);
    assert_true(n_recipes > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_has_every_method_with_the_published_weights),
        cmocka_unit_test(every_network_has_a_vanilla_recipe),
        cmocka_unit_test(every_method_has_a_file_with_its_weight),
        cmocka_unit_test(recipes_of_methods_have_the_published_numbers),
        cmocka_unit_test(recipes_of_imagenet_have_the_published_numbers),
        cmocka_unit_test(other_recipes_of_photographs_resolve),
        cmocka_unit_test(logit_standardisation_has_its_bases),
        cmocka_unit_test(recipes_have_their_schedule_and_keep_its_shape_in_a_shorter_run),
        cmocka_unit_test(dkd_has_the_weights_of_the_ctkd_scripts),
        cmocka_unit_test(a_foreign_teacher_keeps_its_own_normalisation),
        cmocka_unit_test(no_recipe_gives_a_key_that_its_run_does_not_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
