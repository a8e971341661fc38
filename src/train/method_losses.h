/*
 * The methods of a run in one stage: collects the maps that they read of a step, evaluates their
 * losses, and passes the gradients on to the training program.
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

/* Everything in args is borrowed until destroy. The methods' state belongs to the run, not to this
   object: see _state. CTKD_EUNSUPPORTED: a method reads the teacher's classifier, whose classes are
   not those of the data in their order. */
ctkd_status ctkd__method_losses_create(const struct ctkd__method_losses_args *args,
                                       struct ctkd__method_losses **out, ctkd_error *err);
void ctkd__method_losses_destroy(struct ctkd__method_losses *losses);

/* How many floats the methods keep between steps. The caller owns them, as part of the state of the
   run. */
size_t ctkd__method_losses_state(const struct ctkd__method_losses *losses);
/* Fills them for a new run. */
void ctkd__method_losses_state_init(const struct ctkd__method_losses *losses, float *state);

/* Gives the training program the teacher's taps that adaptors take as inputs. Call it between the
   forward passes of teacher and student. */
void ctkd__method_losses_give_inputs(const struct ctkd__method_losses *losses);

/* The inputs and outputs of the methods in one step. */
struct ctkd__method_losses_step {
    const struct ctkd__batch *batch;
    const float *s, *t, *tau;
    size_t n_tau;
    uint64_t step; /* of the run, counted from 0 */
    ctkd_view view;
    double warmup_factor;            /* of the weights, in (0, 1]: method.warmup_epochs */
    float *state;                    /* [ctkd__method_losses_state] */
    float *ds, *dtau;                /* added to; NULL in an initial stage */
    float losses[CTKD__METHODS_MAX]; /* out, unweighted; NaN where a method has none in the stage */
    double loss;                     /* out, their weighted sum; in an initial stage unweighted */
    size_t failed; /* out, on an error: index of the method that failed; CTKD__METHODS_MAX: an
                      exchange did */
};

/* sum += weight * part, of n values. */
void ctkd__add_scaled(size_t n, float weight, const float *restrict part, float *restrict sum);

/* With several ranks: gathers the maps of the step's methods that compare images (all but those
   with CTKD_BY_PARTS), so that every rank has those of all images and _evaluate computes the same
   everywhere. All ranks call it, after the forward passes and before _evaluate. Does nothing with
   one rank. */
ctkd_status ctkd__method_losses_share(struct ctkd__method_losses *losses,
                                      const struct ctkd__method_losses_step *step, ctkd_error *err);

/* Evaluates every method of the stage, after the forward passes, and hands the gradients of its
   maps to the training program. All ranks call it: methods with CTKD_BY_PARTS compute the rows of
   their rank and exchange terms of their sum. An error is that of method `failed`; CTKD_ENAN: its
   loss is not finite. Only a failed exchange fills err. Allocates nothing. */
ctkd_status ctkd__method_losses_evaluate(struct ctkd__method_losses *losses,
                                         struct ctkd__method_losses_step *step, ctkd_error *err);

#endif
