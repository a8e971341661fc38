/* The evaluation at the end of a run: evaluation.json. */
#ifndef CTKD_RUN_EVALUATION_H
#define CTKD_RUN_EVALUATION_H

#include "run/run.h"
#include "train/session.h"

/* Evaluates the session's student on the test images, and its teacher if it has one, and writes the
   metrics that `ctkd eval --details --json` prints (defined in doc/runs.md). run: NULL on ranks
   that write no files. `student`: the predictions of the present weights if an evaluation has kept
   them, else all zeros; the caller frees it. */
ctkd_status ctkd__run_evaluate(const struct ctkd__run *run, struct ctkd__session *session,
                               struct ctkd__predictions *student, ctkd_error *err);

#endif
