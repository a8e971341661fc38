/* The passes of features.h for one instruction set; see vector.h for VB and ISA. */
#include <math.h>
#include <string.h>

#include "nn/kernels/features.h"
#include "nn/kernels/vector.h"

ALWAYS_INLINE vf ft__select(vi mask, vf yes, vf no)
{
    return (vf)(((vi)yes & mask) | ((vi)no & ~mask));
}

ALWAYS_INLINE float ft__total(vf x)
{
    float sum = 0;
    for (size_t i = 0; i < VB; i++)
        sum += x[i];
    return sum;
}

/* out = base, or zeros. */
static void ft__start(size_t count, const float *base, float *out)
{
    if (!base)
        memset(out, 0, count * sizeof *out);
    else if (base != out)
        memcpy(out, base, count * sizeof *out);
}

/* --- channels */

/* One block of the output over an image from `count` blocks. Unrolled for the usual counts. */
ALWAYS_INLINE void ft__gather_plane(size_t hw, size_t count,
                                    const struct ctkd__channel_source *sources,
                                    const float *const *from, const float *base, float *y)
{
    vi lanes[VB], masks[VB];
    for (size_t s = 0; s < count; s++) {
        memcpy(&lanes[s], sources[s].lanes, sizeof lanes[s]);
        memcpy(&masks[s], sources[s].mask, sizeof masks[s]);
    }
    for (size_t i = 0; i < hw * VB; i += VB) {
        vi sum = { 0 };
        for (size_t s = 0; s < count; s++)
            sum |= (vi)__builtin_shuffle(v_load(from[s] + i), lanes[s]) & masks[s];
        v_store(y + i, base ? (vf)sum + v_load(base + i) : (vf)sum);
    }
}

static void ft__gather_block(size_t hw, size_t count, const struct ctkd__channel_source *sources,
                             const float *const *from, const float *base, float *y)
{
    if (count == 0 && base != y)
        ft__start(hw * VB, base, y);
    else if (count == 0)
        return;
    else if (count == 1 && sources->whole && !base)
        memcpy(y, from[0], hw * VB * sizeof *y);
    else if (count == 1 && base)
        ft__gather_plane(hw, 1, sources, from, base, y);
    else if (count == 1)
        ft__gather_plane(hw, 1, sources, from, NULL, y);
    else if (count == 2 && base)
        ft__gather_plane(hw, 2, sources, from, base, y);
    else if (count == 2)
        ft__gather_plane(hw, 2, sources, from, NULL, y);
    else if (count == 3 && !base)
        ft__gather_plane(hw, 3, sources, from, NULL, y);
    else if (count == 4 && !base)
        ft__gather_plane(hw, 4, sources, from, NULL, y);
    else
        ft__gather_plane(hw, count, sources, from, base, y);
}

static void ft__gather(size_t n, size_t hw, const struct ctkd__channel_plan *plan,
                       const float *const x[2], const float *base, float *y)
{
    for (size_t i = 0; i < n; i++)
        for (size_t block = 0; block < plan->blocks; block++) {
            const size_t at = (i * plan->blocks + block) * hw * VB;
            const struct ctkd__channel_source *const sources = plan->sources + plan->first[block];
            const size_t count = plan->first[block + 1] - plan->first[block];
            const float *from[VB];
            for (size_t s = 0; s < count; s++) {
                const int operand = sources[s].operand;
                from[s] = x[operand] + (i * plan->in_blocks[operand] + sources[s].block) * hw * VB;
            }
            ft__gather_block(hw, count, sources, from, base ? base + at : NULL, y + at);
        }
}

/* --- means over windows */

ALWAYS_INLINE float ft__window_factor(const struct ctkd__windows *w, const size_t *rows,
                                      const size_t *columns)
{
    return w->factor > 0 ? w->factor
                         : 1.0f / (float)((rows[1] - rows[0]) * (columns[1] - columns[0]));
}

