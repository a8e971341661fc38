/** @file curriculum.h  How the reversal strength lambda grows with the epoch (CTKD, sec. 3.3). */
#ifndef CTKD_CURRICULUM_H
#define CTKD_CURRICULUM_H

#include <stddef.h>

#include "ctkd/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ctkd_curriculum {
    CTKD_CURRICULUM_COSINE,          /**< (1 - cos(pi min(e, n)/n)) / 2 */
    CTKD_CURRICULUM_LINEAR,          /**< min(e, n) / n */
    CTKD_CURRICULUM_LINEAR_OFFICIAL, /**< as published: min(e, n - 1) / n, never reaches 1 */
    CTKD_CURRICULUM_NONE             /**< 1 from the first epoch on */
} ctkd_curriculum;

/**
 * Reversal strength of an epoch, scaled to [lambda_min, lambda_max].
 *   lambda = lambda_min + (lambda_max - lambda_min) * c(epoch)
 * c is exactly 0 at epoch 0 (but 1 for NONE) and exactly 1 from epoch n on (but (n - 1)/n for
 * LINEAR_OFFICIAL).
 * @param epoch    counted from 1 in training; 0 is the untrained end of the curve
 * @param n        epochs until the curve ends (CIFAR 10, ImageNet 5); >= 1 unless kind is NONE
 * @param lambda   out
 * @return CTKD_OK, or CTKD_EINVAL (n is 0, unknown kind, NULL lambda, a bound not finite or
 *         negative, lambda_max < lambda_min); on error no output is written.
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_curriculum_lambda(ctkd_curriculum kind, size_t epoch,
                                                           size_t n, float lambda_min,
                                                           float lambda_max, float *lambda);

#ifdef __cplusplus
}
#endif
#endif
