#include "support/check.h"
#include "support/command_line.h"
#include "util/text.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/arguments.h"
#include "config/epochs.h"
#include "config/methods.h"
#include "ctkd/curriculum.h"
#include "ctkd/temperature.h"
#include "util/file.h"
#include "util/options_inner.h"

/* The schedule of the published parsers, whatever --epochs says. */
#define PUBLISHED_EPOCHS                                                                           \
    "schedule.milestones=150,180,210 temperature.curriculum_epochs=10 method.initial_epochs=30 "

/* The resolved configuration as text, freed by the caller. */
static char *resolved(const struct ctkd__config *config)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    ctkd__sections_write_yaml(ctkd__config_sections(config), out);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* Two command lines that must mean the same. */
static void assert_same(const char *published, const char *own)
{
    struct ctkd__config *a = config_create(), *b = config_create();
    ctkd_error err = { 0 };
    check_ok(apply(a, published, &err), &err);
    check_ok(apply(b, own, &err), &err);
    char *text_a = resolved(a), *text_b = resolved(b);
    assert_string_equal(text_a, text_b);
    free(text_a);
    free(text_b);
    ctkd__config_destroy(a);
    ctkd__config_destroy(b);
}

static void assert_refused(const char *line, const char *part)
{
    struct ctkd__config *config = config_create();
    ctkd_error err = { 0 };
    const ctkd_status status = apply(config, line, &err);
    if (status == CTKD_OK || !strstr(err.message, part))
        fail_msg("%s: found '%s', expected a message with '%s'", line, err.message, part);
    ctkd__config_destroy(config);
}

static void defaults_are_the_published_recipe(void **state)
{
    (void)state;
    struct ctkd__config *config = config_create();
    assert_int_equal(config->train.epochs, 240);
    assert_int_equal(config->train.batch, 64);
    check_close(config->optimizer.lr, 0.05, 1e-7, 0);
    check_close(config->optimizer.weight_decay, 5e-4, 1e-7, 0);
    check_close(config->method.ce_weight, 0.1, 1e-7, 0);
    check_close(config->method.kd_weight, 0.9, 1e-7, 0);
    assert_int_equal(config->temperature.kind, CTKD__KIND_AUTO);
    assert_int_equal(config->temperature.curriculum, CTKD_CURRICULUM_COSINE);
    assert_int_equal(ctkd__config_kd_form(config), CTKD_KD_EXACT);
    assert_string_equal(config->method.name, "none");
    ctkd__config_destroy(config);
}

static void the_last_part_of_a_key_is_enough_where_it_is_unique(void **state)
{
    (void)state;
    assert_same("epochs=30 batch=16", "train.epochs=30 train.batch=16");
    assert_same("dkd.alpha=2", "method.dkd.alpha=2");
    assert_same("method=dkd", "method.name=dkd"); /* the name of a section is that */
}

