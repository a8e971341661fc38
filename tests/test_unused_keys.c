/* Which of the keys given a run or a command does not use. */
#include "support/check.h"

#include <stdio.h>
#include <string.h>

#include "config/arguments.h"
#include "support/command_line.h"

/* What `reader` does not use of a command line. */
static void assert_unused(const char *line, enum ctkd__reader reader, const char *const *list,
                          const char *expected)
{
    char note[CTKD__ARGUMENTS_NOTE], text[512];
    struct ctkd__config *config = config_create();
    configure(config, line, reader == CTKD__READER_DISTILS, note);
    assert_string_equal(ctkd__config_unused(config, reader, NULL, list, text, sizeof text),
                        expected);
    ctkd__config_destroy(config);
}

static void keys_that_a_run_does_not_use_are_named_with_what_they_are_for(void **state)
{
    (void)state;
    static const struct {
        const char *line, *unused;
    } runs[] = {
        { "data.set=cifar100:d data.size=64 data.view=crop_flip data.readers=2 data.threads=1",
          "data.view (for image files), data.size (for image files), data.readers (for image files "
          "with data.view=resized_crop), data.threads (for image files with "
          "data.view=resized_crop)" },
        { "data.set=imagefolder:d data.size=64 data.readers=2 data.crop_scale=0.5,1", "" },
        { "data.set=imagefolder:d data.view=crop_flip data.size=64 data.crop_scale=0.5,1",
          "data.crop_scale (for image files with data.view=resized_crop)" },
        { "student.weights=ema", "student.weights (for student.init)" },
        { "student.weights=ema student.init=x.pth", "" },
        { "method.warmup_epochs=3",
          "method.warmup_epochs (for a method beside KD with a main stage)" },
        { "method=kd method.weight=2 method.warmup_epochs=3",
          "method.warmup_epochs (for a method beside KD with a main stage)" },
        { "method=dkd method.warmup_epochs=3 method.initial_lr=1 method.initial_epochs=3",
          "method.initial_epochs (for a method with an initial stage), method.initial_lr (for an "
          "initial stage of one epoch or more)" },
        { "method=ab method.initial_lr=1 method.initial_epochs=3", "" },
        { "method=ab method.initial_lr=1 method.initial_epochs=0",
          "method.initial_lr (for an initial stage of one epoch or more)" },
        /* ab and fsp have nothing but an initial stage, in which their weight is 1. */
        { "method=ab,fsp method.weight=3,2 method.warmup_epochs=3",
          "method.weight (for a method with a main stage), method.warmup_epochs (for a method "
          "beside KD with a main stage)" },
        { "method=ab,ft method.weight=3,2 method.warmup_epochs=3", "" },
        { "method=ab,kd method.weight=3,2 method.kd_weight=0.5",
          "method.kd_weight (for a kd loss without one in method.weight)" },
        { "method=kd method.kd_weight=0.5", "" },
        { "method=dkd,crd dkd.beta=2 crd.dim=64 rkd.angle=1",
          "method.rkd.angle (for method.name=rkd)" },
        { "method=lskd lskd.alpha=2 lskd.beta=3",
          "method.lskd.alpha (for method.lskd.base=dkd), method.lskd.beta (for "
          "method.lskd.base=dkd)" },
        { "method=lskd lskd.alpha=2 lskd.base=dkd", "" },
        { "lskd.alpha=2", "method.lskd.alpha (for method.name=lskd)" },
        { "temperature.tau=2", "temperature.tau (for temperature.kind=fixed)" },
        { "temperature.tau=2 temperature.kind=fixed", "" },
        { "temperature.tau=2 method=dist tau_span=9", /* auto is fixed with dist */
          "temperature.tau_span (for a learned temperature)" },
        { "temperature.kind=fixed tau_min=2 lambda_min=0.1 lambda_max=2 temperature.lr=1",
          "temperature.tau_min (for a learned temperature), temperature.lambda_min (for a learned "
          "temperature with a curriculum), temperature.lambda_max (for a learned temperature), "
          "temperature.lr (for a learned temperature)" },
        { "theta_init=2 hidden=5 set_bias=true bias_init=2",
          "temperature.hidden (for temperature.kind=instance), temperature.bias_init (for "
          "temperature.kind=instance with temperature.set_bias=true), temperature.set_bias (for "
          "temperature.kind=instance)" },
        { "temperature.kind=instance theta_init=2 hidden=5 set_bias=true bias_init=2",
          "temperature.theta_init (for temperature.kind=global)" },
        { "temperature.through=true",
          "temperature.through (for temperature.kind=instance in a loss that reads it)" },
        { "temperature.through=true temperature.kind=instance kd_weight=0 method=crd",
          "temperature.through (for temperature.kind=instance in a loss that reads it)" },
        { "temperature.through=true temperature.kind=instance kd_weight=0 method=dkd", "" },
        { "temperature.through=true temperature.kind=instance", "" },
        { "temperature.curriculum=none lambda_min=0.5 curriculum_epochs=3",
          "temperature.curriculum_epochs (for a learned temperature with a curriculum), "
          "temperature.lambda_min (for a learned temperature with a curriculum)" },
        { "schedule.kind=cosine milestones=3 factor=0.5 lr_min=0.01",
          "schedule.milestones (for schedule.kind=step), schedule.factor (for "
          "schedule.kind=step)" },
        { "lr_min=0.01 factor=0.5", "schedule.lr_min (for schedule.kind=cosine)" },
        { "run.allow=kernels", "run.allow (for run.resume)" },
        { "run.allow=kernels --resume=auto", "" },
        /* What only opening the run can tell counts as read. */
        { "data.set=imagefolder:d data.holdout=0.5 data.resize=64 train.overlap=false "
          "timeout_seconds=5 teacher.tolerance=2",
          "" },
        /* A value that is the default asks for nothing. */
        { "temperature.tau=4 dkd.beta=8 data.size=0 schedule.lr_min=0 data.view=auto", "" },
        { "method.name=dkk dkd.beta=2", "" }, /* refused elsewhere */
        { "--kd_T 3 --have_mlp 0 --distill kd -b 0 --nce_k 64 --t_end 10",
          "temperature.tau_span (for a learned temperature), method.crd.negatives (for "
          "method.name=crd)" },
        { "--have_mlp 0 --preset published", "" }, /* not given, though it sets method.dkd.beta */
    };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        assert_unused(runs[i].line, CTKD__READER_DISTILS, NULL, runs[i].unused);
    assert_unused("teacher.path=x method=dkd dkd.beta=2 temperature.tau=3 epochs=3",
                  CTKD__READER_TRAINS, NULL,
                  "teacher.path (for `ctkd distill`), method.name (for `ctkd distill`), "
                  "temperature.tau (for `ctkd distill`), method.dkd.beta (for `ctkd distill`)");
}

