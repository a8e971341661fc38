/*
 * The gradient of a step on several ranks: each rank adds the gradients of its own slices by the
 * tree of dist/sum.h, then the ranks add their sums. When every rank has the same number of slices,
 * a power of two, the result equals that of a single rank bit for bit.
 */
#ifndef CTKD_TRAIN_GRADIENT_SUM_H
#define CTKD_TRAIN_GRADIENT_SUM_H

#include "dist/sum.h"
#include "nn/compile/training.h"

struct ctkd__gradient_sum;

/* For the gradients of a program, `n` values each. The arguments are borrowed until destroy. */
ctkd_status ctkd__gradient_sum_create(struct ctkd__dist *dist, struct ctkd__workers *workers,
                                      const struct ctkd__training *training, size_t n,
                                      struct ctkd__gradient_sum **out, ctkd_error *err);
void ctkd__gradient_sum_destroy(struct ctkd__gradient_sum *sum);

/* Sums the gradients of the last backward pass into _values. All ranks call it. */
ctkd_status ctkd__gradient_sum_run(struct ctkd__gradient_sum *sum, ctkd_error *err);
/* The sum, [n]; valid until destroy, overwritten by each _run. */
const float *ctkd__gradient_sum_values(const struct ctkd__gradient_sum *sum);

#endif
