/* The passes of pointwise.h for one instruction set; see vector.h for VB and ISA. */
#include <string.h>

#include "nn/kernels/linear.inc.h"
#include "nn/kernels/pointwise.h"
#include "nn/kernels/vector.h"

/* Adds the lanes of a vector to VB doubles: planes are summed in float, images in double. */
ALWAYS_INLINE void pw__spill(double *sums, vf x)
{
    for (size_t i = 0; i < VB; i++)
        sums[i] += (double)x[i];
}

static void pw__moments(struct ctkd__extent extent, const float *x, double *mean,
                        double *deviations)
{
    const size_t c = extent.blocks * VB;
    for (size_t i = 0; i < c; i++)
        mean[i] = deviations[i] = 0;
    if (extent.n == 0)
        return;
    for (size_t n = 0; n < extent.n; n++)
        for (size_t block = 0; block < extent.blocks; block++) {
            /* Deviations from the first value of the channel, so that a large mean cancels no
               digits. */
            const vf origin = v_load(x + block * extent.hw * VB);
            const float *p = x + (n * extent.blocks + block) * extent.hw * VB;
            vf s0 = v_zero(), s1 = v_zero(), q0 = v_zero(), q1 = v_zero();
            size_t i = 0;
            for (; i + 2 <= extent.hw; i += 2) {
                const vf a = v_load(p + i * VB) - origin, b = v_load(p + i * VB + VB) - origin;
                s0 += a;
                s1 += b;
                q0 += a * a;
                q1 += b * b;
            }
            if (i < extent.hw) {
                const vf a = v_load(p + i * VB) - origin;
                s0 += a;
                q0 += a * a;
            }
            pw__spill(mean + block * VB, s0 + s1);
            pw__spill(deviations + block * VB, q0 + q1);
        }
    const double count = (double)(extent.n * extent.hw);
    for (size_t i = 0; i < c; i++) {
        const double sum = mean[i], origin = (double)x[i / VB * extent.hw * VB + i % VB];
        const double m2 = deviations[i] - sum * sum / count;
        mean[i] = origin + sum / count;
        deviations[i] = m2 > 0 ? m2 : 0;
    }
}

static void pw__channel_sums(struct ctkd__extent extent, const float *x, double *sums)
{
    for (size_t i = 0; i < extent.blocks * VB; i++)
        sums[i] = 0;
    for (size_t n = 0; n < extent.n; n++)
        for (size_t block = 0; block < extent.blocks; block++) {
            vf s0 = v_zero(), s1 = v_zero();
            size_t i = 0;
            for (; i + 2 <= extent.hw; i += 2, x += 2 * VB) {
                s0 += v_load(x);
                s1 += v_load(x + VB);
            }
            if (i < extent.hw) {
                s0 += v_load(x);
                x += VB;
            }
            pw__spill(sums + block * VB, s0 + s1);
        }
}

static void pw__affine(struct ctkd__extent extent, const float *x,
                       const struct ctkd__affine *affine, const float *residual, float *y)
{
    for (size_t n = 0; n < extent.n; n++)
        for (size_t block = 0; block < extent.blocks; block++) {
            const size_t at = (n * extent.blocks + block) * extent.hw * VB;
            const vf scale = v_load(affine->scale + block * VB);
            const vf shift = v_load(affine->shift + block * VB);
            const float *const p = x + at, *const r = residual + (residual ? at : 0);
            float *const q = y + at;
            const size_t end = extent.hw * VB;
            if (residual && affine->relu)
                for (size_t i = 0; i < end; i += VB)
                    v_store(q + i, v_relu(v_load(p + i) * scale + shift + v_load(r + i)));
            else if (residual)
                for (size_t i = 0; i < end; i += VB)
                    v_store(q + i, v_load(p + i) * scale + shift + v_load(r + i));
            else if (affine->relu)
                for (size_t i = 0; i < end; i += VB)
                    v_store(q + i, v_relu(v_load(p + i) * scale + shift));
            else
                for (size_t i = 0; i < end; i += VB)
                    v_store(q + i, v_load(p + i) * scale + shift);
        }
}

/* How the gradient passes the ReLU after a batch norm: where its mask comes from. */
enum pw__mask { PW__MASK_NONE, PW__MASK_FROM_Y, PW__MASK_FROM_X };

