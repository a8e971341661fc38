/* An instruction of a training program as one worker sees it: its slice of the batch and of the
 * memory. */
#ifndef CTKD_NN_TRAINING_VIEW_H
#define CTKD_NN_TRAINING_VIEW_H

#include "nn/compile/training_ops.h"

/* What a worker sees in an instruction. */
struct ctkd__view {
    struct ctkd__training *training;
    const struct ctkd__training_op *op;
    size_t worker, first, n; /* its slice */
    const struct ctkd__pointwise_kernels *kernels;
    const struct ctkd__feature_kernels *features;
};

static inline struct ctkd__view ctkd__view_of_worker(struct ctkd__training *training,
                                                     const struct ctkd__training_op *op,
                                                     size_t worker)
{
    const size_t workers = ctkd__workers_count(training->config.workers);
    const size_t first = ctkd__slice_begin(training->n, workers, worker);
    return (struct ctkd__view){ training,
                                op,
                                worker,
                                first,
                                ctkd__slice_begin(training->n, workers, worker + 1) - first,
                                training->config.kernels->pointwise,
                                training->config.kernels->features };
}

static inline void *ctkd__view_buffer(const struct ctkd__view *v, int buffer)
{
    return buffer == CTKD__NO_BUFFER
               ? NULL
               : v->training->arenas[v->worker] + v->training->plan.buffers[buffer].offset;
}

static inline const float *ctkd__view_input(const struct ctkd__view *v)
{
    if (v->op->x != CTKD__NO_BUFFER)
        return ctkd__view_buffer(v, v->op->x);
    const struct ctkd__node *const node = &v->training->graph->nodes[v->op->instruction.input];
    return v->training->x + v->first * node->c * node->h * node->w;
}

static inline float *ctkd__view_part(const struct ctkd__view *v, enum ctkd__role role, float *block)
{
    const int index = v->op->node->parameters[role];
    return index < 0 ? NULL : block + v->training->weights->offsets[index];
}

static inline float *ctkd__view_parameter(const struct ctkd__view *v, enum ctkd__role role)
{
    return ctkd__view_part(v, role, v->training->weights->values);
}

static inline float *ctkd__view_gradient(const struct ctkd__view *v, enum ctkd__role role)
{
    return ctkd__view_part(v, role, v->training->gradients[v->worker]);
}

static inline struct ctkd__extent ctkd__view_in_extent(const struct ctkd__view *v)
{
    return (struct ctkd__extent){ v->n, v->op->in_blocks, v->op->in_hw };
}

static inline struct ctkd__extent ctkd__view_out_extent(const struct ctkd__view *v)
{
    return (struct ctkd__extent){ v->n, v->op->out_blocks, v->op->out_hw };
}

static inline void ctkd__view_meet(const struct ctkd__view *v)
{
    ctkd__workers_meet(v->training->config.workers);
}

/* An instruction's forward and backward. */
struct ctkd__passes {
    void (*forward)(const struct ctkd__view *v);
    void (*backward)(const struct ctkd__view *v);
};

/* training_features.c: of the kinds from CTKD__INSTRUCTION_INPUT on, but for TRANSPOSED_CONV; NULL
   for others. */
const struct ctkd__passes *ctkd__feature_passes(enum ctkd__instruction_kind kind);

#endif
