/* The registry of losses: gradients, declared properties, options, errors.
   tests/test_loss_values.c has their values. */
#include <stdio.h>

#include "support/check.h"
#include "support/logit_rig.h"
#include "support/slope.h"

/* A loss at values that s, t and tau point to. */
struct point {
    const ctkd_loss_def *def;
    const float *s, *t, *tau;
    size_t n_tau;
};

static double loss_of(void *context)
{
    const struct point *const p = context;
    return (double)loss_at(p->def, p->s, p->t, p->tau, p->n_tau);
}

/* x: s, t or tau of the point. */
static void check_gradient(struct point *point, float *x, size_t size, const float *gradient)
{
    const float step = 0.0625f;
    float expected[NK];
    for (size_t i = 0; i < size; i++)
        expected[i] =
            (float)slope_of_float(loss_of, point, &x[i], x == point->tau ? step * x[i] : step);
    check_relative(gradient, expected, size, 1e-3);
}

static void check_gradients(const ctkd_loss_def *def, float *tau, size_t n_tau)
{
    float s[NK], t[NK];
    struct outputs out;
    fill_logits(s, t);
    assert_int_equal(evaluate(def, s, t, tau, n_tau, &out), CTKD_OK);
    struct point point = { def, s, t, tau, n_tau };
    check_gradient(&point, s, NK, out.ds);
    check_gradient(&point, t, NK, out.dt);
    if (def->needs & CTKD_NEEDS_TAU)
        check_gradient(&point, tau, n_tau, out.dtau);
}

static void gradients_of_every_loss_match_central_differences(void **state)
{
    (void)state;
    for (const ctkd_loss_def *const *def = logit_losses(); *def; def++)
        for (size_t i = 0; i < 3; i++) {
            float one = taus[i], each[N];
            for (size_t j = 0; j < N; j++)
                each[j] = taus[i];
            check_gradients(*def, &one, 1);
            check_gradients(*def, each, N);
        }
}

/* The other form of a loss that has two. */
static void gradients_match_with_every_switch_the_other_way(void **state)
{
    (void)state;
    float one = 4, each[N];
    memcpy(each, tau_each, sizeof each);
    for (const ctkd_loss_def *const *def = logit_losses(); *def; def++)
        for (varied = (*def)->options; varied && varied->name; varied++)
            if (varied->type == CTKD_OPTION_BOOL || varied->type == CTKD_OPTION_CHOICE) {
                check_gradients(*def, &one, 1);
                check_gradients(*def, each, N);
            }
    varied = NULL;
}

static void gradients_match_when_every_sample_has_its_own_tau(void **state)
{
    (void)state;
    float each[N];
    memcpy(each, tau_each, sizeof each);
    for (const ctkd_loss_def *const *def = logit_losses(); *def; def++)
        check_gradients(*def, each, N);
}

static void check_equal_gives_zero(const ctkd_loss_def *def, const float *tau, size_t n_tau)
{
    float s[NK], t[NK];
    const float zero[NK] = { 0 };
    struct outputs out;
    fill_logits(s, t);
    assert_int_equal(evaluate(def, s, s, tau, n_tau, &out), CTKD_OK);
    assert_true(out.loss == 0);
    check_all_close(out.ds, zero, NK, 0, 0);
    check_all_close(out.dt, zero, NK, 0, 0);
    check_all_close(out.dtau, zero, n_tau, 0, 0);
}

static void check_shift_changes_nothing(const ctkd_loss_def *def, const float *tau, size_t n_tau)
{
    float s[NK], t[NK];
    struct outputs plain, shifted;
    fill_logits(s, t);
    assert_int_equal(evaluate(def, s, t, tau, n_tau, &plain), CTKD_OK);
    for (size_t i = 0; i < NK; i++) {
        s[i] += i / K % 2 ? 16.0f : -7.0f;
        t[i] += i / K % 2 ? -3.0f : 12.0f;
    }
    assert_int_equal(evaluate(def, s, t, tau, n_tau, &shifted), CTKD_OK);
    check_close(shifted.loss, plain.loss, 1e-5, 0);
    check_relative(shifted.ds, plain.ds, NK, 1e-5);
    check_relative(shifted.dt, plain.dt, NK, 1e-5);
    check_relative(shifted.dtau, plain.dtau, n_tau, 1e-4);
}

