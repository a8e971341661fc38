#include "run/arm.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "support/check.h"
#include "support/temp_files.h"

enum { EPOCHS_MAX = 6 };

/* A line of the log for each epoch; seven steps are an epoch. */
struct epoch {
    int step;
    const char *dev; /* top-1 on the validation part; "null": not evaluated */
};

static void write_log(const char *folder, size_t first, const struct epoch *epochs)
{
    char text[EPOCHS_MAX * 160];
    size_t used = 0;
    for (size_t i = 0; i < EPOCHS_MAX && epochs[i].step; i++)
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "{\"kind\": \"epoch\", \"epoch\": %zu, \"step\": %d, "
                                 "\"test_top1\": 50, \"dev_top1\": %s}\n",
                                 first + i, epochs[i].step, epochs[i].dev);
    temp_write(folder, "log.jsonl", text, used);
}

/* train.max_steps ends a run, too, but such a run goes on when it is given more steps. */
static void a_run_has_finished_when_no_step_is_left_for_it(void **state)
{
    static const char plain[] = "train: {epochs: 3}\n",
                      patient[] =
                          "data: {dev: 0.1}\ntrain: {epochs: 9, eval_every: 2, patience: 1}\n";
    static const struct {
        const char *config;
        int max_steps;
        bool finished;
        struct epoch epochs[EPOCHS_MAX];
        size_t lost; /* lines before these */
    } cases[] = {
        { plain, 0, true, { { 7, "null" }, { 14, "null" }, { 21, "null" } }, 0 },
        { plain, 0, false, { { 7, "null" }, { 14, "null" } }, 0 },
        { plain, 100, true, { { 7, "null" }, { 14, "null" }, { 21, "null" } }, 0 },
        { plain, 21, true, { { 7, "null" }, { 14, "null" }, { 21, "null" } }, 0 },
        { plain, 18, false, { { 7, "null" }, { 14, "null" }, { 18, "null" } }, 0 },
        { "train: {epochs: 1}\n", 3, false, { { 3, "null" } }, 0 },
        { patient, 0, true, { { 7, "null" }, { 14, "50" }, { 21, "null" }, { 28, "40" } }, 0 },
        { patient, 28, true, { { 7, "null" }, { 14, "50" }, { 21, "null" }, { 28, "40" } }, 0 },
        { plain, 21, true, { { 14, "null" }, { 21, "null" } }, 1 },
        { plain, 18, false, { { 14, "null" }, { 18, "null" } }, 1 },
        /* evaluated in the middle of the fourth epoch, and after the third one */
        { patient, 25, false, { { 7, "null" }, { 14, "50" }, { 21, "null" }, { 25, "40" } }, 0 },
        { patient, 21, false, { { 7, "null" }, { 14, "50" }, { 21, "40" } }, 0 },
        { patient, 0, false, { { 7, "null" }, { 14, "50" }, { 21, "null" } }, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char config[256];
        struct ctkd__arm arm;
        ctkd_error err = { 0 };
        snprintf(config, sizeof config, "%.*s, max_steps: %d}\n",
                 (int)strlen(cases[i].config) - (int)strlen("}\n"), cases[i].config,
                 cases[i].max_steps);
        temp_write(*state, "config.yaml", config, strlen(config));
        write_log(*state, cases[i].lost + 1, cases[i].epochs);
        const ctkd_status status = ctkd__arm_read(*state, "test_top1", CTKD__ARM_LAST, &arm, &err);
        if (status != (cases[i].finished ? CTKD_OK : CTKD_EINVAL) ||
            (status != CTKD_OK && !strstr(err.message, "found no finished run (1 unfinished)")))
            fail_msg("case %zu: status %d, '%s'", i, (int)status, err.message);
        ctkd__arm_free(&arm);
    }
}

static void less_is_better_of_what_costs(void **state)
{
    static const char *const less[] = { "loss",    "test_loss",      "loss_kd",
                                        "seconds", "comm_ms",        "comm_bytes",
                                        "wait_ms", "teacher_misses", "teacher_damaged" };
    static const char *const more[] = { "test_top1", "dev_top1", "images_per_second",
                                        "teacher_hits" };
    (void)state;
    for (size_t i = 0; i < sizeof less / sizeof *less; i++)
        if (!ctkd__arm_less_is_better(less[i]))
            fail_msg("%s", less[i]);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (ctkd__arm_less_is_better(more[i]))
            fail_msg("%s", more[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_run_has_finished_when_no_step_is_left_for_it,
                                        temp_folder_make, temp_folder_remove),
        cmocka_unit_test(less_is_better_of_what_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
