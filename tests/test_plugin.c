#include <float.h>

#include "ctkd/plugin.h"
#include "support/allocator.h"
#include "support/check.h"

enum { N = 6, K = 9, NK = N * K, STEPS = 10, STATE_BYTES = 4096 };

static const int32_t labels[N] = { 0, 8, 3, 3, 5, 1 };

static ctkd_plugin *create(const ctkd_plugin_config *config)
{
    ctkd_plugin *plugin = NULL;
    assert_int_equal(ctkd_plugin_create(config, &plugin), CTKD_OK);
    assert_non_null(plugin);
    return plugin;
}

static ctkd_plugin_config instance_config(void)
{
    ctkd_plugin_config config = ctkd_plugin_defaults(N, K);
    config.temperature.kind = CTKD_TEMPERATURE_INSTANCE;
    config.temperature.hidden = 4;
    config.temperature.through = true;
    config.method = "dkd";
    config.method_weight = 0.5f;
    return config;
}

static void fill_logits(float *s, float *t, uint64_t seed)
{
    fill_uniform(s, NK, seed, -3, 3);
    fill_uniform(t, NK, seed + 1000, -6, 6);
}

static void ten_steps_follow_pytorch(void **state)
{
    (void)state;
    struct golden *golden = golden_open("temperature.txt");
    const float *s = golden_get(golden, "s", STEPS * NK), *t = golden_get(golden, "t", STEPS * NK);
    const float *y = golden_get(golden, "labels", STEPS * N);
    ctkd_plugin_config config = ctkd_plugin_defaults(N, K);
    config.method = "dkd";
    config.method_weight = 0.5f;
    ctkd_plugin *plugin = create(&config);
    assert_int_equal(ctkd_plugin_set_method_option(plugin, "beta", 2), CTKD_OK);
    for (size_t i = 0; i < STEPS; i++) {
        int32_t now[N];
        float ds[NK];
        ctkd_plugin_report report;
        for (size_t j = 0; j < N; j++)
            now[j] = (int32_t)y[i * N + j];
        if (i == 6) /* the student's rate is cut, and theta's with it */
            assert_int_equal(ctkd_plugin_set_learning_rate(plugin, 0.005f), CTKD_OK);
        assert_int_equal(
            ctkd_plugin_step(plugin, N, s + i * NK, t + i * NK, now, 2 * i + 1, ds, &report),
            CTKD_OK);
        check_close(report.tau_mean, golden_get(golden, "global.tau", STEPS)[i], 1e-6, 0);
        check_close(report.loss, golden_get(golden, "global.loss", STEPS)[i], 1e-6, 0);
        check_close(report.loss_ce, golden_get(golden, "global.ce", STEPS)[i], 1e-6, 0);
        check_close(report.loss_kd, golden_get(golden, "global.kd", STEPS)[i], 1e-6, 0);
        check_close(report.loss_method, golden_get(golden, "global.dkd", STEPS)[i], 1e-6, 0);
        check_close(-report.lambda * report.theta_gradient,
                    golden_get(golden, "global.gradient", STEPS)[i], 3e-6, 1e-9);
        check_relative(ds, golden_get(golden, "global.ds", STEPS * NK) + i * NK, NK, 1e-6);
        assert_true(report.tau_min == report.tau_mean && report.tau_max == report.tau_mean);
    }
    /* theta after the last update shows in the next step's tau */
    ctkd_plugin_report report;
    float ds[NK];
    assert_int_equal(ctkd_plugin_step(plugin, N, s, t, labels, 1, ds, &report), CTKD_OK);
    const float theta = *golden_get(golden, "global.theta_after", 1);
    check_close(report.tau_mean, ctkd_tau_from_theta(theta, 1, 20), 1e-6, 0);
    ctkd_plugin_destroy(plugin);
    golden_close(golden);
}

