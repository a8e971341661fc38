/* Where a step is, and the errors of its values: what was not finite, in which epoch and step and
   for which samples. */
#ifndef CTKD_TRAIN_STEP_CHECKS_H
#define CTKD_TRAIN_STEP_CHECKS_H

#include "data/loader.h"

struct ctkd__step_position {
    uint64_t epoch, step;
    const struct ctkd__batch *batch;
    size_t first; /* the number of its first image in the step's batch */
};

/* What a message advises when values grow without bound. */
extern const char ctkd__step_remedy[];

/* Returns CTKD_ENAN: `quantity` is not finite. */
ctkd_status ctkd__step_not_finite(struct ctkd__step_position position, const char *quantity,
                                  ctkd_error *err);

/* CTKD_ENAN for the first logit that is not finite; the message names its sample, and `why`. */
ctkd_status ctkd__step_check_logits(struct ctkd__step_position position, const char *whose,
                                    size_t k, const float *logits, const char *why,
                                    ctkd_error *err);

/* Turns a status of libctkd, or a computed value that is not finite, into an error that says
   where. */
ctkd_status ctkd__step_check_value(struct ctkd__step_position position, const char *quantity,
                                   ctkd_status status, float value, ctkd_error *err);

#endif
