/*
 * Values over the epochs of one run, or of the runs of an arm: a folder of run directories that
 * differ in their seed (`ctkd sweep` makes them).
 */
#ifndef CTKD_REPORT_CURVES_H
#define CTKD_REPORT_CURVES_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/status.h"
#include "io/jsonl.h"

struct ctkd__curve_log {
    struct ctkd__json_rows *rows;
    size_t *epochs; /* [n_epochs]: the row of each finished epoch */
    size_t n_epochs;
};

struct ctkd__curves {
    char name[256];              /* of the directory, as it was given, at its end */
    char first[1280];            /* directory of the first run */
    struct ctkd__curve_log *log; /* [n_runs], of runs with a finished epoch */
    size_t n_runs;
    size_t n_epochs; /* finished by the run that is furthest */
    size_t n_common; /* finished by every run */
};

/* A value at an epoch: for one run with the band that its log gives; for an arm the mean of the
   runs that have finished this epoch, with their least and greatest. NaN: none. */
struct ctkd__curve_point {
    double value, low, high;
};

/* Reads log.jsonl of a run, or of all runs in a folder that have finished an epoch, in the byte
   order of their names. CTKD_EFORMAT: no epoch is finished; CTKD_EIO: a log, or the folder, cannot
   be read. *out is freed by the caller, also after an error. */
ctkd_status ctkd__curves_read(const char *path, struct ctkd__curves *out, ctkd_error *err);
void ctkd__curves_free(struct ctkd__curves *curves);

double ctkd__curves_epoch(const struct ctkd__curves *curves, size_t at);
/* key: of the log; low, high: keys of its band in a run, or NULL. */
struct ctkd__curve_point ctkd__curves_point(const struct ctkd__curves *curves, size_t at,
                                            const char *key, const char *low, const char *high);

#endif
