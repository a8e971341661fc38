/*
 * The one source of the depthwise kernels (depthwise.h says what they compute).
 *
 * Rows of the input are staged in a ring of `kernel` rows with zeros on both sides, and the
 * prologue is applied on the way, so that the inner loops need not handle borders and batch norms.
 * A row of results is a sum over taps of (row of the ring, shifted) * (weight of the tap). The
 * gradient of the input is the same sum over the rows of dy with the taps in reverse; with stride s
 * only every s-th tap meets a pixel, and which ones depends on the pixel's position modulo s, so
 * that a row is made in s phases.
 */
#include <string.h>

#include "nn/kernels/depthwise.h"
#include "nn/kernels/vector.h"

struct dw__ring {
    float *rows, *zero_row;         /* [kernel] rows of row_floats */
    size_t count, row_floats, left; /* vectors before the first pixel */
    const float **taps;             /* [kernel] the rows that a result reads */
    const float **weights;          /* [kernel] and their weights */
};

static size_t dw__max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Enough for the rows of x and, in the other direction, of dy. */
static size_t dw__row_floats(const struct ctkd__depthwise_shape *s)
{
    const size_t forward = dw__max((s->ow - 1) * s->stride + s->kernel, s->padding + s->w);
    const size_t backward = s->kernel + dw__max(s->ow, (s->w - 1 + s->padding) / s->stride + 1);
    return dw__max(forward, backward) * VB;
}

static size_t dw__scratch_bytes(const struct ctkd__depthwise_shape *s)
{
    return (s->kernel + 1) * dw__row_floats(s) * sizeof(float) +
           2 * s->kernel * sizeof(const float *);
}

static struct dw__ring dw__ring_init(const struct ctkd__depthwise_shape *s, size_t left,
                                     void *scratch)
{
    struct dw__ring ring = { .rows = scratch, .count = s->kernel, .left = left };
    ring.row_floats = dw__row_floats(s);
    ring.zero_row = ring.rows + s->kernel * ring.row_floats;
    ring.taps = (const float **)(void *)(ring.zero_row + ring.row_floats);
    ring.weights = ring.taps + s->kernel;
    memset(scratch, 0, (s->kernel + 1) * ring.row_floats * sizeof(float));
    return ring;
}

/* Row `row` of w pixels at x into its place. */
ALWAYS_INLINE void dw__stage(const struct dw__ring *ring, size_t row, size_t w, const float *x,
                             const struct ctkd__affine *prologue, vf scale, vf shift)
{
    float *const to = ring->rows + row % ring->count * ring->row_floats + ring->left * VB;
    if (!prologue)
        for (size_t i = 0; i < w * VB; i += VB)
            v_store(to + i, v_load(x + i));
    else if (prologue->relu)
        for (size_t i = 0; i < w * VB; i += VB)
            v_store(to + i, v_relu(v_load(x + i) * scale + shift));
    else
        for (size_t i = 0; i < w * VB; i += VB)
            v_store(to + i, v_load(x + i) * scale + shift);
}

/* What a row of results adds to the sum, and where it goes. */
struct dw__output {
    vf bias;
    const float *residual;
    bool relu;
    float *y;
    size_t step; /* floats from a result to the next */
};

ALWAYS_INLINE void dw__finish(const struct dw__output *out, size_t at, vf sum)
{
    if (out->residual)
        sum += v_load(out->residual + at * out->step);
    v_store(out->y + at * out->step, out->relu ? v_relu(sum) : sum);
}

/* Results at ... at + TILE - 1: sum over ny rows and nx taps; `x_step` floats from a tap's pixel to
   the next tap's, `w_step` between their weights, `stride` between the pixels of two results. */
#define DW__TILE(TILE)                                                                             \
    {                                                                                              \
        vf sum[TILE];                                                                              \
        for (size_t t = 0; t < (TILE); t++)                                                        \
            sum[t] = out->bias;                                                                    \
        for (size_t a = 0; a < ny; a++)                                                            \
            for (size_t b = 0; b < nx; b++) {                                                      \
                const float *const p = rows[a] + (ptrdiff_t)(at * stride) + (ptrdiff_t)b * x_step; \
                const vf w = v_load(weights[a] + b * w_step);                                      \
                for (size_t t = 0; t < (TILE); t++)                                                \
                    sum[t] += w * v_load(p + t * stride);                                          \
            }                                                                                      \
        for (size_t t = 0; t < (TILE); t++)                                                        \
            dw__finish(out, at + t, sum[t]);                                                       \
        at += (TILE);                                                                              \
    }

