/*
 * What an installation proves about itself, without a test framework: gradients of every loss, of
 * the temperature and of every op against central differences, every instruction set and
 * convolution of this CPU against the portable path, runs that repeat and resume to the same bits,
 * and files that can be written. Everything is found through the registries.
 */
#ifndef CTKD_TRAIN_SELFTEST_H
#define CTKD_TRAIN_SELFTEST_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/status.h"

struct ctkd__selftest {
    const char *dir; /* an existing folder; the test works in a folder of its own in it */
    /* One verdict: what was tested, and the figure or the reason. */
    void (*verdict)(void *context, bool ok, const char *what, const char *figure);
    void *context;
    bool first_failure_ends;   /* ends a part: for the test of this test */
    size_t verdicts, failures; /* counted so far */
};

/* Runs everything; about half a minute. Nothing is left in the folder. */
void ctkd__selftest_run(struct ctkd__selftest *test);

/* Its parts. */
void ctkd__selftest_losses(struct ctkd__selftest *test);
void ctkd__selftest_networks(struct ctkd__selftest *test);
void ctkd__selftest_runs(struct ctkd__selftest *test);

/* Counts and passes on one verdict, with a formatted figure. */
void ctkd__selftest_say(struct ctkd__selftest *test, bool ok, const char *what, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));

#endif
