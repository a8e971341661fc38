/*
 * The sum over the batch-norm groups of a step (train.batch_norm_group). Each group passes through
 * networks and losses by itself, as on a device of its own. The gradient is the sum of those of the
 * groups, each weighted by its share of the batch, by the tree of dist/sum.h where the slices of a
 * pass are summed by it, else in their order. Running statistics move with each group in turn.
 *
 * On several ranks, each rank has whole groups where ctkd__step_groups_whole says so: rank r has an
 * equal run of the groups of a full batch, and in a smaller batch what there is of them. Then no
 * pass exchanges anything. Behind the last one, ranks exchange once for the batch what they would
 * have exchanged for every batch norm and every group: the gradient, the moments of batch norms,
 * and what was measured. All ranks have the bits that one rank would have.
 */
#ifndef CTKD_TRAIN_STEP_GROUPS_H
#define CTKD_TRAIN_STEP_GROUPS_H

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
    bool tree;
};

struct ctkd__step_groups;

ctkd_status ctkd__step_groups_create(const struct ctkd__step_groups_config *config,
                                     struct ctkd__step_groups **out, ctkd_error *err);
void ctkd__step_groups_destroy(struct ctkd__step_groups *groups);

/* The sum, [n_values] and [n_theta]: complete behind _finish. Valid until destroy. */
const float *ctkd__step_groups_gradient(const struct ctkd__step_groups *groups);
const float *ctkd__step_groups_theta_gradient(const struct ctkd__step_groups *groups);

/* Begins a batch of n images; returns how many groups it has. This rank has groups *first to
   *end - 1. */
size_t ctkd__step_groups_begin(struct ctkd__step_groups *groups, size_t n, size_t *first,
                               size_t *end);
/* Before the passes of a group. */
void ctkd__step_groups_enter(struct ctkd__step_groups *groups, size_t group);
/* After a pass: adds its gradients, the sum of n_gradients arrays of [n_values], and dtheta
   [n_theta], times `share`. */
void ctkd__step_groups_add(struct ctkd__step_groups *groups, const float *const *gradients,
                           size_t n_gradients, const float *dtheta, float share);
/*
 * Behind the last group of this rank, or the first that failed with `status` and err. All ranks
 * call it; afterwards all have everything, and the running statistics have moved. reports [groups]:
 * this rank has written those of its groups. taus [n images]: likewise, or NULL. Returns the first
 * rank's failure.
 */
ctkd_status ctkd__step_groups_finish(struct ctkd__step_groups *groups, ctkd_status status,
                                     struct ctkd__step_report *reports, float *taus,
                                     ctkd_error *err);

#endif
