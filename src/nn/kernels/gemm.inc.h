/*
 * The one source of the 1x1 kernels (gemm.h says what they compute).
 *
 * Pixels of all images form one long row, cut into tiles. A tile is staged in the cache, the
 * prologue applied on the way, as [group of GM_ROWS pixels][block][GM_ROWS][B]: small maps fill the
 * rows of the micro kernel across images, and large ones do not fall on the same cache sets.
 */
#ifndef CTKD_NN_KERNELS_GEMM_INC_H
#define CTKD_NN_KERNELS_GEMM_INC_H

#include <string.h>

#include "nn/kernels/gemm.h"
#include "nn/kernels/vector.h"

/* Pixels (GM_ROWS) and output blocks (GM_COLS) of the product's micro kernel, for a block alone
   GM_TALL groups of pixels; input channels (GM_DEPTH) and output blocks (GM_DEPTH_COLS) of the
   gradient's. As in winograd.inc.h: sums and a row of weights in registers, enough sums to hide the
   latency of the additions. */
#if VB == 16
enum { GM_ROWS = 8, GM_COLS = 2, GM_TALL = 2, GM_DEPTH = 8, GM_DEPTH_COLS = 2 };
#elif defined(__AVX2__)
enum { GM_ROWS = 6, GM_COLS = 2, GM_TALL = 2, GM_DEPTH = 4, GM_DEPTH_COLS = 3 };
#else
enum { GM_ROWS = 6, GM_COLS = 1, GM_TALL = 1, GM_DEPTH = 4, GM_DEPTH_COLS = 1 };
#endif

enum { GM_TILE_MAX = 128 };

/*
 * Pixels of a tile. With small tiles, staging the next tile keeps memory busy all the time. A tile
 * must be large enough to be worth reading all the weights (product) or updating all of their sums
 * (gradient). Measured on AVX-512: 16 instead of 256 is a quarter faster at 96 to 16 channels.
 */
static size_t gm__tile(const struct ctkd__gemm_shape *s, bool gradient)
{
    const size_t bytes = s->weight_floats * sizeof(float);
    const size_t pixels = bytes <= 48 * 1024 ? 16 : bytes <= 1024 * 1024 ? 48 : GM_TILE_MAX;
    const size_t least = bytes <= 256 * 1024 ? 64 : GM_TILE_MAX;
    return (gradient ? least : pixels) / GM_ROWS * GM_ROWS;
}

static size_t gm__scratch_bytes(const struct ctkd__gemm_shape *s)
{
    const size_t multiply = gm__tile(s, false) * s->in_blocks;
    const size_t gradient = gm__tile(s, true) * (s->in_blocks + s->out_blocks + 2);
    return (multiply > gradient ? multiply : gradient) * VB * sizeof(float);
}

/* A run of pixels of one image and block, from `row` of a group on; rows of the next group are
   `skip` floats further. */
ALWAYS_INLINE void gm__stage_run(const float *from, size_t run, size_t row, float *to, size_t skip,
                                 bool affine, bool relu, vf scale, vf shift)
{
    while (run > 0) {
        const size_t rows = GM_ROWS - row < run ? GM_ROWS - row : run;
        for (size_t r = 0; r < rows; r++, from += VB, to += VB) {
            const vf x = affine ? v_load(from) * scale + shift : v_load(from);
            v_store(to, relu ? v_relu(x) : x);
        }
        run -= rows;
        to += skip;
        row = 0;
    }
}

/* Pixels [first, first + count) of [n][blocks][hw][B] into `to`, groups `group` floats apart; rows
   behind the last are zero. One block after the other: memory is read in long runs. */
