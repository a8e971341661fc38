/*
 * The methods of a run at work in one stage: what they read of a step, their memory, their losses
 * and where the gradients go.
 */
#ifndef CTKD_TRAIN_TERMS_H
#define CTKD_TRAIN_TERMS_H

#include "data/loader.h"
#include "nn/compile/training.h"
#include "train/adaptors.h"
#include "train/teacher.h"

struct ctkd__terms_args {
    const struct ctkd__methods *methods;
    const struct ctkd__adaptors *adaptors;
    unsigned stage;                  /* one CTKD_STAGE_* */
    struct ctkd__training *training; /* compiled with the stage's outputs */
    struct ctkd__teacher *teacher;
    const struct ctkd__loader *loader; /* of the training images */
    const int32_t *labels;             /* of the data set's training part */
    struct ctkd__workers *workers;
    struct ctkd__profile *profile; /* or NULL */
    size_t batch, classes;
    uint64_t seed;
};

struct ctkd__terms;

/* Everything in args is borrowed until destroy. Memory of methods is not part of it: see _memory.
 */
ctkd_status ctkd__terms_create(const struct ctkd__terms_args *args, struct ctkd__terms **out,
                               ctkd_error *err);
void ctkd__terms_destroy(struct ctkd__terms *terms);

/* Values that the methods keep between steps, which belong to the state of the run. */
size_t ctkd__terms_memory(const struct ctkd__terms *terms);
/* Fills them for a new run. */
void ctkd__terms_memory_init(const struct ctkd__terms *terms, float *memory);

/* Gives the training program what it needs of the teacher's answer; before its forward pass. */
void ctkd__terms_enter(const struct ctkd__terms *terms);

/* What the methods of a step are given and add to. */
struct ctkd__terms_step {
    const struct ctkd__batch *batch;
    const float *s, *t, *tau;
    size_t n_tau;
    uint64_t step; /* of the run, counted from 0 */
    ctkd_view view;
    double grown;                    /* factor of the weights: method.warmup_epochs */
    float *memory;                   /* of ctkd__terms_memory values */
    float *ds, *dtau;                /* added to; NULL in an initial stage */
    float losses[CTKD__METHODS_MAX]; /* out, unweighted; NaN where a method has none in the stage */
    double loss;                     /* out, their weighted sum; in an initial stage unweighted */
    size_t failed;                   /* the method whose status is returned */
};

/* sum += weight * part, of n values. */
void ctkd__add_scaled(size_t n, float weight, const float *restrict part, float *restrict sum);

/* Evaluates every method of the stage after the forward passes and hands the gradients on maps to
   the training program. The status is that of the method `failed`. Allocates nothing. */
ctkd_status ctkd__terms_evaluate(struct ctkd__terms *terms, struct ctkd__terms_step *step);

#endif
