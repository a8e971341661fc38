#include "train/optimiser.h"

#include <math.h>
#include <stdlib.h>

#include "train/sgd.h"
#include "util/error.h"

struct ctkd__optimiser {
    struct ctkd__optimiser_args args;
    struct ctkd__sgd_group *groups; /* parts of the flat block, then the temperature */
    float *base_lr;                 /* of each group */
    size_t n_groups, n_student;     /* all; those of the flat block */
    double *norm_sums;              /* [args.norm_parts] */
};

/* A setting of its own where there is one (>= 0), else the student's. */
static float own_or_student(float own, float student)
{
    return own >= 0 ? own : student;
}

/* Adds a group of elements first to end - 1 of the flat block. */
static void add_group(struct ctkd__optimiser *o, size_t first, size_t end)
{
    const struct ctkd__config *config = o->args.config;
    const float lr = config->optimizer.lr;
    o->base_lr[o->n_groups] =
        o->args.stage == CTKD_STAGE_INITIAL ? own_or_student(config->method.initial_lr, lr) : lr;
    o->groups[o->n_groups++] =
        (struct ctkd__sgd_group){ .values = o->args.state->weights->values + first,
                                  .velocity = o->args.state->velocity + first,
                                  .gradients = o->args.gradients,
                                  .first = first,
                                  .n = end - first,
                                  .n_gradients = o->args.n_gradients,
                                  .n_tree = o->args.n_tree,
                                  .momentum = config->optimizer.momentum,
                                  .weight_decay = config->optimizer.weight_decay,
                                  .nesterov = config->optimizer.nesterov,
                                  .scale = 1 };
}

/* One group for each contiguous stretch of parameters that this stage trains. */
static void add_student_groups(struct ctkd__optimiser *o)
{
    const struct ctkd__weights *const weights = o->args.state->weights;
    const struct ctkd__graph *const graph = weights->graph;
    size_t first = 0;
    bool open = false;
    for (int i = 0; i < graph->n_parameters; i++) {
        if (graph->parameters[i].role > CTKD__ROLE_BIAS)
            continue; /* running statistics are in another block */
        const bool trained = !o->args.trained_in || o->args.trained_in[i] & o->args.stage;
        if (open && !trained)
            add_group(o, first, weights->offsets[i]);
        if (trained && !open)
            first = weights->offsets[i];
        open = trained;
    }
    if (open)
        add_group(o, first, weights->n_values);
    o->n_student = o->n_groups;
}

static void add_temperature_group(struct ctkd__optimiser *o)
{
    const struct ctkd__config *config = o->args.config;
    const struct ctkd__run_state *state = o->args.state;
    o->base_lr[o->n_groups] = own_or_student(config->temperature.lr, config->optimizer.lr);
    o->groups[o->n_groups++] = (struct ctkd__sgd_group){
        .values = state->theta,
        .velocity = state->temperature_velocity,
        .gradients = o->args.theta_gradients,
        .n = state->n_theta,
        .n_gradients = o->args.n_theta_gradients,
        .momentum = own_or_student(config->temperature.momentum, config->optimizer.momentum),
        .weight_decay =
            own_or_student(config->temperature.weight_decay, config->optimizer.weight_decay),
        .nesterov = config->optimizer.nesterov,
        .scale = 1,
    };
}

ctkd_status ctkd__optimiser_create(const struct ctkd__optimiser_args *args,
                                   struct ctkd__optimiser **out, ctkd_error *err)
{
    const size_t groups = (size_t)args->state->weights->graph->n_parameters + 1;
    *out = NULL;
    struct ctkd__optimiser *const o = calloc(1, sizeof *o);
    if (!o)
        return ctkd__fail(err, CTKD_ENOMEM, "optimiser: out of memory");
    o->args = *args;
    o->groups = calloc(groups, sizeof *o->groups);
    o->base_lr = calloc(groups, sizeof *o->base_lr);
    o->norm_sums = calloc(args->norm_parts, sizeof *o->norm_sums);
    if (!o->groups || !o->base_lr || !o->norm_sums) {
        ctkd__optimiser_destroy(o);
        return ctkd__fail(err, CTKD_ENOMEM, "optimiser: out of memory");
    }
    add_student_groups(o);
    if (args->stage != CTKD_STAGE_INITIAL && args->state->n_theta)
        add_temperature_group(o);
    *out = o;
    return CTKD_OK;
}

void ctkd__optimiser_destroy(struct ctkd__optimiser *o)
{
    if (!o)
        return;
    free(o->groups);
    free(o->base_lr);
    free(o->norm_sums);
    free(o);
}

float ctkd__optimiser_lr(const struct ctkd__optimiser *o, double lr_factor)
{
    return (float)(lr_factor * (double)o->base_lr[0]);
}

double ctkd__optimiser_clip(struct ctkd__optimiser *o)
{
    const double limit = (double)o->args.config->optimizer.clip_norm;
    double norm = 0;
    for (size_t i = 0; i < o->n_student; i++)
        norm = hypot(
            norm, ctkd__sgd_norm(&o->groups[i], o->args.workers, o->args.norm_parts, o->norm_sums));
    for (size_t i = 0; i < o->n_student; i++)
        o->groups[i].scale = limit > 0 ? (float)fmin(limit / (norm + 1e-6), 1) : 1;
    return norm;
}

void ctkd__optimiser_update(struct ctkd__optimiser *o, double lr_factor)
{
    for (size_t i = 0; i < o->n_groups; i++)
        o->groups[i].lr = (float)(lr_factor * (double)o->base_lr[i]);
    ctkd__sgd_update(o->groups, o->n_groups, o->args.workers);
}
