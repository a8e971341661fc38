/*
 * Tests of an installation by itself, without a test framework: gradients of every loss, of the
 * temperature and of every op against central differences, every instruction set of this CPU
 * against the portable path, runs that repeat and resume bit for bit, and writing of files.
 * Everything to test is found through the registries.
 */
#ifndef CTKD_SELFTEST_SELFTEST_H
#define CTKD_SELFTEST_SELFTEST_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "ctkd/option.h"
#include "nn/engine.h"

struct ctkd__selftest {
    const char *dir; /* an existing folder, in which the test creates one of its own */
    /* One verdict: what was tested, and the figure or the reason. */
    void (*verdict)(void *context, bool ok, const char *what, const char *figure);
    void *context;
    bool first_failure_ends;   /* a part ends at its first failure; for the tests of this test */
    size_t verdicts, failures; /* counted so far */
};

struct ctkd__selftest_part {
    const char *name;
    void (*run)(struct ctkd__selftest *test);
};

/* In their order; ends with a NULL name. */
const struct ctkd__selftest_part *ctkd__selftest_parts(void);

/* Runs the part of that name, or all for NULL. Leaves nothing in the folder. */
void ctkd__selftest_run(struct ctkd__selftest *test, const char *part);

/* The parts. */
void ctkd__selftest_losses(struct ctkd__selftest *test);
void ctkd__selftest_ops(struct ctkd__selftest *test);
void ctkd__selftest_networks(struct ctkd__selftest *test);
void ctkd__selftest_writing(struct ctkd__selftest *test);
void ctkd__selftest_runs(struct ctkd__selftest *test);

/* One engine with the default number of workers and one with one worker; their results must agree.
 */
struct ctkd__selftest_engines {
    struct ctkd__engine all, one;
};

/* False, with a verdict for `part`, if they cannot be opened. */
bool ctkd__selftest_engines_open(struct ctkd__selftest *test, const char *part,
                                 struct ctkd__selftest_engines *engines);
void ctkd__selftest_engines_close(struct ctkd__selftest_engines *engines);

/* Whether an error is worse than the worst so far: NaN is, and stays the worst. */
bool ctkd__selftest_worse(double error, double worst);

/* Whether an option of a loss is a count that only costs time; *value: a smaller value for it. */
bool ctkd__selftest_smaller(const ctkd_option *option, double *value);
/* Gives all such options of a configuration their smaller values. */
ctkd_status ctkd__selftest_make_small(struct ctkd__config *config, ctkd_error *err);

/* Counts and passes on one verdict, with a formatted figure. */
void ctkd__selftest_report(struct ctkd__selftest *test, bool ok, const char *what,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
