/*
 * The one source of the Winograd kernels (winograd.h says what they compute); compiled once per
 * instruction set, see vector.h. F(4x4, 3x3) with the points 0, 1, -1, 2, -2 and infinity:
 *
 *   Y = A^T [ (G w G^T) . (B^T X B) ] A
 *
 * summed over input channels; X is a 6x6 tile, Y a 4x4 tile.
 *
 * Images are cut into 4x4 tiles of the output. A block of tiles goes through three stages:
 * transform the inputs (V), multiply by the transformed weights in 36 matrix products (M),
 * transform the products back. The block is small enough for V and M to stay in the cache. Both are
 * stored [36][tile group][channel block][ROWS tiles][VB channels] so that the micro kernel reads
 * its rows at fixed small offsets.
 */
#include <string.h>

#include "nn/kernels/vector.h"
#include "nn/kernels/winograd.h"
#include "nn/round.h"

/*
 * Tiles (ROWS) and output channel blocks (COLS) of the product's micro kernel, and input channels
 * of the weight gradient's (DEPTH, times DEPTH_COLS output blocks). They must keep the multipliers
 * busy, with the accumulators and one row of weights in registers: 32 with AVX-512, 16 otherwise.
 */
#if VB == 16
enum { ROWS = 8, COLS = 2, DEPTH = 16, DEPTH_COLS = 1 };
#elif defined(__AVX2__)
enum { ROWS = 6, COLS = 2, DEPTH = 4, DEPTH_COLS = 2 };
#else
enum { ROWS = 6, COLS = 1, DEPTH = 4, DEPTH_COLS = 1 };
#endif

enum {
    POINTS = 36,     /* elements of a transformed tile */
    STEP_PAD = 16,   /* floats that keep the 36 matrices off the same cache set */
    RING_ROWS = 6,   /* input rows of one row of tiles */
    MAX_BLOCK = 128, /* tiles; bounds the scratch memory */
    CHUNK = 128,     /* input channels summed in one go */
};

struct work {
    size_t h, w, tile_rows, tile_cols; /* of one image */
    size_t v_blocks, m_blocks;         /* channel blocks of V and M */
    size_t v_step, m_step;             /* floats from one of the 36 matrices to the next */
    size_t block;                      /* tiles transformed at a time */
    float *v, *m;
    float *ring, *zero_row; /* staged input rows, row_floats each */
    size_t row_floats;
    float *du; /* gradient of the transformed weights */
};

/* V and M should fill about half of a level-2 cache, but a block must also be large enough to be
   worth reading all the weights for. */
static size_t default_block(const struct ctkd__winograd_shape *shape)
{
    const size_t bytes_per_tile = POINTS * sizeof(float) * (shape->c + shape->o);
    size_t block = (size_t)256 * 1024 / bytes_per_tile;
    const size_t least = shape->c * shape->o > 64 * 64 ? 64 : 24;
    if (block < least)
        block = least;
    return block;
}

static size_t block_of(const struct ctkd__winograd_shape *shape)
{
    size_t block = shape->tile_block ? shape->tile_block : default_block(shape);
    block = ctkd__round_up(block, ROWS);
    const size_t most = MAX_BLOCK / ROWS * ROWS;
    return block < most ? block : most;
}

/* Lays `work` out in `scratch`; returns the bytes it takes (scratch may be NULL to ask only that).
 */
