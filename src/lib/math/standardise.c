#include "lib/math/standardise.h"

#include <math.h>

struct ctkd__moments ctkd__moments_of(size_t k, const float *x)
{
    double sum = 0, squares = 0;
    for (size_t j = 0; j < k; j++)
        sum += (double)x[j];
    struct ctkd__moments m = { .mean = sum / (double)k };
    for (size_t j = 0; j < k; j++)
        squares += ((double)x[j] - m.mean) * ((double)x[j] - m.mean);
    m.sd = sqrt(squares / ((double)k - 1));
    m.denominator = m.sd + 1e-7;
    return m;
}

void ctkd__through_standardise(size_t k, const float *x, const struct ctkd__moments *m, double *g)
{
    double sum = 0, product = 0;
    for (size_t j = 0; j < k; j++) {
        sum += g[j];
        product += g[j] * ((double)x[j] - m->mean);
    }
    const double slope = m->sd > 0 ? product / (((double)k - 1) * m->sd * m->denominator) : 0;
    for (size_t j = 0; j < k; j++)
        g[j] = m->sd > 0
                   ? (g[j] - sum / (double)k - ((double)x[j] - m->mean) * slope) / m->denominator
                   : 0;
}
