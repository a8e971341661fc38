#include <float.h>
#include <stdio.h>

#include "ctkd/curriculum.h"
#include "ctkd/loss.h"
#include "ctkd/temperature.h"
#include "support/allocator.h"
#include "support/check.h"

enum { N = 6, K = 9, NK = N * K, HIDDEN = 5, STEPS = 10 };
enum { COUNT = HIDDEN * 2 * K + HIDDEN + HIDDEN + 1 };

static ctkd_temperature_config instance_config(void)
{
    ctkd_temperature_config config = ctkd_temperature_defaults();
    config.kind = CTKD_TEMPERATURE_INSTANCE;
    config.n_max = N;
    config.k = K;
    config.hidden = HIDDEN;
    config.seed = 5;
    return config;
}

static ctkd_temperature *create(const ctkd_temperature_config *config)
{
    ctkd_temperature *module = NULL;
    assert_int_equal(ctkd_temperature_create(config, &module), CTKD_OK);
    assert_non_null(module);
    return module;
}

static void tau_follows_the_published_map(void **state)
{
    (void)state;
    check_close(ctkd_tau_from_theta(1, 1, 20), 15.6211716, 1e-7, 0);
    check_close(ctkd_tau_from_theta(0, 1, 20), 11, 1e-7, 0);
    check_close(ctkd_tau_from_theta(-1.7346f, 1, 20), 4, 1e-5, 0);
    assert_true(ctkd_tau_from_theta(-1000, 1, 20) == 1);
    assert_true(ctkd_tau_from_theta(1000, 1, 20) == 21);
}

static void reversal_applies_the_minus_sign(void **state)
{
    (void)state;
    float g[3] = { 1, -2, 0.5f };
    ctkd_gradient_reverse(3, 0.5f, g);
    assert_true(g[0] == -0.5f && g[1] == 1 && g[2] == -0.25f);
}

static void fixed_is_constant_and_has_no_parameters(void **state)
{
    (void)state;
    ctkd_temperature_config config = ctkd_temperature_defaults();
    config.kind = CTKD_TEMPERATURE_FIXED;
    ctkd_temperature *module = create(&config);
    float tau, *parameters, *gradient;
    const float dtau = 3;
    assert_int_equal(ctkd_temperature_count(module, 64), 1);
    assert_int_equal(ctkd_temperature_forward(module, 64, NULL, NULL, &tau), CTKD_OK);
    assert_true(tau == 4);
    assert_int_equal(ctkd_temperature_backward(module, 64, &dtau, 1, NULL), CTKD_OK);
    assert_int_equal(ctkd_temperature_parameters(module, &parameters, &gradient), 0);
    assert_true(ctkd_temperature_theta_gradient(module) == 0);
    ctkd_temperature_destroy(module);
}

static void global_starts_at_the_published_tau_and_reverses_its_gradient(void **state)
{
    (void)state;
    const ctkd_temperature_config config = ctkd_temperature_defaults();
    ctkd_temperature *module = create(&config);
    float tau, *parameters, *gradient;
    const float dtau = 0.25f;
    assert_int_equal(ctkd_temperature_parameters(module, &parameters, &gradient), 1);
    assert_int_equal(ctkd_temperature_forward(module, 3, NULL, NULL, &tau), CTKD_OK);
    check_close(tau, 15.6211716, 1e-7, 0);
    assert_int_equal(ctkd_temperature_backward(module, 3, &dtau, 0.5f, NULL), CTKD_OK);
    const double slope =
        (15.6211716 - 1) * (21 - 15.6211716) / 20; /* doc/methods.md, "Temperature" */
    check_close(ctkd_temperature_theta_gradient(module), 0.25 * slope, 1e-6, 0);
    check_close(gradient[0], -0.5 * 0.25 * slope, 1e-6, 0);
    ctkd_temperature_destroy(module);
}