/* From tau 100 to 1000: by a factor of 100, or hardly. */
static void check_growth_with_tau(const ctkd_loss_def *def)
{
    float s[NK], t[NK];
    const float high = 1000, low = 100;
    fill_logits(s, t);
    const double growth =
        (double)loss_at(def, s, t, &high, 1) / (double)loss_at(def, s, t, &low, 1);
    if (def->properties & CTKD_GROWS_WITH_TAU)
        check_close(growth, 100, 0.1, 0);
    else
        check_close(growth, 1, 0.05, 0);
}

/* The mean of the samples' own losses, each with its own tau. */
static void check_rows_are_independent(const ctkd_loss_def *def, const float *s, const float *t,
                                       const float *tau)
{
    _Alignas(16) char config[CONFIG_BYTES];
    struct outputs all;
    ctkd_options_defaults(def->options, config);
    assert_int_equal(evaluate(def, s, t, tau, N, &all), CTKD_OK);
    double sum = 0;
    for (size_t i = 0; i < N; i++) {
        float loss, ds[K], dtau = 0;
        const ctkd_loss_args args = { .n = 1,
                                      .k = K,
                                      .s = s + i * K,
                                      .t = t + i * K,
                                      .labels = labels + i,
                                      .tau = tau + i,
                                      .n_tau = 1,
                                      .loss = &loss,
                                      .ds = ds,
                                      .dtau = &dtau,
                                      .workspace = workspace };
        assert_int_equal(def->eval(config, &args), CTKD_OK);
        sum += (double)loss / N;
        check_close(dtau / N, all.dtau[i], 1e-5, 1e-7);
        for (size_t j = 0; j < K; j++)
            check_close(ds[j] / N, all.ds[i * K + j], 1e-5, 1e-8);
    }
    check_close(all.loss, sum, 1e-6, 0);
}

static void rowwise_losses_are_means_over_samples(void **state)
{
    (void)state;
    float s[NK], t[NK], tau[N];
    fill_logits(s, t);
    fill_uniform(tau, N, 3, 1, 20);
    size_t count = 0;
    for (const ctkd_loss_def *const *def = logit_losses(); *def; def++)
        if ((*def)->properties & CTKD_ROWWISE) {
            check_rows_are_independent(*def, s, t, tau);
            count++;
        }
    assert_true(count >= 5); /* kd, dkd, lskd, ttm, wttm */
}

static void every_loss_has_the_properties_that_it_declares(void **state)
{
    (void)state;
    for (const ctkd_loss_def *const *def = logit_losses(); *def; def++)
        for (size_t i = 0; i <= 3; i++) {
            const float *tau = i < 3 ? taus + i : tau_each;
            const size_t n_tau = i < 3 ? 1 : N;
            if ((*def)->properties & CTKD_ZERO_WHEN_EQUAL)
                check_equal_gives_zero(*def, tau, n_tau);
            if ((*def)->properties & CTKD_SHIFT_INVARIANT)
                check_shift_changes_nothing(*def, tau, n_tau);
            check_growth_with_tau(*def);
            if (!((*def)->properties & CTKD_NONNEGATIVE))
                continue;
            float s[NK], t[NK];
            for (uint64_t seed = 0; seed < 40; seed++) {
                fill_uniform(s, NK, seed, -1, 1);
                fill_uniform(t, NK, seed / 2 * 2, -1, 1); /* every other pair is equal */
                assert_true(loss_at(*def, s, t, tau, n_tau) >= 0);
            }
        }
}