ALWAYS_INLINE void pw__norm_sums_plane(size_t hw, const float *x, const float *y, const float *dy,
                                       enum pw__mask mask, vf scale, vf shift, vf mean,
                                       float *masked, vf *sum_g, vf *sum_gx)
{
    vf s = v_zero(), q = v_zero();
    for (size_t i = 0; i < hw * VB; i += VB) {
        const vf value = v_load(x + i);
        vf g = v_load(dy + i);
        if (mask == PW__MASK_FROM_Y)
            g = v_keep_if_positive(g, v_load(y + i));
        else if (mask == PW__MASK_FROM_X)
            g = v_keep_if_positive(g, value * scale + shift);
        if (masked)
            v_store(masked + i, g);
        s += g;
        q += g * (value - mean);
    }
    *sum_g = s;
    *sum_gx = q;
}

static void pw__norm_backward_sums(struct ctkd__extent extent, const float *x,
                                   const struct ctkd__affine *affine, const float *y,
                                   const float *dy, const float *mean, float *masked, double *sum_g,
                                   double *sum_gx)
{
    for (size_t i = 0; i < extent.blocks * VB; i++)
        sum_g[i] = sum_gx[i] = 0;
    for (size_t n = 0; n < extent.n; n++)
        for (size_t block = 0; block < extent.blocks; block++) {
            const size_t at = (n * extent.blocks + block) * extent.hw * VB;
            const vf a = v_load(affine->scale + block * VB), b = v_load(affine->shift + block * VB);
            const vf m = v_load(mean + block * VB);
            vf s, q;
            if (!affine->relu && masked)
                pw__norm_sums_plane(extent.hw, x + at, NULL, dy + at, PW__MASK_NONE, a, b, m,
                                    masked + at, &s, &q);
            else if (!affine->relu)
                pw__norm_sums_plane(extent.hw, x + at, NULL, dy + at, PW__MASK_NONE, a, b, m, NULL,
                                    &s, &q);
            else if (y && masked)
                pw__norm_sums_plane(extent.hw, x + at, y + at, dy + at, PW__MASK_FROM_Y, a, b, m,
                                    masked + at, &s, &q);
            else if (y)
                pw__norm_sums_plane(extent.hw, x + at, y + at, dy + at, PW__MASK_FROM_Y, a, b, m,
                                    NULL, &s, &q);
            else if (masked)
                pw__norm_sums_plane(extent.hw, x + at, NULL, dy + at, PW__MASK_FROM_X, a, b, m,
                                    masked + at, &s, &q);
            else
                pw__norm_sums_plane(extent.hw, x + at, NULL, dy + at, PW__MASK_FROM_X, a, b, m,
                                    NULL, &s, &q);
            pw__spill(sum_g + block * VB, s);
            pw__spill(sum_gx + block * VB, q);
        }
}

static void pw__norm_backward_apply(struct ctkd__extent extent, const float *x,
                                    const struct ctkd__affine *mask, const float *g, const float *a,
                                    const float *b, const float *c, const float *base, float *dx)
{
    const bool masked = mask && mask->relu;
    for (size_t n = 0; n < extent.n; n++)
        for (size_t block = 0; block < extent.blocks; block++) {
            const size_t at = (n * extent.blocks + block) * extent.hw * VB;
            const vf va = v_load(a + block * VB), vb = v_load(b + block * VB);
            const vf vc = v_load(c + block * VB);
            const vf scale = masked ? v_load(mask->scale + block * VB) : v_zero();
            const vf shift = masked ? v_load(mask->shift + block * VB) : v_zero();
            const float *const px = x + at, *const pg = g + at, *const pb = base + (base ? at : 0);
            float *const out = dx + at;
            for (size_t i = 0; i < extent.hw * VB; i += VB) {
                const vf value = v_load(px + i);
                vf gradient = v_load(pg + i);
                if (masked)
                    gradient = v_keep_if_positive(gradient, value * scale + shift);
                vf result = va * gradient + (vb * value + vc);
                if (base)
                    result += v_load(pb + i);
                v_store(out + i, result);
            }
        }
}

