/* The learning rate of a step, relative to a parameter group's base rate. */
#ifndef CTKD_TRAIN_SCHEDULE_H
#define CTKD_TRAIN_SCHEDULE_H

#include "config/config.h"

struct ctkd__schedule {
    enum ctkd__schedule_kind kind;
    uint64_t milestones[CTKD__MILESTONES_MAX];
    size_t n_milestones;
    double factor; /* of each decay */
    double floor;  /* cosine: last rate / base rate */
    uint64_t epochs, steps_per_epoch, warmup_epochs;
};

/* CTKD_ERANGE: milestones malformed. */
ctkd_status ctkd__schedule_init(struct ctkd__schedule *schedule, const struct ctkd__config *config,
                                uint64_t steps_per_epoch, ctkd_error *err);

/*
 * Factor of the base rate, in [0, 1] (doc/methods.md, "Learning rate").
 *
 *   step      factor^m, m the number of milestones that `epoch` has passed: epoch > milestone
 *   cosine    floor + (1 - floor) (1 + cos(pi p)) / 2, p from 0 to 1 over the steps after the
 *             warm-up
 *   warm-up   the above times (i + 1) / w at step i of its w steps
 * @param epoch  counted from 1
 * @param step   within the epoch, counted from 0
 */
double ctkd__schedule_factor(const struct ctkd__schedule *schedule, uint64_t epoch, uint64_t step);

#endif