static void every_entry_is_complete_and_found_by_its_name(void **state)
{
    (void)state;
    size_t count = 0;
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++, count++) {
        assert_ptr_equal(ctkd_loss_find((*def)->name), *def);
        assert_true(strlen((*def)->title) && strlen((*def)->formula) && strlen((*def)->source));
        assert_true((*def)->classes_min >= 1 && (*def)->eval);
        assert_true(((*def)->needs & CTKD_NEEDS_MAPS) ? (*def)->plan != NULL : !(*def)->plan);
        assert_true((*def)->stages <= (CTKD_STAGE_INITIAL | CTKD_STAGE_MAIN));
        assert_true(!(*def)->state == !(*def)->state_init);
        for (const ctkd_option *option = (*def)->options; option && option->name; option++) {
            _Alignas(16) char config[CONFIG_BYTES];
            assert_true(option->offset < (*def)->config_size && strlen(option->help));
            assert_int_equal(ctkd_option_set((*def)->options, config, option->name, option->value),
                             CTKD_OK);
        }
    }
    assert_true(count >= 2);
    assert_null(ctkd_loss_find("no such loss"));
    assert_null(ctkd_loss_find(NULL));
}

static void skipped_outputs_do_not_change_the_others(void **state)
{
    (void)state;
    float s[NK], t[NK], loss;
    fill_logits(s, t);
    for (const ctkd_loss_def *const *def = logit_losses(); *def; def++) {
        struct outputs all;
        _Alignas(16) char config[CONFIG_BYTES];
        ctkd_options_defaults((*def)->options, config);
        assert_int_equal(evaluate(*def, s, t, tau_each, N, &all), CTKD_OK);
        const ctkd_loss_args args = { .n = N,
                                      .k = K,
                                      .s = s,
                                      .t = t,
                                      .labels = labels,
                                      .tau = tau_each,
                                      .n_tau = N,
                                      .loss = &loss,
                                      .workspace = workspace };
        assert_int_equal((*def)->eval(config, &args), CTKD_OK);
        assert_true(loss == all.loss);
    }
}

/* --- errors */

static void check_refused(const ctkd_loss_def *def, const void *config, ctkd_loss_args args,
                          ctkd_status expected)
{
    struct outputs out, before;
    memset(&out, 0x5a, sizeof out);
    memcpy(&before, &out, sizeof out);
    args.loss = args.loss ? &out.loss : NULL;
    args.ds = out.ds;
    args.dt = out.dt;
    args.dtau = out.dtau;
    assert_int_equal(def->eval(config, &args), expected);
    assert_memory_equal(&out, &before, sizeof out);
}

#define REFUSE(expected, ...)                                                                      \
    do {                                                                                           \
        ctkd_loss_args a = good;                                                                   \
        __VA_ARGS__;                                                                               \
        check_refused(def, config, a, expected);                                                   \
    } while (0)

static void check_errors(const ctkd_loss_def *def)
{
    float s[NK], t[NK], loss;
    _Alignas(16) char config[CONFIG_BYTES];
    fill_logits(s, t);
    ctkd_options_defaults(def->options, config);
    const ctkd_loss_args good = { .n = N,
                                  .k = K,
                                  .s = s,
                                  .t = t,
                                  .labels = labels,
                                  .tau = tau_each,
                                  .n_tau = N,
                                  .loss = &loss,
                                  .workspace = workspace };
    REFUSE(CTKD_EINVAL, a.n = 0);
    REFUSE(CTKD_EINVAL, a.k = def->classes_min - 1);
    REFUSE(CTKD_EINVAL, a.s = NULL);
    REFUSE(CTKD_EINVAL, a.t = NULL);
    REFUSE(CTKD_EINVAL, a.loss = NULL);
    if (def->workspace) {
        const ctkd_loss_shape huge = { .n = SIZE_MAX / 2, .k = SIZE_MAX / 2 };
        size_t values;
        REFUSE(CTKD_EINVAL, a.workspace = NULL);
        assert_int_equal(ctkd_loss_workspace(def, config, &huge, &values), CTKD_ERANGE);
    }
    if (def->needs & CTKD_NEEDS_TAU) {
        const float wrong[] = { 0, -1, INFINITY, NAN };
        REFUSE(CTKD_EINVAL, a.tau = NULL);
        REFUSE(CTKD_EINVAL, a.n_tau = 0);
        REFUSE(CTKD_EINVAL, a.n_tau = 2);
        for (size_t i = 0; i < 4; i++) {
            float each[N];
            memcpy(each, tau_each, sizeof each);
            each[N - 1] = wrong[i];
            REFUSE(CTKD_EINVAL, a.tau = each);
            REFUSE(CTKD_EINVAL, a.tau = &wrong[i]; a.n_tau = 1);
        }
    }
    if (def->needs & CTKD_NEEDS_LABELS) {
        const int32_t low[N] = { 0, 0, 0, 0, 0, -1 }, high[N] = { 0, 0, 0, 0, 0, K };
        REFUSE(CTKD_EINVAL, a.labels = NULL);
        REFUSE(CTKD_ERANGE, a.labels = low);
        REFUSE(CTKD_ERANGE, a.labels = high);
    }
}

