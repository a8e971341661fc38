/*
 * The teacher's part of a step: its logits and taps for the batch. They depend on no weight that
 * moves. So on several ranks, those for the next batch are computed while the gradients of this one
 * are still being summed.
 */
#ifndef CTKD_TRAIN_STEP_TEACHER_H
#define CTKD_TRAIN_STEP_TEACHER_H

#include "train/step.h"
#include "train/step_checks.h"

/* All zeros but the first three at the beginning. */
struct ctkd__step_teacher {
    const struct ctkd__step_args *args;
    float *logits;                             /* [batch][classes] of the last batch */
    struct ctkd__teacher_store_counts *counts; /* [ranks] */

    /* The first pass of the next step: its images, and the number of the first in the batch. n 0:
       none is expected. */
    struct ctkd__batch next;
    size_t next_first;
    /* logits and the teacher's taps are those of this step already. */
    struct {
        bool there;
        uint64_t epoch, step;
        ctkd_error err;
        struct ctkd__teacher_store_counts counts;
    } ahead;
};

/* The logits and taps of a view of the position's batch. A store holds only usual views; counts: of
   the store, if there is one. */
ctkd_status ctkd__step_teacher_answer(struct ctkd__step_teacher *teacher,
                                      struct ctkd__step_position position, ctkd_view view,
                                      struct ctkd__teacher_store_counts *counts, ctkd_error *err);

/* Answers in advance the batch that is expected behind that of `position`, whose own answers are no
   longer needed. An error is that of the step to come. */
void ctkd__step_teacher_look_ahead(struct ctkd__step_teacher *teacher,
                                   struct ctkd__step_position position);

/* Sets the random draws of a forward pass in training mode (dropout): student and teacher, and the
   two views of a step, must not share any. */
void ctkd__step_draws(const struct ctkd__step_args *args, struct ctkd__training *training,
                      bool is_teacher, ctkd_view view, struct ctkd__step_position position);

#endif
