/** @file pairs.h  Squared error of maps that a loss compares in pairs. */
#ifndef CTKD_LIB_PAIRS_H
#define CTKD_LIB_PAIRS_H

#include "ctkd/loss.h"

/** Returns sum_i (a_i - b_i)^2 in double; writes da_i = scale (a_i - b_i) unless NULL. */
double ctkd__squared_error(size_t n, const float *a, const float *b, float scale, float *da);

/** Number of values whose residuals are taken at a time: they stay in the first-level cache. */
enum { CTKD__STRETCH = 512 };

/** Returns sum_i d_i^2 in double; writes dx_i = scale d_i unless NULL. */
double ctkd__take_residuals(size_t n, const float *d, float scale, float *dx);

/**
 * sum (x - y)^2 of each sample of two maps of one shape; writes the gradient of `weight` times the
 * mean over all elements of the batch to x->dx unless NULL.
 * @param sums  out, sums[i * stride] for each sample i that the evaluation computes (lib/part.h)
 */
void ctkd__map_errors(const ctkd_loss_args *a, const ctkd_map *x, const ctkd_map *y, double weight,
                      double *sums, size_t stride);
/** mean (x - y)^2 over all elements of the batch, from the sums of all n samples. */
double ctkd__map_error(size_t n, const ctkd_map *x, const double *sums, size_t stride);

/** x[0] + x[stride] + ..., n values in the order of the indices, so that the result does not depend
    on the threads. */
double ctkd__sum(size_t n, const double *x, size_t stride);

#endif