static size_t work_init(struct work *work, const struct ctkd__winograd_shape *shape, bool backward,
                        void *scratch)
{
    const size_t c = backward ? shape->o : shape->c, o = backward ? shape->c : shape->o;
    work->h = shape->h;
    work->w = shape->w;
    work->tile_rows = (shape->h + 3) / 4;
    work->tile_cols = (shape->w + 3) / 4;
    work->v_blocks = c / VB;
    work->m_blocks = o / VB;
    work->block = block_of(shape);
    work->v_step = work->block * c + STEP_PAD;
    work->m_step = work->block * o + STEP_PAD;
    work->row_floats = (work->tile_cols * 4 + 2) * VB;

    float *at = scratch;
    size_t floats = 0;
#define TAKE(member, count)                                                                        \
    work->member = at ? at + floats : NULL;                                                        \
    floats += ctkd__round_up((count), 16)
    TAKE(v, POINTS * work->v_step);
    TAKE(m, POINTS * work->m_step);
    TAKE(ring, RING_ROWS * work->row_floats);
    TAKE(zero_row, work->row_floats);
    TAKE(du, POINTS * c * o);
#undef TAKE
    return floats * sizeof(float);
}

static float *v_tile(const struct work *work, size_t tile, size_t channel_block)
{
    return work->v + (tile / ROWS * work->v_blocks + channel_block) * ROWS * VB + tile % ROWS * VB;
}

static float *m_tile(const struct work *work, size_t tile, size_t channel_block)
{
    return work->m + (tile / ROWS * work->m_blocks + channel_block) * ROWS * VB + tile % ROWS * VB;
}

/* A run of tiles within one row of tiles of one image; loops over blocks of tiles are made of
 * these. */
struct tile_run {
    size_t image, row, col, count; /* row, col: of the first tile, in tiles */
};

static struct tile_run run_at(const struct work *work, size_t tile, size_t end)
{
    const size_t per_image = work->tile_rows * work->tile_cols;
    const size_t in_image = tile % per_image;
    struct tile_run run = { .image = tile / per_image,
                            .row = in_image / work->tile_cols,
                            .col = in_image % work->tile_cols };
    run.count = work->tile_cols - run.col;
    if (run.count > end - tile)
        run.count = end - tile;
    return run;
}

/* ---- Input transform ---- */

/* B^T d, 6 to 6: first rows 0 to 2 or (half 1) 3 to 5. Zen can add and multiply at the same time,
   so the formulas balance additions and multiplications. */
ALWAYS_INLINE void input_half(size_t half, const vf d[6], vf t[3])
{
    if (half == 0) {
        const vf even = d[4] - 4.0f * d[2], odd = d[3] - 4.0f * d[1];
        t[0] = 4.0f * (d[0] - d[2]) + (d[4] - d[2]);
        t[1] = even + odd;
        t[2] = even - odd;
    } else {
        const vf even = d[4] - d[2], odd = d[3] - d[1];
        t[0] = even + 2.0f * odd;
        t[1] = even - 2.0f * odd;
        t[2] = (d[5] - d[3]) - 4.0f * odd;
    }
}

/* Column j of the first pass. */
ALWAYS_INLINE void input_column(size_t half, const float *const rows[6], size_t offset, size_t j,
                                vf t[6][6])
{
    vf d[6], out[3];
#pragma GCC unroll 6
    for (size_t i = 0; i < 6; i++)
        d[i] = v_load(rows[i] + offset + j * VB);
    input_half(half, d, out);
#pragma GCC unroll 3
    for (size_t i = 0; i < 3; i++)
        t[half * 3 + i][j] = out[i];
}

/* Row i of the second pass. */
ALWAYS_INLINE void input_row(size_t i, const vf t[6][6], float *v, size_t step)
{
    vf out[6];
    input_half(0, t[i], out);
    input_half(1, t[i], out + 3);
#pragma GCC unroll 6
    for (size_t j = 0; j < 6; j++)
        v_store(v + (i * 6 + j) * step, out[j]);
}

/* Half of the transformed tile at a time, which fits into registers: loading the inputs twice is
   cheaper than a round trip of 36 vectors through memory. Stores are the bottleneck, so those of
   the first half are spread over the loads of the second; the barriers keep the compiler from
   collecting them. */
