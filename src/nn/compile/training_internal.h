/* The inner structure of a training program, for the files that compile it and for the
   instructions. */
#ifndef CTKD_NN_TRAINING_INTERNAL_H
#define CTKD_NN_TRAINING_INTERNAL_H

#include "nn/compile/instructions.h"
#include "nn/compile/training.h"
#include "util/slice.h"

struct ctkd__training {
    struct ctkd__lowering lowering;
    struct ctkd__weights *weights;
    struct ctkd__training_config config;
    size_t slices;                  /* of a batch: a multiple of the workers of all ranks */
    size_t first_slice, own_slices; /* of this rank */
    ctkd_error exchange;            /* the failure of an exchange between ranks in this pass */
    float **gradients;              /* [own_slices][n_values] */
    float *packed[2];               /* convolutions' weights, alternating */
    size_t packed_bytes;
    double *norm_doubles;
    float *norm_floats;
    size_t norm_doubles_count, norm_floats_count;

    int *outputs;              /* [n_outputs] nodes; the config's own array is not kept */
    bool *needs_gradient;      /* [nodes] whether something before or at the node is trained */
    float **output_values;     /* [n_outputs] plain, of the last forward; NULL: a parameter */
    const float **doutputs;    /* [n_outputs] the caller's, plain */
    const float **side_inputs; /* [nodes] the caller's, plain */
    float **dside_inputs;      /* [nodes] plain; NULL: not asked for */

    struct ctkd__draws {
        uint64_t seed, major;
        size_t first; /* the batch's number of image 0 */
    } draws;

    struct ctkd__part *parts; /* [n_parts]; 0: nobody asks (training_parts.c) */
    size_t n_parts;
    void (*part_complete)(void *context, size_t part);
    void *part_context;

    float *moments; /* the caller's, which statistics are kept in; NULL: they move at once */

    /* Of the present batch. */
    size_t n;
    struct ctkd__batch_images x;
    float *logits;
    const float *dlogits;
    unsigned *packs; /* [workers] how often weights were packed: picks the buffer */
};

/* training_plan.c: buffers and the paths of the gradients; false when memory is short. */
bool ctkd__training_plan(struct ctkd__training *training);

/* training_outputs.c: memory of outputs and side inputs, and what the caller must have given. */
ctkd_status ctkd__training_outputs_create(struct ctkd__training *training, ctkd_error *err);
void ctkd__training_outputs_destroy(struct ctkd__training *training);
ctkd_status ctkd__training_outputs_check(const struct ctkd__training *training, ctkd_error *err);
void ctkd__training_outputs_forget(struct ctkd__training *training);
/* Gradients of parameters that are read as outputs, in slice 0. */
void ctkd__training_parameter_gradients(struct ctkd__training *training);
size_t ctkd__training_outputs_bytes(const struct ctkd__training *training);

/* In a worker's backward pass: it is past `instruction`, or, with the program's count, at the
   beginning, or, with -1, at the end. part: of the worker, 0 at the beginning. training_parts.c */
void ctkd__training_pass_instruction(struct ctkd__training *training, int instruction,
                                     size_t *part);

/* --- for the instructions */

/* The slices of a worker. */
static inline size_t ctkd__worker_slices(const struct ctkd__training *training)
{
    return training->own_slices / ctkd__lowering_workers(&training->lowering);
}

/* The view of all images of a worker; view.slice is its first slice, which is the right one for a
   worker that has only one. */
static inline struct ctkd__worker_view
ctkd__view_of_worker(struct ctkd__training *training, const struct ctkd__lowered *op, size_t worker)
{
    const size_t count = ctkd__worker_slices(training), all = training->slices;
    const size_t slice = training->first_slice + worker * count;
    const size_t first = ctkd__slice_begin(training->n, all, slice);
    const struct ctkd__kernels *const kernels = training->lowering.kernels;
    return (struct ctkd__worker_view){ .lowering = &training->lowering,
                                       .op = op,
                                       .worker = worker,
                                       .first = first,
                                       .n = ctkd__slice_begin(training->n, all, slice + count) -
                                            first,
                                       .slice = slice,
                                       .images = training->x,
                                       .logits = training->logits,
                                       .outputs = training->output_values,
                                       .kernels = kernels->pointwise,
                                       .features = kernels->features,
                                       .training = training };
}

/* Slice i of a worker's slices: the part of its view `all`. */
static inline struct ctkd__worker_view ctkd__view_of_slice(const struct ctkd__worker_view *all,
                                                           size_t i)
{
    const struct ctkd__training *const training = all->training;
    struct ctkd__worker_view v = *all;
    v.slice = all->slice + i;
    v.first = ctkd__slice_begin(training->n, training->slices, v.slice);
    v.n = ctkd__slice_begin(training->n, training->slices, v.slice + 1) - v.first;
    v.skipped = v.first - all->first;
    return v;
}

/* The place of a parameter in a block that is laid out as the weights' values or buffers; NULL: the
   node has none. */
static inline float *ctkd__view_part(const struct ctkd__worker_view *v, enum ctkd__role role,
                                     float *block)
{
    const int index = v->op->node->parameters[role];
    return index < 0 ? NULL : block + v->training->weights->offsets[index];
}

static inline float *ctkd__view_parameter(const struct ctkd__worker_view *v, enum ctkd__role role)
{
    return ctkd__view_part(v, role, v->training->weights->values);
}

static inline float *ctkd__view_gradient(const struct ctkd__worker_view *v, enum ctkd__role role)
{
    struct ctkd__training *const t = v->training;
    return ctkd__view_part(v, role, t->gradients[v->slice - t->first_slice]);
}

/* Waits for the other workers of this rank. After it `sums`, of which every slice has `row_bytes`,
   is complete for all slices, including those of other ranks. training.c */
void ctkd__view_share_sums(const struct ctkd__worker_view *v, void *sums, size_t row_bytes);

/* The batch norm of `op` as the last forward pass had it. op_batch_norm.c */
struct ctkd__affine ctkd__norm_batch_affine(const struct ctkd__training *training,
                                            const struct ctkd__lowered *op, size_t worker);

#endif
