#include "ctkd/curriculum.h"

#include <math.h>

ctkd_status ctkd_curriculum_lambda(ctkd_curriculum kind, size_t epoch, size_t n, float lambda_min,
                                   float lambda_max, float *lambda)
{
    const double pi = 3.141592653589793;
    if (!lambda || !isfinite(lambda_min) || !isfinite(lambda_max) || lambda_min < 0 ||
        lambda_max < lambda_min || (n == 0 && kind != CTKD_CURRICULUM_NONE))
        return CTKD_EINVAL;
    double c = -1;
    switch (kind) {
    case CTKD_CURRICULUM_COSINE: /* the ends are exact: cos(pi) need not be -1 */
        c = epoch < n ? 0.5 * (1.0 - cos(pi * (double)epoch / (double)n)) : 1.0;
        break;
    case CTKD_CURRICULUM_LINEAR:
        c = epoch < n ? (double)epoch / (double)n : 1.0;
        break;
    case CTKD_CURRICULUM_LINEAR_OFFICIAL:
        c = (double)(epoch < n ? epoch : n - 1) / (double)n;
        break;
    case CTKD_CURRICULUM_NONE:
        c = 1.0;
        break;
    }
    if (c < 0) /* the caller passed a number that is none of the kinds */
        return CTKD_EINVAL;
    *lambda = (float)((double)lambda_min + ((double)lambda_max - (double)lambda_min) * c);
    return CTKD_OK;
}
