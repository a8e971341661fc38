#include "support/check.h"

#include <string.h>

#include "config/epochs.h"

static struct ctkd__config *config_of(const char *milestones, int64_t epochs)
{
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    check_ok(ctkd__config_create(&config, &err), &err);
    check_ok(ctkd__sections_set(ctkd__config_sections(config), "test", "schedule.milestones",
                                milestones, &err),
             &err);
    config->train.epochs = epochs;
    return config;
}

static void defaults_are_the_published_epochs(void **state)
{
    (void)state;
    struct ctkd__config *config;
    check_ok(ctkd__config_create(&config, NULL), NULL);
    uint64_t milestones[CTKD__MILESTONES_MAX];
    size_t count;
    check_ok(ctkd__epochs_milestones(config, milestones, &count, NULL), NULL);
    assert_int_equal(count, 3);
    assert_int_equal(milestones[0], 150);
    assert_int_equal(milestones[1], 180);
    assert_int_equal(milestones[2], 210);
    assert_int_equal(ctkd__epochs_of(config, config->temperature.curriculum_epochs), 10);
    assert_int_equal(ctkd__epochs_of(config, config->method.initial_epochs), 30);
    config->train.epochs = 8; /* a shortened run keeps its shape */
    assert_int_equal(ctkd__epochs_of(config, config->method.initial_epochs), 1);
    config->train.epochs = 120; /* as published for ImageNet */
    assert_int_equal(ctkd__epochs_of(config, config->temperature.curriculum_epochs), 5);
    ctkd__config_destroy(config);
}

static void fractions_become_epochs_and_epochs_stay(void **state)
{
    (void)state;
    static const struct {
        const char *written;
        int64_t epochs;
        const char *resolved;
    } cases[] = {
        { "0.25,0.5,0.75", 120, "30,60,90" },
        { "0.25,0.5,0.75", 100, "25,50,75" },
        { "0.3,0.6,0.9", 100, "30,60,90" },
        { "0.625,0.75,0.875", 1, "1,1,1" },
        { "0.625,0.75,0.875", 30, "19,23,26" },
        { "0.001", 240, "1" },
        { "0.999999", 1000000, "999999" },
        { "150,180,210", 30, "150,180,210" },
        { "19,19,26", 30, "19,19,26" },
        { "", 30, "" },
        { "1", 30, "1" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctkd__config *config = config_of(cases[i].written, cases[i].epochs);
        for (int again = 0; again < 2; again++) { /* what is resolved stays */
            check_ok(ctkd__epochs_resolve(config, NULL), NULL);
            assert_string_equal(config->schedule.milestones, cases[i].resolved);
        }
        ctkd__config_destroy(config);
    }
}

static void counts_of_epochs_are_resolved_alike(void **state)
{
    (void)state;
    struct ctkd__config *config = config_of("", 240);
    config->temperature.curriculum_epochs = 0.5f;
    config->method.warmup_epochs = 0.0833f;
    config->method.initial_epochs = 0.125f;
    config->schedule.warmup_epochs = 1e-6f;
    check_ok(ctkd__epochs_check(config, NULL), NULL);
    check_ok(ctkd__epochs_resolve(config, NULL), NULL);
    check_close(config->temperature.curriculum_epochs, 120, 0, 0);
    check_close(config->method.warmup_epochs, 20, 0, 0);
    check_close(config->method.initial_epochs, 30, 0, 0);
    check_close(config->schedule.warmup_epochs, 1, 0, 0);
    config->temperature.curriculum_epochs = 0;
    config->method.warmup_epochs = 1;
    config->method.initial_epochs = 0;
    config->schedule.warmup_epochs = 1e6f;
    check_ok(ctkd__epochs_resolve(config, NULL), NULL);
    check_close(config->temperature.curriculum_epochs, 0, 0, 0);
    check_close(config->method.warmup_epochs, 1, 0, 0);
    check_close(config->method.initial_epochs, 0, 0, 0);
    check_close(config->schedule.warmup_epochs, 1e6, 0, 0);
    ctkd__config_destroy(config);
}

static void a_list_is_of_one_kind_ascending_and_not_too_long(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0.5,30", "30,0.5", "0.5,0.25", "3,2",  "2.5",  "0",   "0.0",
        "-0.5",   "1e-1",   ".",        "0.5,", ",0.5", "nan", "0x1"
    };
    char many[CTKD__MILESTONES_MAX * 2 + 2] = "1";
    uint64_t milestones[CTKD__MILESTONES_MAX];
    size_t count;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ctkd__config *config = config_of(bad[i], 100);
        ctkd_error err = { 0 };
        if (ctkd__epochs_check(config, &err) != CTKD_ERANGE || !strstr(err.message, bad[i]))
            fail_msg("'%s': found '%s', expected a refusal", bad[i], err.message);
        ctkd__config_destroy(config);
    }
    for (int i = 0; i < CTKD__MILESTONES_MAX; i++)
        strcat(many, ",1");
    struct ctkd__config *config = config_of(many, 100);
    assert_int_equal(ctkd__epochs_milestones(config, milestones, &count, NULL), CTKD_ERANGE);
    ctkd__config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_published_epochs),
        cmocka_unit_test(fractions_become_epochs_and_epochs_stay),
        cmocka_unit_test(counts_of_epochs_are_resolved_alike),
        cmocka_unit_test(a_list_is_of_one_kind_ascending_and_not_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