ALWAYS_INLINE void dw__row(const float *const *rows, const float *const *weights, size_t ny,
                           size_t nx, ptrdiff_t x_step, size_t w_step, size_t stride, size_t count,
                           const struct dw__output *out)
{
    size_t at = 0;
    while (at + 8 <= count)
        DW__TILE(8)
    if (at + 4 <= count)
        DW__TILE(4)
    if (at + 2 <= count)
        DW__TILE(2)
    if (at < count)
        DW__TILE(1)
}

/* The same for 3 x 3 taps, whose weights stay in registers. */
#define DW__TILE3(TILE)                                                                            \
    {                                                                                              \
        vf sum[TILE];                                                                              \
        for (size_t t = 0; t < (TILE); t++)                                                        \
            sum[t] = out->bias;                                                                    \
        for (size_t a = 0; a < 3; a++)                                                             \
            for (size_t b = 0; b < 3; b++) {                                                       \
                const float *const p = rows[a] + (ptrdiff_t)(at * stride) + (ptrdiff_t)b * x_step; \
                for (size_t t = 0; t < (TILE); t++)                                                \
                    sum[t] += w[3 * a + b] * v_load(p + t * stride);                               \
            }                                                                                      \
        for (size_t t = 0; t < (TILE); t++)                                                        \
            dw__finish(out, at + t, sum[t]);                                                       \
        at += (TILE);                                                                              \
    }

ALWAYS_INLINE void dw__row3(const float *const *rows, const vf w[9], ptrdiff_t x_step,
                            size_t stride, size_t count, const struct dw__output *out)
{
    size_t at = 0;
    while (at + 4 <= count)
        DW__TILE3(4)
    if (at + 2 <= count)
        DW__TILE3(2)
    if (at < count)
        DW__TILE3(1)
}

/* Stages the rows of x that output row oy reads and points ring->taps at them. */
ALWAYS_INLINE void dw__rows_of(const struct ctkd__depthwise_shape *s, const struct dw__ring *ring,
                               size_t oy, size_t *staged, const float *x,
                               const struct ctkd__affine *prologue, vf scale, vf shift)
{
    for (; *staged < s->h && *staged + s->padding < oy * s->stride + s->kernel; ++*staged)
        if (*staged + s->padding >= oy * s->stride) /* otherwise no row reads it */
            dw__stage(ring, *staged, s->w, x + *staged * s->w * VB, prologue, scale, shift);
    for (size_t ky = 0; ky < s->kernel; ky++) {
        const size_t iy = oy * s->stride + ky - s->padding; /* above the image: huge */
        ring->taps[ky] =
            iy < s->h ? ring->rows + iy % ring->count * ring->row_floats : ring->zero_row;
    }
}

ALWAYS_INLINE void dw__forward_plane(const struct ctkd__depthwise_shape *s,
                                     const struct dw__ring *ring, const float *x,
                                     const struct ctkd__affine *prologue, vf scale, vf shift,
                                     const float *weights, struct dw__output out, bool three,
                                     size_t stride)
{
    vf w[9];
    for (size_t i = 0; i < 9 && three; i++)
        w[i] = v_keep(v_load(weights + i * VB));
    for (size_t ky = 0; ky < s->kernel && !three; ky++)
        ring->weights[ky] = weights + ky * s->kernel * VB;
    size_t staged = 0;
    for (size_t oy = 0; oy < s->oh; oy++) {
        dw__rows_of(s, ring, oy, &staged, x, prologue, scale, shift);
        if (three)
            dw__row3(ring->taps, w, VB, stride * VB, s->ow, &out);
        else
            dw__row(ring->taps, ring->weights, s->kernel, s->kernel, VB, VB, stride * VB, s->ow,
                    &out);
        out.y += s->ow * VB;
        out.residual += out.residual ? s->ow * VB : 0;
    }
}

static void dw__forward(const struct ctkd__depthwise_shape *s, size_t n, const float *x,
                        const struct ctkd__affine *prologue, const float *weights,
                        const struct ctkd__epilogue *epilogue, float *y, void *scratch)
{
    const struct dw__ring ring = dw__ring_init(s, s->padding, scratch);
    for (size_t plane = 0; plane < n * s->blocks; plane++) {
        const size_t block = plane % s->blocks, at = plane * s->oh * s->ow * VB;
        const float *const from = x + plane * s->h * s->w * VB;
        const float *const w = weights + block * s->kernel * s->kernel * VB;
        const vf scale = prologue ? v_load(prologue->scale + block * VB) : v_zero();
        const vf shift = prologue ? v_load(prologue->shift + block * VB) : v_zero();
        const struct dw__output out = { epilogue->bias ? v_load(epilogue->bias + block * VB)
                                                       : v_zero(),
                                        epilogue->residual ? epilogue->residual + at : NULL,
                                        epilogue->relu, y + at, VB };
        if (s->kernel == 3 && s->stride == 1)
            dw__forward_plane(s, &ring, from, prologue, scale, shift, w, out, true, 1);
        else if (s->kernel == 3 && s->stride == 2)
            dw__forward_plane(s, &ring, from, prologue, scale, shift, w, out, true, 2);
        else
            dw__forward_plane(s, &ring, from, prologue, scale, shift, w, out, false, s->stride);
    }
}