static void gm__stage(size_t blocks, size_t hw, size_t first, size_t count, const float *x,
                      const struct ctkd__affine *prologue, float *to, size_t group)
{
    const size_t skip = group - GM_ROWS * VB;
    const size_t tail = count % GM_ROWS, first_image = first / hw, first_at = first % hw;
    for (size_t b = 0; b < blocks; b++) {
        const vf scale = prologue ? v_load(prologue->scale + b * VB) : v_zero();
        const vf shift = prologue ? v_load(prologue->shift + b * VB) : v_zero();
        const float *from = x + ((first_image * blocks + b) * hw + first_at) * VB;
        float *const base = to + b * GM_ROWS * VB;
        size_t run = hw - first_at;
        for (size_t done = 0; done < count; done += run, run = hw) {
            run = run < count - done ? run : count - done;
            float *const put = base + done / GM_ROWS * group + done % GM_ROWS * VB;
            if (!prologue)
                gm__stage_run(from, run, done % GM_ROWS, put, skip, false, false, scale, shift);
            else if (prologue->relu)
                gm__stage_run(from, run, done % GM_ROWS, put, skip, true, true, scale, shift);
            else
                gm__stage_run(from, run, done % GM_ROWS, put, skip, true, false, scale, shift);
            from += (run + (blocks - 1) * hw) * VB; /* the next image's block begins there */
        }
        if (tail)
            memset(base + count / GM_ROWS * group + tail * VB, 0,
                   (GM_ROWS - tail) * VB * sizeof *to);
    }
}

/* Where the results of a group of pixels go. */
struct gm__output {
    const struct ctkd__epilogue *epilogue;
    float *y;
    const size_t *at;   /* of each pixel in the first output block */
    size_t rows, block; /* pixels; floats from one output block to the next */
};

/* `tall` groups of GM_ROWS pixels (v: their first input block, v_group floats before that of the
   next) times cols output blocks from ob on; weights: those of the first, w_block floats before the
   next ones. */
ALWAYS_INLINE void gm__product(const float *v, size_t v_group, size_t tall,
                               const struct ctkd__gemm_range *range, const float *weights,
                               size_t w_block, const struct gm__output *out, size_t ob, size_t cols)
{
    vf sum[GM_TALL * GM_ROWS][GM_COLS];
    const size_t end = range->first + range->count;
#pragma GCC unroll 16
    for (size_t r = 0; r < tall * GM_ROWS; r++)
#pragma GCC unroll 4
        for (size_t q = 0; q < cols; q++)
            sum[r][q] = v_zero();
    for (size_t first = range->first; first < end; first = (first / VB + 1) * VB) {
        const size_t left = end - first / VB * VB, stop = left < VB ? left : VB;
        const float *const p = v + first / VB * GM_ROWS * VB;
#pragma GCC unroll 4
        for (size_t c = first % VB; c < stop; c++, weights += VB) {
            vf weight[GM_COLS];
#pragma GCC unroll 4
            for (size_t q = 0; q < cols; q++)
                weight[q] = v_keep(v_load(weights + q * w_block));
#pragma GCC unroll 16
            for (size_t r = 0; r < tall * GM_ROWS; r++) {
                const vf a = v_set(p[r / GM_ROWS * v_group + r % GM_ROWS * VB + c]);
#pragma GCC unroll 4
                for (size_t q = 0; q < cols; q++)
                    sum[r][q] += a * weight[q];
            }
        }
    }
    /* Kept in registers: the compiler must assume that a store may change the structures. */
    const float *const residual = out->epilogue->residual, *const bias = out->epilogue->bias;
    const bool relu = out->epilogue->relu;
    const size_t rows = out->rows, *const at = out->at;
#pragma GCC unroll 4
    for (size_t q = 0; q < cols; q++) {
        const vf add = bias ? v_load(bias + (ob + q) * VB) : v_zero();
        const size_t block = (ob + q) * out->block;
        float *const y = out->y + block;
        const float *const base = residual ? residual + block : NULL;
#pragma GCC unroll 16
        for (size_t r = 0; r < tall * GM_ROWS; r++) { /* unrolled: sums are in registers */
            if (r >= rows)
                break;
            vf value = sum[r][q] + add;
            if (base)
                value += v_load(base + at[r]);
            v_store(y + at[r], relu ? v_relu(value) : value);
        }
    }
}

/* How many output blocks from ob on, up to `most`, read the same input channels. */
ALWAYS_INLINE size_t gm__alike(const struct ctkd__gemm_shape *s, size_t ob, size_t most)
{
    const struct ctkd__gemm_range *const r = s->ranges + ob;
    size_t cols = 1;
    while (cols < most && ob + cols < s->out_blocks && r[cols].first == r->first &&
           r[cols].count == r->count)
        cols++;
    return cols;
}

