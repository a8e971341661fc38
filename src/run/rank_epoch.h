/* What the log tells of an epoch's ranks: how they work, and what their exchanges took. */
#ifndef CTKD_RUN_RANK_EPOCH_H
#define CTKD_RUN_RANK_EPOCH_H

#include "train/session.h"

/* What a rank had exchanged before the first step of an epoch. */
struct ctkd__rank_epoch {
    struct ctkd__dist_counts before[CTKD__CHANNELS];
};

void ctkd__rank_epoch_begin(const struct ctkd__dist *dist, struct ctkd__rank_epoch *epoch);

/* Behind the last step, before anything else is exchanged: fills session->state.ranks, and makes
   session->state.loading that of the slowest rank. All ranks call it. */
ctkd_status ctkd__rank_epoch_end(struct ctkd__session *session,
                                 const struct ctkd__rank_epoch *epoch, ctkd_error *err);

#endif
