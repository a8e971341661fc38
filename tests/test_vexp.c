#include "lib/math/vexp.h"

#include "ctkd/loss.h"
#include "support/check.h"

static void exp_is_within_an_ulp(void **state)
{
    (void)state;
    for (double x = -708; x < 709; x += 0.0371) {
        const long double exact = expl((long double)x);
        assert_true(fabsl((long double)ctkd__exp(x) / exact - 1) < 2.3e-16L);
    }
    for (double x = 1e-300; x < 1; x *= 1.03)
        for (int sign = -1; sign <= 1; sign += 2) {
            check_close(ctkd__expm1(sign * x), (double)expm1l((long double)(sign * x)), 4e-16, 0);
            check_close(ctkd__exp(sign * x), (double)expl((long double)(sign * x)), 2.3e-16, 0);
        }
}

static void exp_has_ends(void **state)
{
    (void)state;
    assert_true(ctkd__exp(-INFINITY) == 0 && ctkd__exp(-709) == 0 && ctkd__exp(0) == 1);
    assert_true(ctkd__exp(INFINITY) == ctkd__exp(709) && isfinite(ctkd__exp(INFINITY)));
    assert_true(isnan(ctkd__exp(NAN)) && isnan(ctkd__expm1(NAN)));
    double y[5];
    ctkd__exp_row(5, (const float[]){ 0, -INFINITY, -1e38f, -709, NAN }, 0, 1, y);
    assert_true(y[0] == 1 && y[1] == 0 && y[2] == 0 && y[3] == 0 && isnan(y[4]));
}

/* Vectors, their rest and single values: the same bits. */
static void a_value_does_not_depend_on_its_place(void **state)
{
    (void)state;
    enum { N = 100 };
    float x[N];
    double all[N], one;
    fill_uniform(x, N, 1, -30, 30);
    for (size_t n = 1; n <= N; n++) {
        ctkd__exp_row(n, x, 30, 0.3, all);
        for (size_t j = 0; j < n; j++) {
            ctkd__exp_row(1, x + j, 30, 0.3, &one);
            assert_memory_equal(&all[j], &one, sizeof one);
        }
    }
}

static void a_row_has_its_maximum_and_sum(void **state)
{
    (void)state;
    enum { N = 150 };
    float x[N];
    double y[N];
    fill_uniform(x, N, 2, -5, 5);
    for (size_t n = 0; n <= N; n++) {
        double lanes[CTKD__LANES] = { 0 }, max = -INFINITY;
        long double sum = 0;
        for (size_t j = 0; j < n; j++) {
            y[j] = (double)x[j];
            sum += (long double)y[j];
            max = fmax(max, y[j]);
        }
        ctkd__add_lanes(n, y, lanes);
        check_close(ctkd__lanes_sum(lanes), (double)sum, 0, 1e-13);
        assert_true(ctkd__row_max(n, x) == max);
    }
    x[3] = NAN;
    assert_true(ctkd__row_max(N, x) > 0); /* passed over */
}

/* --- logits of other types (logits.c) */

static void half_precision_is_read_exactly(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        const uint16_t half = (uint16_t)bits;
        const int exponent = (half >> 10) & 31;
        const double fraction = half & 1023, sign = half & 0x8000 ? -1 : 1;
        float value;
        assert_int_equal(ctkd_logits_read(1, CTKD_F16, &half, &value), CTKD_OK);
        if (exponent == 31)
            assert_true(fraction != 0 ? isnan(value) : isinf(value) && (value < 0) == (sign < 0));
        else
            assert_true((double)value == sign * (exponent ? ldexp(1024 + fraction, exponent - 25)
                                                          : ldexp(fraction, -24)));
        const float brain = value;
        uint32_t of_brain;
        memcpy(&of_brain, &brain, sizeof of_brain);
        const uint16_t upper = (uint16_t)(of_brain >> 16);
        assert_int_equal(ctkd_logits_read(1, CTKD_BF16, &upper, &value), CTKD_OK);
        of_brain &= 0xffff0000u;
        assert_memory_equal(&value, &of_brain, sizeof value);
    }
    float out = 7;
    assert_int_equal(ctkd_logits_read(1, (ctkd_logit_type)3, &out, &out), CTKD_EINVAL);
    assert_int_equal(ctkd_logits_read(1, CTKD_F32, NULL, &out), CTKD_EINVAL);
    assert_true(out == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_an_ulp),
        cmocka_unit_test(exp_has_ends),
        cmocka_unit_test(a_value_does_not_depend_on_its_place),
        cmocka_unit_test(a_row_has_its_maximum_and_sum),
        cmocka_unit_test(half_precision_is_read_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
