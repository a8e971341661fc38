/*
 * The directory of a run, with the files of util/run_files.h. A directory that holds a run is
 * never written into without run.force.
 */
#ifndef CTKD_RUN_RUN_H
#define CTKD_RUN_RUN_H

#include "config/config.h"
#include "config/methods.h"
#include "io/jsonl.h"
#include "nn/conv/choices.h"
#include "run/results.h"
#include "train/evaluate.h"
#include "train/state.h"
#include "util/run_files.h"
#include "weights/network_file.h"

struct ctkd__step_report;

struct ctkd__run {
    char dir[1024];
    struct ctkd__jsonl log;
    struct ctkd__results results;      /* what is made from the log */
    int lock;                          /* descriptor; -1: not locked */
    const struct ctkd__config *config; /* borrowed */
};

/* Fills run.name and run.dir of the configuration where they are empty. */
ctkd_status ctkd__run_resolve(struct ctkd__config *config, bool distil, ctkd_error *err);

/* CTKD_EEXIST when run.dir holds a run and run.force is not set, or is a file; CTKD_EIO when it
   cannot be written or created. Writes nothing. */
ctkd_status ctkd__run_check(const struct ctkd__config *config, ctkd_error *err);

/* CTKD_EEXIST when another process works on the run of run.dir; writes nothing and keeps no lock.
 */
ctkd_status ctkd__run_check_free(const struct ctkd__config *config, ctkd_error *err);

/* Makes the directory (and its parents), removes the files of a run that is replaced, writes
   config.yaml (run.force is false from then on) and opens the log. */
ctkd_status ctkd__run_create(struct ctkd__run *run, const struct ctkd__config *config,
                             ctkd_error *err);
/* Opens the run of a directory to continue it: removes nothing, and has no log before
   ctkd__run_continue_log. CTKD_EEXIST: another process works on it; the message names that. So it
   is for _create. */
ctkd_status ctkd__run_open(struct ctkd__run *run, const struct ctkd__config *config,
                           ctkd_error *err);
/* Cuts log.jsonl to the first `bytes` bytes, those that belong to the checkpoint, opens it and
   writes the configuration that holds from now on. */
ctkd_status ctkd__run_continue_log(struct ctkd__run *run, const struct ctkd__config *config,
                                   uint64_t bytes, ctkd_error *err);
void ctkd__run_close(struct ctkd__run *run);

/* recipe.yaml: the configuration that `recipe`, a CONFIG, gives by itself. */
ctkd_status ctkd__run_save_recipe(const struct ctkd__run *run, const char *recipe, ctkd_error *err);

/* Whether no process trains the run of a directory. False where that is not known: it was begun on
   another machine. */
bool ctkd__run_abandoned(const char *dir);

/* Whether run.dir holds a run that ended. */
bool ctkd__run_ended(const struct ctkd__config *config);
/* Whether it holds one at all. */
bool ctkd__run_begun(const struct ctkd__config *config);

/* choices.txt: what train.tune measured; with train.choices it repeats the run to the bit. */
ctkd_status ctkd__run_save_choices(const struct ctkd__run *run, const struct ctkd__choices *choices,
                                   ctkd_error *err);

/* One line of log.jsonl for an epoch. test: NULL when it was not evaluated. */
ctkd_status ctkd__run_log_epoch(struct ctkd__run *run, const struct ctkd__run_state *state,
                                const struct ctkd__methods *methods,
                                const struct ctkd__step_report *last,
                                const struct ctkd__scores *test, ctkd_error *err);
/* One for a step. */
ctkd_status ctkd__run_log_step(struct ctkd__run *run, const struct ctkd__run_state *state,
                               const struct ctkd__methods *methods,
                               const struct ctkd__step_report *report, ctkd_error *err);

/* Weights: CTKD__RUN_LAST or CTKD__RUN_BEST. */
ctkd_status ctkd__run_save(const struct ctkd__run *run, enum ctkd__run_file file,
                           const struct ctkd__weights *weights,
                           const struct ctkd__network_info *info, ctkd_error *err);

/* What summary.json holds. */
struct ctkd__summary {
    const char *command, *status; /* "distill"; "done" or "interrupted" */
    const struct ctkd__config *config;
    const struct ctkd__network_info *student, *teacher; /* teacher: NULL without one */
    const struct ctkd__scores *teacher_scores;          /* NULL without one */
    const struct ctkd__methods *methods;                /* with a teacher */
    const struct ctkd__scores *test; /* last evaluation; NULL when there was none */
    const struct ctkd__run_state *state;
    double images_per_second; /* of training steps */
    size_t parameters, threads;
    const char *isa;
};
ctkd_status ctkd__run_summarise(const struct ctkd__run *run, const struct ctkd__summary *summary,
                                ctkd_error *err);

#endif
