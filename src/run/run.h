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

/* Fills run.name and run.dir of the configuration where they are empty, and turns fractions of
   train.epochs into epochs (config/epochs.h). CTKD_EINVAL, CTKD_ERANGE: run.name or run.dir is not
   usable. */
ctkd_status ctkd__run_resolve(struct ctkd__config *config, bool distil, ctkd_error *err);

/* Whether a new run may be created in run.dir. CTKD_EEXIST: it holds a run and run.force is not
   set, or it is a file; CTKD_EIO: it cannot be created or written. Writes nothing. */
ctkd_status ctkd__run_check(const struct ctkd__config *config, ctkd_error *err);

/* CTKD_EEXIST: another process works on the run in run.dir. Writes nothing and keeps no lock. */
ctkd_status ctkd__run_check_free(const struct ctkd__config *config, ctkd_error *err);

/* Creates the directory (and its parents) and locks it, removes the files of a run that is
   replaced, writes config.yaml (run.force becomes false) and opens the log. Errors of _check;
   CTKD_EEXIST also if another process works on the run, which the message names. What a killed
   process left half written is removed, here and by _open. After any status call _close. */
ctkd_status ctkd__run_create(struct ctkd__run *run, const struct ctkd__config *config,
                             ctkd_error *err);
/* Locks the run of a directory to continue it. Removes none of its files; the log is opened only by
   ctkd__run_continue_log. CTKD_EEXIST: another process works on the run; the message names it. */
ctkd_status ctkd__run_open(struct ctkd__run *run, const struct ctkd__config *config,
                           ctkd_error *err);
/* Cuts log.jsonl to its first `bytes` bytes, which belong to the checkpoint, and opens it; writes
   the present configuration and removes summary.json and evaluation.json. *found: how many of these
   bytes there are; less if lines were lost. */
ctkd_status ctkd__run_continue_log(struct ctkd__run *run, const struct ctkd__config *config,
                                   uint64_t bytes, uint64_t *found, ctkd_error *err);
void ctkd__run_close(struct ctkd__run *run);

/* Writes recipe.yaml: the configuration that the file `recipe` gives without other settings. */
ctkd_status ctkd__run_save_recipe(const struct ctkd__run *run, const char *recipe, ctkd_error *err);

/* Whether no process works on the run of a directory. False if that is not known, because the run
   was started on another machine. */
bool ctkd__run_abandoned(const char *dir);

/* How the run in a directory ended, by its summary; a summary that cannot be read tells of an
   interruption. */
enum ctkd__run_end {
    CTKD__RUN_END_NONE, /* no summary: it trains, or was killed */
    CTKD__RUN_END_DONE,
    CTKD__RUN_END_INTERRUPTED, /* it saved, and can be resumed */
};
enum ctkd__run_end ctkd__run_end(const char *dir);
/* Whether run.dir holds a run. */
bool ctkd__run_begun(const struct ctkd__config *config);

/* Writes choices.txt: what train.tune chose. A run with train.choices set to it repeats this one
   bit for bit. */
ctkd_status ctkd__run_save_choices(const struct ctkd__run *run, const struct ctkd__choices *choices,
                                   ctkd_error *err);

/* The reversal strength of a step; NaN where no temperature is learned. */
double ctkd__run_lambda(const struct ctkd__config *config, const struct ctkd__run_state *state,
                        const struct ctkd__step_report *report);

/* One line of log.jsonl for an epoch. test: NULL when it was not evaluated. */
ctkd_status ctkd__run_log_epoch(struct ctkd__run *run, const struct ctkd__run_state *state,
                                const struct ctkd__methods *methods,
                                const struct ctkd__step_report *last,
                                const struct ctkd__scores *test, ctkd_error *err);
/* One for a step. */
ctkd_status ctkd__run_log_step(struct ctkd__run *run, const struct ctkd__run_state *state,
                               const struct ctkd__methods *methods,
                               const struct ctkd__step_report *report, ctkd_error *err);

/* Writes weights to CTKD__RUN_LAST or CTKD__RUN_BEST. */
ctkd_status ctkd__run_save(const struct ctkd__run *run, enum ctkd__run_file file,
                           const struct ctkd__weights *weights,
                           const struct ctkd__network_info *info, ctkd_error *err);

/* What summary.json holds. */
struct ctkd__summary {
    const char *command, *status; /* "train" or "distill"; "done" or "interrupted" */
    const struct ctkd__config *config;
    const struct ctkd__network_info *student, *teacher; /* teacher: NULL without one */
    const struct ctkd__scores *teacher_scores;          /* NULL without one */
    const struct ctkd__methods *methods;                /* with a teacher */
    const struct ctkd__scores *test; /* last evaluation; NULL when there was none */
    const struct ctkd__run_state *state;
    double images_per_second;          /* of training steps */
    size_t parameters, ranks, threads; /* threads: of the first rank */
    const char *isa;
};
ctkd_status ctkd__run_summarise(const struct ctkd__run *run, const struct ctkd__summary *summary,
                                ctkd_error *err);

#endif
