/*
 * The one source of the general convolution (im2col.h says what it computes).
 *
 * Results of all images form one long row, cut into tiles. The patches of a tile are staged in the
 * cache as the pixels of gemm.inc.h are, whose micro kernels then do the work.
 */
#include <string.h>

#include "nn/kernels/gemm.inc.h"
#include "nn/kernels/im2col.h"

enum { IM_STAGED_BYTES = 512 * 1024 }; /* at most, unless two groups of results need more */

static size_t im__tile(const struct ctkd__im2col_part *p, bool gradient)
{
    const size_t wanted = gm__tile(&p->product, gradient), least = 2 * GM_ROWS;
    const size_t depth_bytes = (p->product.in_blocks + 1) * VB * sizeof(float);
    const size_t fitting = IM_STAGED_BYTES / depth_bytes / GM_ROWS * GM_ROWS;
    return wanted < fitting ? wanted : fitting > least ? fitting : least;
}

static size_t im__scratch_bytes(const struct ctkd__im2col_part *p)
{
    const size_t multiply = im__tile(p, false) * p->product.in_blocks;
    const size_t gradient = im__tile(p, true) * (p->product.in_blocks + p->product.out_blocks);
    return (multiply > gradient ? multiply : gradient) * VB * sizeof(float);
}

/* Where the results of a tile read. */
struct im__tile {
    size_t count;
    size_t image[GM_TILE_MAX];                   /* first float of its image */
    ptrdiff_t y[GM_TILE_MAX], x[GM_TILE_MAX];    /* pixel of a tap at (0, 0) */
    ptrdiff_t source[GM_TILE_MAX + 2 * GM_ROWS]; /* float of the current tap, or -1 */
};

static void im__locate(const struct ctkd__im2col_part *p, size_t first, size_t count,
                       struct im__tile *tile)
{
    const size_t image_floats = p->channels * p->h * p->w;
    const size_t per_image = p->rows * p->columns;
    size_t image = first / per_image;
    size_t i = first % per_image / p->columns, j = first % per_image % p->columns;
    tile->count = count;
    for (size_t r = 0; r < count; r++) {
        tile->image[r] = image * image_floats;
        tile->y[r] = (ptrdiff_t)(i * p->step);
        tile->x[r] = (ptrdiff_t)(j * p->step);
        if (++j == p->columns && (j = 0, ++i == p->rows))
            i = 0, image++;
    }
}

/* tile->source of a tap, `pixel` floats from one pixel to the next; -1 from the last result to the
   end of its group. */
static void im__point(const struct ctkd__im2col_part *p, const struct ctkd__im2col_tap *tap,
                      size_t pixel, struct im__tile *tile)
{
    const ptrdiff_t h = (ptrdiff_t)p->h, w = (ptrdiff_t)p->w;
    for (size_t r = 0; r < tile->count; r++) {
        const ptrdiff_t y = tile->y[r] + tap->y, x = tile->x[r] + tap->x;
        const bool inside = y >= 0 && y < h && x >= 0 && x < w;
        const ptrdiff_t at = (ptrdiff_t)tile->image[r] + (y * w + x) * (ptrdiff_t)pixel;
        tile->source[r] = inside ? at : -1;
    }
    for (size_t r = tile->count; r % GM_ROWS != 0; r++)
        tile->source[r] = -1;
}

static void im__stage_blocked(const struct ctkd__im2col_part *p, struct im__tile *tile,
                              const float *x, float *to)
{
    const size_t blocks = p->channels / VB, plane = p->h * p->w * VB;
    const size_t group = p->product.in_blocks * GM_ROWS * VB;
    for (size_t tap = 0; tap < p->n_taps; tap++) {
        im__point(p, &p->taps[tap], VB, tile);
        for (size_t b = 0; b < blocks; b++) {
            const float *const from = x + b * plane;
            float *put = to + (b * p->n_taps + tap) * GM_ROWS * VB;
            for (size_t done = 0; done < tile->count; done += GM_ROWS, put += group)
                for (size_t r = 0; r < GM_ROWS; r++) {
                    const ptrdiff_t at = tile->source[done + r];
                    v_store(put + r * VB, at < 0 ? v_zero() : v_load(from + at));
                }
        }
    }
}

