/*
 * Files of a run for other programs, made from the lines of its log.jsonl: results.csv has a row
 * for each epoch, and TensorBoard's events.out.tfevents.ctkd a record for each line.
 *
 * Tags of the events: train/X for measurements on training batches (loss, top1), test/X and dev/X
 * for evaluations, ctkd/X for temperature and reversal (tau_mean, lambda, and a histogram ctkd/tau
 * of an epoch's samples), lr, and speed/X for the rest; TensorBoard's step is the epoch. Tags of
 * the lines of train.log_every begin with step/, and their step is the training step; those of an
 * initial stage begin with initial/. The HParams table has the keys that differ from their
 * defaults; runs that differ only in their seed are one group.
 */
#ifndef CTKD_RUN_RESULTS_H
#define CTKD_RUN_RESULTS_H

#include "config/config.h"
#include "io/events.h"
#include "io/jsonl.h"
#include "train/state.h"

struct ctkd__results {
    const struct ctkd__config *config; /* borrowed */
    char log_path[1088];
    FILE *log;       /* read as far as it was followed */
    size_t recorded; /* lines still to be read whose records the events file already has */
    FILE *csv;
    char csv_path[1088];
    struct ctkd__json_rows *head; /* the first epoch's line, whose keys are the columns; or NULL */
    struct ctkd__events events;
};

/* Opens both files for a run whose log exists: writes results.csv anew, and the records that the
   events file does not have yet. */
ctkd_status ctkd__results_open(struct ctkd__results *results, const char *dir,
                               const struct ctkd__config *config, ctkd_error *err);
/* Adds the lines that the log has gained since the last call. state: of the run, for the histogram
   of an epoch; NULL: no histogram. */
ctkd_status ctkd__results_follow(struct ctkd__results *results, const struct ctkd__run_state *state,
                                 ctkd_error *err);
/* Accepts results that are all zeros. */
void ctkd__results_close(struct ctkd__results *results);

#endif