/* Points ring->taps and ring->weights at the rows of dy, and the rows of weights, that row iy of dx
   is made of; returns their number. */
ALWAYS_INLINE size_t dw__rows_back(const struct ctkd__depthwise_shape *s,
                                   const struct dw__ring *ring, size_t iy, size_t *staged,
                                   const float *dy, const float *weights)
{
    const size_t last = (iy + s->padding) / s->stride;
    for (; *staged <= last && *staged < s->oh; ++*staged)
        dw__stage(ring, *staged, s->ow, dy + *staged * s->ow * VB, NULL, v_zero(), v_zero());
    size_t count = 0;
    for (size_t ky = (iy + s->padding) % s->stride; ky < s->kernel && ky <= iy + s->padding;
         ky += s->stride) {
        const size_t oy = (iy + s->padding - ky) / s->stride;
        if (oy >= s->oh)
            continue;
        ring->taps[count] = ring->rows + oy % ring->count * ring->row_floats;
        ring->weights[count++] = weights + ky * s->kernel * VB;
    }
    return count;
}

/* One row of dx in s phases; s and k are constants where this is inlined for them. */
ALWAYS_INLINE void dw__row_back(const struct ctkd__depthwise_shape *shape,
                                const struct dw__ring *ring, size_t ny, size_t k, size_t s,
                                const float *base, float *dx)
{
    for (size_t phase = 0; phase < s && phase < shape->w; phase++) {
        const size_t first = (phase + shape->padding) % s; /* its first tap */
        const size_t nx = first < k ? (k - first - 1) / s + 1 : 0;
        const struct dw__output out = { v_zero(), base ? base + phase * VB : NULL, false,
                                        dx + phase * VB, s * VB };
        const size_t at =
            (ring->left + (phase + shape->padding) / s) * VB; /* of that tap's pixel */
        const size_t count = (shape->w - phase - 1) / s + 1;
        for (size_t a = 0; a < ny; a++) {
            ring->taps[a] += at;
            ring->weights[a] += first * VB;
        }
        if (k == 3 && s == 2 && nx == 2)
            dw__row(ring->taps, ring->weights, ny, 2, -VB, 2 * VB, VB, count, &out);
        else if (k == 3 && s == 2)
            dw__row(ring->taps, ring->weights, ny, 1, -VB, 2 * VB, VB, count, &out);
        else
            dw__row(ring->taps, ring->weights, ny, nx, -VB, s * VB, VB, count, &out);
        for (size_t a = 0; a < ny; a++) {
            ring->taps[a] -= at;
            ring->weights[a] -= first * VB;
        }
    }
}

/* 3 x 3, stride 1: every row has three rows of taps, some of them zero. */
static void dw__backward_plane3(const struct ctkd__depthwise_shape *s, const struct dw__ring *ring,
                                const float *dy, const float *weights, const float *base, float *dx)
{
    vf w[9];
    for (size_t i = 0; i < 9; i++)
        w[i] = v_keep(v_load(weights + i * VB));
    struct dw__output out = { v_zero(), base, false, dx, VB };
    size_t staged = 0;
    for (size_t iy = 0; iy < s->h; iy++) {
        for (; staged < s->oh && staged <= iy + s->padding; staged++)
            dw__stage(ring, staged, s->ow, dy + staged * s->ow * VB, NULL, v_zero(), v_zero());
        for (size_t ky = 0; ky < 3; ky++) {
            const size_t oy = iy + s->padding - ky;
            ring->taps[ky] =
                (oy < s->oh ? ring->rows + oy % ring->count * ring->row_floats : ring->zero_row) +
                (ring->left + s->padding) * VB;
        }
        dw__row3(ring->taps, w, -VB, VB, s->w, &out);
        out.y += s->w * VB;
        out.residual += base ? s->w * VB : 0;
    }
}

