/*
 * One training step, in this order: teacher, student, cross-entropy, temperature, the teacher's
 * losses, backward, SGD. All computations of distillation come from libctkd through its public
 * headers. Without a teacher there is only the cross-entropy; in an initial stage there are only
 * the methods' losses.
 */
#ifndef CTKD_TRAIN_STEP_H
#define CTKD_TRAIN_STEP_H

#include "train/method_losses.h"
#include "train/state.h"
#include "train/teacher_store.h"

struct ctkd__step_args {
    const struct ctkd__config *config;
    unsigned stage;                  /* CTKD_STAGE_INITIAL or CTKD_STAGE_MAIN */
    struct ctkd__training *training; /* of that stage */
    struct ctkd__dist *dist;         /* the ranks that share every pass; NULL: it is of one */
    struct ctkd__dist *groups_dist;  /* the ranks that divide the groups of a batch; or NULL */
    size_t slices;                   /* of a batch, on all ranks; 0: one for each worker */
    struct ctkd__workers *workers;
    struct ctkd__profile *profile;   /* or NULL */
    struct ctkd__run_state *state;   /* weights, velocities and temperature are moved */
    const unsigned char *trained_in; /* as ctkd__adaptors.trained_in; NULL: all are trained */
    struct ctkd__teacher *teacher;   /* NULL: cross-entropy alone, with weight 1 */
    struct ctkd__teacher_store *const *store;  /* of the teacher's logits; *store may be NULL */
    const bool *any_store;                     /* whether any rank has one */
    const struct ctkd__methods *methods;       /* with a teacher */
    struct ctkd__method_losses *method_losses; /* NULL: no method */
    size_t classes;
    size_t image_floats; /* of the batches: channels x height x width */
};

/* What a step measured. A value that the step does not have is NaN: loss_kd and tau without a
   teacher, loss_method without a method, loss_ce, loss_kd and tau in an initial stage. tau is the
   one used in this step, before its update. */
struct ctkd__step_report {
    float loss, loss_ce, loss_kd; /* total; unweighted parts */
    float loss_method; /* unweighted when there is one method, else the weighted sum of all */
    float losses[CTKD__METHODS_MAX]; /* of each method, unweighted */
    float tau_mean, tau_min, tau_max;
    float tau_gradient; /* dL/dtau, summed over the batch, not reversed */
    /* L2 norms of the weighted parts' gradients on the student's logits: their balance. Of the
       first step only; NaN in the others. */
    float gradient_ce, gradient_kd, gradient_method;
    float lambda, lr; /* reversal strength; the student's learning rate */
    size_t correct;   /* images whose label ranks first, in the usual view */
    struct ctkd__teacher_store_counts teacher; /* with a store: where the logits of all ranks came
                                                  from */
};

struct ctkd__training_step;

/* Everything in args is borrowed until destroy. */
ctkd_status ctkd__step_create(const struct ctkd__step_args *args, struct ctkd__training_step **out,
                              ctkd_error *err);
void ctkd__step_destroy(struct ctkd__training_step *step);

/* Creates the temperature module of a configuration, for the run's state; the caller owns it. */
ctkd_status ctkd__step_temperature(const struct ctkd__config *config, size_t classes,
                                   ctkd_temperature **out, ctkd_error *err);

/*
 * Runs one step: _gradients, then _update.
 *
 * @param epoch      counted from 1
 * @param lr_factor  ctkd__schedule_factor: scales each parameter group's base learning rate
 *
 * CTKD_ENAN: a logit, a loss, tau or a gradient is not finite; the message names it with the epoch,
 * the step within it and the samples. No parameter has changed then, but running statistics have.
 * Allocates nothing.
 */
ctkd_status ctkd__step_run(struct ctkd__training_step *step, const struct ctkd__batch *batch,
                           uint64_t epoch, double lr_factor, struct ctkd__step_report *report,
                           ctkd_error *err);

/* The two halves of a step. _gradients changes only running statistics, the counts of temperatures
   and the state of methods; _update changes the parameters and velocities. n: images of the batch,
   for the profile. */
ctkd_status ctkd__step_gradients(struct ctkd__training_step *step, const struct ctkd__batch *batch,
                                 uint64_t epoch, double lr_factor, struct ctkd__step_report *report,
                                 ctkd_error *err);
void ctkd__step_update(struct ctkd__training_step *step, size_t n, double lr_factor);

/* Before _gradients: the batch of the step after it, as ctkd__session_peek gives it, which must
   stay valid until that step; n 0: none. The teacher answers it while the sum over the ranks is
   completed. All ranks call it alike. */
void ctkd__step_expect(struct ctkd__training_step *step, struct ctkd__batch next);

/* With several ranks, the parts in which the gradients are summed beside the backward pass; 0: they
   are summed behind it. */
size_t ctkd__step_buckets(const struct ctkd__training_step *step);
/* With several ranks, how long a backward pass waits for the sum of the gradients, if that takes
   `seconds` (gradient_sum.h). */
double ctkd__step_exposed(const struct ctkd__training_step *step, double seconds);

/* A report with only the learning rate and lambda, before anything is measured. */
ctkd_status ctkd__step_begin(const struct ctkd__training_step *step, uint64_t epoch,
                             double lr_factor, struct ctkd__step_report *report, ctkd_error *err);

/* The gradient of the strong view in the last step, in the layout of the weights' block; the
   training program has that of the usual view. NULL with one view and with batch-norm groups. For
   tests. */
const float *ctkd__step_strong_gradient(const struct ctkd__training_step *step);

/* Reversal strength of an epoch, counted from 1. */
ctkd_status ctkd__step_lambda(const struct ctkd__config *config, uint64_t epoch, float *lambda);

#endif
