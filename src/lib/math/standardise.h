/** @file standardise.h  Logit standardisation (Sun et al. 2024) of a row, and the gradient through
 * it. */
#ifndef CTKD_LIB_MATH_STANDARDISE_H
#define CTKD_LIB_MATH_STANDARDISE_H

#include <stddef.h>

/** z_j = (x_j - mean)/denominator: unbiased standard deviation sd, denominator sd + 1e-7. */
struct ctkd__moments {
    double mean, sd, denominator;
};

/** Of k >= 2 entries. */
struct ctkd__moments ctkd__moments_of(size_t k, const float *x);

/** g = dL/dz becomes dL/dx = (g - mean g - z <g, z> D/((k - 1) sd)) / D, D the denominator. A row
    of equal entries has no derivative: 0. */
void ctkd__through_standardise(size_t k, const float *x, const struct ctkd__moments *m, double *g);

#endif