static void instance_starts_within_its_bounds_and_repeats_with_its_seed(void **state)
{
    (void)state;
    ctkd_temperature_config config = instance_config();
    ctkd_temperature *module = create(&config), *again = create(&config);
    float *parameters, *same, *gradient;
    assert_int_equal(ctkd_temperature_parameters(module, &parameters, &gradient), COUNT);
    assert_int_equal(ctkd_temperature_parameters(again, &same, &gradient), COUNT);
    assert_memory_equal(parameters, same, COUNT * sizeof(float));
    const float bounds[2] = { 1 / sqrtf(2 * K), 1 / sqrtf(HIDDEN) };
    float largest[2] = { 0 };
    for (size_t i = 0; i < COUNT; i++) {
        const size_t layer = i < HIDDEN * 2 * K + HIDDEN ? 0 : 1;
        largest[layer] = fmaxf(largest[layer], fabsf(parameters[i]));
    }
    assert_true(largest[0] <= bounds[0] && largest[0] > 0.9f * bounds[0]);
    assert_true(largest[1] <= bounds[1] && largest[1] > 0.5f * bounds[1]);
    ctkd_temperature_destroy(again);
    config.seed++;
    config.set_bias = true;
    config.bias_init = 1;
    again = create(&config);
    (void)ctkd_temperature_parameters(again, &same, &gradient);
    assert_memory_not_equal(parameters, same, COUNT * sizeof(float));
    assert_true(same[COUNT - 1] == 1);
    ctkd_temperature_destroy(again);
    ctkd_temperature_destroy(module);
}

static void hidden_width_is_the_number_of_classes_by_default(void **state)
{
    (void)state;
    ctkd_temperature_config config = instance_config();
    config.hidden = 0;
    ctkd_temperature *module = create(&config);
    float *parameters, *gradient;
    assert_int_equal(ctkd_temperature_parameters(module, &parameters, &gradient),
                     K * 2 * K + K + K + 1);
    ctkd_temperature_destroy(module);
}

/* --- against PyTorch: ten steps of module, KD loss and SGD */

struct run {
    const char *name;
    const float *s, *t; /* [STEPS, N, K] */
    ctkd_temperature *module;
    float *parameters, *gradient, velocity[COUNT];
};

static const float *golden_at(struct golden *golden, const char *name, const char *what,
                              size_t count)
{
    char key[64];
    snprintf(key, sizeof key, "%s.%s", name, what);
    return golden_get(golden, key, count);
}

static void step(struct run *run, struct golden *golden, size_t i)
{
    const float *s = run->s + i * NK, *t = run->t + i * NK;
    float tau[N], dtau[N], ds[NK], loss, lambda;
    assert_int_equal(ctkd_temperature_forward(run->module, N, s, t, tau), CTKD_OK);
    check_all_close(tau, golden_at(golden, run->name, "tau", STEPS * N) + i * N, N, 3e-6, 0);
    assert_int_equal(ctkd_kd_loss(N, K, s, t, tau, N, CTKD_KD_EPSILON, &loss, ds, NULL, dtau),
                     CTKD_OK);
    assert_int_equal(ctkd_curriculum_lambda(CTKD_CURRICULUM_COSINE, i + 1, 10, 0, 1, &lambda),
                     CTKD_OK);
    assert_int_equal(ctkd_temperature_backward(run->module, N, dtau, lambda, ds), CTKD_OK);
    if (i == 3) {
        check_relative(ds, golden_at(golden, run->name, "ds", NK), NK, 3e-6);
        check_relative(run->gradient, golden_at(golden, run->name, "gradient", COUNT), COUNT, 3e-5);
    }
    for (size_t j = 0; j < COUNT; j++) {
        run->velocity[j] = 0.9f * run->velocity[j] + run->gradient[j] + 5e-4f * run->parameters[j];
        run->parameters[j] -= 0.5f * run->velocity[j];
    }
}

static void run_ten_steps(const char *name, bool from_logits, bool through)
{
    struct golden *golden = golden_open("temperature.txt");
    ctkd_temperature_config config = instance_config();
    config.from_logits = from_logits;
    config.through = through;
    struct run run = { .name = name,
                       .s = golden_get(golden, "s", STEPS * NK),
                       .t = golden_get(golden, "t", STEPS * NK),
                       .module = create(&config) };
    assert_int_equal(ctkd_temperature_parameters(run.module, &run.parameters, &run.gradient),
                     COUNT);
    memcpy(run.parameters, golden_at(golden, name, "start", COUNT), COUNT * sizeof(float));
    for (size_t i = 0; i < STEPS; i++)
        step(&run, golden, i);
    check_relative(run.parameters, golden_at(golden, name, "after", COUNT), COUNT, 1e-5);
    ctkd_temperature_destroy(run.module);
    golden_close(golden);
}

static void instance_follows_pytorch_for_ten_steps(void **state)
{
    (void)state;
    run_ten_steps("instance", false, false);
}

