/* The instructions of a training program: what each needs, and its forward and backward in one
 * worker. */
#ifndef CTKD_NN_TRAINING_OPS_H
#define CTKD_NN_TRAINING_OPS_H

#include "nn/arena.h"
#include "nn/compile/maps.h"
#include "nn/compile/program.h"
#include "nn/compile/training.h"
#include "nn/conv/conv.h"

enum { CTKD__NO_BUFFER = -1 };

/* A gradient that an instruction writes: out = base + contribution; base may be none or out itself.
 */
struct ctkd__gradient {
    int out, base;
};

struct ctkd__training_op {
    struct ctkd__instruction instruction;
    const struct ctkd__node *node;
    size_t in_blocks, in_hw, out_blocks, out_hw;   /* extents, blocked */
    size_t in_floats, out_floats, residual_floats; /* of an image */
    bool has_backward; /* a gradient reaches it, and goes on or trains something */
    bool is_logits;

    /* Buffers of the workers' arenas. x is CTKD__NO_BUFFER for images that are read as they are. */
    int x, residual, y;
    int index;                    /* MAX_POOL: winners, a byte each */
    int dy, masked;               /* gradient of y; NORM, ADD: behind the ReLU's mask */
    struct ctkd__gradient dx, dr; /* of the input and of the residual */

    /* CONV: an implementation per direction; packed weights alternate between two shared buffers.
       TRANSPOSED_CONV: of the convolution that it transposes, whose output is its input. */
    struct ctkd__conv *conv[3];
    const struct ctkd__training_op *prologue; /* the NORM that this conv applies while it reads x */

    /* NORM: doubles [workers][2 C] of both passes, floats [workers][7 C]; virtual: y is never
     * stored. */
    double *forward_sums, *backward_sums;
    float *coefficients;
    bool virtual_output;

    struct ctkd__channel_plan channels, dchannels[2]; /* CHANNELS: forward, towards each operand */
    struct ctkd__windows windows;                     /* AVERAGE */

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

    int *outputs;              /* [n_outputs] nodes; the config's own array is not kept */
    bool *needs_gradient;      /* [nodes] something before or at the node is trained */
    float **output_values;     /* [n_outputs] plain, of the last forward; NULL: a parameter */
    const float **doutputs;    /* [n_outputs] the caller's, plain */
    const float **side_inputs; /* [nodes] the caller's, plain */
    float **dside_inputs;      /* [nodes] plain; NULL: not asked for */

    /* Of the present batch. */
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

/* training_plan.c: buffers and the paths of the gradients; false when memory is short. */
bool ctkd__training_plan(struct ctkd__training *training);

/* training_outputs.c: memory of outputs and side inputs, and what the caller must have given. */
ctkd_status ctkd__training_outputs_create(struct ctkd__training *training, ctkd_error *err);
void ctkd__training_outputs_destroy(struct ctkd__training *training);
ctkd_status ctkd__training_outputs_check(const struct ctkd__training *training, ctkd_error *err);
void ctkd__training_outputs_forget(struct ctkd__training *training);
/* Gradients of parameters that are read as outputs, in worker 0's slice. */
void ctkd__training_parameter_gradients(struct ctkd__training *training);
size_t ctkd__training_outputs_bytes(const struct ctkd__training *training);

void ctkd__training_op_forward(struct ctkd__training *training, struct ctkd__training_op *op,
                               size_t worker);
void ctkd__training_op_backward(struct ctkd__training *training, struct ctkd__training_op *op,
                                size_t worker);

#endif
