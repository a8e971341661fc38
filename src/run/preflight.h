/*
 * Checks for what can be wrong with a run, before it has cost any time. `ctkd doctor` prints every
 * finding; a run prints only the problems and the findings marked `said`. Each problem is one line
 * that says what to do; none of them stops a run.
 */
#ifndef CTKD_RUN_PREFLIGHT_H
#define CTKD_RUN_PREFLIGHT_H

#include "train/session.h"

enum { CTKD__FINDINGS_MAX = 24 };

struct ctkd__finding {
    const char *check; /* "data", "normalisation", ... */
    bool problem;
    bool said; /* a run prints it although it is no problem, such as a default that a method set */
    char text[440];
};

/* Begin with all zeros. Findings beyond the room are dropped, but `problems` counts theirs. */
struct ctkd__findings {
    struct ctkd__finding items[CTKD__FINDINGS_MAX];
    size_t count, problems;
};

/* Checks the data (classes without images, normalisation), batches, a schedule or temperature that
   has no effect, threads against cores and quota, the disk space of run.dir, and convolutions that
   run a library's reference code. Does not change the session. */
void ctkd__preflight_session(const struct ctkd__session *session, struct ctkd__findings *findings);

/* Checks only threads against cores and quota. Adds a finding and returns true if they do not
   fit. */
bool ctkd__preflight_threads(const struct ctkd__engine *engine, struct ctkd__findings *findings);

/* Compares the teacher's accuracy, `scores`, with chance and, if it is low, with that under the
   usual normalisations (train/normalisation_trials.h). All ranks call it. */
ctkd_status ctkd__preflight_teacher(struct ctkd__session *session,
                                    const struct ctkd__scores *scores,
                                    struct ctkd__findings *findings, ctkd_error *err);

/* Compares the terms of the loss at the first step by the L2 norms of their weighted gradients on
   the student's logits. */
void ctkd__preflight_balance(const struct ctkd__session *session,
                             const struct ctkd__step_report *first,
                             struct ctkd__findings *findings);

/* Time and memory of the run, or of the rest of a resumed one (session->state), estimated from the
   measured times of a step and an evaluation. */
struct ctkd__cost {
    double step, evaluation; /* in: measured, seconds */
    double run;              /* estimated, seconds */
    double memory_bytes;     /* of this process so far, at its largest */
    double disk_bytes;       /* of the run directory, at its largest */
};
void ctkd__preflight_cost(const struct ctkd__session *session, struct ctkd__cost *cost,
                          struct ctkd__findings *findings);

#endif