static void pw__add(size_t count, const float *a, const float *b, bool relu, float *y)
{
    if (relu)
        for (size_t i = 0; i < count; i += VB)
            v_store(y + i, v_relu(v_load(a + i) + v_load(b + i)));
    else
        for (size_t i = 0; i < count; i += VB)
            v_store(y + i, v_load(a + i) + v_load(b + i));
}

static void pw__relu_backward(size_t count, const float *y, const float *dy, const float *base,
                              float *dx)
{
    for (size_t i = 0; i < count; i += VB) {
        const vf g = v_keep_if_positive(v_load(dy + i), v_load(y + i));
        v_store(dx + i, base ? g + v_load(base + i) : g);
    }
}

static void pw__relu(size_t count, const float *x, float *y)
{
    for (size_t i = 0; i < count; i += VB)
        v_store(y + i, v_relu(v_load(x + i)));
}

typedef uint8_t pw__bytes __attribute__((vector_size(VB)));

/* Taps begin to end - 1 of the window of output row (or column) `at` are inside the image. */
ALWAYS_INLINE void pw__inside(size_t at, const struct ctkd__max_pool *pool, size_t side,
                              size_t *begin, size_t *end)
{
    const size_t first = at * pool->stride, last = side + pool->padding;
    *begin = first < pool->padding ? pool->padding - first : 0;
    *end = first + pool->kernel > last ? last - first : pool->kernel;
}

/* One output pixel: VB channels, each with its own winner. */
ALWAYS_INLINE void pw__max_pool_pixel(const struct ctkd__max_pool *pool, const float *x, size_t oy,
                                      size_t ox, bool indexed, float *y, uint8_t *index)
{
    vf best = v_set(-__builtin_inff());
    vi winner = { 0 };
    size_t ky, y_end, x_begin, x_end;
    pw__inside(oy, pool, pool->h, &ky, &y_end);
    pw__inside(ox, pool, pool->w, &x_begin, &x_end);
    for (; ky < y_end; ky++) {
        const size_t iy = oy * pool->stride + ky - pool->padding;
        for (size_t kx = x_begin; kx < x_end; kx++) {
            const size_t ix = ox * pool->stride + kx - pool->padding;
            const vf value = v_load(x + (iy * pool->w + ix) * VB);
            const vi better = (value > best) | (value != value); /* NaN wins, as in PyTorch */
            best = (vf)(((vi)value & better) | ((vi)best & ~better));
            if (indexed)
                winner =
                    (((vi){ 0 } + (int32_t)(ky * pool->kernel + kx)) & better) | (winner & ~better);
        }
    }
    v_store(y, best);
    if (indexed) {
        const pw__bytes bytes = __builtin_convertvector(winner, pw__bytes);
        memcpy(index, &bytes, sizeof bytes);
    }
}

ALWAYS_INLINE void pw__max_pool_planes(size_t planes, const struct ctkd__max_pool *pool,
                                       const float *x, bool indexed, float *y, uint8_t *index)
{
    for (size_t plane = 0; plane < planes; plane++, x += pool->h * pool->w * VB)
        for (size_t oy = 0; oy < pool->oh; oy++)
            for (size_t ox = 0; ox < pool->ow; ox++, y += VB) {
                pw__max_pool_pixel(pool, x, oy, ox, indexed, y, index);
                index += indexed ? VB : 0;
            }
}

static void pw__max_pool(size_t planes, const struct ctkd__max_pool *pool, const float *x, float *y,
                         uint8_t *index)
{
    if (index)
        pw__max_pool_planes(planes, pool, x, true, y, index);
    else
        pw__max_pool_planes(planes, pool, x, false, y, NULL);
}

static void pw__max_pool_backward(size_t planes, const struct ctkd__max_pool *pool, const float *dy,
                                  const uint8_t *index, const float *base, float *dx)
{
    const size_t plane_floats = pool->h * pool->w * VB;
    if (!base)
        memset(dx, 0, planes * plane_floats * sizeof *dx);
    else if (base != dx)
        memcpy(dx, base, planes * plane_floats * sizeof *dx);
    for (size_t plane = 0; plane < planes; plane++, dx += plane_floats)
        for (size_t oy = 0; oy < pool->oh; oy++)
            for (size_t ox = 0; ox < pool->ow; ox++, dy += VB, index += VB)
                for (size_t i = 0; i < VB; i++) {
                    const size_t iy = oy * pool->stride + index[i] / pool->kernel - pool->padding;
                    const size_t ix = ox * pool->stride + index[i] % pool->kernel - pool->padding;
                    dx[(iy * pool->w + ix) * VB + i] += dy[i];
                }
}