static void published_flags_mean_their_keys(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "-r 1", "method.ce_weight=1" },
        { "--gamma 1", "method.ce_weight=1" },
        { "-a 0.5", "method.kd_weight=0.5" },
        { "--alpha=0.5", "method.kd_weight=0.5" },
        { "-b 2", "method.weight=2" },
        { "--beta 2", "method.weight=2" },
        { "--distill dkd", "method.name=dkd" },
        { "--distill kd", "method.name=none" },
        { "--dkd_alpha 2", "method.dkd.alpha=2" },
        { "--dkd_beta 6", "method.dkd.beta=6" },
        { "--kd_T 3", "temperature.tau=3" },
        { "--t_start 2", "temperature.tau_min=2" },
        { "--t_end 40", "temperature.tau_span=40" },
        { "--decay_loops 5", "temperature.curriculum_epochs=5" },
        { "--cosine_decay 1", "temperature.curriculum=cosine" },
        { "--cosine_decay 0", "temperature.curriculum=linear_official" },
        { "--decay_max 0 --decay_min -1", "temperature.lambda_min=0 temperature.lambda_max=1" },
        { "--decay_max -0.25 --decay_min=-2",
          "temperature.lambda_min=0.25 temperature.lambda_max=2" },
        { "--have_mlp 0", "temperature.kind=fixed" },
        { "--have_mlp 1", "temperature.kind=global" },
        { "--have_mlp 1 --mlp_name instance", "temperature.kind=instance" },
        { "--mlp_name instance --have_mlp 1", "temperature.kind=instance" },
        { "--mlp_name instance", "temperature.kind=instance" },
        { "--have_mlp 0 --mlp_name instance", "temperature.kind=fixed" },
        { "--model wrn_16_2", "student.network=wrn_16_2" },
        { "--model_s wrn_16_2", "student.network=wrn_16_2" },
        { "--path_t t.safetensors", "teacher.path=t.safetensors" },
        { "--path-t t.safetensors", "teacher.path=t.safetensors" },
        { "--dataset cifar100", "data.set=cifar100:data" },
        { "--dataset cifar100:x", "data.set=cifar100:x" },
        { "--dataset fashion-mnist", "data.set=fashion-mnist" },
        { "--hint_layer 3", "method.fitnet.hint=3" },
        { "--feat_dim 64", "method.crd.dim=64" },
        { "--mode relax", "method.crd.mode=relax" },
        { "--nce_k 16 --nce_t 0.1 --nce_m 0.9",
          "method.crd.negatives=16 method.crd.temperature=0.1 method.crd.momentum=0.9" },
        { "--init_epochs 20", "method.initial_epochs=20" },
        { "--decay-loops=10.0", "temperature.curriculum_epochs=10" },
        { "--distill hint", "method.name=fitnet" },
        { "--distill attention", "method.name=at" },
        { "--distill similarity", "method.name=sp" },
        { "--distill correlation", "method.name=cc" },
        { "--distill abound", "method.name=ab" },
        { "--distill factor", "method.name=ft" },
        { "--epochs 120", "train.epochs=120" },
        { "--batch_size 256", "train.batch=256" },
        { "--learning_rate 0.1", "optimizer.lr=0.1" },
        { "--lr_decay_epochs 30,60,90", "schedule.milestones=30,60,90" },
        { "--lr_decay_rate 0.2", "schedule.factor=0.2" },
        { "--weight_decay 1e-4", "optimizer.weight_decay=1e-4" },
        { "--momentum 0.8", "optimizer.momentum=0.8" },
        { "--trial 3", "train.seed=3" },
        { "--experiments_dir out/a", "run.dir=out/a" },
        { "--experiments_name fold-1", "run.name=fold-1" },
        { "--experiments_dir out/a --experiments_name fold-1",
          "run.dir=out/a/fold-1 run.name=fold-1" },
        { "--experiments_name a/fold-2 --experiments_dir out",
          "run.dir=out/a/fold-2 run.name=fold-2" },
        { "--force", "run.force=true" },
        { "--resume", "run.resume=yes" },
        { "--resume=auto", "run.resume=auto" },
        { "--save_model --deterministic", "train.seed=0" },
    };
    const size_t n = sizeof pairs / sizeof *pairs;
    for (size_t i = 0; i < n; i++)
        assert_same(pairs[i][0], pairs[i][1]);
    for (const struct ctkd__alias *alias = ctkd__argument_aliases(); alias->flag; alias++) {
        bool tested = false; /* every alias has its line above */
        for (size_t i = 0; i < n; i++)
            tested |= strstr(pairs[i][0], alias->flag) != NULL;
        if (!tested)
            fail_msg("%s has no test", alias->flag);
    }
}

static void published_command_line_is_understood(void **state)
{
    (void)state;
    assert_same("--path_t t.safetensors --distill kd --model_s resnet20 -r 0.1 -a 0.9 -b 0 "
                "--trial 1 --have_mlp 1 --mlp_name global --cosine_decay 1 --decay_max 0 "
                "--decay_min -1 --decay_loops 10 --save_model",
                "teacher.path=t.safetensors train.seed=1 method.weight=0 temperature.kind=global "
                "temperature.curriculum_epochs=10");
}

/* --distill of CTKD's and RepDistiller's train_student.py: each is a method of the registry. */
static void every_published_method_is_known(void **state)
{
    (void)state;
    static const char *const names[] = { "kd",          "hint", "attention", "similarity",
                                         "correlation", "vid",  "crd",       "kdsvd",
                                         "fsp",         "rkd",  "pkt",       "abound",
                                         "factor",      "nst",  "srrl",      "dkd" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct ctkd__config *config = config_create();
        struct ctkd__methods methods;
        ctkd_error err = { 0 };
        char line[64];
        snprintf(line, sizeof line, "--distill %s", names[i]);
        check_ok(apply(config, line, &err), &err);
        check_ok(ctkd__methods_resolve(config, &methods, &err), &err);
        assert_int_equal(methods.count, strcmp(names[i], "kd") != 0);
        ctkd__config_destroy(config);
    }
}