/* One depth after the other; `to` is zero behind the last depth. */
static void im__stage_plain(const struct ctkd__im2col_part *p, struct im__tile *tile,
                            const float *x, float *to)
{
    const size_t group = p->product.in_blocks * GM_ROWS * VB;
    for (size_t tap = 0; tap < p->n_taps; tap++) {
        im__point(p, &p->taps[tap], 1, tile);
        for (size_t c = 0; c < p->channels; c++) {
            const size_t depth = tap * p->channels + c;
            const float *const from = x + c * p->h * p->w;
            float *put = to + depth / VB * GM_ROWS * VB + depth % VB;
            for (size_t done = 0; done < tile->count; done += GM_ROWS, put += group)
                for (size_t r = 0; r < GM_ROWS; r++) {
                    const ptrdiff_t at = tile->source[done + r];
                    put[r * VB] = at < 0 ? 0.0f : from[at];
                }
        }
    }
}

static void im__stage(const struct ctkd__im2col_part *p, struct im__tile *tile, size_t first,
                      size_t count, const float *x, float *to)
{
    im__locate(p, first, count, tile);
    if (p->plain)
        im__stage_plain(p, tile, x, to);
    else
        im__stage_blocked(p, tile, x, to);
}

/* The first float of each result in the first block of y. */
static void im__places(const struct ctkd__im2col_part *p, size_t first, size_t count,
                       size_t *places)
{
    const size_t per_image = p->rows * p->columns;
    for (size_t r = 0; r < count; r++) {
        const size_t image = (first + r) / per_image, at = (first + r) % per_image;
        places[r] = (image * p->product.out_blocks * p->out_hw + p->out_first +
                     at / p->columns * p->out_row + at % p->columns * p->out_column) *
                    VB;
    }
}

static void im__multiply(const struct ctkd__im2col_part *p, size_t n, const float *x,
                         const float *weights, const struct ctkd__epilogue *epilogue, float *y,
                         void *scratch)
{
    const size_t step = im__tile(p, false), results = n * p->rows * p->columns;
    struct gm__output out = { .epilogue = epilogue, .y = y, .block = p->out_hw * VB };
    struct im__tile tile;
    size_t places[GM_TILE_MAX];
    if (p->plain)
        memset(scratch, 0, step * p->product.in_blocks * VB * sizeof(float));
    for (size_t first = 0; first < results; first += step) {
        const size_t count = results - first < step ? results - first : step;
        im__stage(p, &tile, first, count, x, scratch);
        im__places(p, first, count, places);
        gm__multiply_tile(&p->product, count, scratch, weights, places, &out);
    }
}

static void im__gradient(const struct ctkd__im2col_part *p, size_t n, const float *x,
                         const float *dy, float *dw, void *scratch)
{
    const struct ctkd__gemm_shape *const s = &p->product;
    const size_t step = im__tile(p, true), results = n * p->rows * p->columns;
    const size_t v_group = s->in_blocks * GM_ROWS * VB, m_group = s->out_blocks * GM_ROWS * VB;
    float *const v = scratch, *const m = v + step * s->in_blocks * VB;
    struct im__tile tile;
    if (p->plain)
        memset(v, 0, step * s->in_blocks * VB * sizeof *v);
    memset(dw, 0, s->weight_floats * sizeof *dw);
    for (size_t first = 0; first < results; first += step) {
        const size_t count = results - first < step ? results - first : step;
        im__stage(p, &tile, first, count, x, v);
        gm__stage(s->out_blocks, s->hw, first, count, dy, NULL, m, m_group);
        gm__gradient_tile(s, count, v, v_group, m, m_group, dw);
    }
}

const struct ctkd__im2col_kernels KERNEL(im2col) = {
    .scratch_bytes = im__scratch_bytes,
    .multiply = im__multiply,
    .gradient = im__gradient,
};