static void instance_through_the_student_follows_pytorch(void **state)
{
    (void)state;
    run_ten_steps("instance_through", false, true);
}

static void instance_from_logits_follows_pytorch(void **state)
{
    (void)state;
    run_ten_steps("instance_logits", true, false);
    run_ten_steps("instance_logits_through", true, true);
}

static void short_batches_use_their_own_samples_only(void **state)
{
    (void)state;
    float s[NK], t[NK], tau[N], tau_short[N] = { 0, 0, 7 };
    fill_normal(s, NK, 1);
    fill_normal(t, NK, 2);
    const ctkd_temperature_config config = instance_config();
    ctkd_temperature *module = create(&config);
    assert_int_equal(ctkd_temperature_count(module, 2), 2);
    assert_int_equal(ctkd_temperature_forward(module, N, s, t, tau), CTKD_OK);
    assert_int_equal(ctkd_temperature_forward(module, 2, s, t, tau_short), CTKD_OK);
    assert_true(tau[0] == tau_short[0] && tau[1] == tau_short[1] && tau_short[2] == 7);
    ctkd_temperature_destroy(module);
}

static void a_logit_that_is_not_a_number_reaches_its_own_tau_only(void **state)
{
    (void)state;
    float s[NK], t[NK], tau[N];
    fill_normal(s, NK, 1);
    fill_normal(t, NK, 2);
    s[NK - 1] = NAN; /* relu must not hide it */
    const ctkd_temperature_config config = instance_config();
    ctkd_temperature *module = create(&config);
    assert_int_equal(ctkd_temperature_forward(module, N, s, t, tau), CTKD_OK);
    assert_true(isnan(tau[N - 1]) && isfinite(tau[N - 2]));
    ctkd_temperature_destroy(module);
}

/* --- errors */

#define REFUSE(base, statement)                                                                    \
    do {                                                                                           \
        ctkd_temperature_config c = (base);                                                        \
        statement;                                                                                 \
        ctkd_temperature *module = (ctkd_temperature *)&c;                                         \
        assert_int_equal(ctkd_temperature_create(&c, &module), CTKD_EINVAL);                       \
        assert_null(module);                                                                       \
    } while (0)

static void create_refuses_fields_out_of_range(void **state)
{
    (void)state;
    const ctkd_temperature_config global = ctkd_temperature_defaults();
    const ctkd_temperature_config instance = instance_config();
    ctkd_temperature_config fixed = global;
    fixed.kind = CTKD_TEMPERATURE_FIXED;
    REFUSE(fixed, c.tau = 0);
    REFUSE(fixed, c.tau = NAN);
    REFUSE(fixed, c.kind = (ctkd_temperature_kind)3);
    REFUSE(global, c.tau_min = 0);
    REFUSE(global, c.tau_span = -1);
    REFUSE(global, c.tau_span = INFINITY);
    REFUSE(global, c.theta_init = NAN);
    REFUSE(instance, c.tau_min = -1);
    REFUSE(instance, c.n_max = 0);
    REFUSE(instance, c.k = 0);
    REFUSE(instance, c.set_bias = true; c.bias_init = NAN);
    struct counting counting = { 0 };
    REFUSE(global, c.allocator = counting_allocator(&counting); c.allocator.release = NULL);
    ctkd_temperature *module = NULL;
    assert_int_equal(ctkd_temperature_create(NULL, &module), CTKD_EINVAL);
    assert_int_equal(ctkd_temperature_create(&global, NULL), CTKD_EINVAL);
}

static void sizes_that_overflow_are_out_of_memory(void **state)
{
    (void)state;
    const size_t large[] = { SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 8, (size_t)1 << 33 };
    for (size_t i = 0; i < 4; i++)
        for (size_t field = 0; field < 3; field++) {
            struct counting counting = { 0 };
            ctkd_temperature_config config = instance_config();
            config.allocator = counting_allocator(&counting);
            *(field == 0 ? &config.n_max : field == 1 ? &config.k : &config.hidden) = large[i];
            config.hidden = field == 1 ? 0 : config.hidden;
            counting.fail_at = 1; /* what does not overflow is still too much to ask for */
            ctkd_temperature *module = NULL;
            assert_int_equal(ctkd_temperature_create(&config, &module), CTKD_ENOMEM);
            assert_null(module);
        }
}