static void assert_configured(const char *line, bool distil, const char *own, const char *said)
{
    struct ctkd__config *config = config_create(), *expected = config_create();
    char note[CTKD__ARGUMENTS_NOTE];
    ctkd_error err = { 0 };
    configure(config, line, distil, note);
    check_ok(apply(expected, own, &err), &err);
    char *a = resolved(config), *b = resolved(expected);
    assert_string_equal(a, b);
    if (said ? !strstr(note, said) : note[0] != '\0')
        fail_msg("%s: note '%s', expected '%s'", line, note, said ? said : "nothing");
    free(a);
    free(b);
    ctkd__config_destroy(config);
    ctkd__config_destroy(expected);
}

/* The scripts run_cifar_distill.sh, run_imagenet_distill.sh and run_cifar_vanilla.sh as they are
   (in the second one the blank behind a backslash left out), and the defaults of both parsers. */
static void published_scripts_run_with_the_published_defaults(void **state)
{
    (void)state;
    static const char distill[] = "data.set=cifar100:data student.network=resnet8 train.batch=128 "
                                  "optimizer.lr=0.1 temperature.kind=fixed method.dkd.beta=2 "
                                  "teacher.path=t " PUBLISHED_EPOCHS;
    char line[768];
    assert_configured("--path-t t", true, distill, "preset published");
    snprintf(line, sizeof line,
             "%s student.network=resnet20 method.weight=0 train.batch=64 optimizer.lr=0.05 "
             "temperature.kind=global run.dir=tea/global_T/fold-1 run.name=fold-1",
             distill);
    assert_configured("--path-t t --distill kd --model_s resnet20 -r 0.1 -a 0.9 -b 0 --kd_T 4 "
                      "--batch_size 64 --learning_rate 0.05 --have_mlp 1 --mlp_name global "
                      "--cosine_decay 1 --decay_max 0 --decay_min -1 --decay_loops 10 --save_model "
                      "--experiments_dir tea/global_T --experiments_name fold-1",
                      true, line, "have no effect here: --save_model\n");
    snprintf(
        line, sizeof line,
        "%s train.batch=256 train.epochs=120 data.set=imagenet:data schedule.milestones=30,60,90 "
        "optimizer.weight_decay=1e-4 student.network=resnet18 method.ce_weight=1 "
        "method.kd_weight=1 method.weight=0 temperature.kind=global "
        "temperature.curriculum_epochs=5 run.dir=i/fold-1 run.name=fold-1",
        distill);
    assert_configured(
        "--path-t t --distill kd --batch_size 256 --epochs 120 --dataset imagenet --gpu_id 0,1,2 "
        "--num_workers 32 --multiprocessing-distributed --learning_rate 0.1 --lr_decay_epochs "
        "30,60,90 --weight_decay 1e-4 --model_s ResNet18 -r 1 -a 1 -b 0 --kd_T 4 --have_mlp 1 "
        "--mlp_name global --t_start 1 --t_end 20 --cosine_decay 1 --decay_max 0 --decay_min -1 "
        "--decay_loops 5 --save_model --experiments_dir i --experiments_name fold-1",
        true, line,
        "have no effect here: --gpu_id, --num_workers, --multiprocessing-distributed, "
        "--save_model\n");
    assert_configured("--model resnet56 --batch_size 64 --epochs 240 --learning_rate 0.05 "
                      "--lr_decay_epochs 150,180,210 --lr_decay_rate 0.1 --experiments_dir "
                      "baseline/resnet56 --experiments_name fold-1",
                      false,
                      PUBLISHED_EPOCHS "data.set=cifar100:data student.network=resnet56 "
                                       "run.dir=baseline/resnet56/fold-1 run.name=fold-1",
                      "train_teacher.py");
    assert_configured("--print-freq 1", false,
                      PUBLISHED_EPOCHS "data.set=cifar100:data student.network=resnet110",
                      "--print-freq");
    assert_configured("--print_freq=1 --save_freq 1 --tb_freq 1 --dist-url a:1 --deterministic "
                      "--no_edge_transform --preset ctkd",
                      false, "train.seed=0", "--print_freq, --save_freq, --tb_freq, --dist-url");
}

