/* A run tried out without being started: what `ctkd doctor` and `--dry-run` tell. */
#ifndef CTKD_CLI_EXAMINATION_H
#define CTKD_CLI_EXAMINATION_H

#include "run/preflight.h"

struct ctkd__examination {
    struct ctkd__findings findings;
    struct ctkd__cost cost;
    struct ctkd__scores teacher;    /* with a teacher */
    struct ctkd__step_report first; /* of the first step */
};

/* Looks at everything of preflight.h, measures the teacher, makes a few steps and an evaluation.
   The session is good for nothing else then; nothing is written. */
ctkd_status ctkd__examine(struct ctkd__session *session, struct ctkd__examination *out,
                          ctkd_error *err);

#endif
