/*
 * Stochastic gradient descent over flat parameter groups. One pass sums the slices of the gradient
 * and updates the parameters (doc/methods.md, "Update").
 *
 *   d = g + weight_decay * x
 *   v <- momentum * v + d
 *   x <- x - lr * v                    with Nesterov: x <- x - lr * (d + momentum * v)
 *
 * v starts at zero, so that the first step has v = d. No dampening.
 */
#ifndef CTKD_TRAIN_SGD_H
#define CTKD_TRAIN_SGD_H

#include <stdbool.h>
#include <stddef.h>

#include "nn/workers.h"

struct ctkd__sgd_group {
    float *values, *velocity;      /* [n]; velocity is the optimiser's state */
    const float *const *gradients; /* [n_gradients]; the gradient is their sum */
    size_t first;                  /* where that of the group begins in each of them */
    size_t n, n_gradients;
    size_t n_tree; /* how many of them are summed as a tree, before the others in order;
                      0: all in order */
    float lr, momentum, weight_decay; /* lr of this step */
    float scale;                      /* of the gradient: 1, or less when its norm is clipped */
    bool nesterov;
};

/* Elements begin..begin+n-1 of a sum of gradients: the first n_tree of them by the tree of
   dist/sum.h, then the others in order. n_tree 0: all in order. sum: [n], overwritten. */
void ctkd__sgd_sum(const float *const *gradients, size_t n_gradients, size_t n_tree, size_t begin,
                   size_t n, float *sum);

/* Updates elements begin..end-1 of a group. */
void ctkd__sgd_update_range(const struct ctkd__sgd_group *group, size_t begin, size_t end);

/* L2 norm of a group's gradient; not finite when any element is not. It is summed in `parts` parts,
   a multiple of the number of workers; the last digits depend on `parts`, not on the workers.
   sums: [parts], overwritten. */
double ctkd__sgd_norm(const struct ctkd__sgd_group *group, struct ctkd__workers *workers,
                      size_t parts, double *sums);

/* Updates all groups on the workers. Results do not depend on the number of workers. */
void ctkd__sgd_update(const struct ctkd__sgd_group *groups, size_t n_groups,
                      struct ctkd__workers *workers);

#endif