static void input_tile(const float *const rows[6], size_t offset, float *v, size_t step)
{
    vf t[6][6];
#pragma GCC unroll 6
    for (size_t j = 0; j < 6; j++)
        input_column(0, rows, offset, j, t);
#pragma GCC unroll 3
    for (size_t i = 0; i < 3; i++) {
        input_row(i, t, v, step);
        v_barrier();
        input_column(1, rows, offset, 2 * i, t);
        input_column(1, rows, offset, 2 * i + 1, t);
        v_barrier();
    }
#pragma GCC unroll 3
    for (size_t i = 3; i < 6; i++)
        input_row(i, t, v, step);
}

/* The tile below the one at p, usually the next row of tiles, into the cache. */
ALWAYS_INLINE void prefetch_below(const float *p, size_t row_floats)
{
    const uintptr_t at =
        (uintptr_t)p; /* below the last image p + n is undefined, a prefetch is not */
#pragma GCC unroll 4
    for (size_t i = 4; i < 8; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4 * VB; j += 16) /* a cache line is 16 floats */
            __builtin_prefetch((const void *)(at + (i * row_floats + j) * sizeof(float)));
}

/* Copy one row of the input into the ring, through the prologue; its margins are zero already. */
static void stage_row(const float *x, size_t w, const struct ctkd__winograd_prologue *prologue,
                      size_t channel, float *out)
{
    out += VB;
    if (!prologue || !prologue->scale) {
        for (size_t i = 0; i < w; i++)
            v_store(out + i * VB, v_load(x + i * VB));
        return;
    }
    const vf scale = v_load(prologue->scale + channel), shift = v_load(prologue->shift + channel);
    if (prologue->relu) {
        for (size_t i = 0; i < w; i++)
            v_store(out + i * VB, v_relu(v_load(x + i * VB) * scale + shift));
    } else {
        for (size_t i = 0; i < w; i++)
            v_store(out + i * VB, v_load(x + i * VB) * scale + shift);
    }
}

/* The margins of the staged rows are the zero padding; nothing writes to them later. */
static void clear_ring(const struct work *work)
{
    memset(work->ring, 0, (RING_ROWS + 1) * work->row_floats * sizeof(float)); /* and zero_row */
}

/* Tiles [begin, end) of x into V. */
static void transform_input(const struct work *work, size_t begin, size_t end, const float *x,
                            const struct ctkd__winograd_prologue *prologue)
{
    const size_t plane = work->h * work->w * VB;
    for (size_t cb = 0; cb < work->v_blocks; cb++) {
        size_t staged_image = SIZE_MAX, staged_end = 0; /* rows below staged_end are in the ring */
        for (size_t tile = begin; tile < end;) {
            const struct tile_run run = run_at(work, tile, end);
            const float *image = x + (run.image * work->v_blocks + cb) * plane;
            const float *rows[6];
            for (size_t i = 0; i < 6; i++) {
                const size_t slot = (run.row * 4 + i) % RING_ROWS;
                const size_t y = run.row * 4 + i - 1; /* wraps to SIZE_MAX above the image */
                float *staged = work->ring + slot * work->row_floats;
                rows[i] = y < work->h ? staged : work->zero_row;
                if (y < work->h && (run.image != staged_image || y >= staged_end))
                    stage_row(image + y * work->w * VB, work->w, prologue, cb * VB, staged);
            }
            staged_image = run.image;
            staged_end = run.row * 4 + 5;
            const float *tiles = image + run.row * 4 * work->w * VB;
            for (size_t i = 0; i < run.count; i++) {
                prefetch_below(tiles + (run.col + i) * 4 * VB, work->w * VB);
                input_tile(rows, (run.col + i) * 4 * VB, v_tile(work, tile - begin + i, cb),
                           work->v_step);
            }
            tile += run.count;
        }
    }
}

/* ---- Products: M[k] = V[k] U[k] ---- */

/* rows tiles times cols output blocks over v_blocks input blocks, added to m or written to it;
   u_block is the distance from one output block to the next. */
