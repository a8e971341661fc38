/** @file softmax.h  A row's probabilities in double, and the gradient through them. */
#ifndef CTKD_LIB_MATH_SOFTMAX_H
#define CTKD_LIB_MATH_SOFTMAX_H

#include <stddef.h>

/** p = softmax(x/tau) of k values. */
void ctkd__softmax(size_t k, const float *x, double tau, double *p);

/** Through softmax(x/tau): writes dx = p (dp - E_p dp)/tau unless NULL; returns the part of dL/dtau
    that goes through it, -1/tau^2 sum p (x - E_p x) dp. */
double ctkd__through_softmax(size_t k, const float *x, double tau, const double *p,
                             const double *dp, float *dx);

#endif