static void ft__average(size_t planes, const struct ctkd__windows *w, const float *x, float *y)
{
    for (size_t plane = 0; plane < planes; plane++, x += w->h * w->w * VB)
        for (size_t oy = 0; oy < w->oh; oy++)
            for (size_t ox = 0; ox < w->ow; ox++, y += VB) {
                const size_t *const rows = w->rows + 2 * oy, *const columns = w->columns + 2 * ox;
                vf sum = v_zero();
                for (size_t iy = rows[0]; iy < rows[1]; iy++)
                    for (size_t ix = columns[0]; ix < columns[1]; ix++)
                        sum += v_load(x + (iy * w->w + ix) * VB);
                v_store(y, sum * v_set(ft__window_factor(w, rows, columns)));
            }
}

static void ft__average_backward(size_t planes, const struct ctkd__windows *w, const float *dy,
                                 const float *base, float *dx)
{
    ft__start(planes * w->h * w->w * VB, base, dx);
    for (size_t plane = 0; plane < planes; plane++, dx += w->h * w->w * VB)
        for (size_t oy = 0; oy < w->oh; oy++)
            for (size_t ox = 0; ox < w->ow; ox++, dy += VB) {
                const size_t *const rows = w->rows + 2 * oy, *const columns = w->columns + 2 * ox;
                const vf g = v_load(dy) * v_set(ft__window_factor(w, rows, columns));
                for (size_t iy = rows[0]; iy < rows[1]; iy++)
                    for (size_t ix = columns[0]; ix < columns[1]; ix++) {
                        float *const to = dx + (iy * w->w + ix) * VB;
                        v_store(to, v_load(to) + g);
                    }
            }
}

/* --- activations. NaN passes through all of them, as in PyTorch. */

ALWAYS_INLINE vf ft__at_most(vf x, float bound)
{
    return ft__select(x > v_set(bound), v_set(bound), x);
}

ALWAYS_INLINE vf ft__hard_sigmoid(vf x)
{
    return ft__at_most(v_relu(x * v_set(1.0f / 6.0f) + v_set(0.5f)), 1.0f);
}

ALWAYS_INLINE vf ft__activated(enum ctkd__activation kind, vf slope, vf x)
{
    switch (kind) {
    case CTKD__RELU6:
        return ft__at_most(v_relu(x), 6.0f);
    case CTKD__LEAKY_RELU:
        return ft__select(x > v_zero(), x, x * slope);
    case CTKD__HARD_SIGMOID:
        return ft__hard_sigmoid(x);
    case CTKD__HARD_SWISH:
        return x * ft__hard_sigmoid(x);
    case CTKD__SIGMOID:
        for (size_t i = 0; i < VB; i++)
            x[i] = 1.0f / (1.0f + expf(-x[i]));
        break;
    }
    return x;
}

ALWAYS_INLINE void ft__activate_all(size_t count, enum ctkd__activation kind, float slope,
                                    const float *x, float *y)
{
    for (size_t i = 0; i < count; i += VB)
        v_store(y + i, ft__activated(kind, v_set(slope), v_load(x + i)));
}

/* For functions with f(0) != 0: the others keep the padding 0 by themselves. */
static void ft__activate_masked(struct ctkd__extent extent, size_t channels,
                                enum ctkd__activation kind, const float *x, float *y)
{
    for (size_t plane = 0; plane < extent.n * extent.blocks; plane++) {
        const size_t block = plane % extent.blocks, left = channels - block * VB;
        vi mask = { 0 };
        for (size_t i = 0; i < VB; i++)
            mask[i] = i < left ? -1 : 0;
        for (size_t i = 0; i < extent.hw; i++, x += VB, y += VB) {
            const vf value = kind == CTKD__SIGMOID
                                 ? ft__activated(CTKD__SIGMOID, v_zero(), v_load(x))
                                 : ft__hard_sigmoid(v_load(x));
            v_store(y, (vf)((vi)value & mask));
        }
    }
}