ALWAYS_INLINE void product_kernel(const float *v, const float *u, size_t u_block, size_t v_blocks,
                                  float *m, bool add, size_t rows, size_t cols)
{
    vf sum[ROWS][COLS];
#pragma GCC unroll 16
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t q = 0; q < cols; q++)
            sum[r][q] = v_zero();
    for (size_t cb = 0; cb < v_blocks; cb++, v += ROWS * VB, u += VB * VB) {
#pragma GCC unroll 4
        for (size_t c = 0; c < VB; c++) {
            vf weight[COLS];
#pragma GCC unroll 4
            for (size_t q = 0; q < cols; q++)
                weight[q] = v_keep(v_load(u + q * u_block + c * VB));
#pragma GCC unroll 16
            for (size_t r = 0; r < rows; r++) {
                const vf a = v_set(v[r * VB + c]);
#pragma GCC unroll 4
                for (size_t q = 0; q < cols; q++)
                    sum[r][q] += a * weight[q];
            }
        }
    }
#pragma GCC unroll 16
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t q = 0; q < cols; q++) {
            float *out = m + (q * ROWS + r) * VB;
            v_store(out, add ? v_load(out) + sum[r][q] : sum[r][q]);
        }
}

/* The last group of a block may have fewer tiles. */
ALWAYS_INLINE void product_rows(const float *v, const float *u, size_t u_block, size_t v_blocks,
                                float *m, bool add, size_t rows, size_t cols)
{
    switch (rows) {
#define CASE(r)                                                                                    \
    case r:                                                                                        \
        if (r <= ROWS)                                                                             \
            product_kernel(v, u, u_block, v_blocks, m, add, r <= ROWS ? r : 1, cols);              \
        break
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
        CASE(5);
        CASE(6);
        CASE(7);
        CASE(8);
#undef CASE
    }
}

/* Input blocks [first, last) of one of the 36 products, for all tiles and outputs. */
static void multiply_chunk(const struct work *work, size_t k, const float *u, size_t first,
                           size_t last, size_t tiles)
{
    const size_t u_block = work->v_blocks * VB * VB;
    for (size_t ob = 0; ob < work->m_blocks; ob += COLS) {
        const float *weights = u + ob * u_block + first * VB * VB;
        for (size_t tile = 0; tile < tiles; tile += ROWS) {
            const size_t rows = tiles - tile < ROWS ? tiles - tile : ROWS;
            const float *v = v_tile(work, tile, first) + k * work->v_step;
            float *m = m_tile(work, tile, ob) + k * work->m_step;
            if (ob + COLS <= work->m_blocks)
                product_rows(v, weights, u_block, last - first, m, first > 0, rows, COLS);
            else
                product_rows(v, weights, u_block, last - first, m, first > 0, rows, 1);
        }
    }
}

/* u: packed weights [36][output block][input channel][VB], u_step floats from one matrix to the
   next. Long sums go chunk by chunk: the weights of a chunk stay in the level-1 cache, and the
   rounding error of a sum of 512 products is halved. */
static void multiply(const struct work *work, const float *u, size_t u_step, size_t tiles)
{
    for (size_t k = 0; k < POINTS; k++) {
        for (size_t first = 0; first < work->v_blocks; first += CHUNK / VB) {
            const size_t left = work->v_blocks - first;
            const size_t last = left < CHUNK / VB ? work->v_blocks : first + CHUNK / VB;
            multiply_chunk(work, k, u + k * u_step, first, last, tiles);
        }
    }
}

/* ---- Output transform ---- */

/* A^T m: 6 to 4. */
ALWAYS_INLINE void output_1d(const vf m[6], vf y[4])
{
    const vf sum1 = m[1] + m[2], difference1 = m[1] - m[2];
    const vf sum2 = m[3] + m[4], difference2 = m[3] - m[4];
    y[0] = m[0] + sum1 + sum2;
    y[1] = difference1 + 2.0f * difference2;
    y[2] = sum1 + 4.0f * sum2;
    y[3] = difference1 + 8.0f * difference2 + m[5];
}

