/*
 * What an instruction is: how a program lays out its values, and what it computes in one worker.
 * There is one definition per word of CTKD__INSTRUCTION_LIST, in a file of src/nn/ops. Programs
 * know nothing else about instructions except how batch norms and ReLUs are fused (program.c).
 */
#ifndef CTKD_NN_INSTRUCTIONS_H
#define CTKD_NN_INSTRUCTIONS_H

#include "nn/compile/lowering.h"
#include "nn/weights.h"
#include "util/batch_images.h"

/* What an instruction sees in one worker: some images of the batch, and their part of the
   memory. */
struct ctkd__worker_view {
    const struct ctkd__lowering *lowering;
    const struct ctkd__lowered *op;
    size_t worker, first, n;          /* its images */
    size_t slice;                     /* training: of the batch, when the images are those of one */
    size_t skipped;                   /* images of the worker before the first */
    struct ctkd__batch_images images; /* of all workers, plain */
    float *logits;                    /* of all workers */
    float *const *outputs;            /* of all workers, plain; NULL: not asked for */
    const struct ctkd__pointwise_kernels *kernels;
    const struct ctkd__feature_kernels *features;
    struct ctkd__training *training; /* NULL in an inference program */
};

/* What the backward pass reads besides the gradient of y: these values are kept until then. */
enum {
    CTKD__READS_NOTHING = 1,
    CTKD__READS_X = 2,
    CTKD__READS_RESIDUAL = 4,
    CTKD__READS_Y = 8,
};

/* Where the gradient of x may lie. dy: behind the ReLU, where there is one. */
enum ctkd__dx_place {
    CTKD__DX_APART = 1, /* not in place of dy, whose values are read again */
    CTKD__DX_IN_PLACE,  /* in place of dy: each value of dx depends on one of dy alone */
    CTKD__DX_IS_DY      /* it is dy itself, shared until something is added */
};

struct ctkd__instruction_def {
    const char *text; /* in profiles */
    unsigned backward_reads;
    unsigned (*backward_reads_of)(const struct ctkd__lowered *op); /* where it depends; or NULL */
    enum ctkd__dx_place dx;
    bool adds_residual; /* y may take the place of the residual, whose gradient is dy */
    bool keeps_index;   /* the forward pass leaves a byte per value for the backward pass */

    /* Maps that do not depend on the batch; NULL: none. CTKD_ENOMEM. */
    ctkd_status (*create_maps)(const struct ctkd__lowering *lowering, struct ctkd__lowered *op);
    /* Of a training program: one call for each slice. With `meets` one call for each worker, of all
       its images: it meets the others between its slices. */
    bool meets;
    void (*forward)(const struct ctkd__worker_view *v);
    void (*backward)(const struct ctkd__worker_view *v);
    void (*infer)(const struct ctkd__worker_view *v); /* the forward pass of an inference program */

    /* Inference: `constants` sets the bytes of weights, bias and scale, which are 0 before; `load`
       computes them from the weights, with `folded` as memory for the flat weights of a
       convolution. NULL: it has no constants. */
    void (*constants)(const struct ctkd__lowering *lowering, const struct ctkd__lowered *op,
                      size_t bytes[3]);
    void (*load)(const struct ctkd__lowering *lowering, const struct ctkd__lowered *op,
                 const struct ctkd__weights *weights, float *folded);
};

#define CTKD__INSTRUCTION_EXTERN(kind, name)                                                       \
    extern const struct ctkd__instruction_def ctkd__instruction_##name;
CTKD__INSTRUCTION_LIST(CTKD__INSTRUCTION_EXTERN)
#undef CTKD__INSTRUCTION_EXTERN

const struct ctkd__instruction_def *ctkd__instruction_def(enum ctkd__instruction_kind kind);

static inline unsigned ctkd__backward_reads(const struct ctkd__lowered *op)
{
    return op->def->backward_reads_of ? op->def->backward_reads_of(op) : op->def->backward_reads;
}

/* --- for the definitions */

static inline void *ctkd__view_buffer(const struct ctkd__worker_view *v, int buffer)
{
    if (buffer == CTKD__NO_BUFFER)
        return NULL;
    const struct ctkd__buffer *const b = &v->lowering->plan.buffers[buffer];
    return v->lowering->arenas[v->worker] + b->offset + v->skipped * b->image_bytes;
}

/* The view's images, plain; bytes become floats in `buffer`, one of op->images. op_border.c */
const float *ctkd__view_images(const struct ctkd__worker_view *v, int buffer);

static inline const float *ctkd__view_x(const struct ctkd__worker_view *v)
{
    return v->op->x != CTKD__NO_BUFFER ? ctkd__view_buffer(v, v->op->x)
                                       : ctkd__view_images(v, v->op->images[0]);
}

/* x in the backward pass, for instructions that may read images. */
static inline const float *ctkd__view_x_again(const struct ctkd__worker_view *v)
{
    return v->op->x != CTKD__NO_BUFFER ? ctkd__view_buffer(v, v->op->x)
                                       : ctkd__view_images(v, v->op->images[1]);
}

static inline const float *ctkd__view_residual(const struct ctkd__worker_view *v)
{
    return ctkd__view_buffer(v, v->op->residual);
}

static inline float *ctkd__view_y(const struct ctkd__worker_view *v)
{
    return ctkd__view_buffer(v, v->op->y);
}

static inline const float *ctkd__view_dy(const struct ctkd__worker_view *v)
{
    return ctkd__view_buffer(v, v->op->dy);
}

static inline void *ctkd__view_scratch(const struct ctkd__worker_view *v)
{
    return v->lowering->scratch[v->worker];
}

static inline struct ctkd__extent ctkd__view_in_extent(const struct ctkd__worker_view *v)
{
    return (struct ctkd__extent){ v->n, v->op->in_blocks, v->op->in_hw };
}

static inline struct ctkd__extent ctkd__view_out_extent(const struct ctkd__worker_view *v)
{
    return (struct ctkd__extent){ v->n, v->op->out_blocks, v->op->out_hw };
}

/* Waits for the other workers. */
static inline void ctkd__view_meet(const struct ctkd__worker_view *v)
{
    ctkd__workers_barrier(v->lowering->workers);
}

/* A parameter of a node in the flat blocks of the weights; NULL: it has none. */
static inline const float *ctkd__node_parameter(const struct ctkd__weights *weights,
                                                const struct ctkd__node *node, enum ctkd__role role)
{
    const int index = node->parameters[role];
    if (index < 0)
        return NULL;
    const bool buffer = role == CTKD__ROLE_MEAN || role == CTKD__ROLE_VARIANCE;
    return (buffer ? weights->buffers : weights->values) + weights->offsets[index];
}

/* Inference: batch norm `norm` is scale * x + shift in channel c. op_batch_norm.c */
void ctkd__norm_affine(const struct ctkd__weights *weights, const struct ctkd__node *norm, size_t c,
                       double *scale, double *shift);

/* Floats of the flat weights of a convolution. op_conv.c */
size_t ctkd__lowered_flat_floats(const struct ctkd__lowering *lowering,
                                 const struct ctkd__lowered *op);

/* Adds what is in buffer `masked` to the gradient of an operand of a sum; nothing where it is the
   same buffer, shared. op_add.c */
void ctkd__view_add_gradient(const struct ctkd__worker_view *v, struct ctkd__gradient gradient,
                             int masked);

#endif