static void preset_is_chosen_and_own_lines_stay_as_they_are(void **state)
{
    (void)state;
    assert_configured("train.epochs=3 --force --resume", true, "train.epochs=3 --force --resume",
                      NULL);
    assert_configured("--preset published", false,
                      PUBLISHED_EPOCHS "data.set=cifar100:data student.network=resnet110",
                      "preset published");
    assert_configured("--preset=ctkd --epochs 3", true, "train.epochs=3", NULL);
    assert_configured("--preset auto --epochs 3 data.set=x", false,
                      PUBLISHED_EPOCHS "train.epochs=3 data.set=x student.network=resnet110",
                      "--preset ctkd");
    char path[] = "ctkd-config-XXXXXX"; /* a CONFIG is what a line is based on */
    const int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "train: {batch: 7}\n", 18) == 18 && close(fd) == 0);
    char line[128];
    snprintf(line, sizeof line, "%s --epochs 3", path);
    assert_configured(line, true, "train.batch=7 train.epochs=3", NULL);
    snprintf(line, sizeof line, "--preset published %s", path);
    assert_configured(line, false,
                      PUBLISHED_EPOCHS
                      "data.set=cifar100:data student.network=resnet110 train.batch=7",
                      "preset published");
    unlink(path);
}

/* The scripts set it after reading their flags; only a key of ours says otherwise. */
static void small_networks_learn_at_the_published_rate(void **state)
{
    (void)state;
    static const char *const names[] = { "MobileNetV2", "ShuffleV1", "ShuffleV2" };
    char line[128], own[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(line, sizeof line, "--model %s --learning_rate 0.05", names[i]);
        snprintf(own, sizeof own,
                 PUBLISHED_EPOCHS "data.set=cifar100:data student.network=%s optimizer.lr=0.01",
                 names[i]);
        assert_configured(line, false, own, "optimizer.lr=0.01");
        snprintf(line, sizeof line, "--model %s optimizer.lr=0.3", names[i]);
        snprintf(own, sizeof own,
                 PUBLISHED_EPOCHS "data.set=cifar100:data student.network=%s optimizer.lr=0.3",
                 names[i]);
        assert_configured(line, false, own, "preset published");
        snprintf(line, sizeof line, "student.network=%s", names[i]);
        assert_configured(line, false, line, NULL);
    }
    assert_configured("--mlp_name global", true,
                      PUBLISHED_EPOCHS
                      "data.set=cifar100:data student.network=resnet8 train.batch=128 "
                      "optimizer.lr=0.1 temperature.kind=fixed method.dkd.beta=2",
                      "only with --have_mlp 1");
}

/* The scripts' ResNet18 has a 7x7 stem: ours of this name is for small images. */
static void names_of_networks_for_photographs_are_torchvisions(void **state)
{
    (void)state;
    static const char *const names[][2] = { { "ResNet18", "resnet18" },
                                            { "ResNet34", "resnet34" },
                                            { "ResNet18Double", "resnet18" },
                                            { "resnet34x4", "resnet34" },
                                            { "wrn_50_2", "wide_resnet50_2" },
                                            { "MobileNetV2_Imagenet", "mobilenet_v2" },
                                            { "ShuffleV2_Imagenet", "shufflenet_v2_x1_0" },
                                            { "vgg13_imagenet", "vgg13_bn" } };
    char line[192], own[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int folder = 0; folder < 2; folder++) {
            const char *const set = folder ? "imagefolder:x" : "imagenet:x";
            snprintf(line, sizeof line, "--model %s data.set=%s --dali gpu --skip-validation",
                     names[i][0], set);
            snprintf(own, sizeof own, PUBLISHED_EPOCHS "data.set=%s student.network=%s", set,
                     names[i][1]);
            assert_configured(line, false, own, "for photographs the published scripts mean");
        }
    assert_configured("--model ResNet18", false,
                      PUBLISHED_EPOCHS "data.set=cifar100:data student.network=ResNet18",
                      "preset published");
    assert_configured("--model resnet8 data.set=imagenet:x student.network=ResNet18", false,
                      PUBLISHED_EPOCHS "data.set=imagenet:x student.network=ResNet18",
                      "preset published");
}

