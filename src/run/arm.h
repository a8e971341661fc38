/*
 * The arms of an experiment as directories: ARM/NAME are run directories that differ only in their
 * seed, made by `ctkd sweep` or a shell loop. A run directory by itself is an arm of one run.
 */
#ifndef CTKD_RUN_ARM_H
#define CTKD_RUN_ARM_H

#include <stdbool.h>

#include "config/config.h"
#include "report/compare.h"

/* One finished run. */
struct ctkd__arm_run {
    char dir[1024];
    struct ctkd__config *config;
    double value; /* of the metric, in the epoch that counts */
};

/* Which epoch of a run counts. */
enum ctkd__arm_choice {
    CTKD__ARM_AUTO, /* the best on the validation part where runs have one (data.dev), else the last
                     */
    CTKD__ARM_LAST,
    CTKD__ARM_BEST, /* as AUTO, but without a validation part the best on the test images, which is
                       biased upwards */
    CTKD__ARM_DEV   /* what AUTO and BEST resolve to where there is a validation part */
};
/* "last epoch", and so on; "" for CTKD__ARM_AUTO. */
const char *ctkd__arm_choice_text(enum ctkd__arm_choice choice);

struct ctkd__arm {
    char name[256];             /* the last part of the directory */
    struct ctkd__arm_run *runs; /* [count], ascending by seed */
    size_t count;
    size_t unfinished;            /* runs that can still be resumed; left out */
    enum ctkd__arm_choice choice; /* as asked for, resolved: never AUTO */
};

/* Reads the finished runs below `path`. `metric` is a key of the epoch lines in log.jsonl.
   CTKD_EFORMAT: a run has no such number, or two runs have the
   same seed; CTKD_EINVAL: runs differ in more than their seed (the message names the key and both
   values), or there is no finished run. */
ctkd_status ctkd__arm_read(const char *path, const char *metric, enum ctkd__arm_choice choice,
                           struct ctkd__arm *out, ctkd_error *err);
void ctkd__arm_free(struct ctkd__arm *arm);
/* Whether less of a metric is better: of losses, times, bytes and misses. */
bool ctkd__arm_less_is_better(const char *metric);
/* Names all arms by their whole paths where two would have the same name. */
void ctkd__arms_tell_apart(struct ctkd__arm *arms, const char *const *paths, size_t count);
/* Seeds and values of an arm for ctkd__compare. The name is borrowed from the arm; _describe_free
   frees the rest, also after CTKD_ENOMEM. */
ctkd_status ctkd__arm_describe(const struct ctkd__arm *arm, struct ctkd__compared_arm *out,
                               ctkd_error *err);
void ctkd__arm_describe_free(struct ctkd__compared_arm *described);

/* Calls `found` for each key in which two configurations differ, except for the seed and keys that
   do not change results: run directory and name, threads, logging, checkpoints, time limits, and
   where the data lie. A status that is not CTKD_OK ends the walk and is returned. */
typedef ctkd_status (*ctkd__difference_found)(void *context, const char *key, const char *a,
                                              const char *b, ctkd_error *err);
ctkd_status ctkd__arm_differences(const struct ctkd__config *a, const struct ctkd__config *b,
                                  ctkd__difference_found found, void *context, ctkd_error *err);
/* These keys of b with their values, "KEY VALUE, KEY VALUE"; "" if there are none. */
void ctkd__arm_differences_text(const struct ctkd__config *a, const struct ctkd__config *b,
                                char *text, size_t bytes);

#endif