/* The first step of an INSTANCE plugin, put together from the parts. */
static void an_instance_step_is_the_sum_of_its_parts(void **state)
{
    (void)state;
    const ctkd_plugin_config config = instance_config();
    ctkd_temperature_config part = config.temperature;
    part.n_max = N;
    part.k = K;
    ctkd_plugin *plugin = create(&config);
    ctkd_temperature *module = NULL;
    assert_int_equal(ctkd_temperature_create(&part, &module), CTKD_OK);
    float s[NK], t[NK], ds[NK], total[NK] = { 0 }, piece[NK], tau[N], dtau[N] = { 0 }, dpiece[N];
    float ce, kd, dkd, lambda;
    fill_logits(s, t, 1);
    assert_int_equal(ctkd_temperature_forward(module, N, s, t, tau), CTKD_OK);
    assert_int_equal(ctkd_cross_entropy(N, K, s, labels, &ce, piece), CTKD_OK);
    for (size_t i = 0; i < NK; i++)
        total[i] += config.ce_weight * piece[i];
    assert_int_equal(ctkd_kd_loss(N, K, s, t, tau, N, CTKD_KD_EXACT, &kd, piece, NULL, dpiece),
                     CTKD_OK);
    for (size_t i = 0; i < NK; i++)
        total[i] += config.kd_weight * piece[i];
    for (size_t i = 0; i < N; i++)
        dtau[i] += config.kd_weight * dpiece[i];
    assert_int_equal(ctkd_dkd_loss(N, K, s, t, labels, tau, N, 1, 8, &dkd, piece, NULL, dpiece),
                     CTKD_OK);
    for (size_t i = 0; i < NK; i++)
        total[i] += config.method_weight * piece[i];
    for (size_t i = 0; i < N; i++)
        dtau[i] += config.method_weight * dpiece[i];
    assert_int_equal(ctkd_curriculum_lambda(CTKD_CURRICULUM_COSINE, 4, 10, 0, 1, &lambda), CTKD_OK);
    assert_int_equal(ctkd_temperature_backward(module, N, dtau, lambda, total), CTKD_OK);

    ctkd_plugin_report report;
    assert_int_equal(ctkd_plugin_step(plugin, N, s, t, labels, 4, ds, &report), CTKD_OK);
    check_relative(ds, total, NK, 1e-6);
    check_close(report.loss, 0.1 * (double)ce + 0.9 * (double)kd + 0.5 * (double)dkd, 1e-6, 0);
    assert_true(report.tau_min < report.tau_mean && report.tau_mean < report.tau_max);
    assert_true(report.theta_gradient == ctkd_temperature_theta_gradient(module));
    ctkd_temperature_destroy(module);
    ctkd_plugin_destroy(plugin);
}

static void a_fixed_temperature_never_moves(void **state)
{
    (void)state;
    ctkd_plugin_config config = ctkd_plugin_defaults(N, K);
    config.temperature.kind = CTKD_TEMPERATURE_FIXED;
    ctkd_plugin *plugin = create(&config);
    float s[NK], t[NK], ds[NK];
    fill_logits(s, t, 1);
    for (size_t epoch = 1; epoch < 5; epoch++) {
        ctkd_plugin_report report;
        assert_int_equal(ctkd_plugin_step(plugin, N, s, t, labels, epoch, ds, &report), CTKD_OK);
        assert_true(report.tau_mean == 4 && report.theta_gradient == 0);
    }
    ctkd_plugin_destroy(plugin);
}

/* --- state */

static void train(ctkd_plugin *plugin, size_t first, size_t last, ctkd_plugin_report *report,
                  float *ds)
{
    for (size_t i = first; i < last; i++) {
        float s[NK], t[NK];
        fill_logits(s, t, i);
        assert_int_equal(
            ctkd_plugin_step(plugin, i % 2 ? N : N - 2, s, t, labels, i + 1, ds, report), CTKD_OK);
    }
}

