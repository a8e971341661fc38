/* Values of the losses of logits: golden ones, limits, and what stays finite. */
#include <float.h>
#include <stdio.h>

#include "support/check.h"
#include "support/logit_rig.h"

static void evaluate_form(const char *form, const float *s, const float *t, const int32_t *y,
                          const float *tau, size_t n_tau, struct outputs *out)
{
    if (strcmp(form, "dkd") == 0) {
        assert_int_equal(ctkd_dkd_loss(N, K, s, t, y, tau, n_tau, 1.5f, 6, &out->loss, out->ds,
                                       out->dt, out->dtau),
                         CTKD_OK);
        return;
    }
    const ctkd_kd_form kd = strcmp(form, "kd") == 0 ? CTKD_KD_EXACT : CTKD_KD_EPSILON;
    assert_int_equal(
        ctkd_kd_loss(N, K, s, t, tau, n_tau, kd, &out->loss, out->ds, out->dt, out->dtau), CTKD_OK);
}

static const float *golden_at(struct golden *golden, size_t count, const char *form,
                              const char *scale, const char *tau, const char *what)
{
    char key[160];
    snprintf(key, sizeof key, "%s.%s%s%s%s%s", form, scale, *tau ? "." : "", tau, *what ? "." : "",
             what);
    return golden_get(golden, key, count);
}

static void values_and_gradients_agree_with_pytorch(void **state)
{
    (void)state;
    const char *const scales[] = { "1", "5", "50" };
    const char *const forms[] = { "kd", "kd_epsilon", "dkd" };
    const char *const names[] = { "1", "4", "20", "each" };
    struct golden *g = golden_open("losses.txt");
    for (size_t c = 0; c < 3 * 3 * 4; c++) {
        const char *scale = scales[c / 12], *form = forms[c / 4 % 3], *name = names[c % 4];
        const size_t n_tau = c % 4 == 3 ? N : 1;
        const float *s = golden_at(g, NK, "s", scale, "", "");
        const float *t = golden_at(g, NK, "t", scale, "", "");
        const float *y_values = golden_at(g, N, "labels", scale, "", "");
        const float *tau = golden_at(g, n_tau, "tau", name, "", "");
        int32_t y[N];
        for (size_t i = 0; i < N; i++)
            y[i] = (int32_t)y_values[i];
        struct outputs out;
        evaluate_form(form, s, t, y, tau, n_tau, &out);
        check_close(out.loss, *golden_at(g, 1, form, scale, name, "loss"), 3e-7, 0);
        check_relative(out.ds, golden_at(g, NK, form, scale, name, "ds"), NK, 1e-6);
        check_relative(out.dt, golden_at(g, NK, form, scale, name, "dt"), NK, 1e-6);
        check_relative(out.dtau, golden_at(g, n_tau, form, scale, name, "dtau"), n_tau, 1e-6);
    }
    golden_close(g);
}

/* Methods of the registry in golden/methods.txt, with options other than the default. */
static const struct method_case {
    const char *key, *name, *option;
    double value;
    ctkd_view view;
} method_cases[] = {
    { "mlkd_weak", "mlkd", NULL, 0, CTKD_VIEW_WEAK },
    { "mlkd_mask", "mlkd", "mask", 1, CTKD_VIEW_ONLY },
    { "mlkd_mask_weak", "mlkd", "mask", 1, CTKD_VIEW_WEAK },
    { "mlkd_strong", "mlkd", NULL, 0, CTKD_VIEW_STRONG },
    { "mlkd_lskd", "mlkd", "standardise", 1, CTKD_VIEW_ONLY },
    { "mlkd_lskd_strong", "mlkd", "standardise", 1, CTKD_VIEW_STRONG },
    { "dist", "dist", NULL, 0, CTKD_VIEW_ONLY },
    { "lskd", "lskd", NULL, 0, CTKD_VIEW_ONLY },
    { "lskd_dkd", "lskd", "base", 1, CTKD_VIEW_ONLY },
    { "ttm", "ttm", NULL, 0, CTKD_VIEW_ONLY },
    { "wttm", "wttm", NULL, 0, CTKD_VIEW_ONLY },
    { "mlkd", "mlkd", NULL, 0, CTKD_VIEW_ONLY },
};

