/* The steps of a training program: what each needs, and its forward and backward in one worker. */
#ifndef CTKD_NN_TRAINING_OPS_H
#define CTKD_NN_TRAINING_OPS_H

#include "nn/arena.h"
#include "nn/conv.h"
#include "nn/program.h"
#include "nn/training.h"

enum { CTKD__NO_BUFFER = -1 };

/* A gradient that a step writes: out = base + contribution; base may be none or out itself. */
struct ctkd__gradient {
    int out, base;
};

struct ctkd__training_op {
    struct ctkd__step step;
    const struct ctkd__node *node;
    size_t in_blocks, in_hw, out_blocks, out_hw; /* extents, blocked */
    size_t in_floats, out_floats;                /* of an image */

    /* Buffers of the workers' arenas. x is CTKD__NO_BUFFER for the network's input. */
    int x, residual, y;
    int index;                    /* MAX_POOL: winners, a byte each */
    int dy, masked;               /* gradient of y; NORM, ADD: after the ReLU's mask */
    struct ctkd__gradient dx, dr; /* of the input and of the residual */

    /* CONV: an implementation per direction; packed weights alternate between two shared buffers.
     */
    struct ctkd__conv *conv[3];
    const struct ctkd__training_op *prologue; /* the NORM that this conv applies while it reads x */

    /* NORM: doubles [workers][2 C] of both passes, floats [workers][7 C]; virtual: y is never
     * stored. */
    double *forward_sums, *backward_sums;
    float *coefficients;
    bool virtual_output;

    int rows[5]; /* of the profile: forward, backward (data), backward weights; packing for the
                    first two */
};

struct ctkd__training {
    const struct ctkd__graph *graph;
    struct ctkd__weights *weights;
    struct ctkd__training_config config;
    struct ctkd__program program;
    struct ctkd__training_op *ops;
    int *value_op;    /* which op writes a node's value; -1 */
    size_t slice_max; /* images of a worker at most */
    struct ctkd__arena plan;
    char **arenas;     /* [workers] */
    float **gradients; /* [workers][n_values] */
    char **scratch;    /* [workers] */
    size_t scratch_bytes;
    float *packed[2];
    size_t packed_bytes;
    double *norm_doubles;
    float *norm_floats;
    size_t norm_doubles_count, norm_floats_count;

    /* Of the present step. */
    size_t n;
    const float *x;
    float *logits;
    const float *dlogits;
    unsigned *packs;       /* [workers] how often weights were packed: picks the buffer */
    ctkd_status *statuses; /* [workers] */
};

/* The images of a worker in a batch of n: contiguous, as even as can be. */
static inline size_t ctkd__slice_begin(size_t n, size_t workers, size_t worker)
{
    return n * worker / workers;
}

void ctkd__training_op_forward(struct ctkd__training *training, struct ctkd__training_op *op,
                               size_t worker);
void ctkd__training_op_backward(struct ctkd__training *training, struct ctkd__training_op *op,
                                size_t worker);

#endif
