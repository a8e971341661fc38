/* Sorting numbers, of which none may be NaN. */
#ifndef CTKD_UTIL_MEDIAN_H
#define CTKD_UTIL_MEDIAN_H

#include <stddef.h>

void ctkd__sort_doubles(size_t n, double *values);
/* Sorts n >= 1 values and returns the middle one, or of an even number the upper of the two. */
double ctkd__sort_median(size_t n, double *values);

#endif