static void check_method(struct golden *g, const struct method_case *method, const char *scale,
                         const char *name, size_t n_tau)
{
    const ctkd_loss_def *def = ctkd_loss_find(method->name);
    _Alignas(16) char config[CONFIG_BYTES];
    ctkd_options_defaults(def->options, config);
    if (method->option)
        assert_int_equal(ctkd_option_set(def->options, config, method->option, method->value),
                         CTKD_OK);
    const float *y_values = golden_at(g, N, "labels", scale, "", "");
    int32_t y[N];
    for (size_t i = 0; i < N; i++)
        y[i] = (int32_t)y_values[i];
    struct outputs out;
    assert_int_equal(evaluate_view(def, config, method->view, golden_at(g, NK, "s", scale, "", ""),
                                   golden_at(g, NK, "t", scale, "", ""), y,
                                   golden_at(g, n_tau, "tau", name, "", ""), n_tau, &out),
                     CTKD_OK);
    check_close(out.loss, *golden_at(g, 1, method->key, scale, name, "loss"), 1e-6, 0);
    check_relative(out.ds, golden_at(g, NK, method->key, scale, name, "ds"), NK, 2e-6);
    check_relative(out.dt, golden_at(g, NK, method->key, scale, name, "dt"), NK, 2e-6);
    if (def->needs & CTKD_NEEDS_TAU)
        check_relative(out.dtau, golden_at(g, n_tau, method->key, scale, name, "dtau"), n_tau,
                       2e-6);
}

static void methods_agree_with_pytorch(void **state)
{
    (void)state;
    const char *const scales[] = { "1", "5" }, *const names[] = { "1", "4", "each" };
    struct golden *g = golden_open("methods.txt");
    for (size_t m = 0; m < sizeof method_cases / sizeof *method_cases; m++)
        for (size_t c = 0; c < 6; c++)
            check_method(g, &method_cases[m], scales[c / 3], names[c % 3], c % 3 == 2 ? N : 1);
    golden_close(g);
}

/* A loss of golden/close.txt: key and the option that is not the default. */
static void check_close_student(struct golden *g, const ctkd_loss_def *def, const char *key,
                                const char *option, const char *distance, const char *name,
                                size_t n_tau)
{
    _Alignas(16) char config[CONFIG_BYTES];
    ctkd_options_defaults(def->options, config);
    if (option)
        assert_int_equal(ctkd_option_set(def->options, config, option, 1), CTKD_OK);
    const float *y_values = golden_at(g, N, "labels", distance, "", "");
    int32_t y[N];
    for (size_t i = 0; i < N; i++)
        y[i] = (int32_t)y_values[i];
    struct outputs out;
    assert_int_equal(evaluate_with(def, config, golden_at(g, NK, "s", distance, "", ""),
                                   golden_at(g, NK, "t", distance, "", ""), y,
                                   golden_at(g, n_tau, "tau", name, "", ""), n_tau, &out),
                     CTKD_OK);
    check_close(out.loss, *golden_at(g, 1, key, distance, name, "loss"), 2e-7, 0);
    check_relative(out.ds, golden_at(g, NK, key, distance, name, "ds"), NK, 2e-7);
    check_relative(out.dt, golden_at(g, NK, key, distance, name, "dt"), NK, 2e-7);
    if (def->needs & CTKD_NEEDS_TAU)
        check_relative(out.dtau, golden_at(g, n_tau, key, distance, name, "dtau"), n_tau, 2e-7);
}

/* Where the loss is a small difference, its digits are still those of the logits. */
static void a_student_close_to_its_teacher_costs_no_digits(void **state)
{
    (void)state;
    const char *const distances[] = { "1e-3", "1e-4" }, *const names[] = { "4", "each" };
    struct golden *g = golden_open("close.txt");
    for (const ctkd_loss_def *const *def = logit_losses(); *def; def++)
        for (size_t c = 0; c < 4; c++) {
            const char *const distance = distances[c / 2], *const name = names[c % 2];
            const size_t n_tau = c % 2 ? N : 1;
            check_close_student(g, *def, (*def)->name, NULL, distance, name, n_tau);
            if (ctkd_option_find((*def)->options, "base"))
                check_close_student(g, *def, "lskd_dkd", "base", distance, name, n_tau);
        }
    golden_close(g);
}

static void standardised_logits_of_a_constant_row_have_no_gradient(void **state)
{
    (void)state;
    const float one = 1;
    float s[NK], t[NK];
    struct outputs out;
    fill_logits(s, t);
    for (size_t j = 0; j < K; j++)
        s[j] = 3;
    assert_int_equal(evaluate(ctkd_loss_find("lskd"), s, t, &one, 1, &out), CTKD_OK);
    const float zero[K] = { 0 };
    check_all_close(out.ds, zero, K, 0, 0);
    for (size_t i = 0; i < NK; i++)
        assert_true(isfinite(out.ds[i]) && isfinite(out.dt[i]));
}

/* A teacher that is sure of one class, the same in each row (whose bits are then the same), by
 * `gap` logits and a little more from row to row. */
