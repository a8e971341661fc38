/*
 * Batch norm, ReLU, residual, pooling and classifier passes of one instruction set.
 *
 * Activations are blocked [n][blocks][hw][B], B channels a block; per-channel arrays have blocks *
 * B entries. All functions work in the calling thread on n whole images; outputs are overwritten.
 * `base`, where there is one, is added to the result (an earlier contribution to the same gradient)
 * and may be NULL or the output itself.
 */
#ifndef CTKD_NN_POINTWISE_H
#define CTKD_NN_POINTWISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The extent of an activation. */
struct ctkd__extent {
    size_t n, blocks, hw;
};

/* y = scale * x + shift per channel, then optionally ReLU: a batch norm seen by its readers. */
struct ctkd__affine {
    const float *scale, *shift;
    bool relu;
};

struct ctkd__max_pool {
    size_t h, w, oh, ow, kernel, stride, padding; /* kernel * kernel <= 255 */
};

/* Option-A shortcut: every `stride`-th pixel; channel i of c goes to channel i + before. */
struct ctkd__subsample {
    size_t c, in_blocks, h, w, out_blocks, oh, ow, stride, before;
};

struct ctkd__pointwise_kernels {
    /* Per channel: mean and sum of squared deviations over the n * hw values. */
    void (*moments)(struct ctkd__extent extent, const float *x, double *mean, double *deviations);
    /* Per channel sums over n * hw: the gradient of a bias. */
    void (*channel_sums)(struct ctkd__extent extent, const float *x, double *sums);
    /* y = relu?(scale * x + shift + residual); residual may be NULL, y may be x or residual. */
    void (*affine)(struct ctkd__extent extent, const float *x, const struct ctkd__affine *affine,
                   const float *residual, float *y);
    /*
     * First pass of batch norm's backward. g = dy, with relu only where the output was positive
     * (y tells if given, else scale * x + shift) and 0 elsewhere. Per channel:
     *   sum_g  = sum g
     *   sum_gx = sum g (x - mean)
     * masked: out, g; NULL when nobody needs it; may be dy.
     */
    void (*norm_backward_sums)(struct ctkd__extent extent, const float *x,
                               const struct ctkd__affine *affine, const float *y, const float *dy,
                               const float *mean, float *masked, double *sum_g, double *sum_gx);
    /* Second pass: dx = base + a * g + b * x + c per channel; mask: NULL when g is masked already.
     */
    void (*norm_backward_apply)(struct ctkd__extent extent, const float *x,
                                const struct ctkd__affine *mask, const float *g, const float *a,
                                const float *b, const float *c, const float *base, float *dx);
    /* y = relu?(a + b), count floats (a multiple of B). */
    void (*add)(size_t count, const float *a, const float *b, bool relu, float *y);
    /* dx = base + (y > 0 ? dy : 0). */
    void (*relu_backward)(size_t count, const float *y, const float *dy, const float *base,
                          float *dx);
    /* y = relu(x). */
    void (*relu)(size_t count, const float *x, float *y);
    /* index: which of the window's pixels won (the first of equals); NULL to skip. */
    void (*max_pool)(size_t planes, const struct ctkd__max_pool *pool, const float *x, float *y,
                     uint8_t *index);
    void (*max_pool_backward)(size_t planes, const struct ctkd__max_pool *pool, const float *dy,
                              const uint8_t *index, const float *base, float *dx);
    void (*subsample)(size_t n, const struct ctkd__subsample *shape, const float *x, float *y);
    void (*subsample_backward)(size_t n, const struct ctkd__subsample *shape, const float *dy,
                               const float *base, float *dx);
    /* y [n][blocks * B] = mean over hw; dx = base + dy / hw. */
    void (*mean_pool)(struct ctkd__extent extent, const float *x, float *y);
    void (*mean_pool_backward)(struct ctkd__extent extent, const float *dy, const float *base,
                               float *dx);
    /* y [n][out] = x w^T + bias, x [n][in], w [out][in]; in is a multiple of B. */
    void (*linear)(size_t n, size_t in, size_t out, const float *x, const float *w,
                   const float *bias, float *y);
    /* dx = base + dy w;  dw = dy^T x, db = column sums of dy (overwritten). dx may be NULL. */
    void (*linear_backward)(size_t n, size_t in, size_t out, const float *x, const float *w,
                            const float *dy, const float *base, float *dx, float *dw, float *db);
};

extern const struct ctkd__pointwise_kernels ctkd__pointwise_portable;
extern const struct ctkd__pointwise_kernels ctkd__pointwise_avx2;
extern const struct ctkd__pointwise_kernels ctkd__pointwise_avx512;

#endif
