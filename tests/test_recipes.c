/* configs/: every set has every pair and every method, and each resolves to the published weights.
 */
#include "support/check.h"

#include <stdio.h>

#include "ctkd/temperature.h"
#include "train/methods.h"

static const char *const sets[] = { "cifar100", "cifar10", "fashion-mnist" };
/* The first six are there for every set; METHODS 7.1 has all of them for CIFAR-100. */
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
/* The first five are there for every set; METHODS 7.1 has all of them for CIFAR-100. */
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
    assert_int_equal(config->method.warmup_epochs, 0);
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

static void cifar100_has_the_published_schedule(void **state)
{
    (void)state;
    struct ctkd__config *config = read_recipe("cifar100/resnet56-resnet20/kd+ctkd.yaml", true);
    assert_int_equal(config->train.epochs, 240);
    assert_string_equal(config->schedule.milestones, "150,180,210");
    assert_int_equal(config->temperature.curriculum_epochs, 10);
    ctkd__config_destroy(config);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_has_every_method_with_the_published_weights),
        cmocka_unit_test(every_network_has_a_vanilla_recipe),
        cmocka_unit_test(every_method_has_a_file_with_its_weight),
        cmocka_unit_test(cifar100_has_the_published_schedule),
        cmocka_unit_test(dkd_has_the_weights_of_the_ctkd_scripts),
        cmocka_unit_test(a_foreign_teacher_keeps_its_own_normalisation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
