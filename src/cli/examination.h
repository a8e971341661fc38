/* Tries out a run without starting it, for `ctkd doctor` and `--dry-run`. */
#ifndef CTKD_CLI_EXAMINATION_H
#define CTKD_CLI_EXAMINATION_H

#include "run/preflight.h"
#include "run/rank_trial.h"

struct ctkd__examination {
    struct ctkd__findings findings;
    struct ctkd__cost cost;
    struct ctkd__scores teacher;    /* with a teacher */
    struct ctkd__step_report first; /* of the first step */
    struct ctkd__rank_trial ranks;  /* of several ranks */
};

/* Looks at everything of preflight.h, measures the teacher, makes a few steps and an evaluation.
   The session is good for nothing else then; nothing is written. All ranks of a session call it,
   which measure their exchanges then. _fini also after an error. */
ctkd_status ctkd__examine(struct ctkd__session *session, struct ctkd__examination *out,
                          ctkd_error *err);
void ctkd__examination_fini(struct ctkd__examination *examination);

#endif
