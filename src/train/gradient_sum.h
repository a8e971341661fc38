/*
 * The gradient of a step on several ranks: each rank adds the gradients of its own slices by the
 * tree of dist/sum.h, then the ranks add their sums. When every rank has the same number of slices,
 * a power of two, the result equals that of a single rank bit for bit.
 *
 * The sum is made beside the backward pass. The parameters are divided, from the last one on, into
 * buckets of whole parameters, of about 1 MB or more: the first is soon complete, and the last one,
 * which no backward pass is left to hide, is small. (With the 25 MB of PyTorch's DDP it would be a
 * third of the gradient of a ResNet-18.) Once all slices of the rank have their gradients of a
 * bucket (ctkd__training_report_parts), a thread adds the slices and exchanges the bucket on
 * CTKD__CHANNEL_GRADIENTS. It takes the buckets in order, on all ranks the same, and blocks in each
 * exchange, because message libraries make no progress by themselves. An exchange has at most 256
 * kB, so that the sums of batch norms, which the backward pass waits for, find their way between.
 * The tree is that of each element alone, so neither the buckets nor the thread change a bit.
 * Whoever needs all of the gradient, such as the check that it is finite, clipping by norm and the
 * update, waits in _finish. Until then the teacher answers the next batch (step_teacher.h).
 *
 * Without `overlap`, or where the transport is not concurrent, _finish makes the sum of all
 * parameters on CTKD__CHANNEL_MAIN.
 *
 * With `merge`, several passes make a step: what a rank adds is made of the last one's gradient,
 * bucket by bucket, and of what the caller has kept of the others (step_groups.h).
 */
#ifndef CTKD_TRAIN_GRADIENT_SUM_H
#define CTKD_TRAIN_GRADIENT_SUM_H

#include "dist/sum.h"
#include "nn/compile/training.h"

struct ctkd__gradient_sum_config { /* borrowed until destroy */
    struct ctkd__dist *dist;
    struct ctkd__workers *workers;
    struct ctkd__training *training;
    const struct ctkd__weights *weights; /* the parameters of the program */
    bool overlap;
    size_t bucket_bytes; /* the least size of one; 0: as above */
    /* Makes floats begin to begin + n - 1 of what this rank adds. part [n]: in, the sum of the
       slices, of the parameters among them. It is called in any thread, when the backward pass has
       completed these. NULL: `part` is what it adds. */
    void (*merge)(void *context, size_t begin, size_t n, float *part);
    void *context;
    size_t behind; /* floats that `merge` makes behind the parameters, with the last of these */
};

struct ctkd__gradient_sum;

/* CTKD_EBACKEND: the thread cannot be started. */
ctkd_status ctkd__gradient_sum_create(const struct ctkd__gradient_sum_config *config,
                                      struct ctkd__gradient_sum **out, ctkd_error *err);
/* If an exchange is under way, it waits for its end. */
void ctkd__gradient_sum_destroy(struct ctkd__gradient_sum *sum);

/* With `merge`: the next backward pass is the one to be summed, and the others are not. passes:
   whether this rank makes it; if not, its part is complete now. All ranks call it before they call
   _finish. */
void ctkd__gradient_sum_expect(struct ctkd__gradient_sum *sum, bool passes);
/* Once after each backward pass that has succeeded and is summed, before the next one: waits until
   _values has the sum of its gradients. All ranks call it. */
ctkd_status ctkd__gradient_sum_finish(struct ctkd__gradient_sum *sum, ctkd_error *err);
/* The sum, [n_values + behind]; valid until destroy. It changes from the beginning of a backward
   pass to _finish. */
const float *ctkd__gradient_sum_values(const struct ctkd__gradient_sum *sum);

/* 0: the sum does not overlap with anything. */
size_t ctkd__gradient_sum_buckets(const struct ctkd__gradient_sum *sum);
/* How much longer a pass takes because of the sum, if that of all parameters takes `seconds` and
   its thread does not slow down the workers: by how long, in the passes so far, the workers have
   computed between the completion of each bucket and _finish. */
double ctkd__gradient_sum_exposed(const struct ctkd__gradient_sum *sum, double seconds);

#endif
