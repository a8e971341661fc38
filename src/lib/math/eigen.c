#include "lib/math/eigen.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { ROWS = 4 }; /* rows at a time, so that g is loaded and stored less often */

void ctkd__gram(size_t rows, size_t n, const float *x, double *g, double *scratch)
{
    double *const x0 = scratch, *const x1 = x0 + n, *const x2 = x1 + n, *const x3 = x2 + n;
    memset(g, 0, n * n * sizeof *g);
    for (size_t row = 0; row < rows; row += ROWS) {
        const size_t present = rows - row < ROWS ? rows - row : ROWS;
        for (size_t i = 0; i < ROWS * n; i++)
            scratch[i] = i < present * n ? (double)x[row * n + i] : 0;
        for (size_t i = 0; i < n; i++) {
            double *restrict out = g + i * n;
            const double a0 = x0[i], a1 = x1[i], a2 = x2[i], a3 = x3[i];
            for (size_t j = i; j < n; j++)
                out[j] += a0 * x0[j] + a1 * x1[j] + (a2 * x2[j] + a3 * x3[j]);
        }
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            g[i * n + j] = g[j * n + i];
}

static double dot(size_t n, const double *a, const double *b)
{
    double even = 0, odd = 0;
    size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        even += a[i] * b[i];
        odd += a[i + 1] * b[i + 1];
    }
    return even + odd + (i < n ? a[i] * b[i] : 0);
}

/* y += factor x. */
static void add(size_t n, double factor, const double *restrict x, double *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += factor * x[i];
}

/* Step k of the reduction: H = 1 - v v^T (|v|^2 = 2, or v = 0) on rows and columns after k makes
   a[k] zero beyond its next entry. v is left in a[k] after the diagonal; returns that entry. */
static double reflect(size_t n, size_t k, double *a, double *w)
{
    const size_t m = n - k - 1;
    double *const v = a + k * n + k + 1;
    const double rest = dot(m - 1, v + 1, v + 1), first = v[0];
    if (rest == 0) {
        v[0] = 0; /* nothing to do; H = 1 */
        return first;
    }
    const double length = sqrt(first * first + rest), next = first > 0 ? -length : length;
    v[0] -= next;
    const double scale = sqrt(2 / (v[0] * v[0] + rest));
    for (size_t i = 0; i < m; i++)
        v[i] *= scale;
    /* a -= v w^T + w v^T with w = a v - v <v, a v>/2 */
    double *const below = a + (k + 1) * n + k + 1;
    for (size_t i = 0; i < m; i++)
        w[i] = dot(m, below + i * n, v);
    add(m, -0.5 * dot(m, v, w), v, w);
    for (size_t i = 0; i < m; i++) {
        add(m, -v[i], w, below + i * n);
        add(m, -w[i], v, below + i * n);
    }
    return next;
}

/* Rows of the transposed product of all H, from the last step to the first, in q. */
static void collect_reflections(size_t n, const double *a, double *q)
{
    memset(q, 0, n * n * sizeof *q);
    for (size_t i = 0; i < n; i++)
        q[i * n + i] = 1;
    for (size_t k = n - 1; k-- > 0;) {
        const double *v = a + k * n + k + 1;
        const size_t m = n - k - 1;
        for (size_t i = k + 1; m > 1 && i < n; i++) {
            double *row = q + i * n + k + 1;
            add(m, -dot(m, row, v), v, row);
        }
    }
}

static void rotate_rows(size_t n, double c, double s, double *restrict x, double *restrict y)
{
    for (size_t i = 0; i < n; i++) {
        const double old = x[i];
        x[i] = c * old + s * y[i];
        y[i] = c * y[i] - s * old;
    }
}

/* One implicit QR step on the rows first..last of the three diagonals, shifted by the eigenvalue of
   the last two rows that is nearer to the last. */
static void iterate(size_t n, size_t first, size_t last, double *d, double *e, double *rows)
{
    const double half = (d[last - 1] - d[last]) / 2, side = e[last - 1];
    const double root = hypot(half, side);
    const double shift = d[last] - side * side / (half + (half < 0 ? -root : root));
    double x = d[first] - shift, z = e[first];
    for (size_t k = first; k < last; k++) {
        const double r = hypot(x, z), c = r > 0 ? x / r : 1, s = r > 0 ? z / r : 0;
        const double upper = d[k], lower = d[k + 1], cross = e[k];
        if (k > first)
            e[k - 1] = r;
        d[k] = c * c * upper + 2 * c * s * cross + s * s * lower;
        d[k + 1] = s * s * upper - 2 * c * s * cross + c * c * lower;
        e[k] = c * s * (lower - upper) + (c * c - s * s) * cross;
        if (k + 1 < last) {
            x = e[k];
            z = s * e[k + 1];
            e[k + 1] *= c;
        }
        rotate_rows(n, c, s, rows + k * n, rows + (k + 1) * n);
    }
}

/* Iterates until every e is mere rounding. Three steps per value suffice in practice; the bound
   stops the loop if a value is NaN. */
static void diagonalise(size_t n, double *d, double *e, double *rows)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(d[i]) + (i + 1 < n ? fabs(e[i]) : 0));
    size_t last = n - 1;
    for (size_t step = 0; last > 0 && step < 60 * n; step++) {
        if (fabs(e[last - 1]) <= DBL_EPSILON * largest) {
            last--;
            continue;
        }
        size_t first = last - 1;
        while (first > 0 && fabs(e[first - 1]) > DBL_EPSILON * largest)
            first--;
        iterate(n, first, last, d, e, rows);
    }
}

static void swap_rows(size_t n, double *x, double *y)
{
    for (size_t i = 0; i < n; i++) {
        const double old = x[i];
        x[i] = y[i];
        y[i] = old;
    }
}

void ctkd__eigen(size_t n, double *a, double *values, double *scratch)
{
    double *const q = scratch, *const e = q + n * n, *const w = e + n;
    for (size_t k = 0; k + 1 < n; k++) {
        values[k] = a[k * n + k];
        if (k + 2 < n)
            e[k] = reflect(n, k, a, w);
        else
            e[k] = a[k * n + k + 1];
    }
    values[n - 1] = a[n * n - 1];
    collect_reflections(n, a, q);
    diagonalise(n, values, e, q);
    for (size_t i = 0; i < n; i++) {
        size_t largest = i;
        for (size_t j = i + 1; j < n; j++)
            largest = values[j] > values[largest] ? j : largest;
        if (largest == i)
            continue;
        swap_rows(1, values + i, values + largest);
        swap_rows(n, q + i * n, q + largest * n);
    }
    memcpy(a, q, n * n * sizeof *a);
}