/* residual is laid out as y. A constant 1 everywhere in Y is A^T e A with the single e[1][1] = 1,
   so that the bias is one addition a tile. */
ALWAYS_INLINE void output_tile(const float *m, size_t step, vf bias, bool has_residual,
                               const float *residual, bool relu, float *y, size_t row_floats)
{
    vf t[4][6];
#pragma GCC unroll 6
    for (size_t j = 0; j < 6; j++) {
        vf column[6], out[4];
#pragma GCC unroll 6
        for (size_t i = 0; i < 6; i++)
            column[i] = v_load(m + (i * 6 + j) * step);
        if (j == 1)
            column[1] += bias;
        output_1d(column, out);
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++)
            t[i][j] = out[i];
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        vf out[4];
        output_1d(t[i], out);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            if (has_residual)
                out[j] += v_load(residual + i * row_floats + j * VB);
            if (relu)
                out[j] = v_relu(out[j]);
            v_store(y + i * row_floats + j * VB, out[j]);
        }
    }
}

/* A tile that hangs over the right or the lower edge: rows x cols of it exist. */
static void output_edge_tile(const float *m, size_t step, vf bias, const float *residual, bool relu,
                             float *y, size_t row_floats, size_t rows, size_t cols)
{
    float whole[16 * VB];
    output_tile(m, step, bias, false, NULL, false, whole, 4 * VB);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            vf out = v_load(whole + (i * 4 + j) * VB);
            if (residual)
                out += v_load(residual + i * row_floats + j * VB);
            v_store(y + i * row_floats + j * VB, relu ? v_relu(out) : out);
        }
    }
}

/* Tiles [begin, end) of M, output block ob, into y. */
ALWAYS_INLINE void transform_output_block(const struct work *work, size_t begin, size_t end,
                                          size_t ob, const float *bias, bool has_residual,
                                          const float *residual, bool relu, float *y)
{
    const vf bias_vector = bias ? v_load(bias + ob * VB) : v_zero();
    const size_t row_floats = work->w * VB;
    for (size_t tile = begin; tile < end;) {
        const struct tile_run run = run_at(work, tile, end);
        const size_t plane = (run.image * work->m_blocks + ob) * work->h * row_floats;
        const size_t row = run.row * 4, rows = work->h - row;
        for (size_t i = 0; i < run.count; i++) {
            const size_t col = (run.col + i) * 4, cols = work->w - col;
            const size_t offset = plane + row * row_floats + col * VB;
            const float *m = m_tile(work, tile - begin + i, ob);
            const float *tile_residual = has_residual ? residual + offset : NULL;
            if (rows >= 4 && cols >= 4)
                output_tile(m, work->m_step, bias_vector, has_residual, tile_residual, relu,
                            y + offset, row_floats);
            else
                output_edge_tile(m, work->m_step, bias_vector, tile_residual, relu, y + offset,
                                 row_floats, rows < 4 ? rows : 4, cols < 4 ? cols : 4);
        }
        tile += run.count;
    }
}

static void transform_output_any(const struct work *work, size_t begin, size_t end, size_t ob,
                                 const struct ctkd__winograd_epilogue *epilogue, float *y)
{
    const float *bias = epilogue->bias, *residual = epilogue->residual;
    if (residual && epilogue->relu)
        transform_output_block(work, begin, end, ob, bias, true, residual, true, y);
    else if (residual)
        transform_output_block(work, begin, end, ob, bias, true, residual, false, y);
    else if (epilogue->relu)
        transform_output_block(work, begin, end, ob, bias, false, NULL, true, y);
    else
        transform_output_block(work, begin, end, ob, bias, false, NULL, false, y);
}

