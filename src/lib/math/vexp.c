#include "lib/math/vexp.h"

#include <math.h>

#include "lib/math/clones.h"

/* As ctkd__exp_below, in two loops with arrays between them. In one loop the chain of dependent
   operations is so long that the CPU cannot overlap enough values to keep its units busy (with AVX2
   0.99 ns a value in one loop, 0.71 ns in two). */
CTKD__CLONES static void exp_row_clones(size_t n, const float *x, double max, double scale,
                                        double *restrict y)
{
    enum { BLOCK = 128 };
    double scales[BLOCK], rs[BLOCK];
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        const size_t count = n - begin < BLOCK ? n - begin : BLOCK;
        for (size_t j = 0; j < count; j++) {
            const double at = ((double)x[begin + j] - max) * scale;
            const struct ctkd__exp_range e = ctkd__exp_reduce(at);
            scales[j] = at < -708 ? 0 : e.scale;
            rs[j] = at < -708 ? 0 : e.r;
        }
        for (size_t j = 0; j < count; j++)
            y[begin + j] = scales[j] + scales[j] * ctkd__exp_rest(rs[j]);
    }
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

/* A fixed tree, so that the order does not depend on the vectors' width. */
double ctkd__lanes_sum(const double *s)
{
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

/* most_l is at least x_l for count values; constant counts let the compiler use vectors. */
#define CTKD__RAISE(count, x, most)                                                                \
    for (size_t l = 0; l < (count); l++)                                                           \
    (most)[l] = (x)[l] > (most)[l] ? (x)[l] : (most)[l]

CTKD__CLONES static double row_max_clones(size_t n, const float *x)
{
    enum { WIDTH = 64, PART = 16 };
    float most[WIDTH];
    for (size_t l = 0; l < WIDTH; l++)
        most[l] = -INFINITY;
    size_t j = 0;
    for (; j + WIDTH <= n; j += WIDTH)
        CTKD__RAISE(WIDTH, x + j, most);
    for (; j + PART <= n; j += PART)
        CTKD__RAISE(PART, x + j, most);
    if (j < n && n >= PART) /* the last part may overlap: a maximum can see values twice */
        CTKD__RAISE(PART, x + n - PART, most);
    else if (j < n)
        CTKD__RAISE(n, x, most);
    CTKD__RAISE(32, most + 32, most);
    CTKD__RAISE(16, most + 16, most);
    CTKD__RAISE(8, most + 8, most);
    CTKD__RAISE(4, most + 4, most);
    CTKD__RAISE(2, most + 2, most);
    CTKD__RAISE(1, most + 1, most);
    return (double)most[0];
}

double ctkd__row_max(size_t n, const float *x)
{
    return row_max_clones(n, x);
}