static void every_loss_refuses_bad_arguments_and_writes_nothing(void **state)
{
    (void)state;
    for (const ctkd_loss_def *const *def = logit_losses(); *def; def++)
        check_errors(*def);
}

/* The trainer stops at a loss that is not finite: none may turn it into a number. */
static void a_nan_among_the_logits_is_a_nan_of_the_loss(void **state)
{
    (void)state;
    float s[NK], t[NK];
    struct outputs out;
    for (const ctkd_loss_def *const *def = logit_losses(); *def; def++)
        for (size_t side = 0; side < 2; side++) {
            fill_logits(s, t);
            (side ? t : s)[K + 3] = NAN;
            assert_int_equal(evaluate(*def, s, t, tau_each, N, &out), CTKD_OK);
            if (isfinite(out.loss))
                fail_msg("%s: %g of a NaN of the %s", (*def)->name, (double)out.loss,
                         side ? "teacher" : "student");
        }
}

static void kd_refuses_an_unknown_form(void **state)
{
    (void)state;
    const float x[2] = { 1, 2 }, tau = 4;
    float loss = 7;
    assert_int_equal(ctkd_kd_loss(1, 2, x, x, &tau, 1, (ctkd_kd_form)2, &loss, NULL, NULL, NULL),
                     CTKD_EINVAL);
    assert_true(loss == 7);
}

static void dkd_refuses_two_classes_and_bad_weights(void **state)
{
    (void)state;
    const float x[3] = { 1, 2, 3 }, tau = 4, wrong[] = { -1, NAN, INFINITY };
    const int32_t y = 0;
    float loss = 7;
    assert_int_equal(ctkd_dkd_loss(1, 2, x, x, &y, &tau, 1, 1, 8, &loss, NULL, NULL, NULL),
                     CTKD_EINVAL);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(
            ctkd_dkd_loss(1, 3, x, x, &y, &tau, 1, wrong[i], 8, &loss, NULL, NULL, NULL),
            CTKD_EINVAL);
        assert_int_equal(
            ctkd_dkd_loss(1, 3, x, x, &y, &tau, 1, 1, wrong[i], &loss, NULL, NULL, NULL),
            CTKD_EINVAL);
    }
    assert_true(loss == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_every_loss_match_central_differences),
        cmocka_unit_test(gradients_match_with_every_switch_the_other_way),
        cmocka_unit_test(gradients_match_when_every_sample_has_its_own_tau),
        cmocka_unit_test(rowwise_losses_are_means_over_samples),
        cmocka_unit_test(every_loss_has_the_properties_that_it_declares),
        cmocka_unit_test(every_entry_is_complete_and_found_by_its_name),
        cmocka_unit_test(skipped_outputs_do_not_change_the_others),
        cmocka_unit_test(every_loss_refuses_bad_arguments_and_writes_nothing),
        cmocka_unit_test(a_nan_among_the_logits_is_a_nan_of_the_loss),
        cmocka_unit_test(kd_refuses_an_unknown_form),
        cmocka_unit_test(dkd_refuses_two_classes_and_bad_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