static void transform_output(const struct work *work, size_t begin, size_t end,
                             const struct ctkd__winograd_epilogue *epilogue, float *y)
{
    for (size_t ob = 0; ob < work->m_blocks; ob++)
        transform_output_any(work, begin, end, ob, epilogue, y);
}

/* ---- Forward and backward-data ---- */

/* Floats from one of the 36 packed matrices to the next. */
static size_t packed_step(const struct ctkd__winograd_shape *shape)
{
    return shape->c * shape->o + STEP_PAD;
}

static void convolve(const struct work *work, size_t n, const float *x,
                     const struct ctkd__winograd_prologue *prologue, const float *packed,
                     size_t u_step, const struct ctkd__winograd_epilogue *epilogue, float *y)
{
    const size_t tiles = n * work->tile_rows * work->tile_cols;
    clear_ring(work);
    for (size_t begin = 0; begin < tiles; begin += work->block) {
        const size_t end = tiles - begin < work->block ? tiles : begin + work->block;
        transform_input(work, begin, end, x, prologue);
        multiply(work, packed, u_step, end - begin);
        transform_output(work, begin, end, epilogue, y);
    }
}

static void forward(const struct ctkd__winograd_shape *shape, size_t n, const float *x,
                    const struct ctkd__winograd_prologue *prologue, const float *packed,
                    const struct ctkd__winograd_epilogue *epilogue, float *y, void *scratch)
{
    static const struct ctkd__winograd_epilogue none = { 0 };
    struct work work;
    work_init(&work, shape, false, scratch);
    convolve(&work, n, x, prologue, packed, packed_step(shape), epilogue ? epilogue : &none, y);
}

static void backward_data(const struct ctkd__winograd_shape *shape, size_t n, const float *dy,
                          const float *packed, const float *base, float *dx, void *scratch)
{
    const struct ctkd__winograd_epilogue epilogue = { .residual = base };
    struct work work;
    work_init(&work, shape, true, scratch);
    convolve(&work, n, dy, NULL, packed, packed_step(shape), &epilogue, dx);
}

#include "nn/kernels/winograd_weights.inc.h"

/* ---- Backward-weights: dU[k] = sum over tiles of V[k]^T (A dY A^T)[k], dw = G^T dU G ---- */

/* A y: 4 to 6. */
ALWAYS_INLINE void gradient_1d(const vf y[4], vf t[6])
{
    const vf even = y[0] + y[2], odd = y[1] + y[3];
    const vf even2 = y[0] + 4.0f * y[2], odd2 = 2.0f * y[1] + 8.0f * y[3];
    t[0] = y[0];
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = even2 + odd2;
    t[4] = even2 - odd2;
    t[5] = y[3];
}

static void gradient_tile(const float *dy, size_t row_floats, float *m, size_t step)
{
    vf t[6][4];
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        vf y[4], column[6];
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++)
            y[i] = v_load(dy + i * row_floats + j * VB);
        gradient_1d(y, column);
#pragma GCC unroll 6
        for (size_t i = 0; i < 6; i++)
            t[i][j] = column[i];
    }
#pragma GCC unroll 6
    for (size_t i = 0; i < 6; i++) {
        vf row[6];
        gradient_1d(t[i], row);
#pragma GCC unroll 6
        for (size_t j = 0; j < 6; j++)
            v_store(m + (i * 6 + j) * step, row[j]);
    }
}

static void gradient_edge_tile(const float *dy, size_t row_floats, size_t rows, size_t cols,
                               float *m, size_t step)
{
    float whole[16 * VB] = { 0 };
    for (size_t i = 0; i < rows; i++)
        memcpy(whole + i * 4 * VB, dy + i * row_floats, cols * VB * sizeof(float));
    gradient_tile(whole, 4 * VB, m, step);
}

