/* Squared errors of maps: values, gradients, every length of a row. */
#include "lib/pairs.h"

#include <stdlib.h>

#include "support/check.h"

static void squared_errors_of_every_length_are_exact(void **state)
{
    (void)state;
    enum { MAX = 40 };
    float a[MAX] = { 0 }, b[MAX] = { 0 }, da[MAX];
    for (size_t n = 0; n <= MAX; n++) {
        double expected = 0;
        for (size_t i = 0; i < n; i++) {
            a[i] = (float)(i + 1);
            b[i] = (float)(2 * i);
            expected += ((double)i - 1) * ((double)i - 1);
        }
        assert_true(ctkd__squared_error(n, a, b, 0.5f, da) == expected);
        assert_true(ctkd__squared_error(n, a, b, 0.5f, NULL) == expected);
        for (size_t i = 0; i < n; i++)
            assert_true(da[i] == 0.5f * (1 - (float)i));
        for (size_t i = 0; i < n; i++)
            a[i] -= b[i];
        assert_true(ctkd__take_residuals(n, a, 0.25f, da) == expected);
        assert_true(ctkd__take_residuals(n, a, 0.25f, NULL) == expected);
        for (size_t i = 0; i < n; i++)
            assert_true(da[i] == 0.25f * a[i]);
    }
}

/* A sample of more values than a stretch of the inner loop. */
static void a_map_error_is_the_mean_over_all_elements(void **state)
{
    (void)state;
    enum { N = 3, C = 5, H = 33, W = 31, ALL = N * C * H * W };
    float *x = malloc(ALL * sizeof *x), *y = malloc(ALL * sizeof *y),
          *dx = malloc(ALL * sizeof *dx);
    assert_true(x && y && dx);
    fill_uniform(x, ALL, 1, -1, 1);
    fill_uniform(y, ALL, 2, -1, 1);
    double sums[2 * N], expected = 0;
    for (size_t i = 0; i < ALL; i++)
        expected += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]) / ALL;
    const ctkd_map a = { .c = C, .h = H, .w = W, .x = x, .dx = dx },
                   b = { .c = C, .h = H, .w = W, .x = y };
    const ctkd_loss_args args = { .n = N };
    ctkd__map_errors(&args, &a, &b, 3, sums + 1, 2);
    check_close(ctkd__map_error(N, &a, sums + 1, 2), expected, 1e-7, 0);
    for (size_t i = 0; i < ALL; i++)
        check_close(dx[i], 6 * ((double)x[i] - (double)y[i]) / ALL, 1e-6, 1e-12);
    free(x);
    free(y);
    free(dx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squared_errors_of_every_length_are_exact),
        cmocka_unit_test(a_map_error_is_the_mean_over_all_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
