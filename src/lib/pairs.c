#include "lib/pairs.h"

#include "lib/maps.h"
#include "lib/part.h"

double ctkd__sum(size_t n, const double *x, size_t stride)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i * stride];
    return sum;
}

enum { LANES = 8 };

double ctkd__squared_error(size_t n, const float *a, const float *b, float scale,
                           float *restrict da)
{
    double lanes[LANES] = { 0 }, rest = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            const float d = a[i + l] - b[i + l];
            lanes[l] += (double)d * (double)d;
        }
    for (; i < n; i++)
        rest += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
    if (da)
        for (i = 0; i < n; i++) /* d is still in the first-level cache */
            da[i] = scale * (a[i] - b[i]);
    return ctkd__sum(LANES, lanes, 1) + rest;
}

double ctkd__take_residuals(size_t n, const float *d, float scale, float *restrict dx)
{
    double lanes[LANES] = { 0 }, rest = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lanes[l] += (double)d[i + l] * (double)d[i + l];
    for (; i < n; i++)
        rest += (double)d[i] * (double)d[i];
    for (i = 0; dx && i < n; i++)
        dx[i] = scale * d[i];
    return ctkd__sum(LANES, lanes, 1) + rest;
}

struct map_error {
    const ctkd_map *x, *y;
    float scale;
    double *sums;
    size_t stride;
};

/* In stretches that stay in the first-level cache until the gradient is written. */
static void add_sample_error(void *argument, size_t i)
{
    enum { STRETCH = 2048 };
    const struct map_error *e = argument;
    const size_t values = ctkd__map_size(e->x), end = (i + 1) * values;
    double sum = 0;
    for (size_t at = i * values; at < end; at += STRETCH) {
        const size_t count = end - at < STRETCH ? end - at : STRETCH;
        sum += ctkd__squared_error(count, e->x->x + at, e->y->x + at, e->scale,
                                   e->x->dx ? e->x->dx + at : NULL);
    }
    e->sums[i * e->stride] = sum;
}

static double elements(size_t n, const ctkd_map *x)
{
    return (double)n * (double)ctkd__map_size(x);
}

void ctkd__map_errors(const ctkd_loss_args *a, const ctkd_map *x, const ctkd_map *y, double weight,
                      double *sums, size_t stride)
{
    struct map_error e = { x, y, (float)(2 * weight / elements(a->n, x)), sums, stride };
    ctkd__part_each(a, add_sample_error, &e);
}

double ctkd__map_error(size_t n, const ctkd_map *x, const double *sums, size_t stride)
{
    return ctkd__sum(n, sums, stride) / elements(n, x);
}