static void a_restored_plugin_goes_on_with_the_same_bits(void **state)
{
    (void)state;
    for (int kind = CTKD_TEMPERATURE_FIXED; kind <= CTKD_TEMPERATURE_INSTANCE; kind++) {
        ctkd_plugin_config config = instance_config();
        config.temperature.kind = (ctkd_temperature_kind)kind;
        ctkd_plugin *plugin = create(&config);
        config.temperature.seed++;
        config.temperature.theta_init = -1;
        ctkd_plugin *resumed = create(&config);
        unsigned char memory[STATE_BYTES], after[STATE_BYTES], after_resumed[STATE_BYTES];
        float ds[NK] = { 0 }, ds_resumed[NK] = { 0 };
        ctkd_plugin_report report, report_resumed;
        train(plugin, 0, 5, &report, ds);
        const size_t bytes = ctkd_plugin_state_size(plugin);
        assert_in_range(bytes, 1, STATE_BYTES);
        assert_int_equal(ctkd_plugin_save(plugin, memory, bytes), CTKD_OK);
        assert_int_equal(ctkd_plugin_restore(resumed, memory, bytes), CTKD_OK);
        train(plugin, 5, 10, &report, ds);
        train(resumed, 5, 10, &report_resumed, ds_resumed);
        assert_memory_equal(&report, &report_resumed, sizeof report);
        assert_memory_equal(ds, ds_resumed, sizeof ds);
        assert_int_equal(ctkd_plugin_save(plugin, after, bytes), CTKD_OK);
        assert_int_equal(ctkd_plugin_save(resumed, after_resumed, bytes), CTKD_OK);
        assert_memory_equal(after, after_resumed, bytes);
        if (kind != CTKD_TEMPERATURE_FIXED)
            assert_memory_not_equal(after, memory, bytes);
        ctkd_plugin_destroy(resumed);
        ctkd_plugin_destroy(plugin);
    }
}

static void a_damaged_state_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    const ctkd_plugin_config config = instance_config();
    ctkd_plugin *plugin = create(&config);
    unsigned char good[STATE_BYTES], damaged[STATE_BYTES], now[STATE_BYTES];
    const size_t bytes = ctkd_plugin_state_size(plugin);
    assert_in_range(bytes, 1, STATE_BYTES);
    assert_int_equal(ctkd_plugin_save(plugin, good, bytes - 1), CTKD_ERANGE);
    assert_int_equal(ctkd_plugin_save(plugin, NULL, bytes), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_save(plugin, good, bytes), CTKD_OK);
    for (size_t i = 0; i < bytes; i++) {
        memcpy(damaged, good, bytes);
        damaged[i] ^= 0x40;
        assert_int_equal(ctkd_plugin_restore(plugin, damaged, bytes), CTKD_EFORMAT);
        assert_int_equal(ctkd_plugin_restore(plugin, good, i), CTKD_EFORMAT);
    }
    assert_int_equal(ctkd_plugin_restore(plugin, NULL, bytes), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_save(plugin, now, bytes), CTKD_OK);
    assert_memory_equal(now, good, bytes);
    ctkd_plugin_destroy(plugin);
}

static void a_state_of_another_shape_is_refused(void **state)
{
    (void)state;
    ctkd_plugin_config config = instance_config();
    ctkd_plugin *plugin = create(&config);
    unsigned char memory[STATE_BYTES];
    const size_t bytes = ctkd_plugin_state_size(plugin);
    assert_int_equal(ctkd_plugin_save(plugin, memory, bytes), CTKD_OK);
    for (size_t i = 0; i < 3; i++) {
        ctkd_plugin_config other = config;
        if (i == 0)
            other.temperature.kind = CTKD_TEMPERATURE_GLOBAL;
        if (i == 1)
            other.temperature.hidden++;
        if (i == 2)
            other.k++;
        ctkd_plugin *wrong = create(&other);
        assert_int_equal(ctkd_plugin_restore(wrong, memory, bytes), CTKD_ESHAPE);
        ctkd_plugin_destroy(wrong);
    }
    config.n_max *= 2; /* another batch size is not another shape */
    ctkd_plugin *larger = create(&config);
    assert_int_equal(ctkd_plugin_restore(larger, memory, bytes), CTKD_OK);
    ctkd_plugin_destroy(larger);
    ctkd_plugin_destroy(plugin);
}

