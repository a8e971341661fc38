/* The epochs of a run: steps, evaluation, log, weights, progress. */
#ifndef CTKD_RUN_LOOP_H
#define CTKD_RUN_LOOP_H

#include <semaphore.h>
#include <signal.h>

#include "run/run.h"
#include "train/session.h"

struct ctkd__loop {
    struct ctkd__session *session;
    struct ctkd__run *run;                     /* NULL: another rank writes it */
    const char *command;                       /* for the summary: "train" or "distill" */
    const struct ctkd__scores *teacher_scores; /* NULL without a teacher */
    /* The number of the signal that asks to stop, or 0; read after every step. Set here if another
       rank was asked to stop. NULL: never stopped. */
    volatile sig_atomic_t *stop;
    /* Posted when the process must end at once: another thread then saves the state after the last
       completed step while the next one is being computed, and calls `leave`, which ends the
       process. NULL: the current step is finished first. It is also finished first where a method
       keeps state, because that changes within a step. */
    sem_t *now;
    void (*leave)(struct ctkd__dist *dist, const ctkd_error *err);
    double began;   /* ctkd__clock_seconds when train.max_minutes began */
    bool resumed;   /* session->state was loaded from a checkpoint */
    FILE *progress; /* one live line on a terminal, else one line an epoch; NULL: none */
};

/*
 * Continues from session->state until the epochs are done, train.patience has run out or
 * train.max_steps is reached, then writes summary.json and evaluation.json. Saves a checkpoint at
 * the start (unless resumed), after every epoch and every train.checkpoint_every steps. When *stop
 * is set (and `now` was not posted), or train.max_minutes is nearly over, it finishes the step,
 * saves the checkpoint, last.safetensors and summary.json and returns CTKD_EINTERRUPTED; the
 * message says how to resume. With several ranks all call it.
 */
ctkd_status ctkd__loop_run(const struct ctkd__loop *loop, ctkd_error *err);

#endif
