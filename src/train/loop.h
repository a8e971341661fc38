/* The epochs of a run: steps, evaluation, log, weights, progress. */
#ifndef CTKD_TRAIN_LOOP_H
#define CTKD_TRAIN_LOOP_H

#include <signal.h>

#include "train/run.h"
#include "train/session.h"

struct ctkd__loop {
    struct ctkd__session *session;
    struct ctkd__run *run;
    const char *command;                     /* for the summary: "train" or "distill" */
    const struct ctkd__score *teacher_score; /* NULL without a teacher */
    const volatile sig_atomic_t *stop;       /* looked at after every step; NULL: never stopped */
    FILE *progress; /* one live line on a terminal, else one line an epoch; NULL: none */
};

/* Goes on from session->state until the epochs are done or train.max_steps is reached. When *stop
   is set it finishes the step, saves last.safetensors and summary.json and returns
   CTKD_EINTERRUPTED. */
ctkd_status ctkd__loop_run(const struct ctkd__loop *loop, ctkd_error *err);

#endif