/* --- errors */

static void a_step_that_is_not_finite_writes_nothing(void **state)
{
    (void)state;
    const float wrong[] = { NAN, INFINITY, -INFINITY };
    for (int kind = CTKD_TEMPERATURE_FIXED; kind <= CTKD_TEMPERATURE_INSTANCE; kind++)
        for (size_t c = 0; c < 6; c++) {
            ctkd_plugin_config config = instance_config();
            config.temperature.kind = (ctkd_temperature_kind)kind;
            config.temperature.from_logits = c % 2;
            ctkd_plugin *plugin = create(&config);
            unsigned char before[STATE_BYTES], after[STATE_BYTES];
            float s[NK], t[NK], ds[NK], untouched[NK];
            ctkd_plugin_report report;
            memset(&report, 0x5a, sizeof report);
            const ctkd_plugin_report same = report;
            fill_logits(s, t, 1);
            fill_uniform(ds, NK, 3, -1, 1);
            memcpy(untouched, ds, sizeof ds);
            (c % 2 ? s : t)[NK - 1] = wrong[c / 2];
            const size_t bytes = ctkd_plugin_state_size(plugin);
            assert_int_equal(ctkd_plugin_save(plugin, before, bytes), CTKD_OK);
            assert_int_equal(ctkd_plugin_step(plugin, N, s, t, labels, 3, ds, &report), CTKD_ENAN);
            assert_int_equal(ctkd_plugin_save(plugin, after, bytes), CTKD_OK);
            assert_memory_equal(before, after, bytes);
            assert_memory_equal(ds, untouched, sizeof ds);
            assert_memory_equal(&report, &same, sizeof report);
            ctkd_plugin_destroy(plugin);
        }
}

static void bad_steps_are_refused_and_write_nothing(void **state)
{
    (void)state;
    const ctkd_plugin_config config = instance_config();
    ctkd_plugin *plugin = create(&config);
    const int32_t wrong[N] = { 0, 0, 0, 0, 0, K };
    float s[NK], t[NK], ds[NK] = { 7 };
    fill_logits(s, t, 1);
    assert_int_equal(ctkd_plugin_step(NULL, N, s, t, labels, 1, ds, NULL), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_step(plugin, 0, s, t, labels, 1, ds, NULL), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_step(plugin, N + 1, s, t, labels, 1, ds, NULL), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_step(plugin, N, NULL, t, labels, 1, ds, NULL), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_step(plugin, N, s, NULL, labels, 1, ds, NULL), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_step(plugin, N, s, t, NULL, 1, ds, NULL), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_step(plugin, N, s, t, labels, 0, ds, NULL), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_step(plugin, N, s, t, labels, 1, NULL, NULL), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_step(plugin, N, s, t, wrong, 1, ds, NULL), CTKD_ERANGE);
    assert_true(ds[0] == 7);
    assert_int_equal(ctkd_plugin_set_learning_rate(plugin, -1), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_set_learning_rate(plugin, NAN), CTKD_EINVAL);
    assert_int_equal(ctkd_plugin_set_method_option(plugin, "gamma", 1), CTKD_ENOTFOUND);
    assert_int_equal(ctkd_plugin_set_method_option(plugin, "beta", -1), CTKD_ERANGE);
    assert_int_equal(ctkd_plugin_step(plugin, N, s, t, labels, 1, ds, NULL), CTKD_OK);
    ctkd_plugin_destroy(plugin);
    ctkd_plugin_destroy(NULL);
}

#define REFUSE(expected, statement)                                                                \
    do {                                                                                           \
        ctkd_plugin_config c = ctkd_plugin_defaults(N, K);                                         \
        statement;                                                                                 \
        ctkd_plugin *plugin = (ctkd_plugin *)&c;                                                   \
        assert_int_equal(ctkd_plugin_create(&c, &plugin), expected);                               \
        assert_null(plugin);                                                                       \
    } while (0)

