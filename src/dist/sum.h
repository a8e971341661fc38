/*
 * Sums of float blocks over slices and ranks whose bits do not depend on who adds them: a binary
 * tree over the slices of a batch. A worker adds the part of its slices, a rank that of its
 * workers, and the ranks add theirs. A reduction of the message library is never used, because its
 * order is not specified.
 *
 * The tree over n leaves is that over the largest power of two below n, plus that over the rest:
 * ((0 1) (2 3)) ((4 5) 6) for 7. A run of 2^k leaves that begins at a multiple of 2^k is a tree of
 * its own. So if every rank (and worker) has the same number of slices, a power of two, the sum has
 * the same bits for any number of ranks; otherwise the bits depend on the number of ranks.
 */
#ifndef CTKD_DIST_SUM_H
#define CTKD_DIST_SUM_H

#include "dist/dist.h"

/* Floats begin to begin + n - 1 of the sum of `count` blocks, by the tree. sum [n]: overwritten; no
   part of a block. */
void ctkd__sum_tree(size_t count, const float *const *blocks, size_t begin, size_t n, float *sum);

struct ctkd__rank_sum;

/* Allocates the memory for sums of at most n_max floats over the ranks, so that _run allocates
   nothing. */
ctkd_status ctkd__rank_sum_create(struct ctkd__dist *dist, size_t n_max,
                                  struct ctkd__rank_sum **out, ctkd_error *err);
void ctkd__rank_sum_destroy(struct ctkd__rank_sum *sum);

/*
 * block [n]: in, this rank's values; out, their sum over all ranks, the same on each. Each rank
 * adds one part of the block: an all-to-all of parts, the tree in the order of the ranks, and a
 * gather of the sums. With R ranks, each sends 2 (R - 1) / R of the block. CTKD_EINVAL: n is above
 * n_max.
 */
ctkd_status ctkd__rank_sum_run(struct ctkd__rank_sum *sum, enum ctkd__dist_channel channel,
                               size_t n, float *block, ctkd_error *err);

#endif
