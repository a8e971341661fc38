/* Central differences: what every check of a gradient compares with. */
#ifndef CTKD_TESTS_SLOPE_H
#define CTKD_TESTS_SLOPE_H

#include <stddef.h>

/* A loss, as a function of values that lie where the slope's caller says. */
typedef double slope_function(void *context);

/* dLoss/d*x by five points: the error is O(h^4), so that h can be large enough for a loss in
   float. *x is left as it was. */
double slope_of_float(slope_function *loss, void *context, float *x, float h);
/* The same of a loss in double, by two points at 1e-6 (1 + |*x|). */
double slope_of_double(slope_function *loss, void *context, double *x);

/* Of large arrays SLOPES elements at most are looked at, spread evenly: every slope_stride-th. */
enum { SLOPES = 13 };
size_t slope_stride(size_t count);
/* Slopes of these elements of x. */
void slopes_of_doubles(slope_function *loss, void *context, double *x, size_t count,
                       double slopes[SLOPES]);
/* Fails unless the norm over these elements of gradient - slopes is within tolerance of their norm
   and 1, the loss's scale: a bias before a batch norm has no gradient at all. The text names the
   gradient. */
__attribute__((format(printf, 5, 6))) void slopes_check(const float *gradient, size_t count,
                                                        const double slopes[SLOPES],
                                                        double tolerance, const char *format, ...);

#endif
