/*
 * The sum over the batch-norm groups of a step (train.batch_norm_group). Each group passes through
 * networks and losses by itself, as on a device of its own. The gradient is the sum of those of the
 * groups, each weighted by its share of the batch, by the tree of dist/sum.h where the slices of a
 * pass are summed by it, else in their order. Running statistics move with each group in turn.
 *
 * On several ranks, each rank has whole groups where ctkd__step_groups_whole says so: rank r has an
 * equal run of the groups of a full batch, and in a smaller batch those of them that it has. Then
 * ranks exchange once for the batch what they would have exchanged for every batch norm and every
 * group. The gradient is summed beside the backward pass of each rank's last group
 * (gradient_sum.h), and behind that the moments of batch norms and what was measured are gathered.
 * A rank that fails makes no such pass, for which the others would wait: so before it, all agree
 * that none has failed (_agree). All ranks have the bits that one rank would have.
 */
#ifndef CTKD_TRAIN_STEP_GROUPS_H
#define CTKD_TRAIN_STEP_GROUPS_H

#include "train/gradient_sum.h"
#include "train/step.h"

/* Whether each of several ranks has whole groups: the batch has a power of two of them for each
   rank, and they depend on each other neither through a method's memory nor through views. */
bool ctkd__step_groups_whole(const struct ctkd__config *config, const struct ctkd__methods *methods,
                             size_t ranks);

struct ctkd__step_groups_config { /* borrowed until destroy */
    struct ctkd__dist *dist;      /* ranks that have whole groups; NULL: all are of this rank */
    struct ctkd__workers *workers;
    struct ctkd__training *training;
    struct ctkd__weights *weights;
    size_t n_theta;      /* parameters of the temperature */
    size_t batch, group; /* images of a full one */
    size_t passes;       /* of a group that have a gradient: 2 with views */
    bool tree;           /* always on several ranks */
    bool overlap;        /* of several ranks' sum with the backward pass */
    const float *dtheta; /* [n_theta] of the last pass */
};

struct ctkd__step_groups;

ctkd_status ctkd__step_groups_create(const struct ctkd__step_groups_config *config,
                                     struct ctkd__step_groups **out, ctkd_error *err);
void ctkd__step_groups_destroy(struct ctkd__step_groups *groups);

/* The sum over several ranks, which _finish completes; NULL: one rank. */
const struct ctkd__gradient_sum *ctkd__step_groups_ranks(const struct ctkd__step_groups *groups);
/* The sum, [n_values] and [n_theta]: complete behind _finish. Valid until destroy. */
const float *ctkd__step_groups_gradient(const struct ctkd__step_groups *groups);
const float *ctkd__step_groups_theta_gradient(const struct ctkd__step_groups *groups);

/* How many groups a batch of n images has; this rank has groups *first to *end - 1. */
size_t ctkd__step_groups_count(const struct ctkd__step_groups *groups, size_t n, size_t *first,
                               size_t *end);

/* Begins a batch of n images; returns as _count. */
size_t ctkd__step_groups_begin(struct ctkd__step_groups *groups, size_t n, size_t *first,
                               size_t *end);
/* Before the passes of a group. */
void ctkd__step_groups_enter(struct ctkd__step_groups *groups, size_t group);
/* In each pass before its backward pass, with the status of what came before, and behind the last
   group of this rank: once in a step, all ranks meet here. Returns `status`, or the failure of the
   first rank that has one. */
ctkd_status ctkd__step_groups_agree(struct ctkd__step_groups *groups, ctkd_status status,
                                    ctkd_error *err);
/* After a pass: adds its gradients, the sum of n_gradients arrays of [n_values], and dtheta, times
   the group's share of the batch. */
void ctkd__step_groups_add(struct ctkd__step_groups *groups, const float *const *gradients,
                           size_t n_gradients);
/*
 * Behind the last group of this rank, if all has succeeded. All ranks call it; afterwards all have
 * everything, and the running statistics have moved. reports [groups]: this rank has written those
 * of its groups. taus [n images]: likewise, or NULL.
 */
ctkd_status ctkd__step_groups_finish(struct ctkd__step_groups *groups,
                                     struct ctkd__step_report *reports, float *taus,
                                     ctkd_error *err);

#endif
