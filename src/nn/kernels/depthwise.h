/*
 * Depthwise convolution, one filter a channel, of any kernel, stride and padding; 3x3 is the fast
 * case.
 *
 * Activations are blocked [n][C/B][h][w][B], weights [C/B][k][k][B]; channels are padded with zeros
 * in both. All functions run in the calling thread and allocate nothing; the bits of an image do
 * not depend on the number of images in the call (backward_weights sums over the images in order).
 * scratch is the caller's, scratch_bytes() large, 64-byte aligned, one per thread, no initial
 * content.
 */
#ifndef CTKD_NN_DEPTHWISE_H
#define CTKD_NN_DEPTHWISE_H

#include "nn/kernels/pointwise.h"

struct ctkd__depthwise_shape {
    size_t blocks, h, w, oh, ow, kernel, stride, padding;
};

/* y = relu?(conv + bias + residual); bias [C], residual as y, each may be NULL; residual may be y.
 */
struct ctkd__epilogue {
    const float *bias, *residual;
    bool relu;
};

struct ctkd__depthwise_kernels {
    size_t (*scratch_bytes)(const struct ctkd__depthwise_shape *shape);
    /* The input is prologue(x), or x where that is NULL; the zero padding stays zero. */
    void (*forward)(const struct ctkd__depthwise_shape *shape, size_t n, const float *x,
                    const struct ctkd__affine *prologue, const float *weights,
                    const struct ctkd__epilogue *epilogue, float *y, void *scratch);
    /* dx = base + gradient; base is NULL, dx, or another array as dx. */
    void (*backward_data)(const struct ctkd__depthwise_shape *shape, size_t n, const float *dy,
                          const float *weights, const float *base, float *dx, void *scratch);
    /* dw is overwritten. */
    void (*backward_weights)(const struct ctkd__depthwise_shape *shape, size_t n, const float *x,
                             const struct ctkd__affine *prologue, const float *dy, float *dw,
                             void *scratch);
};

extern const struct ctkd__depthwise_kernels ctkd__depthwise_portable;
extern const struct ctkd__depthwise_kernels ctkd__depthwise_avx2;
extern const struct ctkd__depthwise_kernels ctkd__depthwise_avx512;

#endif