static void keys_that_a_command_does_not_use_are_named(void **state)
{
    (void)state;
    static const char *const list[] = { "data.", "teacher.mean", NULL };
    static const char line[] = "data.set=cifar100:d data.size=64 epochs=240 batch=3 epochs=3";
    /* Not of the list: also at its default. */
    assert_unused(line, CTKD__READER_OF_LIST, list, "train.epochs, train.batch");
    assert_unused(line, CTKD__READER_EVALUATES, list,
                  "data.size (for image files), train.epochs, train.batch");
    assert_unused("teacher.mean=0 student.weights=ema", CTKD__READER_EVALUATES, NULL, "");
    struct ctkd__config *config = config_create();
    char note[CTKD__ARGUMENTS_NOTE], text[40];
    configure(config, line, false, note);
    assert_string_equal(
        ctkd__config_unused(config, CTKD__READER_EVALUATES, NULL, list, text, sizeof text),
        "train.epochs, train.batch and 1 more");
    ctkd__config_destroy(config);
}

static void keys_that_depend_on_what_is_open_are_named_beside_the_others(void **state)
{
    (void)state;
    static const struct ctkd__facts all = { .teacher_says_top1 = true, .ranks = 2 },
                                    alone = { .teacher_says_top1 = true, .ranks = 1 },
                                    silent = { .ranks = 2 },
                                    small = { .in_memory = true,
                                              .as_they_are = true,
                                              .has_test = true,
                                              .teacher_says_top1 = true,
                                              .ranks = 2 };
    static const char line[] =
        "data.set=imagefolder:d data.holdout=0.5 data.resize=64 "
        "crop_scale=0.5,1 data.readers=2 data.threads=1 overlap=false "
        "timeout_seconds=5 tolerance=2 schedule.factor=0.5 schedule.kind=cosine";
    static const struct {
        const struct ctkd__facts *facts;
        const char *more, *unused;
    } cases[] = {
        { &all, "", "" },
        { &alone, "",
          "train.overlap (for several processes), train.timeout_seconds (for several processes)" },
        { &silent, "", "teacher.tolerance (for teacher.expect_top1)" },
        { &silent, " teacher.expect_top1=70", "" },
        { &small, "",
          "data.resize (for image files that are resized), data.crop_scale (for image files with "
          "data.view=resized_crop), data.holdout (for image files without a validation folder), "
          "data.readers (for image files with data.view=resized_crop), data.threads (for image "
          "files with data.view=resized_crop)" },
        /* Named before anything is open. */
        { &small, " data.view=crop_flip",
          "data.resize (for image files that are resized), data.holdout (for image files without a "
          "validation folder)" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char both[512], note[CTKD__ARGUMENTS_NOTE], text[1024];
        struct ctkd__config *config = config_create();
        snprintf(both, sizeof both, "%s%s", line, cases[i].more);
        configure(config, both, true, note);
        assert_string_equal(ctkd__config_unused(config, CTKD__READER_DISTILS, cases[i].facts, NULL,
                                                text, sizeof text),
                            cases[i].unused);
        ctkd__config_destroy(config);
    }
}

static void a_command_names_what_is_open_of_its_list_alone(void **state)
{
    (void)state;
    static const char *const list[] = { "data.holdout", "data.readers", NULL };
    static const struct ctkd__facts facts = { .in_memory = true, .has_test = true, .ranks = 1 };
    char note[CTKD__ARGUMENTS_NOTE], text[512];
    struct ctkd__config *config = config_create();
    configure(config, "data.set=imagefolder:d holdout=0.5 crop_scale=0.5,1 overlap=false", false,
              note);
    for (int reader = CTKD__READER_EVALUATES; reader <= CTKD__READER_OF_LIST; reader++)
        assert_string_equal(
            ctkd__config_unused(config, (enum ctkd__reader)reader, &facts, list, text, sizeof text),
            "data.holdout (for image files without a validation folder)");
    ctkd__config_destroy(config);
}

/* What an option lacks is a setting of another one of its loss, with which it lacks nothing. */
static void what_an_option_of_a_loss_lacks_can_be_set(void **state)
{
    (void)state;
    size_t lacking = 0;
    struct ctkd__config *config = config_create();
    for (const ctkd_loss_def *const *at = ctkd_loss_list(); *at; at++) {
        const ctkd_loss_def *const loss = *at;
        void *const options = (void *)(uintptr_t)ctkd__config_loss(config, loss);
        for (const ctkd_option *o = loss->options; loss->option_lacks && o && o->name; o++) {
            const char *const lacks = loss->option_lacks(options, o);
            char name[64], *value;
            if (!lacks)
                continue;
            snprintf(name, sizeof name, "%s", lacks);
            value = strchr(name, '=');
            assert_non_null(value);
            *value++ = '\0';
            assert_string_not_equal(name, o->name);
            assert_int_equal(ctkd_option_set_text(loss->options, options, name, value, NULL),
                             CTKD_OK);
            assert_null(loss->option_lacks(options, o));
            ctkd_options_defaults(loss->options, options);
            lacking++;
        }
    }
    assert_true(lacking >= 2);
    ctkd__config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_a_run_does_not_use_are_named_with_what_they_are_for),
        cmocka_unit_test(keys_that_a_command_does_not_use_are_named),
        cmocka_unit_test(keys_that_depend_on_what_is_open_are_named_beside_the_others),
        cmocka_unit_test(a_command_names_what_is_open_of_its_list_alone),
        cmocka_unit_test(what_an_option_of_a_loss_lacks_can_be_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
