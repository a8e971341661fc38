#include "util/median.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void ctkd__sort_doubles(size_t n, double *values)
{
    qsort(values, n, sizeof *values, by_value);
}

double ctkd__sort_median(size_t n, double *values)
{
    ctkd__sort_doubles(n, values);
    return values[n / 2];
}