static void ft__activate(struct ctkd__extent extent, size_t channels, enum ctkd__activation kind,
                         float slope, const float *x, float *y)
{
    const size_t count = extent.n * extent.blocks * extent.hw * VB;
    switch (kind) {
    case CTKD__RELU6:
        ft__activate_all(count, CTKD__RELU6, slope, x, y);
        break;
    case CTKD__LEAKY_RELU:
        ft__activate_all(count, CTKD__LEAKY_RELU, slope, x, y);
        break;
    case CTKD__HARD_SWISH:
        ft__activate_all(count, CTKD__HARD_SWISH, slope, x, y);
        break;
    case CTKD__SIGMOID:
    case CTKD__HARD_SIGMOID:
        ft__activate_masked(extent, channels, kind, x, y);
        break;
    }
}

/* f'(x) g; at its kinks 0, as in PyTorch (LEAKY_RELU: the slope). Where the value is NaN, RELU6 and
   HARD_SWISH give 0; PyTorch 2.13 gives 0, g or NaN there, depending on the place in its
   vectors. */
ALWAYS_INLINE vf ft__slope(enum ctkd__activation kind, vf slope, vf value, vf g)
{
    const vi low = value > v_set(-3.0f), high = value < v_set(3.0f);
    switch (kind) {
    case CTKD__RELU6:
        return (vf)((vi)g & (value > v_zero()) & (value < v_set(6.0f)));
    case CTKD__LEAKY_RELU:
        return ft__select(value > v_zero(), g, g * slope);
    case CTKD__SIGMOID:
        return g * value * (v_set(1.0f) - value);
    case CTKD__HARD_SIGMOID:
        return (vf)((vi)(g * v_set(1.0f / 6.0f)) & low & high);
    case CTKD__HARD_SWISH:
        return (vf)((vi)ft__select(high, g * (value * v_set(1.0f / 3.0f) + v_set(0.5f)), g) & low);
    }
    return g;
}

ALWAYS_INLINE void ft__slopes(size_t count, enum ctkd__activation kind, float slope,
                              const float *value, const float *dy, const float *base, float *dx)
{
    for (size_t i = 0; i < count; i += VB) {
        const vf g = ft__slope(kind, v_set(slope), v_load(value + i), v_load(dy + i));
        v_store(dx + i, base ? g + v_load(base + i) : g);
    }
}

static void ft__activate_backward(size_t count, enum ctkd__activation kind, float slope,
                                  const float *value, const float *dy, const float *base, float *dx)
{
    switch (kind) {
    case CTKD__RELU6:
        ft__slopes(count, CTKD__RELU6, slope, value, dy, base, dx);
        break;
    case CTKD__LEAKY_RELU:
        ft__slopes(count, CTKD__LEAKY_RELU, slope, value, dy, base, dx);
        break;
    case CTKD__SIGMOID:
        ft__slopes(count, CTKD__SIGMOID, slope, value, dy, base, dx);
        break;
    case CTKD__HARD_SIGMOID:
        ft__slopes(count, CTKD__HARD_SIGMOID, slope, value, dy, base, dx);
        break;
    case CTKD__HARD_SWISH:
        ft__slopes(count, CTKD__HARD_SWISH, slope, value, dy, base, dx);
        break;
    }
}

/* --- products */

static void ft__scale_by(struct ctkd__extent extent, const float *x, size_t gate_blocks,
                         const float *gate, size_t channel, const float *base, float *y)
{
    for (size_t n = 0; n < extent.n; n++) {
        const float *const factor =
            gate + (n * gate_blocks + channel / VB) * extent.hw * VB + channel % VB;
        for (size_t block = 0; block < extent.blocks; block++)
            for (size_t i = 0; i < extent.hw; i++, x += VB, y += VB) {
                const vf product = v_load(x) * v_set(factor[i * VB]);
                v_store(y, base ? product + v_load(base) : product);
                base += base ? VB : 0;
            }
    }
}

