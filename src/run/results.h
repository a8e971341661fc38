/*
 * What other programs read of a run, made from the lines of its log.jsonl: results.csv, a row for
 * each epoch, and TensorBoard's events.out.tfevents.ctkd, a record for each line.
 *
 * Tags of the events: train/X for what is measured on training batches (loss, top1), test/X and
 * dev/X for what is evaluated, ctkd/X for temperature and reversal (tau_mean, lambda, and a
 * histogram ctkd/tau of an epoch's samples), lr, speed/X; steps are epochs. Lines of
 * train.log_every have step/ in front and count steps, those of an initial stage initial/. The
 * HParams table has the keys that differ from their defaults; runs that differ in their seed alone
 * are one group.
 */
#ifndef CTKD_RUN_RESULTS_H
#define CTKD_RUN_RESULTS_H

#include "config/config.h"
#include "io/events.h"
#include "train/state.h"

struct ctkd__results {
    const struct ctkd__config *config; /* borrowed */
    char log_path[1088];
    FILE *log;       /* read as far as it was followed */
    size_t recorded; /* lines to come whose records the events have already */
    FILE *csv;
    char csv_path[1088];
    bool headed; /* the names of the columns are written */
    struct ctkd__events events;
};

/* Opens both files for a run whose log is in place: writes results.csv from it, and the records
   that the events do not have yet. */
ctkd_status ctkd__results_open(struct ctkd__results *results, const char *dir,
                               const struct ctkd__config *config, ctkd_error *err);
/* Adds the lines that the log has gained. state: of the run, for the histogram of an epoch; NULL:
   none. */
ctkd_status ctkd__results_follow(struct ctkd__results *results, const struct ctkd__run_state *state,
                                 ctkd_error *err);
/* Safe on one that is all zeros. */
void ctkd__results_close(struct ctkd__results *results);

#endif