/* places: of each pixel in the first output block. */
static void gm__multiply_tile(const struct ctkd__gemm_shape *s, size_t count, const float *v,
                              const float *weights, const size_t *places, struct gm__output *out)
{
    const size_t v_group = s->in_blocks * GM_ROWS * VB;
    for (size_t ob = 0, cols; ob < s->out_blocks; ob += cols) {
        const struct ctkd__gemm_range *const range = &s->ranges[ob];
        const float *const w = weights + range->offset;
        cols = gm__alike(s, ob, GM_COLS) == GM_COLS ? GM_COLS : 1;
        for (size_t done = 0, rows; done < count; done += rows) {
            const float *const p = v + done * s->in_blocks * VB;
            rows = cols == 1 && count - done > GM_ROWS ? GM_TALL * GM_ROWS : GM_ROWS;
            out->rows = count - done < rows ? count - done : rows;
            out->at = places + done;
            if (cols > 1)
                gm__product(p, 0, 1, range, w, range[1].offset - range->offset, out, ob, GM_COLS);
            else if (rows > GM_ROWS)
                gm__product(p, v_group, GM_TALL, range, w, 0, out, ob, 1);
            else
                gm__product(p, 0, 1, range, w, 0, out, ob, 1);
        }
    }
}

static void gm__places(const struct ctkd__gemm_shape *s, size_t first, size_t count, size_t *places)
{
    size_t image = first / s->hw, at = first % s->hw;
    for (size_t i = 0; i < count; i++) {
        places[i] = (image * s->out_blocks * s->hw + at) * VB;
        if (++at == s->hw)
            at = 0, image++;
    }
}

static void gm__multiply(const struct ctkd__gemm_shape *s, size_t n, const float *x,
                         const struct ctkd__affine *prologue, const float *weights,
                         const struct ctkd__epilogue *epilogue, float *y, void *scratch)
{
    const size_t tile = gm__tile(s, false), pixels = n * s->hw;
    struct gm__output out = { .epilogue = epilogue, .y = y, .block = s->hw * VB };
    size_t places[GM_TILE_MAX];
    for (size_t first = 0; first < pixels; first += tile) {
        const size_t count = pixels - first < tile ? pixels - first : tile;
        gm__stage(s->in_blocks, s->hw, first, count, x, prologue, scratch,
                  s->in_blocks * GM_ROWS * VB);
        gm__places(s, first, count, places);
        gm__multiply_tile(s, count, scratch, weights, places, &out);
    }
}

/* Where the gradient of a range of channels goes; only those from `from` to `to` are stored. */
struct gm__sums {
    float *dw;       /* of channel `from` */
    size_t block;    /* floats from one output block to the next */
    size_t from, to; /* channels of the staged block */
};

/* Channels c0 ... c0 + depth - 1 of the input block at v times cols output blocks at m, summed over
   the groups of pixels and added to dw: one sum per tile keeps rounding errors small. */
ALWAYS_INLINE void gm__outer(const float *v, size_t v_group, const float *m, size_t m_group,
                             size_t groups, const struct gm__sums *out, size_t c0, size_t depth,
                             size_t cols)
{
    vf sum[VB][GM_DEPTH_COLS];
#pragma GCC unroll 16
    for (size_t c = 0; c < depth; c++)
#pragma GCC unroll 4
        for (size_t q = 0; q < cols; q++)
            sum[c][q] = v_zero();
    for (v += c0; groups > 0; groups--, v += v_group, m += m_group)
        for (size_t r = 0; r < GM_ROWS; r++) {
            vf gradient[GM_DEPTH_COLS];
#pragma GCC unroll 4
            for (size_t q = 0; q < cols; q++)
                gradient[q] = v_keep(v_load(m + (q * GM_ROWS + r) * VB));
#pragma GCC unroll 16
            for (size_t c = 0; c < depth; c++) {
                const vf a = v_set(v[r * VB + c]);
#pragma GCC unroll 4
                for (size_t q = 0; q < cols; q++)
                    sum[c][q] += a * gradient[q];
            }
        }
#pragma GCC unroll 16
    for (size_t c = 0; c < depth; c++) {
        if (c0 + c < out->from || c0 + c >= out->to)
            continue;
#pragma GCC unroll 4
        for (size_t q = 0; q < cols; q++) {
            float *const p = out->dw + q * out->block + (c0 + c - out->from) * VB;
            v_store(p, v_load(p) + sum[c][q]);
        }
    }
}