/* Tiles [begin, end) of dy into M. */
static void transform_gradient(const struct work *work, size_t begin, size_t end, const float *dy)
{
    const size_t row_floats = work->w * VB;
    for (size_t ob = 0; ob < work->m_blocks; ob++) {
        for (size_t tile = begin; tile < end;) {
            const struct tile_run run = run_at(work, tile, end);
            const float *plane = dy + (run.image * work->m_blocks + ob) * work->h * row_floats;
            const size_t row = run.row * 4, rows = work->h - row;
            for (size_t i = 0; i < run.count; i++) {
                const size_t col = (run.col + i) * 4, cols = work->w - col;
                const float *at = plane + row * row_floats + col * VB;
                float *m = m_tile(work, tile - begin + i, ob);
                prefetch_below(at, row_floats);
                if (rows >= 4 && cols >= 4)
                    gradient_tile(at, row_floats, m, work->m_step);
                else
                    gradient_edge_tile(at, row_floats, rows < 4 ? rows : 4, cols < 4 ? cols : 4, m,
                                       work->m_step);
            }
            tile += run.count;
        }
    }
}

/* depth input channels (v points at the first) times cols output blocks, summed over the tiles and
   added to du or written to it (one sum per block of tiles keeps rounding errors small); du_block:
   from one output block of du to the next. */
ALWAYS_INLINE void outer_kernel(const struct work *work, const float *v, const float *m,
                                size_t tiles, float *du, size_t du_block, bool add, size_t depth,
                                size_t cols)
{
    const size_t v_group = work->v_blocks * ROWS * VB, m_group = work->m_blocks * ROWS * VB;
    vf sum[16][DEPTH_COLS];
#pragma GCC unroll 16
    for (size_t c = 0; c < depth; c++)
#pragma GCC unroll 4
        for (size_t q = 0; q < cols; q++)
            sum[c][q] = v_zero();
    for (; tiles > 0; v += v_group, m += m_group) {
        const size_t rows = tiles < ROWS ? tiles : ROWS;
        tiles -= rows;
        for (size_t r = 0; r < rows; r++) {
            vf gradient[DEPTH_COLS];
#pragma GCC unroll 4
            for (size_t q = 0; q < cols; q++)
                gradient[q] = v_keep(v_load(m + (q * ROWS + r) * VB));
#pragma GCC unroll 16
            for (size_t c = 0; c < depth; c++) {
                const vf a = v_set(v[r * VB + c]);
#pragma GCC unroll 4
                for (size_t q = 0; q < cols; q++)
                    sum[c][q] += a * gradient[q];
            }
        }
    }
#pragma GCC unroll 16
    for (size_t c = 0; c < depth; c++)
#pragma GCC unroll 4
        for (size_t q = 0; q < cols; q++) {
            float *out = du + q * du_block + c * VB;
            v_store(out, add ? v_load(out) + sum[c][q] : sum[c][q]);
        }
}

/* One of the 36 products for input block cb and cols output blocks from ob on. */
ALWAYS_INLINE void outer_product(const struct work *work, size_t k, size_t cb, size_t ob,
                                 size_t tiles, float *du, bool add, size_t cols)
{
    const float *v = v_tile(work, 0, cb) + k * work->v_step;
    const float *m = m_tile(work, 0, ob) + k * work->m_step;
    const size_t depth = cols == 1 ? VB : DEPTH; /* one block alone needs as many sums */
    for (size_t c = 0; c < VB; c += depth)
        outer_kernel(work, v + c, m, tiles, du + c * VB, VB * VB, add, depth, cols);
}

/* dU is [36][c block][o block][VB c][VB o]. */
static void accumulate_outer(const struct work *work, size_t tiles, bool add)
{
    float *du = work->du;
    for (size_t k = 0; k < POINTS; k++) {
        for (size_t cb = 0; cb < work->v_blocks; cb++) {
            size_t ob = 0;
            for (; ob + DEPTH_COLS <= work->m_blocks; ob += DEPTH_COLS, du += DEPTH_COLS * VB * VB)
                outer_product(work, k, cb, ob, tiles, du, add, DEPTH_COLS);
            for (; ob < work->m_blocks; ob++, du += VB * VB)
                outer_product(work, k, cb, ob, tiles, du, add, 1);
        }
    }
}

