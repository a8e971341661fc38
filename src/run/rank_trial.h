/*
 * What the ranks of a run are told about themselves: where each works, what an exchange between
 * them costs, and what a step spends on it. Exchanges of gradients are hidden behind the backward
 * pass as far as that lasts (train/gradient_sum.h); the others block, and a step takes longer by
 * all of them.
 */
#ifndef CTKD_RUN_RANK_TRIAL_H
#define CTKD_RUN_RANK_TRIAL_H

#include "dist/trial.h"
#include "run/ranks.h"

/* Four bytes, 1 MB, 47 MB (the gradient of a ResNet-18 for ImageNet) and the gradient of the run.
 */
enum { CTKD__TRIAL_WORD, CTKD__TRIAL_SMALL, CTKD__TRIAL_LARGE, CTKD__TRIAL_OWN, CTKD__TRIALS };

struct ctkd__rank_trial {
    size_t size;                                  /* ranks; 0: a run of one process */
    struct ctkd__rank_place *places;              /* [size] */
    struct ctkd__dist_trial trials[CTKD__TRIALS]; /* of rank 0 */
    struct ctkd__topic_cost {
        double exchanges, bytes; /* of a step; bytes: sent by this rank */
        double waited;           /* measured, seconds a step; also for a rank that comes later */
        double predicted;        /* seconds a step */
        double exposed;          /* the part of it by which a step takes longer */
    } topics[CTKD__TOPICS];
    double predicted, exposed, waited; /* sums over the topics */
    size_t buckets;                    /* ctkd__step_buckets */
    bool concurrent;                   /* ctkd__dist_concurrent */
    bool whole_groups; /* each rank has whole batch-norm groups (train/step_groups.h) */
};

/* The counts of all topics so far, and what `steps` steps since then have made a step exchange. */
void ctkd__rank_trial_count(const struct ctkd__dist *dist, struct ctkd__dist_counts *counts);
void ctkd__rank_trial_steps(const struct ctkd__dist *dist, const struct ctkd__dist_counts *before,
                            size_t steps, struct ctkd__rank_trial *trial);

/*
 * Behind _steps: places, measures and predicts. Sums of gradients are predicted from the sum of a
 * block of their size, and what of it is exposed from when the buckets were complete in the steps;
 * others from the latency and the bandwidth of the sum of 1 MB. Takes at most
 * some ten seconds, where an exchange of 47 MB takes less than two. All ranks call it; nothing
 * happens in a run of one process.
 */
ctkd_status ctkd__rank_trial_run(const struct ctkd__session *session,
                                 struct ctkd__rank_trial *trial, ctkd_error *err);
void ctkd__rank_trial_fini(struct ctkd__rank_trial *trial);

/* Bytes that a trial sends in a second. */
double ctkd__rank_trial_bandwidth(const struct ctkd__dist_trial *trial);
/* Whether threads of a rank wait for each other, or for those of another rank. */
bool ctkd__rank_trial_crowded(const struct ctkd__rank_trial *trial, size_t rank);

#endif
