/* Starts a run: creates a new one, or resumes the one in its directory. */
#ifndef CTKD_RUN_START_H
#define CTKD_RUN_START_H

#include "run/checkpoint.h"
#include "run/run.h"

/*
 * Decides what run.resume means for run.dir, before minutes are spent on loading data: *resume says
 * whether its run is resumed. A run that was killed before its first checkpoint has nothing to
 * resume from and starts again. Adjusts the configuration to the run: run.resume becomes `no`, and
 * a resumed run with train.tune uses the convolutions that it recorded. CTKD_ENOTFOUND: there is no
 * run to resume; CTKD_EEXIST: the directory holds a run that must not be replaced; errors of
 * ctkd__run_check.
 */
ctkd_status ctkd__start_plan(struct ctkd__config *config, bool *resume, ctkd_error *err);

struct ctkd__start {
    const char *command; /* "train" or "distill"; a checkpoint of the other is refused */
    bool resume;
    struct ctkd__session *session; /* opened from the configuration */
    const char *recipe;            /* the CONFIG of its command line; NULL: none */
};

/* Creates the run directory of the session's configuration, with its recipe and the convolutions
   that were measured; or, with `resume`, opens it, loads its last checkpoint into the session and
   cuts the log to that state. `note`: as of ctkd__checkpoint_load, and what the directory has lost
   since the checkpoint: lines of the log, the best weights. The caller closes `run`, whatever the
   status. */
ctkd_status ctkd__start_run(const struct ctkd__start *start, struct ctkd__run *run,
                            char note[CTKD__CHECKPOINT_NOTE], ctkd_error *err);

#endif