static void ft__scale_by_gate(struct ctkd__extent extent, const float *x, const float *dy,
                              size_t gate_blocks, size_t channel, const float *base, float *dgate)
{
    ft__start(extent.n * gate_blocks * extent.hw * VB, base, dgate);
    for (size_t n = 0; n < extent.n; n++) {
        const size_t image = n * extent.blocks * extent.hw * VB;
        float *const to = dgate + (n * gate_blocks + channel / VB) * extent.hw * VB + channel % VB;
        for (size_t i = 0; i < extent.hw; i++) {
            vf sum = v_zero();
            for (size_t block = 0; block < extent.blocks; block++) {
                const size_t at = image + (block * extent.hw + i) * VB;
                sum += v_load(x + at) * v_load(dy + at);
            }
            to[i * VB] += ft__total(sum);
        }
    }
}

static void ft__multiply(struct ctkd__extent extent, const float *a, const float *b, bool vector,
                         const float *base, float *out)
{
    for (size_t plane = 0; plane < extent.n * extent.blocks; plane++) {
        for (size_t i = 0; i < extent.hw; i++, a += VB, out += VB) {
            const vf product = v_load(a) * v_load(b);
            v_store(out, base ? product + v_load(base) : product);
            base += base ? VB : 0;
            b += vector ? 0 : VB;
        }
        b += vector ? VB : 0;
    }
}

static void ft__multiply_sum(struct ctkd__extent extent, const float *a, const float *b,
                             const float *base, float *out)
{
    for (size_t plane = 0; plane < extent.n * extent.blocks; plane++, out += VB) {
        vf sum = v_zero();
        for (size_t i = 0; i < extent.hw; i++, a += VB, b += VB)
            sum += v_load(a) * v_load(b);
        v_store(out, base ? sum + v_load(base) : sum);
        base += base ? VB : 0;
    }
}

static void ft__shift(struct ctkd__extent extent, const float *shift, float *y)
{
    for (size_t plane = 0; plane < extent.n * extent.blocks; plane++) {
        const vf add = v_load(shift + plane % extent.blocks * VB);
        for (size_t i = 0; i < extent.hw; i++, y += VB)
            v_store(y, v_load(y) + add);
    }
}

/* --- layouts */

#if defined(__AVX2__)
/* Which lanes of two vectors of rows i and i + s swap when s x s squares of a square are. */
#define FT__LOW(j, s) ((j) & (s) ? VB + (j) - (s) : (j))
#define FT__HIGH(j, s) ((j) & (s) ? VB + (j) : (j) + (s))
#define FT__8_LANES(f, j, s)                                                                       \
    f(j, s), f(j + 1, s), f(j + 2, s), f(j + 3, s), f(j + 4, s), f(j + 5, s), f(j + 6, s),         \
        f(j + 7, s)
#if VB == 16
#define FT__LANES(f, s) ((vi){ FT__8_LANES(f, 0, s), FT__8_LANES(f, 8, s) })
#else
#define FT__LANES(f, s) ((vi){ FT__8_LANES(f, 0, s) })
#endif

ALWAYS_INLINE void ft__swap(vf rows[VB], size_t s, vi low, vi high)
{
    for (size_t i = 0; i < VB; i++) {
        if (i & s)
            continue;
        const vf a = rows[i], b = rows[i + s];
        rows[i] = __builtin_shuffle(a, b, low);
        rows[i + s] = __builtin_shuffle(a, b, high);
    }
}

/* VB pixels of VB channels: rows become columns. */
ALWAYS_INLINE void ft__transpose(vf rows[VB])
{
#if VB == 16
    ft__swap(rows, 8, FT__LANES(FT__LOW, 8), FT__LANES(FT__HIGH, 8));
#endif
    ft__swap(rows, 4, FT__LANES(FT__LOW, 4), FT__LANES(FT__HIGH, 4));
    ft__swap(rows, 2, FT__LANES(FT__LOW, 2), FT__LANES(FT__HIGH, 2));
    ft__swap(rows, 1, FT__LANES(FT__LOW, 1), FT__LANES(FT__HIGH, 1));
}