static void later_settings_win(void **state)
{
    (void)state;
    assert_same("train.epochs=3 --epochs 4 train.epochs=5", "train.epochs=5");
}

static void wrong_settings_are_refused_with_a_hint(void **state)
{
    (void)state;
    assert_refused("--kd_t 4", "--kd_T");
    assert_refused("--t_strat 4", "--t_start");
    assert_refused("train.epoch=4", "train.epochs");
    assert_refused("method.dkd.betta=4", "method.dkd.beta");
    assert_refused("train.epochs=0", "train.epochs");
    assert_refused("train.epochs=ten", "train.epochs");
    assert_refused("temperature.kind=globl", "temperature.kind");
    assert_refused("--decay_max 1", "minimise");
    assert_refused("--decay_min x", "--decay_min");
    assert_refused("--cosine_decay 2", "expected 0 or 1");
    assert_refused("--epochs", "needs a value");
    assert_refused("--force=1", "takes no value");
    assert_refused("a b c d e", "too many");
    assert_refused("optimizer.lr= 0.1", "without blanks: optimizer.lr=0.1");
    assert_refused("temperature.theta_init= -1", "without blanks: temperature.theta_init=-1");
    assert_refused("optimizer.lr = 0.1", "found '=' after 'optimizer.lr'");
    assert_refused("optimizer.lr =0.1", "found '=0.1' after 'optimizer.lr'");
    assert_refused("optimizer.lr= train.epochs=3", "optimizer.lr: found nothing");
    assert_refused("batch_size=3", "did you mean train.batch or --batch_size?");
    assert_refused("path-t=3", "did you mean teacher.path or --path_t?");
    assert_refused("lr=3", "command line: lr: found the last part of 2 keys, expected one of "
                           "temperature.lr, optimizer.lr");
    assert_refused("lr_decay_epochs=3", "did you mean schedule.milestones or --lr_decay_epochs?");
    assert_refused("pochs=3", "unknown key");
    assert_refused(".epochs=3", "unknown key");
    assert_refused("kd.alpha=3", "unknown key");
    assert_refused("method.kd.form=exact", "unknown key, did you mean method.kd_form?");
    assert_refused("--preset publishd", "did you mean published?");
    assert_refused("--preset", "--preset needs a value");
    assert_refused("--batch-sise 3", "'--batch_size'");
    assert_refused("--save-model=1", "takes no value");
}

static void a_blank_argument_is_refused(void **state)
{
    (void)state;
    char *blank[] = { (char *)(uintptr_t) "--cosine_decay", (char *)(uintptr_t) "1",
                      (char *)(uintptr_t) " " };
    struct ctkd__arguments arguments;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__arguments_scan(3, blank, &arguments, &err), CTKD_EINVAL);
    assert_non_null(strstr(err.message, "backslash"));
}

static void assert_check_refuses(const char *line, bool distil, const char *part)
{
    struct ctkd__config *config = config_create();
    ctkd_error err = { 0 };
    check_ok(apply(config, line, &err), &err);
    const ctkd_status status = ctkd__config_check(config, distil, &err);
    if (status == CTKD_OK || !strstr(err.message, part))
        fail_msg("%s: found '%s', expected a message with '%s'", line, err.message, part);
    ctkd__config_destroy(config);
}

