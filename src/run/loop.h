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
    /* Looked at after every step; NULL: never stopped. Set where another rank was asked to stop. */
    volatile sig_atomic_t *stop;
    /* Posted when the process must end at once: the state behind the last completed step is saved
       while the next one is under way, and `leave` ends the process, in another thread. NULL: the
       step is finished first; so it is where a method has a memory, which moves within a step. */
    sem_t *now;
    void (*leave)(const ctkd_error *err);
    double began;   /* ctkd__clock_seconds when train.max_minutes began */
    bool resumed;   /* session->state is that of the last checkpoint */
    FILE *progress; /* one live line on a terminal, else one line an epoch; NULL: none */
};

/*
 * Continues from session->state until the epochs are done or train.max_steps is reached. Saves a
 * checkpoint at the start, after every epoch and every train.checkpoint_every steps. When *stop is
 * set (and `now` was not posted), or train.max_minutes are nearly over, it finishes the step,
 * saves the checkpoint, last.safetensors and summary.json and returns CTKD_EINTERRUPTED; the
 * message tells how to go on.
 */
ctkd_status ctkd__loop_run(const struct ctkd__loop *loop, ctkd_error *err);

#endif
