/*
 * Passes over feature maps for one instruction set: moving channels, means over windows,
 * activations, products, and conversions between the plain and the blocked layout. Conventions are
 * pointwise.h's: blocked [n][blocks][hw][B], outputs overwritten, `base` (NULL or the output
 * itself) added. The channels that pad the last block are 0 in every input and stay 0.
 */
#ifndef CTKD_NN_FEATURES_H
#define CTKD_NN_FEATURES_H

#include "nn/graph.h"
#include "nn/kernels/pointwise.h"

enum { CTKD__BLOCK_MAX = 16 };

/* What a block of one operand contributes to a block of the output: lane i of the output is lane
   lanes[i] where mask[i] is -1, and comes from elsewhere where it is 0. */
struct ctkd__channel_source {
    int32_t lanes[CTKD__BLOCK_MAX], mask[CTKD__BLOCK_MAX];
    size_t block;
    int operand;
    bool whole; /* all lanes, each in its place */
};

struct ctkd__channel_plan {
    size_t blocks;       /* of the output */
    size_t in_blocks[2]; /* of the operands */
    size_t *first;       /* [blocks + 1] into sources; a block without any is 0 */
    struct ctkd__channel_source *sources;
};

/* Each pixel of the output is the mean of a window of pixels. */
struct ctkd__windows {
    size_t h, w, oh, ow;
    const size_t *rows, *columns; /* [oh][2], [ow][2]: the window's first, and the one behind it */
    float factor;                 /* of the window's sum; 0: one over its pixels */
};

struct ctkd__feature_kernels {
    /* y = base + the channels that the plan names of x[0] and x[1], [n][in_blocks[.]][hw][B]. */
    void (*gather)(size_t n, size_t hw, const struct ctkd__channel_plan *plan,
                   const float *const x[2], const float *base, float *y);
    void (*average)(size_t planes, const struct ctkd__windows *windows, const float *x, float *y);
    void (*average_backward)(size_t planes, const struct ctkd__windows *windows, const float *dy,
                             const float *base, float *dx);
    /* y = f(x); `channels` of the last block's are no padding. */
    void (*activate)(struct ctkd__extent extent, size_t channels, enum ctkd__activation kind,
                     float slope, const float *x, float *y);
    /* dx = base + f'(x) dy; value is x, but y for SIGMOID. count is a multiple of B. */
    void (*activate_backward)(size_t count, enum ctkd__activation kind, float slope,
                              const float *value, const float *dy, const float *base, float *dx);
    /* y = base + x * channel `channel` of gate, [n][gate_blocks][hw][B]. */
    void (*scale_by)(struct ctkd__extent extent, const float *x, size_t gate_blocks,
                     const float *gate, size_t channel, const float *base, float *y);
    /* dgate = base + (in `channel`) the sum over channels of dy x. */
    void (*scale_by_gate)(struct ctkd__extent extent, const float *x, const float *dy,
                          size_t gate_blocks, size_t channel, const float *base, float *dgate);
    /* out = base + a b; vector: b is [n][blocks][B]. */
    void (*multiply)(struct ctkd__extent extent, const float *a, const float *b, bool vector,
                     const float *base, float *out);
    /* out [n][blocks][B] = base + sum over hw of a b. */
    void (*multiply_sum)(struct ctkd__extent extent, const float *a, const float *b,
                         const float *base, float *out);
    /* y += shift per channel. */
    void (*shift)(struct ctkd__extent extent, const float *shift, float *y);
    /* y = base + x, x plain [n][channels][hw]. */
    void (*block)(struct ctkd__extent extent, size_t channels, const float *x, const float *base,
                  float *y);
    /* y plain [n][channels][hw]. */
    void (*unblock)(struct ctkd__extent extent, size_t channels, const float *x, float *y);
};

extern const struct ctkd__feature_kernels ctkd__features_portable;
extern const struct ctkd__feature_kernels ctkd__features_avx2;
extern const struct ctkd__feature_kernels ctkd__features_avx512;

#endif
