/*
 * Products of pixels and weights: 1x1 convolutions with stride 1, dense or with groups.
 *
 * Activations are blocked [n][blocks][hw][B]. Output block `ob` reads the input channels
 * ranges[ob].first ... + count - 1; its weights are [count][B out], `offset` floats from the first.
 * With one group every range is everything; with more, outputs skip the channels that their groups
 * do not read. The gradient of the input is the same product with in and out exchanged. All
 * functions run in the calling thread and allocate nothing; the bits of a pixel do not depend on
 * the number of images in the call (gradient sums over the pixels in order). scratch is the
 * caller's, scratch_bytes() large, 64-byte aligned, one per thread, no initial content.
 */
#ifndef CTKD_NN_GEMM_H
#define CTKD_NN_GEMM_H

#include "nn/kernels/depthwise.h"

struct ctkd__gemm_range {
    size_t first, count, offset;
};

struct ctkd__gemm_shape {
    size_t in_blocks, out_blocks, hw;
    const struct ctkd__gemm_range *ranges; /* [out_blocks] */
    size_t weight_floats;                  /* of all, including between the ranges */
};

struct ctkd__gemm_kernels {
    size_t (*scratch_bytes)(const struct ctkd__gemm_shape *shape); /* for both functions */
    /* y = relu?(weights . prologue(x) + bias + residual); residual may be y. */
    void (*multiply)(const struct ctkd__gemm_shape *shape, size_t n, const float *x,
                     const struct ctkd__affine *prologue, const float *weights,
                     const struct ctkd__epilogue *epilogue, float *y, void *scratch);
    /* dw = sum over pixels of prologue(x) dy^T, laid out as the weights; overwritten. */
    void (*gradient)(const struct ctkd__gemm_shape *shape, size_t n, const float *x,
                     const struct ctkd__affine *prologue, const float *dy, float *dw,
                     void *scratch);
};

extern const struct ctkd__gemm_kernels ctkd__gemm_portable;
extern const struct ctkd__gemm_kernels ctkd__gemm_avx2;
extern const struct ctkd__gemm_kernels ctkd__gemm_avx512;

#endif