/* Floats of a group of pixels. The gradient reads one block of all groups again and again: one
   block of padding between groups spreads them over the sets of the cache; at powers of two they
   would fall on the same sets. */
ALWAYS_INLINE size_t gm__gradient_group(size_t blocks)
{
    return (blocks + 1) * GM_ROWS * VB;
}

/* How many of `alike` output blocks are taken at once: four are taken as two pairs, not as three
   and one. */
ALWAYS_INLINE size_t gm__gradient_cols(size_t alike)
{
    if (alike >= GM_DEPTH_COLS && !(GM_DEPTH_COLS == 3 && alike == 4))
        return GM_DEPTH_COLS;
    return GM_DEPTH_COLS > 2 && alike >= 2 ? 2 : 1;
}

static void gm__gradient_tile(const struct ctkd__gemm_shape *s, size_t count, const float *v,
                              size_t v_group, const float *m, size_t m_group, float *dw)
{
    const size_t groups = (count + GM_ROWS - 1) / GM_ROWS;
    for (size_t ob = 0, cols; ob < s->out_blocks; ob += cols) {
        const struct ctkd__gemm_range *const range = &s->ranges[ob];
        const size_t end = range->first + range->count;
        const float *const g = m + ob * GM_ROWS * VB;
        cols = gm__gradient_cols(gm__alike(s, ob, GM_DEPTH_COLS + 2));
        for (size_t c = range->first; c < end; c = (c / VB + 1) * VB) {
            const size_t left = end - c / VB * VB;
            const struct gm__sums out = { dw + range->offset + (c - range->first) * VB,
                                          cols > 1 ? range[1].offset - range->offset : 0, c % VB,
                                          left < VB ? left : VB };
            const float *const p = v + c / VB * GM_ROWS * VB;
            const size_t begin = out.from / GM_DEPTH * GM_DEPTH;
            if (cols == GM_DEPTH_COLS && cols > 1)
                for (size_t i = begin; i < out.to; i += GM_DEPTH)
                    gm__outer(p, v_group, g, m_group, groups, &out, i, GM_DEPTH, GM_DEPTH_COLS);
            else if (cols > 1)
                for (size_t i = begin; i < out.to; i += GM_DEPTH)
                    gm__outer(p, v_group, g, m_group, groups, &out, i, GM_DEPTH, 2);
            else if (out.to - begin <= GM_DEPTH)
                gm__outer(p, v_group, g, m_group, groups, &out, begin, GM_DEPTH, 1);
            else /* a single block needs more rows to have as many sums */
                gm__outer(p, v_group, g, m_group, groups, &out, 0, VB, 1);
        }
    }
}

static void gm__gradient(const struct ctkd__gemm_shape *s, size_t n, const float *x,
                         const struct ctkd__affine *prologue, const float *dy, float *dw,
                         void *scratch)
{
    const size_t tile = gm__tile(s, true), pixels = n * s->hw;
    const size_t v_group = gm__gradient_group(s->in_blocks);
    const size_t m_group = gm__gradient_group(s->out_blocks);
    float *const v = scratch, *const m = v + tile / GM_ROWS * v_group;
    memset(dw, 0, s->weight_floats * sizeof *dw);
    for (size_t first = 0; first < pixels; first += tile) {
        const size_t count = pixels - first < tile ? pixels - first : tile;
        gm__stage(s->in_blocks, s->hw, first, count, x, prologue, v, v_group);
        gm__stage(s->out_blocks, s->hw, first, count, dy, NULL, m, m_group);
        gm__gradient_tile(s, count, v, v_group, m, m_group, dw);
    }
}

const struct ctkd__gemm_kernels KERNEL(gemm) = {
    .scratch_bytes = gm__scratch_bytes,
    .multiply = gm__multiply,
    .gradient = gm__gradient,
};

#endif
