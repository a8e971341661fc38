/* What exchanges between the ranks of a run cost, measured. */
#ifndef CTKD_DIST_TRIAL_H
#define CTKD_DIST_TRIAL_H

#include "dist/dist.h"

struct ctkd__dist_trial {
    size_t bytes;    /* of the block that is exchanged */
    double sent;     /* bytes that this rank sends for it */
    double seconds;  /* median */
    size_t repeated; /* so often it was measured */
};

/* The latency: four bytes of each rank become those of all. All ranks call it. */
ctkd_status ctkd__dist_try_word(struct ctkd__dist *dist, struct ctkd__dist_trial *out,
                                ctkd_error *err);

/* A block of n floats is summed over the ranks, as a gradient is (sum.h). A few times, and not
   again after two seconds. All ranks call it. */
ctkd_status ctkd__dist_try_sum(struct ctkd__dist *dist, size_t n, struct ctkd__dist_trial *out,
                               ctkd_error *err);

#endif
