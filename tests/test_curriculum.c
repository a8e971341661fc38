#include "ctkd/curriculum.h"
#include "support/check.h"

static float lambda_at(ctkd_curriculum kind, size_t epoch, size_t n)
{
    float lambda = NAN;
    assert_int_equal(ctkd_curriculum_lambda(kind, epoch, n, 0, 1, &lambda), CTKD_OK);
    return lambda;
}

static void cosine_follows_the_published_table(void **state)
{
    (void)state;
    const double ten[] = { 0.0244717, 0.0954915, 0.2061074, 0.3454915, 0.5,
                           0.6545085, 0.7938926, 0.9045085, 0.9755283, 1 };
    const double five[] = { 0.0954915, 0.3454915, 0.6545085, 0.9045085, 1 };
    for (size_t e = 1; e <= 10; e++)
        check_close(lambda_at(CTKD_CURRICULUM_COSINE, e, 10), ten[e - 1], 0, 6e-8);
    for (size_t e = 1; e <= 5; e++)
        check_close(lambda_at(CTKD_CURRICULUM_COSINE, e, 5), five[e - 1], 0, 6e-8);
}

static void the_ends_are_exact(void **state)
{
    (void)state;
    for (size_t n = 1; n < 50; n++) {
        assert_true(lambda_at(CTKD_CURRICULUM_COSINE, 0, n) == 0);
        assert_true(lambda_at(CTKD_CURRICULUM_LINEAR, 0, n) == 0);
        for (size_t e = n; e < n + 3; e++) {
            assert_true(lambda_at(CTKD_CURRICULUM_COSINE, e, n) == 1);
            assert_true(lambda_at(CTKD_CURRICULUM_LINEAR, e, n) == 1);
        }
    }
}

static void linear_reaches_one_and_the_published_linear_does_not(void **state)
{
    (void)state;
    check_close(lambda_at(CTKD_CURRICULUM_LINEAR, 3, 10), 0.3, 1e-7, 0);
    check_close(lambda_at(CTKD_CURRICULUM_LINEAR_OFFICIAL, 3, 10), 0.3, 1e-7, 0);
    for (size_t e = 9; e < 12; e++)
        check_close(lambda_at(CTKD_CURRICULUM_LINEAR_OFFICIAL, e, 10), 0.9, 1e-7, 0);
}

static void none_is_one_from_the_start_and_needs_no_length(void **state)
{
    (void)state;
    assert_true(lambda_at(CTKD_CURRICULUM_NONE, 1, 10) == 1);
    assert_true(lambda_at(CTKD_CURRICULUM_NONE, 1, 0) == 1);
}

static void lambda_is_scaled_to_its_bounds(void **state)
{
    (void)state;
    float lambda;
    assert_int_equal(ctkd_curriculum_lambda(CTKD_CURRICULUM_COSINE, 5, 10, 0.2f, 0.7f, &lambda),
                     CTKD_OK);
    check_close(lambda, 0.45, 1e-6, 0);
    assert_int_equal(ctkd_curriculum_lambda(CTKD_CURRICULUM_COSINE, 0, 10, 0.2f, 0.7f, &lambda),
                     CTKD_OK);
    assert_true(lambda == 0.2f);
    assert_int_equal(ctkd_curriculum_lambda(CTKD_CURRICULUM_COSINE, 99, 10, 0.2f, 0.7f, &lambda),
                     CTKD_OK);
    assert_true(lambda == 0.7f);
}

static void bad_arguments_are_refused_and_write_nothing(void **state)
{
    (void)state;
    float lambda = 7;
    const ctkd_curriculum cosine = CTKD_CURRICULUM_COSINE;
    assert_int_equal(ctkd_curriculum_lambda(cosine, 1, 0, 0, 1, &lambda), CTKD_EINVAL);
    assert_int_equal(ctkd_curriculum_lambda((ctkd_curriculum)9, 1, 5, 0, 1, &lambda), CTKD_EINVAL);
    assert_int_equal(ctkd_curriculum_lambda(cosine, 1, 5, -1, 1, &lambda), CTKD_EINVAL);
    assert_int_equal(ctkd_curriculum_lambda(cosine, 1, 5, 1, 0.5f, &lambda), CTKD_EINVAL);
    assert_int_equal(ctkd_curriculum_lambda(cosine, 1, 5, NAN, 1, &lambda), CTKD_EINVAL);
    assert_int_equal(ctkd_curriculum_lambda(cosine, 1, 5, 0, INFINITY, &lambda), CTKD_EINVAL);
    assert_int_equal(ctkd_curriculum_lambda(cosine, 1, 5, 0, 1, NULL), CTKD_EINVAL);
    assert_true(lambda == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosine_follows_the_published_table),
        cmocka_unit_test(the_ends_are_exact),
        cmocka_unit_test(linear_reaches_one_and_the_published_linear_does_not),
        cmocka_unit_test(none_is_one_from_the_start_and_needs_no_length),
        cmocka_unit_test(lambda_is_scaled_to_its_bounds),
        cmocka_unit_test(bad_arguments_are_refused_and_write_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
