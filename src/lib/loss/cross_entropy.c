#include <math.h>

#include "ctkd/loss.h"
#include "lib/rows.h"

ctkd_status ctkd_cross_entropy(size_t n, size_t k, const float *s, const int32_t *labels,
                               float *loss, float *ds)
{
    if (n == 0 || k == 0 || !s || !labels || !loss)
        return CTKD_EINVAL;
    if (!ctkd__labels_ok(n, k, labels))
        return CTKD_ERANGE;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const float *row = s + i * k;
        const size_t y = (size_t)labels[i];
        const struct ctkd__lse lse = ctkd__row_lse(k, row);
        sum += lse.log_sum - ((double)row[y] - lse.max);
        for (size_t j = 0; ds && j < k; j++) {
            const double q = exp((double)row[j] - lse.max - lse.log_sum);
            ds[i * k + j] = (float)((q - (j == y ? 1.0 : 0.0)) / (double)n);
        }
    }
    *loss = (float)(sum / (double)n);
    return CTKD_OK;
}