static float mlkd_of_sure_teacher(float gap, float more)
{
    float s[NK], t[NK] = { 0 };
    const float tau = 4;
    struct outputs out;
    _Alignas(16) char config[CONFIG_BYTES];
    const ctkd_loss_def *const mlkd = ctkd_loss_find("mlkd");
    ctkd_options_defaults(mlkd->options, config);
    fill_uniform(s, NK, 1, -3, 3);
    for (size_t i = 0; i < N; i++)
        t[i * K] = gap + more * (float)i;
    assert_int_equal(evaluate_view(mlkd, config, CTKD_VIEW_WEAK, s, t, labels, &tau, 1, &out),
                     CTKD_OK);
    return out.loss;
}

/* Half of the confidences are above their median unless they round to 1, which float does at a gap
   of 17 and double at 37. */
static void mlkd_tells_sure_teachers_apart_as_far_as_double_goes(void **state)
{
    (void)state;
    const double equal = (double)mlkd_of_sure_teacher(20, 0);
    assert_true((double)mlkd_of_sure_teacher(20, 1e-3f) < 0.9 * equal);
    check_close(mlkd_of_sure_teacher(45, 1e-3f), mlkd_of_sure_teacher(45, 0), 0.01, 0);
}

static void dist_is_blind_to_what_correlation_is(void **state)
{
    (void)state;
    float s[NK], t[NK];
    const float one = 1;
    struct outputs out;
    fill_logits(s, t);
    assert_int_equal(evaluate(ctkd_loss_find("dist"), s, s, &one, 1, &out), CTKD_OK);
    assert_true(out.loss >= 0 && out.loss < 1e-5f); /* 1e-8 in the denominator keeps it above 0 */
    assert_int_equal(evaluate(ctkd_loss_find("dist"), s, t, &one, 1, &out), CTKD_OK);
    assert_true(out.loss > 0.1f && out.loss <= 4);
}

/* 1/2 Var(t - s) over the classes of each row, averaged over rows. */
static double half_variance(const float *s, const float *t)
{
    double total = 0;
    for (size_t i = 0; i < N; i++) {
        double sum = 0, squares = 0;
        for (size_t j = i * K; j < (i + 1) * K; j++) {
            const double d = (double)t[j] - (double)s[j];
            sum += d / K;
            squares += d * d / K;
        }
        total += (squares - sum * sum) / 2 / N;
    }
    return total;
}

static void kd_tends_to_half_the_variance_at_high_tau(void **state)
{
    (void)state;
    float s[NK], t[NK];
    fill_logits(s, t);
    const float high[] = { 1e5f, 1e8f, 1e15f, 1e30f };
    for (size_t i = 0; i < 4; i++) {
        struct outputs out;
        evaluate_form("kd", s, t, labels, high + i, 1, &out);
        check_close(out.loss, half_variance(s, t), 5e-5, 0);
        check_close(out.dtau[0], 0, 0, 1e-8);
    }
}

static void dkd_keeps_its_limit_at_high_tau(void **state)
{
    (void)state;
    float s[NK], t[NK];
    struct outputs at, beyond;
    fill_logits(s, t);
    const float high[] = { 1e6f, 1e25f };
    evaluate_form("dkd", s, t, labels, high, 1, &at);
    evaluate_form("dkd", s, t, labels, high + 1, 1, &beyond);
    assert_true(at.loss > 1);
    check_close(beyond.loss, at.loss, 1e-5, 0);
    check_relative(beyond.ds, at.ds, NK, 1e-5);
    check_close(beyond.dtau[0], 0, 0, 1e-8);
}

static void kd_tends_to_zero_at_low_tau(void **state)
{
    (void)state;
    const float s[3] = { 1, 4, 2 }, t[3] = { 5, 1, 0 };
    const float low[] = { 1e-2f, 1e-10f, 1e-40f };
    for (size_t i = 0; i < 3; i++) {
        float loss, dtau;
        assert_int_equal(
            ctkd_kd_loss(1, 3, s, t, low + i, 1, CTKD_KD_EXACT, &loss, NULL, NULL, &dtau), CTKD_OK);
        check_close(loss, low[i] * 3, 1e-6, 1e-44); /* tau (max s - s at the teacher's class) */
        check_close(dtau, 3, 1e-6, 0);
    }
}

static void every_output_is_finite_for_extreme_logits(void **state)
{
    (void)state;
    const float scales[] = { 0, 1e-30f, 1, 1e4f };
    const float extreme[] = { 1e-3f, 1, 21, 1e6f };
    const char *const forms[] = { "kd", "kd_epsilon", "dkd" };
    for (size_t c = 0; c < 4 * 4 * 4 * 3; c++) {
        float s[NK], t[NK];
        struct outputs out;
        const float a = scales[c % 4], b = scales[c / 4 % 4];
        fill_uniform(s, NK, 5, -1, 1);
        fill_uniform(t, NK, 6, -1, 1);
        for (size_t i = 0; i < NK; i++) {
            s[i] *= a;
            t[i] *= b;
        }
        evaluate_form(forms[c / 64], s, t, labels, extreme + c / 16 % 4, 1, &out);
        assert_true(isfinite(out.loss) && isfinite(out.dtau[0]) && out.loss >= 0);
        for (size_t i = 0; i < NK; i++)
            assert_true(isfinite(out.ds[i]) && isfinite(out.dt[i]));
    }
}

