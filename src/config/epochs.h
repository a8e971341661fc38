/*
 * Keys that count epochs, or give them as a part of the run: 150, or 0.625 of train.epochs.
 * Fractions keep the shape of a schedule when a run is shortened.
 *
 *   value >= 1, whole   that many epochs
 *   0 < value < 1       round(value * train.epochs) epochs, at least 1
 *   0                   none
 */
#ifndef CTKD_CONFIG_EPOCHS_H
#define CTKD_CONFIG_EPOCHS_H

#include "config/config.h"

/* The epochs of temperature.curriculum_epochs, method.warmup_epochs, method.initial_epochs or
   schedule.warmup_epochs, which ctkd__config_check has accepted. */
uint64_t ctkd__epochs_of(const struct ctkd__config *config, float value);

/* schedule.milestones as ascending epochs, at most CTKD__MILESTONES_MAX. In a short run several
   fractions may fall on the same epoch, after which the rate decays as many times. CTKD_ERANGE: the
   list is malformed, not ascending, too long, or mixes fractions with epochs. */
ctkd_status ctkd__epochs_milestones(const struct ctkd__config *config, uint64_t *milestones,
                                    size_t *count, ctkd_error *err);

/* CTKD_ERANGE: one of these keys is neither a whole number nor a fraction below 1. */
ctkd_status ctkd__epochs_check(const struct ctkd__config *config, ctkd_error *err);

/* Turns fractions into epochs, as a run records them. */
ctkd_status ctkd__epochs_resolve(struct ctkd__config *config, ctkd_error *err);

#endif
