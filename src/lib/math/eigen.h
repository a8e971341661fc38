/** @file eigen.h  Eigenvalues and eigenvectors of small symmetric matrices, in double. */
#ifndef CTKD_LIB_MATH_EIGEN_H
#define CTKD_LIB_MATH_EIGEN_H

#include <stddef.h>

/** g = x^T x for float rows x [rows, n]; scratch of 4 n values. */
void ctkd__gram(size_t rows, size_t n, const float *x, double *g, double *scratch);

/**
 * a = sum_i values_i v_i v_i^T for a symmetric a [n, n], which is overwritten by the rows v_i, of
 * length 1 and orthogonal; values descend. Accurate to rounding of the largest value. The signs of
 * the rows are arbitrary, but the same a gives the same rows.
 * By Householder's reduction to three diagonals and the implicit QR iteration (Golub & Van Loan,
 * Matrix Computations, sec. 8.3): some 10 n^3 operations, where rotations of the full matrix
 * (Jacobi) take five times as many.
 * @param scratch  n^2 + 2 n values
 */
void ctkd__eigen(size_t n, double *a, double *values, double *scratch);

#endif
