/*
 * Keys that count epochs or name a part of the run: 150, or 0.625 of train.epochs. Fractions keep
 * the shape of a schedule when a run is shortened.
 *
 *   value >= 1, whole   so many epochs
 *   0 < value < 1       round(value * train.epochs) epochs, at least 1
 *   0                   none
 */
#ifndef CTKD_CONFIG_EPOCHS_H
#define CTKD_CONFIG_EPOCHS_H

#include "config/config.h"

/* The epochs of temperature.curriculum_epochs, method.warmup_epochs, method.initial_epochs or
   schedule.warmup_epochs, which ctkd__config_check has accepted. */
uint64_t ctkd__epochs_of(const struct ctkd__config *config, float value);

/* schedule.milestones as ascending epochs; at most CTKD__MILESTONES_MAX. Fractions of a short run
   may meet in one epoch, which then decays as often. CTKD_ERANGE: malformed, or fractions beside
   epochs. */
ctkd_status ctkd__epochs_milestones(const struct ctkd__config *config, uint64_t *milestones,
                                    size_t *count, ctkd_error *err);

/* CTKD_ERANGE: one of these keys is neither a fraction nor whole. */
ctkd_status ctkd__epochs_check(const struct ctkd__config *config, ctkd_error *err);

/* Fractions become epochs, as a run records them; nothing else changes. */
ctkd_status ctkd__epochs_resolve(struct ctkd__config *config, ctkd_error *err);

#endif
