/* The progress line that a run rewrites on a terminal, shortened so that it never wraps. */
#ifndef CTKD_RUN_LIVE_LINE_H
#define CTKD_RUN_LIVE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct ctkd__live_line {
    bool initial; /* the stage before the main one */
    uint64_t epoch, epochs, step, steps;
    double images_per_second, loss;
    bool has_tau;
    double tau, lambda; /* lambda is NaN with a fixed temperature */
    const char *eta;    /* "1:23:45" */
};

/*
 * "epoch 3/240  step 17/782  412 img/s  loss 1.2345  tau 4.20  lambda 0.310  ETA 1:23:45", at most
 * `columns` long: what does not fit is left out in the order lambda, tau, speed, loss, step, ETA,
 * and the rest is cut. `bytes` is room for the line with its terminating zero. Returns its length.
 */
size_t ctkd__live_line_text(const struct ctkd__live_line *line, size_t columns, char *out,
                            size_t bytes);

/* The line that stays behind when an epoch has ended. */
struct ctkd__epoch_line {
    bool initial;
    uint64_t epoch, epochs;
    double lr, loss, train_top1; /* percent, of the images as they were augmented */
    bool has_test;
    double test_top1, best_top1; /* percent */
    bool has_tau;
    double tau, lambda; /* as above */
    double images_per_second;
    const char *eta;
};

/* "epoch 3/240  lr 0.05  loss 1.2345  train 61.23 %  test 58.00 % (best 58.10 %)  tau 4.20  lambda
   0.310  412 img/s  ETA 1:23:45" in the same way; left out in the order lr, speed, lambda, tau,
   loss, best, ETA, train, test. SIZE_MAX columns: a file has room. */
size_t ctkd__epoch_line_text(const struct ctkd__epoch_line *line, size_t columns, char *out,
                             size_t bytes);

/* The columns that may be used: one less than the terminal has now, because some terminals wrap
   after the last. If the terminal does not say, $COLUMNS or 80 is taken as its width. */
size_t ctkd__live_line_columns(FILE *terminal);

#endif
