/* A row's probabilities and the way back through them. */
#include "lib/math/softmax.h"

#include "support/check.h"

enum { K = 5 };

static void probabilities_do_not_overflow(void **state)
{
    (void)state;
    const float x[K] = { 1e4f, 1e4f, -1e4f, 0, 9999 };
    double p[K];
    ctkd__softmax(K, x, 1, p);
    const double e = exp(-1.0);
    const double expected[K] = { 1 / (2 + e), 1 / (2 + e), 0, 0, e / (2 + e) };
    for (size_t j = 0; j < K; j++)
        check_close(p[j], expected[j], 1e-12, 0);
}

/* L = sum_j a_j p_j: dL/dp = a. */
static double linear(const float *x, double tau, const double *a)
{
    double p[K], sum = 0;
    ctkd__softmax(K, x, tau, p);
    for (size_t j = 0; j < K; j++)
        sum += a[j] * p[j];
    return sum;
}

static void the_way_back_matches_central_differences(void **state)
{
    (void)state;
    const double a[K] = { 1, -2, 0.5, 3, -1 }, tau = 1.5, h = 1e-4;
    float x[K] = { 0.5f, -1, 2, 0.25f, 1 }, dx[K];
    double p[K];
    ctkd__softmax(K, x, tau, p);
    const double dtau = ctkd__through_softmax(K, x, tau, p, a, dx);
    check_close(dtau, (linear(x, tau + h, a) - linear(x, tau - h, a)) / (2 * h), 1e-6, 0);
    assert_true(ctkd__through_softmax(K, x, tau, p, a, NULL) == dtau);
    for (size_t j = 0; j < K; j++) {
        const float at = x[j], step = 0x1p-8f;
        x[j] = at + step;
        const double above = linear(x, tau, a);
        x[j] = at - step;
        const double below = linear(x, tau, a);
        x[j] = at;
        check_close(dx[j], (above - below) / (2 * (double)step), 1e-4, 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_do_not_overflow),
        cmocka_unit_test(the_way_back_matches_central_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