static void create_refuses_fields_out_of_range(void **state)
{
    (void)state;
    REFUSE(CTKD_EINVAL, c.n_max = 0);
    REFUSE(CTKD_EINVAL, c.k = 0);
    REFUSE(CTKD_EINVAL, c.ce_weight = -1);
    REFUSE(CTKD_EINVAL, c.kd_weight = NAN);
    REFUSE(CTKD_EINVAL, c.kd_form = (ctkd_kd_form)2);
    REFUSE(CTKD_EINVAL, c.method_weight = 1);
    REFUSE(CTKD_EINVAL, c.method = "dkd"; c.method_weight = INFINITY);
    REFUSE(CTKD_EINVAL, c.method = "dkd"; c.k = 2);
    REFUSE(CTKD_ENOTFOUND, c.method = "dkk");
    REFUSE(CTKD_EINVAL, c.temperature.tau_min = 0);
    REFUSE(CTKD_EINVAL, c.curriculum = (ctkd_curriculum)4);
    REFUSE(CTKD_EINVAL, c.lambda_min = -1);
    REFUSE(CTKD_EINVAL, c.lambda_min = 2);
    REFUSE(CTKD_EINVAL, c.lambda_max = INFINITY);
    REFUSE(CTKD_EINVAL, c.size = 8);
    REFUSE(CTKD_EINVAL, c.temperature.reserved[7] = 1);
    REFUSE(CTKD_EINVAL, c.learning_rate = -1);
    REFUSE(CTKD_EINVAL, c.momentum = 1);
    REFUSE(CTKD_EINVAL, c.weight_decay = NAN);
    REFUSE(CTKD_ENOMEM, c.n_max = SIZE_MAX / 2);
    ctkd_plugin *plugin = NULL;
    assert_int_equal(ctkd_plugin_create(NULL, &plugin), CTKD_EINVAL);
    const ctkd_plugin_config config = ctkd_plugin_defaults(N, K);
    assert_int_equal(ctkd_plugin_create(&config, NULL), CTKD_EINVAL);
    plugin = create(&config);
    assert_int_equal(ctkd_plugin_set_method_option(plugin, "beta", 1), CTKD_ENOTFOUND);
    ctkd_plugin_destroy(plugin);
}

static void every_failed_allocation_is_reported_and_steps_allocate_nothing(void **state)
{
    (void)state;
    ctkd_status status = CTKD_ENOMEM;
    size_t failures = 0;
    for (; status != CTKD_OK; failures++) {
        struct counting counting = { .fail_at = failures + 1 };
        ctkd_plugin_config config = instance_config();
        config.temperature.allocator = counting_allocator(&counting);
        ctkd_plugin *plugin = NULL;
        status = ctkd_plugin_create(&config, &plugin);
        assert_true(status == CTKD_OK || status == CTKD_ENOMEM);
        assert_true((status == CTKD_OK) == (plugin != NULL));
        if (plugin) {
            const size_t requests = counting.requests;
            float ds[NK];
            ctkd_plugin_report report;
            train(plugin, 0, 3, &report, ds);
            assert_int_equal(counting.requests, requests);
        }
        ctkd_plugin_destroy(plugin);
        assert_int_equal(counting.live, 0);
    }
    assert_int_equal(failures, 3); /* the temperature's block and the plugin's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_steps_follow_pytorch),
        cmocka_unit_test(an_instance_step_is_the_sum_of_its_parts),
        cmocka_unit_test(a_fixed_temperature_never_moves),
        cmocka_unit_test(a_restored_plugin_goes_on_with_the_same_bits),
        cmocka_unit_test(a_damaged_state_is_refused_and_changes_nothing),
        cmocka_unit_test(a_state_of_another_shape_is_refused),
        cmocka_unit_test(a_step_that_is_not_finite_writes_nothing),
        cmocka_unit_test(bad_steps_are_refused_and_write_nothing),
        cmocka_unit_test(create_refuses_fields_out_of_range),
        cmocka_unit_test(every_failed_allocation_is_reported_and_steps_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
