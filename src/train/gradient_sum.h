/*
 * The gradient of a step on several ranks: each adds that of its own slices by the tree of
 * dist/sum.h, then the ranks add theirs. With the same power of two of slices on every rank these
 * are the bits of one rank.
 */
#ifndef CTKD_TRAIN_GRADIENT_SUM_H
#define CTKD_TRAIN_GRADIENT_SUM_H

#include "dist/sum.h"
#include "nn/compile/training.h"

struct ctkd__gradient_sum;

/* Of a program's gradients of `n` values; all are borrowed until destroy. */
ctkd_status ctkd__gradient_sum_create(struct ctkd__dist *dist, struct ctkd__workers *workers,
                                      const struct ctkd__training *training, size_t n,
                                      struct ctkd__gradient_sum **out, ctkd_error *err);
void ctkd__gradient_sum_destroy(struct ctkd__gradient_sum *sum);

/* Of the last backward pass, into _values. All ranks call it. */
ctkd_status ctkd__gradient_sum_run(struct ctkd__gradient_sum *sum, ctkd_error *err);
/* [n], until destroy. */
const float *ctkd__gradient_sum_values(const struct ctkd__gradient_sum *sum);

#endif
