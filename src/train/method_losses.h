/*
 * The methods of a run at work in one stage: what they read of a step, their state, their losses
 * and where the gradients go.
 */
#ifndef CTKD_TRAIN_METHOD_LOSSES_H
#define CTKD_TRAIN_METHOD_LOSSES_H

#include "data/loader.h"
#include "nn/compile/training.h"
#include "train/adaptors.h"
#include "train/teacher.h"

struct ctkd__method_losses_args {
    const struct ctkd__methods *methods;
    const struct ctkd__adaptors *adaptors;
    unsigned stage;                  /* one CTKD_STAGE_* */
    struct ctkd__training *training; /* compiled with the stage's outputs */
    struct ctkd__teacher *teacher;
    struct ctkd__dist *dist;           /* NULL: one rank */
    const struct ctkd__loader *loader; /* of the training images */
    const int32_t *labels;             /* of the data set's training part */
    struct ctkd__workers *workers;
    struct ctkd__profile *profile; /* or NULL */
    size_t batch, classes;
    uint64_t seed;
};

struct ctkd__method_losses;

/* Everything in args is borrowed until destroy. The state of methods is not part of it: see _state.
 */
ctkd_status ctkd__method_losses_create(const struct ctkd__method_losses_args *args,
                                       struct ctkd__method_losses **out, ctkd_error *err);
void ctkd__method_losses_destroy(struct ctkd__method_losses *losses);

/* Values that the methods keep between steps, which belong to the state of the run. */
size_t ctkd__method_losses_state(const struct ctkd__method_losses *losses);
/* Fills them for a new run. */
void ctkd__method_losses_state_init(const struct ctkd__method_losses *losses, float *state);

/* Gives the training program what it needs of the teacher's taps, before its forward pass. */
void ctkd__method_losses_give_inputs(const struct ctkd__method_losses *losses);

/* What the methods of a step are given and add to. */
struct ctkd__method_losses_step {
    const struct ctkd__batch *batch;
    const float *s, *t, *tau;
    size_t n_tau;
    uint64_t step; /* of the run, counted from 0 */
    ctkd_view view;
    double warmup_factor;            /* factor of the weights: method.warmup_epochs */
    float *state;                    /* of ctkd__method_losses_state values */
    float *ds, *dtau;                /* added to; NULL in an initial stage */
    float losses[CTKD__METHODS_MAX]; /* out, unweighted; NaN where a method has none in the stage */
    double loss;                     /* out, their weighted sum; in an initial stage unweighted */
    size_t failed;                   /* the method whose status is returned */
};

/* sum += weight * part, of n values. */
void ctkd__add_scaled(size_t n, float weight, const float *restrict part, float *restrict sum);

/* With several ranks: what the step's methods read, of the images of all. All ranks call it, after
   the forward passes and before _evaluate, which then has the same values on each. */
ctkd_status ctkd__method_losses_share(struct ctkd__method_losses *losses,
                                      const struct ctkd__method_losses_step *step, ctkd_error *err);

/* Evaluates every method of the stage after the forward passes and hands the gradients on maps to
   the training program. The status is that of the method `failed`. Allocates nothing. */
ctkd_status ctkd__method_losses_evaluate(struct ctkd__method_losses *losses,
                                         struct ctkd__method_losses_step *step);

#endif
