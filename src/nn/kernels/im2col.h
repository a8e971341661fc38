/*
 * Convolutions of any kernel, stride and padding as products of staged patches and weights: the
 * general case, for convolutions that no library kernel supports.
 *
 * A part is a grid of results, each the sum over taps and source channels of (pixel of the source)
 * * (weight). A forward convolution is one part; the gradient of its input with stride s is s * s
 * of them, one for each position modulo s, with the taps that meet it. The source is blocked
 * [n][blocks][h][w][B] or plain [n][channels][h][w], results are blocked. Depths run through
 * (source block, tap, channel of the block), of a plain source through (tap, channel); the weights
 * of a block of results are [depth][B out]. All functions run in the calling thread and allocate
 * nothing; the bits of a result do not depend on the number of images in the call (gradient sums
 * over the results in order). scratch is the caller's, scratch_bytes() large, 64-byte aligned, one
 * per thread, no initial content.
 */
#ifndef CTKD_NN_IM2COL_H
#define CTKD_NN_IM2COL_H

#include "nn/kernels/gemm.h"

/* Result (i, j) reads the pixel (i * step + y, j * step + x) of the source; outside it is zero. */
struct ctkd__im2col_tap {
    ptrdiff_t y, x;
};

struct ctkd__im2col_part {
    struct ctkd__gemm_shape product; /* in_blocks: of depths; hw: results of an image */
    bool plain;
    size_t channels, h, w; /* of the source; blocks of B channels unless it is plain */
    size_t rows, columns;  /* of results */
    size_t step, n_taps;
    const struct ctkd__im2col_tap *taps;
    /* Result (i, j) is pixel out_first + i * out_row + j * out_column of out_hw. */
    size_t out_first, out_row, out_column, out_hw;
};

struct ctkd__im2col_kernels {
    size_t (*scratch_bytes)(const struct ctkd__im2col_part *part); /* for both functions */
    /* y = relu?(weights . patches of x + bias + residual); residual may be y. */
    void (*multiply)(const struct ctkd__im2col_part *part, size_t n, const float *x,
                     const float *weights, const struct ctkd__epilogue *epilogue, float *y,
                     void *scratch);
    /* dw = sum over results of patches of x times dy, laid out as the weights; overwritten. The
       results are all pixels of dy in order. */
    void (*gradient)(const struct ctkd__im2col_part *part, size_t n, const float *x,
                     const float *dy, float *dw, void *scratch);
};

extern const struct ctkd__im2col_kernels ctkd__im2col_portable;
extern const struct ctkd__im2col_kernels ctkd__im2col_avx2;
extern const struct ctkd__im2col_kernels ctkd__im2col_avx512;

#endif
