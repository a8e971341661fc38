/**
 * @file matrix.h  Products of float matrices, and rows normalised to length 1, for losses on
 * features.
 *
 * Every entry of a product is summed in an order that depends on its length alone, not on threads,
 * instruction sets or the other entries.
 */
#ifndef CTKD_LIB_MATH_MATRIX_H
#define CTKD_LIB_MATH_MATRIX_H

#include <stddef.h>

#include "ctkd/loss.h"

/** A matrix in memory: entry (i, j) is x[i * row + j * column]. */
struct ctkd__matrix {
    const float *x;
    size_t row, column;
};

/** x [.., columns] row-major, and its transpose. */
static inline struct ctkd__matrix ctkd__rows(const float *x, size_t columns)
{
    return (struct ctkd__matrix){ x, columns, 1 };
}
static inline struct ctkd__matrix ctkd__columns(const float *x, size_t columns)
{
    return (struct ctkd__matrix){ x, 1, columns };
}

/** The caller's threads and matrix product; a NULL member: not lent. */
struct ctkd__means {
    const ctkd_pool *pool;
    const ctkd_multiplier *multiplier;
};

/**
 * out = a b for a [m, k], b [k, n]: out [m, n] row-major, overwritten, overlapping neither.
 * Sums of at most 256 products are float, and so is the sum of these: the error is about 1e-7 times
 * the length of the row times that of the column. A multiplier receives the product in one call and
 * decides on its rounding and threads.
 */
void ctkd__multiply(struct ctkd__means means, size_t m, size_t n, size_t k, struct ctkd__matrix a,
                    struct ctkd__matrix b, float *out);

/** sum_i a_i b_i, in double. */
double ctkd__dot(size_t k, const float *a, const float *b);
/** sum_i (a_i - b_i)^2, in double. */
double ctkd__distance_squared(size_t k, const float *a, const float *b);

/** Below this length a row is not divided by its length but by this (RN of doc/methods.md). */
#define CTKD__SHORTEST 1e-12

/** unit = x / max(|x|, 1e-12) of k values; returns that divisor. unit may be x. */
double ctkd__normalise(size_t k, const float *x, float *unit);
/** Its backward rule: dx = (g - unit <unit, g>)/length. A row that was too short has no direction
    and passes no gradient: the gradient of the quotient, g/1e-12, would ruin the training. dx may
    be g. */
void ctkd__through_normalise(size_t k, const float *unit, double length, const float *g, float *dx);

/** The same for rows in double, as in small matrices of products. */
double ctkd__normalise_double(size_t k, const double *x, double *unit);
void ctkd__through_normalise_double(size_t k, const double *unit, double length, const double *g,
                                    double *dx);

#endif