static void check_refuses_what_contradicts_itself(void **state)
{
    (void)state;
    assert_check_refuses("train.epochs=1", true, "teacher.path");
    assert_check_refuses("schedule.milestones=3,2", false, "schedule.milestones");
    assert_check_refuses("schedule.milestones=3,", false, "schedule.milestones");
    assert_check_refuses("schedule.milestones=x", false, "schedule.milestones");
    assert_check_refuses("schedule.milestones=0", false, "schedule.milestones");
    assert_check_refuses("schedule.milestones=0.5,30", false, "or ascending fractions of the run");
    assert_check_refuses("schedule.milestones=0.5,0.25", false, "schedule.milestones");
    assert_check_refuses("schedule.milestones=2.5", false, "schedule.milestones");
    assert_check_refuses("schedule.milestones=-0.5", false, "schedule.milestones");
    assert_check_refuses("--decay_loops 2.5", false, "curriculum_epochs: found 2.5, expected a");
    assert_check_refuses("method.warmup_epochs=1.5", false, "method.warmup_epochs");
    assert_check_refuses("method.initial_epochs=1.5", false, "method.initial_epochs");
    assert_check_refuses("schedule.warmup_epochs=1.5", false, "schedule.warmup_epochs");
    assert_check_refuses("schedule.lr_min=1", false, "schedule.lr_min");
    assert_check_refuses("optimizer.nesterov=true optimizer.momentum=0", false, "nesterov");
    assert_check_refuses("teacher.path=t temperature.lambda_min=2", true, "lambda_max");
    assert_check_refuses("teacher.path=t method.name=dkk method.weight=1", true, "'dkd'");
    assert_check_refuses("teacher.path=t method.name=dkd method.weight=0", true, "method.weight");
    assert_check_refuses("teacher.path=t method.name=dkd,ttm method.weight=1", true,
                         "1 weights for 2 methods");
    assert_check_refuses("teacher.path=t method.name=dkd,dkd", true, "dkd twice");
    assert_check_refuses("teacher.path=t method.name=dkd method.weight=x", true, "method.weight");
    assert_check_refuses("teacher.path=t method.name=dkd,", true, "unknown loss");
    assert_check_refuses("teacher.path=t method.name=kd method.kd_weight=0", true, "kd_weight");
    assert_check_refuses("teacher.path=t method.weight=1", true, "method.name is none");
    assert_check_refuses("teacher.path=t -r 0 -a 0", true,
                         "found 0 for ce_weight, kd_weight and weight");
}

static void check_accepts_what_is_meant(void **state)
{
    (void)state;
    struct ctkd__config *config = config_create();
    ctkd_error err = { 0 };
    check_ok(ctkd__config_check(config, false, &err), &err);
    check_ok(
        apply(config, "teacher.path=t --distill dkd -r 1 -a 0 -b 1 schedule.milestones=", &err),
        &err);
    check_ok(ctkd__config_check(config, true, &err), &err);
    struct ctkd__methods methods;
    check_ok(ctkd__methods_resolve(config, &methods, &err), &err);
    assert_int_equal(methods.count, 1);
    assert_string_equal(methods.items[0].def->name, "dkd");
    assert_ptr_equal(methods.items[0].config, ctkd__config_loss(config, methods.items[0].def));
    ctkd__config_destroy(config);
}

static void methods_are_a_list_with_their_own_weights_or_given_ones(void **state)
{
    (void)state;
    struct ctkd__config *config = config_create();
    struct ctkd__methods methods;
    ctkd_error err = { 0 };
    char text[64];
    check_ok(apply(config, "teacher.path=t method=kd,dkd,dist", &err), &err);
    check_ok(ctkd__methods_resolve(config, &methods, &err), &err);
    assert_string_equal(ctkd__methods_text(&methods, text, sizeof text), "dkd+dist");
    check_close(methods.kd_weight, 0.9, 1e-7, 0);
    check_close(methods.items[0].weight, methods.items[0].def->weight, 0, 0);
    check_close(methods.items[1].weight, methods.items[1].def->weight, 0, 0);
    check_ok(apply(config, "method.weight=0.5,2,3", &err), &err);
    check_ok(ctkd__methods_resolve(config, &methods, &err), &err);
    check_close(methods.kd_weight, 0.5, 1e-7, 0);
    check_close(methods.items[0].weight, 2, 0, 0);
    check_close(methods.items[1].weight, 3, 0, 0);
    ctkd__config_destroy(config);
}

static void kd_form_auto_follows_the_temperature(void **state)
{
    (void)state;
    struct ctkd__config *config = config_create();
    ctkd_error err = { 0 };
    check_ok(apply(config, "temperature.kind=instance", &err), &err);
    assert_int_equal(ctkd__config_kd_form(config), CTKD_KD_EPSILON);
    check_ok(apply(config, "method.kd_form=exact", &err), &err);
    assert_int_equal(ctkd__config_kd_form(config), CTKD_KD_EXACT);
    ctkd__config_destroy(config);
}

