#include "lib/math/matrix.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "lib/each.h"
#include "lib/math/clones.h"
#include "lib/math/vexp.h"

/* The product is made of tiles of HEIGHT rows and WIDTH columns, which stay in registers over
   DEPTH products; b's part of them is copied once for all rows. A task has TASK_ROWS rows or
   TASK_COLUMNS columns, whichever there are more of. */
enum { HEIGHT = 4, HALF = 4, WIDTH = 2 * HALF, DEPTH = 256, TASK_ROWS = 16, TASK_COLUMNS = 256 };

struct product {
    size_t m, n, k;
    struct ctkd__matrix a, b;
    float *out;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* panel[p][c] = b[p][c], zero beyond its columns. */
static void pack(size_t depth, size_t columns, struct ctkd__matrix b, float *restrict panel)
{
    for (size_t p = 0; p < depth; p++) {
        const float *from = b.x + p * b.row;
        for (size_t c = 0; c < columns; c++)
            panel[p * WIDTH + c] = from[c * b.column];
        for (size_t c = columns; c < WIDTH; c++)
            panel[p * WIDTH + c] = 0;
    }
}

/* Half the width of a tile; + and * work element by element. */
#if defined(__GNUC__)
typedef float half_row __attribute__((vector_size(HALF * sizeof(float))));
#define ADD_SCALED(sum, factor, v) ((sum) += (factor) * (v))
#else
typedef struct half_row {
    float x[HALF];
} half_row;
#define ADD_SCALED(sum, factor, v)                                                                 \
    do {                                                                                           \
        for (int lane = 0; lane < HALF; lane++)                                                    \
            (sum).x[lane] += (factor) * (v).x[lane];                                               \
    } while (0)
#endif

/* sums = the product of HEIGHT rows and the panel. Eight variables by name stay in registers, which
   arrays of sums do not. */
static void multiply_tile(size_t depth, const float *const a[HEIGHT], size_t column,
                          const float *restrict panel, float *restrict sums)
{
    const float *const a0 = a[0], *const a1 = a[1], *const a2 = a[2], *const a3 = a[3];
    half_row s00 = { 0 }, s01 = { 0 }, s10 = { 0 }, s11 = { 0 };
    half_row s20 = { 0 }, s21 = { 0 }, s30 = { 0 }, s31 = { 0 };
    for (size_t p = 0; p < depth; p++, panel += WIDTH) {
        half_row left, right;
        memcpy(&left, panel, sizeof left);
        memcpy(&right, panel + HALF, sizeof right);
        const size_t at = p * column;
        ADD_SCALED(s00, a0[at], left);
        ADD_SCALED(s01, a0[at], right);
        ADD_SCALED(s10, a1[at], left);
        ADD_SCALED(s11, a1[at], right);
        ADD_SCALED(s20, a2[at], left);
        ADD_SCALED(s21, a2[at], right);
        ADD_SCALED(s30, a3[at], left);
        ADD_SCALED(s31, a3[at], right);
    }
    const half_row all[2 * HEIGHT] = { s00, s01, s10, s11, s20, s21, s30, s31 };
    memcpy(sums, all, sizeof all);
}

/* Rows from `top` up to `bottom` of the columns of one panel: writes or adds. */
static void multiply_panel(const struct product *p, size_t top, size_t bottom, size_t left,
                           size_t start, size_t depth, const float *panel)
{
    float sums[HEIGHT * WIDTH];
    const size_t columns = least(WIDTH, p->n - left);
    for (size_t i = top; i < bottom; i += HEIGHT) {
        const float *a[HEIGHT];
        for (size_t r = 0; r < HEIGHT; r++) /* past the end: the last row again, unused */
            a[r] = p->a.x + least(i + r, bottom - 1) * p->a.row + start * p->a.column;
        multiply_tile(depth, a, p->a.column, panel, sums);
        for (size_t r = 0; r < HEIGHT && i + r < bottom; r++) {
            float *out = p->out + (i + r) * p->n + left;
            for (size_t c = 0; c < columns; c++)
                out[c] = start == 0 ? sums[r * WIDTH + c] : out[c] + sums[r * WIDTH + c];
        }
    }
}

static void multiply_part(const struct product *p, size_t top, size_t bottom, size_t left,
                          size_t right)
{
    float panel[DEPTH * WIDTH];
    for (size_t j = left; j < right; j += WIDTH)
        for (size_t start = 0; start < p->k; start += DEPTH) {
            const size_t depth = least(DEPTH, p->k - start);
            const struct ctkd__matrix b = { p->b.x + start * p->b.row + j * p->b.column, p->b.row,
                                            p->b.column };
            pack(depth, least(WIDTH, p->n - j), b, panel);
            multiply_panel(p, top, bottom, j, start, depth, panel);
        }
}

static void multiply_rows(void *argument, size_t i)
{
    const struct product *p = argument;
    multiply_part(p, i * TASK_ROWS, least((i + 1) * TASK_ROWS, p->m), 0, p->n);
}

static void multiply_columns(void *argument, size_t i)
{
    const struct product *p = argument;
    multiply_part(p, 0, p->m, i * TASK_COLUMNS, least((i + 1) * TASK_COLUMNS, p->n));
}

void ctkd__multiply(struct ctkd__means means, size_t m, size_t n, size_t k, struct ctkd__matrix a,
                    struct ctkd__matrix b, float *out)
{
    const ctkd_pool *const pool = means.pool;
    if (means.multiplier) {
        means.multiplier->multiply(means.multiplier->context, m, n, k, a.x, a.row, a.column, b.x,
                                   b.row, b.column, out);
        return;
    }
    struct product product = { m, n, k, a, b, out };
    if (n > m)
        ctkd__each(pool, (n + TASK_COLUMNS - 1) / TASK_COLUMNS, multiply_columns, &product);
    else
        ctkd__each(pool, (m + TASK_ROWS - 1) / TASK_ROWS, multiply_rows, &product);
}

enum { LANES = 8 };

CTKD__CLONES static double dot(size_t k, const float *a, const float *b)
{
    double lanes[LANES] = { 0 }, rest = 0;
    size_t i = 0;
    for (; i + LANES <= k; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lanes[l] += (double)a[i + l] * (double)b[i + l];
    for (; i < k; i++)
        rest += (double)a[i] * (double)b[i];
    return ctkd__lanes_sum(lanes) + rest;
}

double ctkd__dot(size_t k, const float *a, const float *b)
{
    return dot(k, a, b);
}

double ctkd__distance_squared(size_t k, const float *a, const float *b)
{
    double lanes[LANES] = { 0 }, rest = 0;
    size_t i = 0;
    for (; i + LANES <= k; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            const double d = (double)a[i + l] - (double)b[i + l];
            lanes[l] += d * d;
        }
    for (; i < k; i++)
        rest += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return ctkd__lanes_sum(lanes) + rest;
}

/* x and out may be the same array. */
CTKD__CLONES static void scale_row(size_t k, double factor, const float *x, float *out)
{
    for (size_t i = 0; i < k; i++)
        out[i] = (float)((double)x[i] * factor);
}

double ctkd__normalise(size_t k, const float *x, float *unit)
{
    const double length = fmax(sqrt(ctkd__dot(k, x, x)), CTKD__SHORTEST);
    scale_row(k, 1 / length, x, unit);
    return length;
}

/* unit and out may be the same array. */
CTKD__CLONES static void take_along(size_t k, const float *unit, double along, double inverse,
                                    const float *g, float *dx)
{
    for (size_t i = 0; i < k; i++)
        dx[i] = (float)(((double)g[i] - (double)unit[i] * along) * inverse);
}

void ctkd__through_normalise(size_t k, const float *unit, double length, const float *g, float *dx)
{
    if (length > CTKD__SHORTEST)
        take_along(k, unit, ctkd__dot(k, unit, g), 1 / length, g, dx);
    else
        memset(dx, 0, k * sizeof *dx);
}

double ctkd__normalise_double(size_t k, const double *x, double *unit)
{
    double squares = 0;
    for (size_t i = 0; i < k; i++)
        squares += x[i] * x[i];
    const double length = fmax(sqrt(squares), CTKD__SHORTEST);
    for (size_t i = 0; i < k; i++)
        unit[i] = x[i] / length;
    return length;
}

void ctkd__through_normalise_double(size_t k, const double *unit, double length, const double *g,
                                    double *dx)
{
    double along = 0;
    const bool has_direction = length > CTKD__SHORTEST;
    for (size_t i = 0; i < k && has_direction; i++)
        along += unit[i] * g[i];
    for (size_t i = 0; i < k; i++)
        dx[i] = has_direction ? (g[i] - unit[i] * along) / length : 0;
}
