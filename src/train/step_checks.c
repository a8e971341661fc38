#include "train/step_checks.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "util/error.h"

const char ctkd__step_remedy[] =
    "a lower optimizer.lr, optimizer.clip_norm or schedule.warmup_epochs may help";

ctkd_status ctkd__step_not_finite(struct ctkd__step_position position, const char *quantity,
                                  ctkd_error *err)
{
    char ids[96] = ""; /* a step that has not begun has no samples */
    int used = 0;
    for (size_t i = 0; i < position.batch->n && i < 4; i++)
        used += snprintf(ids + used, sizeof ids - (size_t)used, "%s%" PRIu64, i ? ", " : "",
                         position.batch->ids[i]);
    return ctkd__fail(err, CTKD_ENAN,
                      "epoch %" PRIu64 ", step %" PRIu64
                      " (samples %s%s): %s is not finite; no weight was changed, and the last "
                      "checkpoint is intact (%s)",
                      position.epoch, position.step, ids, position.batch->n > 4 ? ", ..." : "",
                      quantity, ctkd__step_remedy);
}

ctkd_status ctkd__step_check_logits(struct ctkd__step_position position, const char *whose,
                                    size_t k, const float *logits, const char *why, ctkd_error *err)
{
    for (size_t i = 0; i < position.batch->n * k; i++)
        if (!isfinite(logits[i]))
            return ctkd__fail(err, CTKD_ENAN,
                              "epoch %" PRIu64 ", step %" PRIu64 ": %s logit %zu of sample %" PRIu64
                              " is %s, expected a finite one; no weight was changed, and the last "
                              "checkpoint is intact (%s)",
                              position.epoch, position.step, whose, i % k,
                              position.batch->ids[i / k], isnan(logits[i]) ? "NaN" : "infinite",
                              why);
    return CTKD_OK;
}

ctkd_status ctkd__step_check_value(struct ctkd__step_position position, const char *quantity,
                                   ctkd_status status, float value, ctkd_error *err)
{
    if (status == CTKD_ENAN || (status == CTKD_OK && !isfinite(value)))
        return ctkd__step_not_finite(position, quantity, err);
    if (status != CTKD_OK)
        return ctkd__fail(err, status, "epoch %" PRIu64 ", step %" PRIu64 ": %s: %s",
                          position.epoch, position.step, quantity, ctkd_status_text(status));
    return CTKD_OK;
}
