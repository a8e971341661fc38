/* How a run begins: as a new one, or as the one that its directory holds. */
#ifndef CTKD_RUN_START_H
#define CTKD_RUN_START_H

#include "run/checkpoint.h"
#include "run/run.h"

/*
 * What run.resume means for run.dir, before minutes are spent on data: *resume says whether its
 * run is resumed. A run that was killed before its first checkpoint has nothing to resume from and
 * starts again. The configuration becomes that of the run: run.resume is of this call, and a run
 * that measured its convolutions takes those that it recorded. CTKD_ENOTFOUND: no run to resume;
 * CTKD_EEXIST: the directory holds one that must not be replaced; errors of ctkd__run_check.
 */
ctkd_status ctkd__start_plan(struct ctkd__config *config, bool *resume, ctkd_error *err);

struct ctkd__start {
    const char *command; /* "train" or "distill": a checkpoint of another one is refused */
    bool resume;
    struct ctkd__session *session; /* opened from the configuration */
    const char *recipe;            /* the CONFIG of its command line; NULL: none */
};

/* Creates the run directory of the session's configuration, with its recipe and the choices of
   convolutions that it measured; or opens it, takes the state of its last checkpoint and cuts its
   log to there. `note` says which checkpoint that is where it is not the last ("" otherwise).
   `run` is closed by the caller, whatever the status. */
ctkd_status ctkd__start_run(const struct ctkd__start *start, struct ctkd__run *run,
                            char note[CTKD__CHECKPOINT_NOTE], ctkd_error *err);

#endif