static void comma_lists_give_one_value_for_each_channel(void **state)
{
    (void)state;
    ctkd_error err = { 0 };
    float out[3] = { 7, 7, 7 };
    check_ok(ctkd__text_floats("data.mean", "", 3, out, &err), &err);
    check_close(out[0], 7, 0, 0);
    check_ok(ctkd__text_floats("data.mean", "0.5,0.25,1", 3, out, &err), &err);
    check_close(out[1], 0.25, 0, 0);
    check_ok(ctkd__text_floats("data.mean", "0.5", 3, out, &err), &err);
    check_close(out[2], 0.5, 0, 0);
    static const char *const wrong[] = { "0.5,", "x", "1,2", "1,2,3,4,5", "nan", "1;2" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_not_equal(ctkd__text_floats("data.mean", wrong[i], 3, out, &err), CTKD_OK);
    check_close(out[2], 0.5, 0, 0);
}

static void resolved_configuration_reads_back_identically(void **state)
{
    (void)state;
    struct ctkd__config *config = config_create(), *again = config_create();
    ctkd_error err = { 0 };
    check_ok(apply(config,
                   "optimizer.lr=0.1234567 temperature.kind=instance data.mean=0.1,0.2 "
                   "method.dkd.beta=6.1 train.seed=9007199254740991 run.name=a:b#c",
                   &err),
             &err);
    char path[] = "ctkd-config-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *out = fdopen(fd, "w");
    assert_non_null(out);
    ctkd__sections_write_yaml(ctkd__config_sections(config), out);
    assert_int_equal(fclose(out), 0);
    check_ok(ctkd__sections_read_yaml(ctkd__config_sections(again), path, &err), &err);
    char *a = resolved(config), *b = resolved(again);
    assert_string_equal(a, b);
    assert_true(config->optimizer.lr == again->optimizer.lr);
    assert_true(config->train.seed == again->train.seed);
    assert_string_equal(again->run.name, "a:b#c");
    free(a);
    free(b);
    unlink(path);
    ctkd__config_destroy(config);
    ctkd__config_destroy(again);
}

static size_t n_configs; /* ftw hands over no context */

static int parse_config(const char *path, const struct stat *info, int type)
{
    (void)info;
    const char *dot = strrchr(path, '.');
    if (type != FTW_F || !dot || strcmp(dot, ".yaml") != 0)
        return 0;
    struct ctkd__config *config = config_create();
    ctkd_error err = { 0 };
    check_ok(ctkd__sections_read_yaml(ctkd__config_sections(config), path, &err), &err);
    check_ok(ctkd__epochs_check(config, &err), &err);
    ctkd__config_destroy(config);
    n_configs++;
    return 0;
}

/* The list of `between` is exactly `expected`, which is in the order of the table. */
static void assert_may_differ(enum ctkd__between between, const char *expected)
{
    struct ctkd__config *config = config_create();
    struct ctkd__option_at at = { 0 };
    char text[1024] = "";
    while (ctkd__options_next(ctkd__config_sections(config), &at))
        if (ctkd__key_may_differ(at.key, between))
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", at.key);
    assert_string_equal(text, expected);
    ctkd__config_destroy(config);
}

static void keys_may_differ_between_runs_of_an_arm_and_between_ranks(void **state)
{
    (void)state;
    assert_may_differ(CTKD__BETWEEN_RUNS_OF_ARM,
                      "data.roi data.readers data.threads teacher.expect_top1 teacher.tolerance "
                      "teacher.store train.seed train.threads train.isa train.conv train.tune "
                      "train.choices train.eval_every train.log_every train.profile "
                      "train.max_minutes train.checkpoint_every train.mpi train.overlap "
                      "train.timeout_seconds run.dir run.name run.force run.resume run.allow ");
    assert_may_differ(CTKD__BETWEEN_RANKS,
                      "data.set data.roi data.readers data.threads teacher.path teacher.store "
                      "train.threads run.dir run.name run.force run.resume run.allow ");
    assert_false(ctkd__key_may_differ("threads", CTKD__BETWEEN_RANKS)); /* no key */
}

/* The chapter of doc/config.md names each of a list of keys. */
static void assert_documented(const char *list)
{
    char *text, copy[1024], quoted[CTKD__KEY_MAX + 2], *save = NULL;
    size_t bytes;
    ctkd_error err = { 0 };
    check_ok(ctkd__file_read(CTKD_SOURCE_DIR "/doc/config.md", 1 << 20, &text, &bytes, &err), &err);
    const char *const chapter = strstr(text, "## What may differ when a run is resumed");
    assert_non_null(chapter);
    snprintf(copy, sizeof copy, "%s", list);
    for (char *key = strtok_r(copy, " ", &save); key; key = strtok_r(NULL, " ", &save)) {
        snprintf(quoted, sizeof quoted, "`%s`", key);
        if (!strstr(chapter, quoted))
            fail_msg("doc/config.md does not say that %s may differ", key);
    }
    free(text);
}

/* Of a run that reads all of the table but what other keys exclude. */
static void keys_may_differ_when_a_run_is_resumed(void **state)
{
    (void)state;
    static const char line[] = "data.set=imagefolder:d student.init=x method=ab,dkd "
                               "temperature.kind=instance set_bias=true ";
    static const char *const unread[] = { "temperature.tau", "temperature.theta_init",
                                          "schedule.lr_min", "method.rkd.angle" };
    static const char expected[] =
        "data.set data.max_pixels data.roi data.readers data.threads teacher.path "
        "teacher.expect_top1 "
        "teacher.tolerance teacher.store train.epochs train.threads train.isa train.tune "
        "train.choices train.patience train.log_every train.profile train.max_steps "
        "train.max_minutes train.checkpoint_every train.mpi train.overlap train.timeout_seconds "
        "run.dir run.name run.force run.resume run.allow ";
    struct ctkd__config *config = config_create();
    struct ctkd__option_at at = { 0 };
    char text[1024] = "", note[CTKD__ARGUMENTS_NOTE];
    configure(config, line, true, note);
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++)
        assert_true(ctkd__config_may_differ(config, true, unread[i]));
    while (ctkd__options_next(ctkd__config_sections(config), &at))
        if (ctkd__config_may_differ(config, true, at.key) && at.index == 0 &&
            strcmp(at.key, unread[0]) != 0 && strcmp(at.key, unread[1]) != 0 &&
            strcmp(at.key, unread[2]) != 0)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", at.key);
    assert_string_equal(text, expected);
    assert_documented(expected);
    assert_false(ctkd__config_may_differ(config, true, "method.dkd.beta"));
    assert_true(ctkd__config_may_differ(config, false, "method.dkd.beta"));
    assert_false(ctkd__config_may_differ(config, true, "train.epoch"));
    config->schedule.kind = CTKD__SCHEDULE_COSINE;
    assert_false(ctkd__config_may_differ(config, true, "train.epochs"));
    assert_true(ctkd__config_may_differ(config, true, "schedule.factor"));
    ctkd__config_destroy(config);
}