/* Where pixel (y, x) of input channel c comes from (in the large plane) and goes to (in the small
 * one). */
ALWAYS_INLINE void pw__subsample_at(const struct ctkd__subsample *s, size_t c, size_t y, size_t x,
                                    size_t *large, size_t *small)
{
    const size_t o = c + s->before;
    *large = ((c / VB * s->h + y * s->stride) * s->w + x * s->stride) * VB + c % VB;
    *small = ((o / VB * s->oh + y) * s->ow + x) * VB + o % VB;
}

static void pw__subsample(size_t n, const struct ctkd__subsample *s, const float *x, float *y)
{
    const size_t in = s->in_blocks * s->h * s->w * VB, out = s->out_blocks * s->oh * s->ow * VB;
    memset(y, 0, n * out * sizeof *y);
    for (size_t i = 0; i < n; i++, x += in, y += out)
        for (size_t c = 0; c < s->c; c++)
            for (size_t pixel = 0; pixel < s->oh * s->ow; pixel++) {
                size_t large, small;
                pw__subsample_at(s, c, pixel / s->ow, pixel % s->ow, &large, &small);
                y[small] = x[large];
            }
}

static void pw__subsample_backward(size_t n, const struct ctkd__subsample *s, const float *dy,
                                   const float *base, float *dx)
{
    const size_t in = s->in_blocks * s->h * s->w * VB, out = s->out_blocks * s->oh * s->ow * VB;
    if (!base)
        memset(dx, 0, n * in * sizeof *dx);
    else if (base != dx)
        memcpy(dx, base, n * in * sizeof *dx);
    for (size_t i = 0; i < n; i++, dx += in, dy += out)
        for (size_t c = 0; c < s->c; c++)
            for (size_t pixel = 0; pixel < s->oh * s->ow; pixel++) {
                size_t large, small;
                pw__subsample_at(s, c, pixel / s->ow, pixel % s->ow, &large, &small);
                dx[large] += dy[small];
            }
}

static void pw__mean_pool(struct ctkd__extent extent, const float *x, float *y)
{
    const vf factor = v_set(1.0f / (float)extent.hw);
    for (size_t plane = 0; plane < extent.n * extent.blocks; plane++, y += VB) {
        vf s0 = v_zero(), s1 = v_zero();
        size_t i = 0;
        for (; i + 2 <= extent.hw; i += 2, x += 2 * VB) {
            s0 += v_load(x);
            s1 += v_load(x + VB);
        }
        if (i < extent.hw) {
            s0 += v_load(x);
            x += VB;
        }
        v_store(y, (s0 + s1) * factor);
    }
}

static void pw__mean_pool_backward(struct ctkd__extent extent, const float *dy, const float *base,
                                   float *dx)
{
    const vf factor = v_set(1.0f / (float)extent.hw);
    for (size_t plane = 0; plane < extent.n * extent.blocks; plane++, dy += VB) {
        const vf g = v_load(dy) * factor;
        for (size_t i = 0; i < extent.hw; i++, dx += VB) {
            v_store(dx, base ? g + v_load(base) : g);
            base += base ? VB : 0;
        }
    }
}

const struct ctkd__pointwise_kernels KERNEL(pointwise) = {
    .moments = pw__moments,
    .channel_sums = pw__channel_sums,
    .affine = pw__affine,
    .norm_backward_sums = pw__norm_backward_sums,
    .norm_backward_apply = pw__norm_backward_apply,
    .add = pw__add,
    .relu_backward = pw__relu_backward,
    .relu = pw__relu,
    .max_pool = pw__max_pool,
    .max_pool_backward = pw__max_pool_backward,
    .subsample = pw__subsample,
    .subsample_backward = pw__subsample_backward,
    .mean_pool = pw__mean_pool,
    .mean_pool_backward = pw__mean_pool_backward,
    .linear = ln__linear,
    .linear_backward = ln__backward,
};