static void dw__backward_data(const struct ctkd__depthwise_shape *s, size_t n, const float *dy,
                              const float *weights, const float *base, float *dx, void *scratch)
{
    const struct dw__ring ring = dw__ring_init(s, s->kernel, scratch);
    for (size_t plane = 0; plane < n * s->blocks; plane++) {
        const float *const from = dy + plane * s->oh * s->ow * VB;
        const float *const w = weights + plane % s->blocks * s->kernel * s->kernel * VB;
        const float *const add = base ? base + plane * s->h * s->w * VB : NULL;
        float *const to = dx + plane * s->h * s->w * VB;
        if (s->kernel == 3 && s->stride == 1) {
            dw__backward_plane3(s, &ring, from, w, add, to);
            continue;
        }
        size_t staged = 0;
        for (size_t iy = 0; iy < s->h; iy++) {
            const size_t ny = dw__rows_back(s, &ring, iy, &staged, from, w);
            const size_t at = iy * s->w * VB;
            if (s->kernel == 3 && s->stride == 2)
                dw__row_back(s, &ring, ny, 3, 2, add ? add + at : NULL, to + at);
            else
                dw__row_back(s, &ring, ny, s->kernel, s->stride, add ? add + at : NULL, to + at);
        }
    }
}

/* dw += the plane's, 3 x 3: nine sums in registers. */
ALWAYS_INLINE void dw__weights_plane3(const struct ctkd__depthwise_shape *s,
                                      const struct dw__ring *ring, const float *x,
                                      const struct ctkd__affine *prologue, vf scale, vf shift,
                                      const float *dy, size_t stride, float *dw)
{
    vf s0 = v_zero(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0, s8 = s0;
    size_t staged = 0;
    for (size_t oy = 0; oy < s->oh; oy++) {
        dw__rows_of(s, ring, oy, &staged, x, prologue, scale, shift);
        const float *a = ring->taps[0], *b = ring->taps[1], *c = ring->taps[2];
        for (size_t i = 0; i < s->ow; i++, dy += VB) {
            const vf g = v_keep(v_load(dy));
            s0 += g * v_load(a);
            s1 += g * v_load(a + VB);
            s2 += g * v_load(a + 2 * VB);
            s3 += g * v_load(b);
            s4 += g * v_load(b + VB);
            s5 += g * v_load(b + 2 * VB);
            s6 += g * v_load(c);
            s7 += g * v_load(c + VB);
            s8 += g * v_load(c + 2 * VB);
            a += stride * VB, b += stride * VB, c += stride * VB;
        }
    }
    const vf sums[9] = { s0, s1, s2, s3, s4, s5, s6, s7, s8 };
    for (size_t i = 0; i < 9; i++)
        v_store(dw + i * VB, v_load(dw + i * VB) + sums[i]);
}

/* Any kernel: a row of dy and a tap at a time. */
static void dw__weights_plane(const struct ctkd__depthwise_shape *s, const struct dw__ring *ring,
                              const float *x, const struct ctkd__affine *prologue, vf scale,
                              vf shift, const float *dy, float *dw)
{
    size_t staged = 0;
    for (size_t oy = 0; oy < s->oh; oy++, dy += s->ow * VB) {
        dw__rows_of(s, ring, oy, &staged, x, prologue, scale, shift);
        for (size_t tap = 0; tap < s->kernel * s->kernel; tap++) {
            const float *const p = ring->taps[tap / s->kernel] + tap % s->kernel * VB;
            vf sum = v_load(dw + tap * VB);
            for (size_t i = 0; i < s->ow; i++)
                sum += v_load(dy + i * VB) * v_load(p + i * s->stride * VB);
            v_store(dw + tap * VB, sum);
        }
    }
}

static void dw__backward_weights(const struct ctkd__depthwise_shape *s, size_t n, const float *x,
                                 const struct ctkd__affine *prologue, const float *dy, float *dw,
                                 void *scratch)
{
    const struct dw__ring ring = dw__ring_init(s, s->padding, scratch);
    const size_t taps = s->kernel * s->kernel;
    memset(dw, 0, s->blocks * taps * VB * sizeof *dw);
    for (size_t plane = 0; plane < n * s->blocks; plane++) {
        const size_t block = plane % s->blocks;
        const float *const from = x + plane * s->h * s->w * VB;
        const float *const g = dy + plane * s->oh * s->ow * VB;
        const vf scale = prologue ? v_load(prologue->scale + block * VB) : v_zero();
        const vf shift = prologue ? v_load(prologue->shift + block * VB) : v_zero();
        float *const to = dw + block * taps * VB;
        if (s->kernel == 3 && s->stride == 1)
            dw__weights_plane3(s, &ring, from, prologue, scale, shift, g, 1, to);
        else if (s->kernel == 3 && s->stride == 2)
            dw__weights_plane3(s, &ring, from, prologue, scale, shift, g, 2, to);
        else
            dw__weights_plane(s, &ring, from, prologue, scale, shift, g, to);
    }
}

const struct ctkd__depthwise_kernels KERNEL(depthwise) = {
    .scratch_bytes = dw__scratch_bytes,
    .forward = dw__forward,
    .backward_data = dw__backward_data,
    .backward_weights = dw__backward_weights,
};
