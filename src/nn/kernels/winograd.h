/*
 * Winograd F(4x4, 3x3) convolution (Lavin & Gray 2016), stride 1, padding 1, on blocked
 * activations.
 *
 * Layouts, B = block of the instruction set (8 or 16):
 *   activations  [n][C/B][h][w][B]       (C padded up to a multiple of B with zeros)
 *   weights      [O/B][C/B][3][3][B c][B o]   (oneDNN's OIhw8i8o / OIhw16i16o)
 *   packed       transformed weights, opaque, packed_floats() floats
 * All functions run in the calling thread, allocate nothing, and give the same bits for an image
 * whatever the number of images in the call (backward_weights sums over the images of the call in
 * order). scratch is caller's memory of scratch_bytes(), 64-byte aligned, one per thread, no
 * initial content.
 */
#ifndef CTKD_NN_WINOGRAD_H
#define CTKD_NN_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>

struct ctkd__winograd_shape {
    size_t c, o;       /* input and output channels of the FORWARD convolution, multiples of B */
    size_t h, w;       /* height and width, the same in and out */
    size_t tile_block; /* tiles transformed at a time; 0: chosen by the shape */
    /* Transform the weights during the call: calls take the weights themselves and nothing is
       packed (packed_floats is 0). For many channels on small maps. */
    bool deep;
};

/* y = relu(conv(input) + bias + residual); every member may be NULL or false. The residual may be y
   itself: that is how a gradient is accumulated. */
struct ctkd__winograd_epilogue {
    const float *bias;     /* [O] */
    const float *residual; /* as y */
    bool relu;
};

/* The convolution's input is relu?(scale[c] * x + shift[c]) instead of x (batch norm applied while
   tiles are loaded; the zero padding stays zero). NULL scale: the input is x. */
struct ctkd__winograd_prologue {
    const float *scale, *shift; /* [C] */
    bool relu;
};

struct ctkd__winograd_kernels {
    size_t (*packed_floats)(const struct ctkd__winograd_shape *shape);
    /* Enough for all directions. */
    size_t (*scratch_bytes)(const struct ctkd__winograd_shape *shape);

    /* Transform weights for forward, or for backward-data (rotated by 180 degrees, roles of c and o
       exchanged). Part `part` of `parts` may be done by different threads. */
    void (*pack_forward)(const struct ctkd__winograd_shape *shape, const float *weights,
                         float *packed, size_t part, size_t parts);
    void (*pack_backward)(const struct ctkd__winograd_shape *shape, const float *weights,
                          float *packed, size_t part, size_t parts);

    /* x [n][C] -> y [n][O]. prologue and epilogue may be NULL. */
    void (*forward)(const struct ctkd__winograd_shape *shape, size_t n, const float *x,
                    const struct ctkd__winograd_prologue *prologue, const float *packed,
                    const struct ctkd__winograd_epilogue *epilogue, float *y, void *scratch);
    /* dy [n][O] -> dx [n][C] = base + gradient; base is NULL, dx itself, or another array as dx. */
    void (*backward_data)(const struct ctkd__winograd_shape *shape, size_t n, const float *dy,
                          const float *packed, const float *base, float *dx, void *scratch);
    /* x, dy -> dw, blocked as weights, overwritten. */
    void (*backward_weights)(const struct ctkd__winograd_shape *shape, size_t n, const float *x,
                             const struct ctkd__winograd_prologue *prologue, const float *dy,
                             float *dw, void *scratch);
};

/* One table per compilation; see kernels.h for the choice at run time. */
extern const struct ctkd__winograd_kernels ctkd__winograd_portable;
extern const struct ctkd__winograd_kernels ctkd__winograd_avx2;
extern const struct ctkd__winograd_kernels ctkd__winograd_avx512;

#endif
