/*
 * Sums of float blocks over slices and ranks whose bits do not depend on who added them: a binary
 * tree over the slices of a batch, which a worker adds for its slices, a rank for its workers, and
 * the ranks among each other. Never a reduction of the message library's, whose order is its own.
 *
 * The tree over n leaves is that over the largest power of two below n, plus that over the rest:
 * ((0 1) (2 3)) ((4 5) 6) for 7. A part of it that begins at a multiple of a power of two and holds
 * as many leaves is a tree of its own. So when every rank (and worker) has the same power of two of
 * slices, the sum has the same bits for any number of ranks; else it is that of these ranks.
 */
#ifndef CTKD_DIST_SUM_H
#define CTKD_DIST_SUM_H

#include "dist/dist.h"

/* The sum of n floats over `count` blocks into the first, by the tree; the others are spoilt. */
void ctkd__sum_tree(size_t count, float *const *blocks, size_t n);

struct ctkd__rank_sum;

/* Memory for sums of n_max floats over the ranks. A step allocates nothing. */
ctkd_status ctkd__rank_sum_create(struct ctkd__dist *dist, size_t n_max,
                                  struct ctkd__rank_sum **out, ctkd_error *err);
void ctkd__rank_sum_destroy(struct ctkd__rank_sum *sum);

/*
 * block [n]: this rank's values; afterwards their sum over all ranks, the same on each. Each rank
 * adds one part of the block: an all-to-all of parts, the tree in the order of the ranks, and a
 * gather of the sums. Sends 2 (R - 1) / R of the block.
 */
ctkd_status ctkd__rank_sum_run(struct ctkd__rank_sum *sum, enum ctkd__dist_channel channel,
                               size_t n, float *block, ctkd_error *err);

#endif