/* The first pixels of a plane, VB at a time; returns how many. x has a plane per lane. */
static size_t ft__block_squares(size_t hw, size_t lanes, const float *x, const float *base,
                                float *y)
{
    size_t i = 0;
    for (; i + VB <= hw; i += VB) {
        vf rows[VB];
        for (size_t lane = 0; lane < VB; lane++)
            rows[lane] = lane < lanes ? v_load(x + lane * hw + i) : v_zero();
        ft__transpose(rows);
        for (size_t p = 0; p < VB; p++) {
            const size_t at = (i + p) * VB;
            v_store(y + at, base ? rows[p] + v_load(base + at) : rows[p]);
        }
    }
    return i;
}

static size_t ft__unblock_squares(size_t hw, size_t lanes, const float *x, float *y)
{
    size_t i = 0;
    for (; i + VB <= hw; i += VB) {
        vf rows[VB];
        for (size_t p = 0; p < VB; p++)
            rows[p] = v_load(x + (i + p) * VB);
        ft__transpose(rows);
        for (size_t lane = 0; lane < VB; lane++)
            if (lane < lanes)
                v_store(y + lane * hw + i, rows[lane]);
    }
    return i;
}
#else
static size_t ft__block_squares(size_t hw, size_t lanes, const float *x, const float *base,
                                float *y)
{
    (void)hw, (void)lanes, (void)x, (void)base, (void)y;
    return 0; /* without shuffles it gains nothing */
}

static size_t ft__unblock_squares(size_t hw, size_t lanes, const float *x, float *y)
{
    (void)hw, (void)lanes, (void)x, (void)y;
    return 0;
}
#endif

static void ft__block(struct ctkd__extent extent, size_t channels, const float *x,
                      const float *base, float *y)
{
    for (size_t n = 0; n < extent.n; n++)
        for (size_t block = 0; block < extent.blocks; block++, y += extent.hw * VB) {
            const size_t left = channels - block * VB, lanes = left < VB ? left : VB;
            const float *const plane = x + (n * channels + block * VB) * extent.hw;
            for (size_t i = ft__block_squares(extent.hw, lanes, plane, base, y); i < extent.hw;
                 i++) {
                vf value = v_zero();
                for (size_t lane = 0; lane < lanes; lane++)
                    value[lane] = plane[lane * extent.hw + i];
                v_store(y + i * VB, base ? value + v_load(base + i * VB) : value);
            }
            base += base ? extent.hw * VB : 0;
        }
}

static void ft__unblock(struct ctkd__extent extent, size_t channels, const float *x, float *y)
{
    for (size_t n = 0; n < extent.n; n++)
        for (size_t block = 0; block < extent.blocks; block++, x += extent.hw * VB) {
            const size_t left = channels - block * VB, lanes = left < VB ? left : VB;
            float *const plane = y + (n * channels + block * VB) * extent.hw;
            for (size_t i = ft__unblock_squares(extent.hw, lanes, x, plane); i < extent.hw; i++)
                for (size_t lane = 0; lane < lanes; lane++)
                    plane[lane * extent.hw + i] = x[i * VB + lane];
        }
}

const struct ctkd__feature_kernels KERNEL(features) = {
    .gather = ft__gather,
    .average = ft__average,
    .average_backward = ft__average_backward,
    .activate = ft__activate,
    .activate_backward = ft__activate_backward,
    .scale_by = ft__scale_by,
    .scale_by_gate = ft__scale_by_gate,
    .multiply = ft__multiply,
    .multiply_sum = ft__multiply_sum,
    .shift = ft__shift,
    .block = ft__block,
    .unblock = ft__unblock,
};
