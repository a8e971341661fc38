/*
 * Arms of an experiment as directories: ARM/NAME are run directories that differ in their seed
 * alone (`ctkd sweep` or a loop of the shell makes them); a run directory itself is an arm of one.
 */
#ifndef CTKD_RUN_ARM_H
#define CTKD_RUN_ARM_H

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
    CTKD__ARM_BEST, /* as AUTO, but without a validation part the best on the test images: it
                       flatters */
    CTKD__ARM_DEV   /* what the above become where there is a validation part */
};
/* "last epoch", and so on; not of CTKD__ARM_AUTO. */
const char *ctkd__arm_choice_text(enum ctkd__arm_choice choice);

struct ctkd__arm {
    char name[256]; /* the last part of the directory */
    struct ctkd__arm_run *runs;
    size_t count;                 /* ascending by seed */
    size_t unfinished;            /* runs without train.epochs epochs, left out */
    enum ctkd__arm_choice choice; /* what was asked for, resolved: never AUTO */
};

/* Reads the runs below `path`. `metric` is a key of the epochs in log.jsonl; of test_loss and
   train_loss the best is the least. CTKD_EFORMAT: a run that has no such number, two runs with one
   seed; CTKD_EINVAL: runs that differ in more than their seed, the key and both values named, or no
   run at all. */
ctkd_status ctkd__arm_read(const char *path, const char *metric, enum ctkd__arm_choice choice,
                           struct ctkd__arm *out, ctkd_error *err);
void ctkd__arm_free(struct ctkd__arm *arm);
/* Seeds and values of an arm for ctkd__compare; name is the arm's. CTKD_ENOMEM. */
ctkd_status ctkd__arm_describe(const struct ctkd__arm *arm, struct ctkd__compared_arm *out,
                               ctkd_error *err);
void ctkd__arm_describe_free(struct ctkd__compared_arm *described);

/* Calls `found` for each key in which two runs differ, without what changes no result: the seed,
   the directory and name, threads, logging, checkpoints and limits of time, and where the data
   lie. A status that is not CTKD_OK ends the walk and is returned. */
typedef ctkd_status (*ctkd__difference_found)(void *context, const char *key, const char *a,
                                              const char *b, ctkd_error *err);
ctkd_status ctkd__arm_differences(const struct ctkd__config *a, const struct ctkd__config *b,
                                  ctkd__difference_found found, void *context, ctkd_error *err);

#endif
