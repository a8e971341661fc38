#include "lib/math/vexp.h"

#include <math.h>

#include "lib/math/clones.h"

CTKD__CLONES static void exp_row_clones(size_t n, const float *x, double max, double scale,
                                        double *restrict y)
{
    for (size_t j = 0; j < n; j++)
        y[j] = ctkd__exp_below(((double)x[j] - max) * scale);
}

void ctkd__exp_row(size_t n, const float *x, double max, double scale, double *y)
{
    exp_row_clones(n, x, max, scale, y);
}

CTKD__CLONES static void add_lanes_clones(size_t n, const double *restrict x,
                                          double *restrict lanes)
{
    double sums[CTKD__LANES];
    memcpy(sums, lanes, sizeof sums);
    size_t j = 0;
    for (; j + CTKD__LANES <= n; j += CTKD__LANES)
        for (size_t l = 0; l < CTKD__LANES; l++)
            sums[l] += x[j + l];
    for (size_t l = 0; j + l < n; l++)
        sums[l] += x[j + l];
    memcpy(lanes, sums, sizeof sums);
}

void ctkd__add_lanes(size_t n, const double *x, double *lanes)
{
    add_lanes_clones(n, x, lanes);
}

/* A fixed tree, as in matrix.c. */
double ctkd__lanes_sum(const double *s)
{
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

CTKD__CLONES static double row_max_clones(size_t n, const float *x)
{
    enum { WIDTH = 64, PART = 16 }; /* of a loop that stays one: GCC makes vectors of it */
    float most[WIDTH];
    for (size_t l = 0; l < WIDTH; l++)
        most[l] = -INFINITY;
    size_t j = 0;
    for (; j + WIDTH <= n; j += WIDTH)
        for (size_t l = 0; l < WIDTH; l++)
            most[l] = x[j + l] > most[l] ? x[j + l] : most[l];
    for (; j + PART <= n; j += PART)
        for (size_t l = 0; l < PART; l++)
            most[l] = x[j + l] > most[l] ? x[j + l] : most[l];
    for (size_t l = 0; j + l < n; l++)
        most[l] = x[j + l] > most[l] ? x[j + l] : most[l];
    for (size_t part = PART; part < WIDTH; part += PART)
        for (size_t l = 0; l < PART; l++)
            most[l] = most[part + l] > most[l] ? most[part + l] : most[l];
    float max = -INFINITY;
    for (size_t l = 0; l < PART; l++)
        max = most[l] > max ? most[l] : max;
    return (double)max;
}

double ctkd__row_max(size_t n, const float *x)
{
    return row_max_clones(n, x);
}