/* G^T u: 6 to 3. */
ALWAYS_INLINE void weight_gradient_1d(const vf u[6], vf g[3])
{
    const vf even = (u[1] + u[2]) * (-1.0f / 6), sum = u[3] + u[4];
    g[0] = u[0] * 0.25f + even + sum * (1.0f / 24);
    g[1] = (u[2] - u[1]) * (1.0f / 6) + (u[3] - u[4]) * (1.0f / 12);
    g[2] = even + sum * (1.0f / 6) + u[5];
}

static void weight_gradient_tile(const float *du, size_t step, float *dw)
{
    vf t[3][6];
#pragma GCC unroll 6
    for (size_t j = 0; j < 6; j++) {
        vf column[6], g[3];
#pragma GCC unroll 6
        for (size_t i = 0; i < 6; i++)
            column[i] = v_load(du + (i * 6 + j) * step);
        weight_gradient_1d(column, g);
#pragma GCC unroll 3
        for (size_t i = 0; i < 3; i++)
            t[i][j] = g[i];
    }
#pragma GCC unroll 3
    for (size_t i = 0; i < 3; i++) {
        vf g[3];
        weight_gradient_1d(t[i], g);
#pragma GCC unroll 3
        for (size_t j = 0; j < 3; j++)
            v_store(dw + (i * 3 + j) * VB * VB, g[j]);
    }
}

static void transform_weight_gradient(const struct work *work, float *dw)
{
    const size_t blocks = work->v_blocks * work->m_blocks;
    for (size_t cb = 0; cb < work->v_blocks; cb++)
        for (size_t ob = 0; ob < work->m_blocks; ob++)
            for (size_t c = 0; c < VB; c++)
                weight_gradient_tile(work->du + ((cb * work->m_blocks + ob) * VB + c) * VB,
                                     blocks * VB * VB,
                                     dw + (ob * work->v_blocks + cb) * 9 * VB * VB + c * VB);
}

static void backward_weights(const struct ctkd__winograd_shape *shape, size_t n, const float *x,
                             const struct ctkd__winograd_prologue *prologue, const float *dy,
                             float *dw, void *scratch)
{
    struct work work;
    work_init(&work, shape, false, scratch);
    clear_ring(&work);
    const size_t tiles = n * work.tile_rows * work.tile_cols;
    for (size_t begin = 0; begin < tiles; begin += work.block) {
        const size_t end = tiles - begin < work.block ? tiles : begin + work.block;
        transform_input(&work, begin, end, x, prologue);
        transform_gradient(&work, begin, end, dy);
        accumulate_outer(&work, end - begin, begin > 0);
    }
    transform_weight_gradient(&work, dw);
}

#include "nn/kernels/winograd_deep.inc.h"

/* ---- Table ---- */

static size_t packed_floats(const struct ctkd__winograd_shape *shape)
{
    return shape->deep ? 0 : POINTS * packed_step(shape);
}

static size_t scratch_bytes(const struct ctkd__winograd_shape *shape)
{
    struct work work;
    struct deep deep;
    if (!shape->deep)
        return work_init(&work, shape, false, NULL); /* the directions take the same */
    const size_t forward_bytes = deep_init(&deep, shape, false, NULL);
    const size_t backward_bytes = deep_init(&deep, shape, true, NULL);
    return forward_bytes > backward_bytes ? forward_bytes : backward_bytes;
}

const struct ctkd__winograd_kernels KERNEL(winograd) = {
    .packed_floats = packed_floats,
    .scratch_bytes = scratch_bytes,
    .pack_forward = pack_forward,
    .pack_backward = pack_backward,
    .forward = any_forward,
    .backward_data = any_backward_data,
    .backward_weights = any_backward_weights,
};
