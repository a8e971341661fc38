#include "support/check.h"

#include "train/schedule.h"

static struct ctkd__schedule published(void)
{
    return (struct ctkd__schedule){ .kind = CTKD__SCHEDULE_STEP,
                                    .milestones = { 150, 180, 210 },
                                    .n_milestones = 3,
                                    .factor = 0.1,
                                    .epochs = 240,
                                    .steps_per_epoch = 782 };
}

static void step_decays_when_the_epoch_is_past_a_milestone(void **state)
{
    (void)state;
    const struct ctkd__schedule schedule = published();
    const struct {
        uint64_t epoch;
        double factor;
    } cases[] = { { 1, 1 },      { 150, 1 },    { 151, 0.1 },  { 180, 0.1 },
                  { 181, 0.01 }, { 210, 0.01 }, { 211, 1e-3 }, { 240, 1e-3 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_close(ctkd__schedule_factor(&schedule, cases[i].epoch, 0), cases[i].factor, 1e-12, 0);
        check_close(ctkd__schedule_factor(&schedule, cases[i].epoch, 781), cases[i].factor, 1e-12,
                    0);
    }
}

static void constant_stays_at_one(void **state)
{
    (void)state;
    struct ctkd__schedule schedule = published();
    schedule.kind = CTKD__SCHEDULE_CONSTANT;
    check_close(ctkd__schedule_factor(&schedule, 1, 0), 1, 0, 0);
    check_close(ctkd__schedule_factor(&schedule, 240, 781), 1, 0, 0);
}

static void cosine_goes_from_one_to_the_floor(void **state)
{
    (void)state;
    const struct ctkd__schedule schedule = {
        .kind = CTKD__SCHEDULE_COSINE, .floor = 0.2, .epochs = 10, .steps_per_epoch = 100
    };
    check_close(ctkd__schedule_factor(&schedule, 1, 0), 1, 0, 0);
    check_close(ctkd__schedule_factor(&schedule, 6, 0), 0.6, 1e-12, 0);
    check_close(ctkd__schedule_factor(&schedule, 3, 50), 0.2 + 0.8 * 0.853553390593, 1e-9, 0);
    check_close(ctkd__schedule_factor(&schedule, 11, 0), 0.2, 1e-12, 0);
    double before = 2;
    for (uint64_t step = 0; step < 1000; step++) {
        const double factor = ctkd__schedule_factor(&schedule, 1 + step / 100, step % 100);
        assert_true(factor < before || step == 0);
        before = factor;
    }
}

static void warm_up_grows_with_every_step_and_reaches_the_base_rate(void **state)
{
    (void)state;
    struct ctkd__schedule schedule = published();
    schedule.warmup_epochs = 2;
    schedule.steps_per_epoch = 10;
    check_close(ctkd__schedule_factor(&schedule, 1, 0), 0.05, 1e-12, 0);
    check_close(ctkd__schedule_factor(&schedule, 1, 9), 0.5, 1e-12, 0);
    check_close(ctkd__schedule_factor(&schedule, 2, 9), 1, 1e-12, 0);
    check_close(ctkd__schedule_factor(&schedule, 3, 0), 1, 0, 0);
    schedule.kind = CTKD__SCHEDULE_COSINE; /* starts its curve where the warm-up ends */
    check_close(ctkd__schedule_factor(&schedule, 2, 9), 1, 1e-12, 0);
    check_close(ctkd__schedule_factor(&schedule, 3, 0), 1, 0, 0);
    assert_true(ctkd__schedule_factor(&schedule, 3, 1) < 1);
}

static void init_takes_the_configuration(void **state)
{
    (void)state;
    ctkd_error err = { 0 };
    struct ctkd__config *config;
    check_ok(ctkd__config_create(&config, &err), &err);
    struct ctkd__schedule schedule;
    check_ok(ctkd__schedule_init(&schedule, config, 782, &err), &err);
    check_close(ctkd__schedule_factor(&schedule, 150, 0), 1, 0, 0);
    check_close(ctkd__schedule_factor(&schedule, 151, 0), 0.1, 1e-7, 0);
    config->schedule.kind = CTKD__SCHEDULE_COSINE;
    config->schedule.lr_min = 0.005f;
    check_ok(ctkd__schedule_init(&schedule, config, 782, &err), &err);
    check_close(schedule.floor, 0.1, 1e-6, 0);
    ctkd__config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step_decays_when_the_epoch_is_past_a_milestone),
        cmocka_unit_test(constant_stays_at_one),
        cmocka_unit_test(cosine_goes_from_one_to_the_floor),
        cmocka_unit_test(warm_up_grows_with_every_step_and_reaches_the_base_rate),
        cmocka_unit_test(init_takes_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
