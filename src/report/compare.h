/*
 * Compares arms of runs: the first arm is the reference, and every other one is paired with it by
 * seed. A verdict in words says what the numbers support; it rests on the exact sign-flip test,
 * adjusted by Holm's method.
 */
#ifndef CTKD_REPORT_COMPARE_H
#define CTKD_REPORT_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctkd/status.h"
#include "report/statistics.h"

/* One arm: a value of each run, by seed; no seed comes twice. */
struct ctkd__compared_arm {
    const char *name;
    const int64_t *seeds;
    const double *values;
    size_t n;
    size_t unfinished; /* runs that were left out; for the report */
};

struct ctkd__compare_options {
    double level;  /* of the test, 0.05; intervals cover 1 - level */
    double power;  /* 0.8 */
    double margin; /* a difference of interest: "15 seeds would detect 0.3" */
    size_t draws;  /* of the bootstrap, 10000 */
    const char *metric;
    const char *choice;  /* how a run's value was chosen: "last epoch" */
    bool less_is_better; /* of the metric: what counts as a win */
};

extern const struct ctkd__compare_options ctkd__compare_defaults;

/* An arm by itself, and against the reference (the first arm) in pairs of the seeds that both have.
 */
struct ctkd__comparison {
    const char *name;
    struct ctkd__spread arm;
    double least, most;
    size_t unfinished;

    struct ctkd__spread difference; /* arm - reference; n 0 for the reference itself */
    struct ctkd__interval t, bca;
    double p_t, p_flip, p_holm; /* of mean difference 0; Holm over the arms */
    size_t wins, ties;          /* pairs in which the arm is better, equal */
    double correlation;         /* of the pairs */
    double detectable;          /* difference that this many pairs detect at level and power */
    size_t needed;              /* pairs that detect margin; 0: above a million, or not known */
};

/* Fills out[count]. CTKD_EINVAL: fewer than two arms, an arm without runs, or no seed in common
   with the reference; CTKD_ENOMEM. */
ctkd_status ctkd__compare(const struct ctkd__compared_arm *arms, size_t count,
                          const struct ctkd__compare_options *options, struct ctkd__comparison *out,
                          ctkd_error *err);

/* What the numbers support about an arm against the reference, as one sentence. Returns text. */
const char *ctkd__compare_verdict(const struct ctkd__comparison *arm, const char *reference,
                                  const struct ctkd__compare_options *options, char *text,
                                  size_t bytes);

enum ctkd__compare_format {
    CTKD__COMPARE_TEXT,
    CTKD__COMPARE_MARKDOWN,
    CTKD__COMPARE_LATEX,
    CTKD__COMPARE_CSV,
    CTKD__COMPARE_JSON
};
ctkd_status ctkd__compare_write(const struct ctkd__comparison *arms, size_t count,
                                const struct ctkd__compare_options *options,
                                enum ctkd__compare_format format, FILE *out, ctkd_error *err);

#endif