/* Every loss of the registry: logits up to 1e4 in size and all equal, one label for all, tau at the
   ends of what a configuration allows. */
static void every_loss_is_finite_at_the_edges(void **state)
{
    (void)state;
    const float sizes[] = { 0, 1, 1e4f }, ends[] = { 1e-3f, 1, 21, 1e4f };
    const int32_t same[N] = { 4, 4, 4, 4, 4, 4 };
    for (const ctkd_loss_def *const *def = logit_losses(); *def; def++)
        for (size_t c = 0; c < 3 * 3 * 4; c++) {
            float s[NK], t[NK];
            struct outputs out;
            _Alignas(16) char config[CONFIG_BYTES];
            ctkd_options_defaults((*def)->options, config);
            fill_uniform(s, NK, 7, -1, 1);
            fill_uniform(t, NK, 8, -1, 1);
            for (size_t i = 0; i < NK; i++) {
                s[i] *= sizes[c % 3];
                t[i] *= sizes[c / 3 % 3];
            }
            assert_int_equal(evaluate_with(*def, config, s, t, same, ends + c / 9, 1, &out),
                             CTKD_OK);
            assert_true(isfinite(out.loss) && isfinite(out.dtau[0]));
            for (size_t i = 0; i < NK; i++)
                assert_true(isfinite(out.ds[i]) && isfinite(out.dt[i]));
        }
}

/* The short last batch may be one sample; the fewest classes may be all there are. */
static void every_loss_takes_one_sample_of_its_fewest_classes(void **state)
{
    (void)state;
    const float s[3] = { 1, -1, 0.5f }, t[3] = { 2, 0, 1 }, tau = 4;
    const int32_t y = 0;
    for (const ctkd_loss_def *const *def = logit_losses(); *def; def++) {
        _Alignas(16) char config[CONFIG_BYTES];
        float loss = NAN, ds[3] = { 0 }, dtau = 0;
        ctkd_options_defaults((*def)->options, config);
        const ctkd_loss_args args = { .n = 1,
                                      .k = (*def)->classes_min,
                                      .s = s,
                                      .t = t,
                                      .labels = &y,
                                      .tau = &tau,
                                      .n_tau = 1,
                                      .loss = &loss,
                                      .ds = ds,
                                      .dtau = &dtau,
                                      .workspace = workspace };
        assert_int_equal((*def)->eval(config, &args), CTKD_OK);
        assert_true(isfinite(loss) && isfinite(ds[0]) && isfinite(dtau));
    }
}

static void dkd_is_kd_of_the_other_classes_when_the_targets_agree(void **state)
{
    (void)state;
    /* Equal probabilities of the target: its term vanishes. */
    const float s[4] = { 0, 1, 2, -1 }, t[4] = { 0, 2, 1, -1 }, tau = 2;
    const int32_t y = 0;
    float dkd, kd, dkd_tau, kd_tau, ds[4];
    assert_int_equal(ctkd_dkd_loss(1, 4, s, t, &y, &tau, 1, 1, 1, &dkd, ds, NULL, &dkd_tau),
                     CTKD_OK);
    assert_int_equal(
        ctkd_kd_loss(1, 3, s + 1, t + 1, &tau, 1, CTKD_KD_EXACT, &kd, NULL, NULL, &kd_tau),
        CTKD_OK);
    check_close(dkd, kd, 1e-6, 0);
    check_close(dkd_tau, kd_tau, 1e-5, 0);
    check_close(ds[0], 0, 0, 1e-7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_agree_with_pytorch),
        cmocka_unit_test(methods_agree_with_pytorch),
        cmocka_unit_test(a_student_close_to_its_teacher_costs_no_digits),
        cmocka_unit_test(standardised_logits_of_a_constant_row_have_no_gradient),
        cmocka_unit_test(mlkd_tells_sure_teachers_apart_as_far_as_double_goes),
        cmocka_unit_test(dist_is_blind_to_what_correlation_is),
        cmocka_unit_test(kd_tends_to_half_the_variance_at_high_tau),
        cmocka_unit_test(dkd_keeps_its_limit_at_high_tau),
        cmocka_unit_test(kd_tends_to_zero_at_low_tau),
        cmocka_unit_test(every_output_is_finite_for_extreme_logits),
        cmocka_unit_test(every_loss_is_finite_at_the_edges),
        cmocka_unit_test(every_loss_takes_one_sample_of_its_fewest_classes),
        cmocka_unit_test(dkd_is_kd_of_the_other_classes_when_the_targets_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
