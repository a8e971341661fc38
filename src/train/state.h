/* Everything of a run that changes while it trains, in one place: what a checkpoint holds, except
   for `loading` and `ranks`. */
#ifndef CTKD_TRAIN_STATE_H
#define CTKD_TRAIN_STATE_H

#include <stdint.h>

#include "config/methods.h"
#include "ctkd/temperature.h"
#include "nn/weights.h"
#include "train/evaluate.h"
#include "train/teacher_store.h"

/* Sums over the steps of the epoch that is under way. */
struct ctkd__epoch_sums {
    uint64_t steps, images, correct;
    double loss, loss_ce, loss_kd, loss_method; /* weighted by images */
    double losses[CTKD__METHODS_MAX];           /* of each method, likewise */
    double tau, tau_gradient;                   /* tau weighted by images, gradient by steps */
    float tau_min, tau_max;
    double seconds;                            /* of training steps */
    struct ctkd__teacher_store_counts teacher; /* with a store */
};

/* The time spent getting the batches of the epoch, as far as this process has run it. It is only
   reported, and not part of a checkpoint. */
struct ctkd__loading {
    uint64_t batches;
    double seconds;     /* in ctkd__loader_next, including the decoding of files */
    uint64_t waited_ns; /* the part of it spent waiting for files or for loader threads */
};

/* How the ranks of the run work, and what a step of the epoch exchanged between them in the mean,
   as far as this process has run it: NaN with one process. A rank that comes later than the others
   waits least, so that its time is that of the exchanges alone. It is only reported, and not part
   of a checkpoint. */
struct ctkd__epoch_ranks {
    size_t count, threads; /* threads: of this rank */
    size_t slices;         /* of a batch */
    size_t norm_images;    /* over which a batch norm takes its statistics, at most */
    double exchanges;      /* seconds that they took, on the rank where that was least */
    double exposed;        /* the part in which the workers stood still, on the rank with least */
    double waited;         /* the same on the rank with most: how uneven the ranks are */
    double bytes;          /* sent by the rank that sent most */
};

/* Bins of the temperatures of an epoch, over the range of a learnable one. */
enum { CTKD__TAU_BINS = 2048 };

struct ctkd__run_state {
    unsigned stage;      /* CTKD_STAGE_INITIAL, then CTKD_STAGE_MAIN; epochs count in each */
    uint64_t epoch;      /* under way, counted from 1 */
    uint64_t epoch_step; /* steps of it that are done */
    uint64_t step;       /* steps done in all */
    struct ctkd__epoch_sums sums;
    struct ctkd__loading loading;
    struct ctkd__epoch_ranks ranks; /* of the last epoch that has ended */
    /* The best epoch is that with the best top-1 on the validation part or, without one, on the
       test images. In percent, -1 before the first evaluation. */
    double best_top1, best_dev_top1; /* of that epoch: on the test images, on the validation part */
    uint64_t best_epoch;
    bool evaluated;                /* test and dev belong to the present weights */
    struct ctkd__scores test, dev; /* last evaluation; dev.n is 0 without a validation part */
    double seconds;                /* of the whole run, up to the end of the last epoch */

    struct ctkd__weights *weights;
    float *velocity;               /* [weights->n_values] */
    ctkd_temperature *temperature; /* NULL: trained on labels alone */
    float *theta, *dtheta;         /* [n_theta] the parameters of temperature and their gradient */
    size_t n_theta;                /* 0: it has none */
    float *temperature_velocity;   /* [n_theta] */
    float *tau_counts;             /* [CTKD__TAU_BINS] samples of this epoch by their tau, where it
                                      is one for each sample */
    float *method_state;           /* [n_method_state] what methods keep between steps */
    size_t n_method_state;
};

/* `weights` is borrowed. `temperature` may be NULL; the state owns it if this succeeds. */
ctkd_status ctkd__run_state_init(struct ctkd__run_state *state, struct ctkd__weights *weights,
                                 ctkd_temperature *temperature, size_t n_method_state,
                                 ctkd_error *err);
void ctkd__run_state_fini(struct ctkd__run_state *state);

#endif
