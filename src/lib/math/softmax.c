#include "lib/math/softmax.h"

#include "lib/math/vexp.h"

void ctkd__softmax(size_t k, const float *x, double tau, double *p)
{
    double lanes[CTKD__LANES] = { 0 };
    ctkd__exp_row(k, x, ctkd__row_max(k, x), 1 / tau, p);
    ctkd__add_lanes(k, p, lanes);
    const double scale = 1 / ctkd__lanes_sum(lanes);
    for (size_t j = 0; j < k; j++)
        p[j] *= scale;
}

double ctkd__through_softmax(size_t k, const float *x, double tau, const double *p,
                             const double *dp, float *dx)
{
    double mean = 0, covariance = 0;
    for (size_t j = 0; j < k; j++)
        mean += p[j] * dp[j];
    for (size_t j = 0; j < k; j++) {
        const double g = p[j] * (dp[j] - mean) / tau;
        covariance += g * ((double)x[j] - (double)x[0]);
        if (dx)
            dx[j] = (float)g;
    }
    return -covariance / tau;
}
