#include "lib/math/rows.h"
#include "support/check.h"

static void a_kl_term_keeps_its_digits_at_every_distance(void **state)
{
    (void)state;
    for (double size = 1e-150; size < 40; size *= 1.07)
        for (int sign = -1; sign <= 1; sign += 2) {
            const double r = sign * size, p = 1e-3, q = p * exp(-r);
            const struct ctkd__kl_term term = ctkd__kl_term(p, q, r);
            long double sum = 0, power = (long double)r * (long double)r / 2; /* r + e^-r - 1 */
            for (int i = 3; i < 40; i++, power *= -(long double)r / (i - 1))
                sum += power;
            if (size > 0.5)
                sum = (long double)r + expm1l(-(long double)r);
            check_close(term.kl, (double)(1e-3L * sum), 1e-11, 0);
            check_close(term.difference, p * expm1(-r), 1e-12, 0);
        }
}

static void a_kl_term_survives_probabilities_of_zero(void **state)
{
    (void)state;
    const struct ctkd__kl_term no_teacher = ctkd__kl_term(0, 0.25, -1e40);
    assert_true(no_teacher.kl == 0.25 && no_teacher.difference == 0.25);
    const struct ctkd__kl_term no_student = ctkd__kl_term(0.5, 0, 1e40);
    check_close(no_student.kl, 5e39, 1e-15, 0);
    assert_true(no_student.difference == -0.5);
}

static void sigmoid_and_softplus_are_exact_in_both_tails(void **state)
{
    (void)state;
    check_close(ctkd__sigmoid(-800), exp(-800), 1e-15, 1e-300);
    assert_true(ctkd__sigmoid(800) == 1 && ctkd__sigmoid(0) == 0.5);
    check_close(ctkd__softplus(-50), exp(-50), 1e-15, 0);
    check_close(ctkd__softplus(0), log(2), 1e-15, 0);
    assert_true(ctkd__softplus(1e300) == 1e300);
}

static void a_row_without_a_class_does_not_read_it(void **state)
{
    (void)state;
    const float s[3] = { 1, NAN, 3 }, t[3] = { 2, NAN, 0 };
    float ds[3] = { 7, 7, 7 }, dt[3] = { 7, 7, 7 };
    struct ctkd__kl_row row = { .k = 3, .skip = 1, .s = s, .t = t, .tau = 2 };
    ctkd__kl_row_prepare(&row);
    ctkd__kl_row_sum(&row, (struct ctkd__ds_weights){ .difference = 1 },
                     (struct ctkd__row_gradient){ .floats = ds });
    ctkd__kl_row_teacher(&row, 1, 0, (struct ctkd__row_gradient){ .floats = dt });
    const double p = 1 / (1 + exp(-1)), q = 1 / (1 + exp(1));
    check_close(row.kl, p * log(p / q) + (1 - p) * log((1 - p) / (1 - q)), 1e-14, 0);
    check_close(ds[0], q - p, 1e-6, 0);
    assert_true(ds[1] == 7 && dt[1] == 7);
    check_close(dt[0] + dt[2], 0, 0, 1e-7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kl_term_keeps_its_digits_at_every_distance),
        cmocka_unit_test(a_kl_term_survives_probabilities_of_zero),
        cmocka_unit_test(sigmoid_and_softplus_are_exact_in_both_tails),
        cmocka_unit_test(a_row_without_a_class_does_not_read_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