static void forward_and_backward_refuse_bad_arguments(void **state)
{
    (void)state;
    float s[NK] = { 0 }, t[NK] = { 0 }, tau[N] = { 7 }, ds[NK] = { 7 };
    float *parameters, *gradient;
    const float dtau[N] = { 1, 1, 1, 1, 1, 1 };
    ctkd_temperature_config config = instance_config();
    config.through = true;
    ctkd_temperature *module = create(&config);
    (void)ctkd_temperature_parameters(module, &parameters, &gradient);
    assert_int_equal(ctkd_temperature_backward(module, N, dtau, 1, ds), CTKD_EINVAL);
    assert_int_equal(ctkd_temperature_forward(module, 0, s, t, tau), CTKD_EINVAL);
    assert_int_equal(ctkd_temperature_forward(module, N + 1, s, t, tau), CTKD_EINVAL);
    assert_int_equal(ctkd_temperature_forward(module, N, NULL, t, tau), CTKD_EINVAL);
    assert_int_equal(ctkd_temperature_forward(module, N, s, NULL, tau), CTKD_EINVAL);
    assert_int_equal(ctkd_temperature_forward(module, N, s, t, NULL), CTKD_EINVAL);
    assert_true(tau[0] == 7);
    assert_int_equal(ctkd_temperature_forward(module, N, s, t, tau), CTKD_OK);
    assert_int_equal(ctkd_temperature_backward(module, N - 1, dtau, 1, ds), CTKD_EINVAL);
    assert_int_equal(ctkd_temperature_backward(module, N, NULL, 1, ds), CTKD_EINVAL);
    assert_int_equal(ctkd_temperature_backward(module, N, dtau, -1, ds), CTKD_EINVAL);
    assert_int_equal(ctkd_temperature_backward(module, N, dtau, NAN, ds), CTKD_EINVAL);
    assert_int_equal(ctkd_temperature_backward(module, N, dtau, INFINITY, ds), CTKD_EINVAL);
    assert_true(ds[0] == 7 && gradient[COUNT - 1] == 0);
    assert_int_equal(ctkd_temperature_backward(module, N, dtau, 1, NULL), CTKD_OK);
    assert_true(gradient[COUNT - 1] < 0);
    ctkd_temperature_destroy(module);
    ctkd_temperature_destroy(NULL);
}

static void every_failed_allocation_is_reported_and_nothing_leaks(void **state)
{
    (void)state;
    for (int kind = CTKD_TEMPERATURE_FIXED; kind <= CTKD_TEMPERATURE_INSTANCE; kind++) {
        ctkd_status status = CTKD_ENOMEM;
        size_t failures = 0;
        for (; status != CTKD_OK; failures++) {
            struct counting counting = { .fail_at = failures + 1 };
            ctkd_temperature_config config = instance_config();
            config.kind = (ctkd_temperature_kind)kind;
            config.allocator = counting_allocator(&counting);
            ctkd_temperature *module = NULL;
            status = ctkd_temperature_create(&config, &module);
            assert_true((status == CTKD_OK) == (module != NULL));
            assert_true(status == CTKD_OK || status == CTKD_ENOMEM);
            ctkd_temperature_destroy(module);
            assert_int_equal(counting.live, 0);
        }
        assert_int_equal(failures, 2); /* one block */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tau_follows_the_published_map),
        cmocka_unit_test(reversal_applies_the_minus_sign),
        cmocka_unit_test(fixed_is_constant_and_has_no_parameters),
        cmocka_unit_test(global_starts_at_the_published_tau_and_reverses_its_gradient),
        cmocka_unit_test(instance_starts_within_its_bounds_and_repeats_with_its_seed),
        cmocka_unit_test(hidden_width_is_the_number_of_classes_by_default),
        cmocka_unit_test(instance_follows_pytorch_for_ten_steps),
        cmocka_unit_test(instance_through_the_student_follows_pytorch),
        cmocka_unit_test(instance_from_logits_follows_pytorch),
        cmocka_unit_test(short_batches_use_their_own_samples_only),
        cmocka_unit_test(a_logit_that_is_not_a_number_reaches_its_own_tau_only),
        cmocka_unit_test(create_refuses_fields_out_of_range),
        cmocka_unit_test(sizes_that_overflow_are_out_of_memory),
        cmocka_unit_test(forward_and_backward_refuse_bad_arguments),
        cmocka_unit_test(every_failed_allocation_is_reported_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