static void every_shipped_config_parses(void **state)
{
    (void)state;
    assert_int_equal(ftw(CTKD_SOURCE_DIR "/configs", parse_config, 8), 0);
    assert_true(n_configs > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_published_recipe),
        cmocka_unit_test(the_last_part_of_a_key_is_enough_where_it_is_unique),
        cmocka_unit_test(published_flags_mean_their_keys),
        cmocka_unit_test(published_command_line_is_understood),
        cmocka_unit_test(every_published_method_is_known),
        cmocka_unit_test(published_scripts_run_with_the_published_defaults),
        cmocka_unit_test(preset_is_chosen_and_own_lines_stay_as_they_are),
        cmocka_unit_test(small_networks_learn_at_the_published_rate),
        cmocka_unit_test(a_blank_argument_is_refused),
        cmocka_unit_test(names_of_networks_for_photographs_are_torchvisions),
        cmocka_unit_test(later_settings_win),
        cmocka_unit_test(wrong_settings_are_refused_with_a_hint),
        cmocka_unit_test(check_refuses_what_contradicts_itself),
        cmocka_unit_test(check_accepts_what_is_meant),
        cmocka_unit_test(methods_are_a_list_with_their_own_weights_or_given_ones),
        cmocka_unit_test(kd_form_auto_follows_the_temperature),
        cmocka_unit_test(comma_lists_give_one_value_for_each_channel),
        cmocka_unit_test(resolved_configuration_reads_back_identically),
        cmocka_unit_test(keys_may_differ_between_runs_of_an_arm_and_between_ranks),
        cmocka_unit_test(keys_may_differ_when_a_run_is_resumed),
        cmocka_unit_test(every_shipped_config_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
