#include "lib/softmax.h"

#include <math.h>

void ctkd__softmax(size_t k, const float *x, double tau, double *p)
{
    double max = (double)x[0], sum = 0;
    for (size_t j = 1; j < k; j++)
        max = fmax(max, (double)x[j]);
    for (size_t j = 0; j < k; j++)
        sum += p[j] = exp(((double)x[j] - max) / tau);
    for (size_t j = 0; j < k; j++)
        p[j] /= sum;
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
