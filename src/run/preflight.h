/*
 * What can be wrong with a run before it has cost anything. `ctkd doctor` prints every check, a
 * run only the problems and what a method's default has chosen. Each problem is one line that says
 * what to do; none of them stops a run.
 */
#ifndef CTKD_RUN_PREFLIGHT_H
#define CTKD_RUN_PREFLIGHT_H

#include "train/session.h"

enum { CTKD__FINDINGS_MAX = 24 };

struct ctkd__finding {
    const char *check; /* "data", "normalisation", ... */
    bool problem;
    bool said; /* at the start of a run, though it is no problem: a default that a method chose */
    char text[440];
};

/* All zeros to begin. More than there is room for are not kept, but counted. */
struct ctkd__findings {
    struct ctkd__finding items[CTKD__FINDINGS_MAX];
    size_t count, problems;
};

/* Data (classes without images, normalisation), schedule and temperature that do nothing, threads
   against cores and quota, disk space of run.dir, convolutions that run a library's reference
   code. Moves nothing in the session. */
void ctkd__preflight_session(const struct ctkd__session *session, struct ctkd__findings *findings);

/* Threads against cores and quota alone: whether that is a problem, which is then a finding. */
bool ctkd__preflight_threads(const struct ctkd__engine *engine, struct ctkd__findings *findings);

/* The teacher's accuracy against chance and, where it is low, against what it is with the usual
   normalisations (train/normalisation_trials.h). */
ctkd_status ctkd__preflight_teacher(struct ctkd__session *session,
                                    const struct ctkd__scores *scores,
                                    struct ctkd__findings *findings, ctkd_error *err);

/* The terms of the loss at the first step: norms of their weighted gradients on the student's
   logits. */
void ctkd__preflight_balance(const struct ctkd__session *session,
                             const struct ctkd__step_report *first,
                             struct ctkd__findings *findings);

/* Time and memory of the run, or of the rest of one that is resumed (session->state), from what a
   step and an evaluation took, in seconds. */
struct ctkd__cost {
    double step, evaluation; /* measured */
    double run;              /* estimated, seconds */
    double memory_bytes;     /* of this process so far, at its largest */
    double disk_bytes;       /* of the run directory, at its largest */
};
void ctkd__preflight_cost(const struct ctkd__session *session, struct ctkd__cost *cost,
                          struct ctkd__findings *findings);

#endif
