#include "train/distiller.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctkd/curriculum.h"
#include "ctkd/loss.h"
#include "train/sgd.h"
#include "util/error.h"

struct ctkd__distiller {
    struct ctkd__distiller_args args;
    const ctkd_loss_def *method;
    const void *method_config;
    ctkd_kd_form kd_form;
    /* [batch][classes] */
    float *s, *t, *ds, *ds_part;
    /* [batch] */
    float *tau, *dtau, *dtau_part;
    double *workspace;    /* the method's */
    const float **slices; /* of the student's gradient, one for each worker */
    const float *temperature_slice;
    struct ctkd__sgd_group groups[2]; /* student, temperature */
    size_t n_groups;
    float base_lr[2];
    double *norm_sums; /* [workers] */
};

static float own_or(float own, float student)
{
    return own >= 0 ? own : student;
}

static void make_groups(struct ctkd__distiller *d)
{
    const struct ctkd__config *config = d->args.config;
    struct ctkd__run_state *state = d->args.state;
    const size_t workers = ctkd__workers_count(d->args.workers);
    for (size_t w = 0; w < workers; w++)
        d->slices[w] = ctkd__training_gradient(d->args.training, w);
    d->base_lr[0] = config->optimizer.lr;
    d->groups[0] = (struct ctkd__sgd_group){ .values = state->weights->values,
                                             .velocity = state->velocity,
                                             .gradients = d->slices,
                                             .n = state->weights->n_values,
                                             .n_gradients = workers,
                                             .momentum = config->optimizer.momentum,
                                             .weight_decay = config->optimizer.weight_decay,
                                             .nesterov = config->optimizer.nesterov,
                                             .scale = 1 };
    d->n_groups = 1;
    if (!state->temperature)
        return;
    float *values, *gradient;
    const size_t n = ctkd_temperature_parameters(state->temperature, &values, &gradient);
    if (n == 0)
        return;
    d->temperature_slice = gradient;
    d->base_lr[1] = own_or(config->temperature.lr, config->optimizer.lr);
    d->groups[1] = (struct ctkd__sgd_group){
        .values = values,
        .velocity = state->temperature_velocity,
        .gradients = &d->temperature_slice,
        .n = n,
        .n_gradients = 1,
        .momentum = own_or(config->temperature.momentum, config->optimizer.momentum),
        .weight_decay = own_or(config->temperature.weight_decay, config->optimizer.weight_decay),
        .nesterov = config->optimizer.nesterov,
        .scale = 1,
    };
    d->n_groups = 2;
}

ctkd_status ctkd__distiller_create(const struct ctkd__distiller_args *args,
                                   struct ctkd__distiller **out, ctkd_error *err)
{
    *out = NULL;
    const size_t batch = (size_t)args->config->train.batch, k = args->classes;
    const ctkd_loss_def *method = args->teacher ? ctkd__config_method(args->config) : NULL;
    if (method && k < method->classes_min)
        return ctkd__fail(err, CTKD_ERANGE,
                          "method.name: %s needs %zu classes or more, but the data set has %zu",
                          method->name, method->classes_min, k);
    struct ctkd__distiller *d = calloc(1, sizeof *d);
    if (!d)
        return ctkd__fail(err, CTKD_ENOMEM, "training step: out of memory");
    d->args = *args;
    d->kd_form = ctkd__config_kd_form(args->config);
    d->method = method;
    d->method_config = d->method ? ctkd__config_loss(args->config, d->method) : NULL;
    d->s = calloc(batch * k * 4 + batch * 3, sizeof *d->s);
    d->slices = calloc(ctkd__workers_count(args->workers), sizeof *d->slices);
    size_t workspace = 0;
    const ctkd_status size =
        method ? ctkd_loss_workspace(method, d->method_config,
                                     &(ctkd_loss_shape){ .n = batch, .k = k }, &workspace)
               : CTKD_OK;
    if (workspace)
        d->workspace = calloc(workspace, sizeof *d->workspace);
    d->norm_sums = calloc(ctkd__workers_count(args->workers), sizeof *d->norm_sums);
    if (!d->s || !d->slices || !d->norm_sums || size != CTKD_OK || (workspace && !d->workspace)) {
        ctkd__distiller_destroy(d);
        return ctkd__fail(err, CTKD_ENOMEM, "training step: out of memory");
    }
    d->t = d->s + batch * k;
    d->ds = d->t + batch * k;
    d->ds_part = d->ds + batch * k;
    d->tau = d->ds_part + batch * k;
    d->dtau = d->tau + batch;
    d->dtau_part = d->dtau + batch;
    make_groups(d);
    *out = d;
    return CTKD_OK;
}

void ctkd__distiller_destroy(struct ctkd__distiller *d)
{
    if (!d)
        return;
    free(d->s);
    free(d->workspace);
    free(d->norm_sums);
    free(d->slices);
    free(d);
}

ctkd_status ctkd__distiller_temperature(const struct ctkd__config *config, size_t classes,
                                        ctkd_temperature **out, ctkd_error *err)
{
    ctkd_temperature_config t = ctkd_temperature_defaults();
    t.kind = (ctkd_temperature_kind)config->temperature.kind;
    t.tau = config->temperature.tau;
    t.tau_min = config->temperature.tau_min;
    t.tau_span = config->temperature.tau_span;
    t.theta_init = config->temperature.theta_init;
    t.n_max = (size_t)config->train.batch;
    t.k = classes;
    t.hidden = (size_t)config->temperature.hidden;
    t.from_logits = config->temperature.from_logits;
    t.through = config->temperature.through;
    t.bias_init = config->temperature.bias_init;
    t.set_bias = config->temperature.set_bias;
    t.seed = (uint64_t)config->train.seed;
    const ctkd_status status = ctkd_temperature_create(&t, out);
    if (status != CTKD_OK)
        return ctkd__fail(err, status, "temperature: %s", ctkd_status_text(status));
    return CTKD_OK;
}

ctkd_status ctkd__distiller_lambda(const struct ctkd__config *config, uint64_t epoch, float *lambda)
{
    /* 0 epochs divide by zero in the published code; here the curve has ended before it began. */
    const bool none = config->temperature.curriculum_epochs == 0;
    return ctkd_curriculum_lambda(
        none ? CTKD_CURRICULUM_NONE : (ctkd_curriculum)config->temperature.curriculum, epoch,
        (size_t)config->temperature.curriculum_epochs, config->temperature.lambda_min,
        config->temperature.lambda_max, lambda);
}

/* Where a step is, for its messages. */
struct position {
    uint64_t epoch, step;
    const struct ctkd__batch *batch;
};

static const char remedy[] =
    "a lower optimizer.lr, optimizer.clip_norm or schedule.warmup_epochs may help";

static ctkd_status not_finite(struct position at, const char *term, ctkd_error *err)
{
    char ids[96];
    int used = 0;
    for (size_t i = 0; i < at.batch->n && i < 4; i++)
        used += snprintf(ids + used, sizeof ids - (size_t)used, "%s%" PRIu64, i ? ", " : "",
                         at.batch->ids[i]);
    return ctkd__fail(err, CTKD_ENAN,
                      "epoch %" PRIu64 ", step %" PRIu64
                      " (samples %s%s): %s is not finite; no weight was changed, the last "
                      "checkpoint is whole (%s)",
                      at.epoch, at.step, ids, at.batch->n > 4 ? ", ..." : "", term, remedy);
}

/* Names the first sample with such a logit. */
static ctkd_status check_logits(struct position at, const char *whose, size_t k,
                                const float *logits, const char *why, ctkd_error *err)
{
    for (size_t i = 0; i < at.batch->n * k; i++)
        if (!isfinite(logits[i]))
            return ctkd__fail(err, CTKD_ENAN,
                              "epoch %" PRIu64 ", step %" PRIu64 ": %s logit %zu of sample %" PRIu64
                              " is %s, expected a finite one; no weight was changed, the last "
                              "checkpoint is whole (%s)",
                              at.epoch, at.step, whose, i % k, at.batch->ids[i / k],
                              isnan(logits[i]) ? "NaN" : "infinite", why);
    return CTKD_OK;
}

/* A status of libctkd, and the value that it computed, as one error. */
static ctkd_status checked(struct position at, const char *term, ctkd_status status, float value,
                           ctkd_error *err)
{
    if (status == CTKD_ENAN || (status == CTKD_OK && !isfinite(value)))
        return not_finite(at, term, err);
    if (status != CTKD_OK)
        return ctkd__fail(err, status, "epoch %" PRIu64 ", step %" PRIu64 ": %s: %s", at.epoch,
                          at.step, term, ctkd_status_text(status));
    return CTKD_OK;
}

static void add_scaled(size_t n, float weight, const float *restrict part, float *restrict sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += weight * part[i];
}

static void scale(size_t n, float weight, float *values)
{
    for (size_t i = 0; i < n; i++)
        values[i] *= weight;
}

static ctkd_status find_tau(struct ctkd__distiller *d, struct position at, size_t n, size_t *n_tau,
                            struct ctkd__step_report *report, ctkd_error *err)
{
    ctkd_temperature *temperature = d->args.state->temperature;
    *n_tau = ctkd_temperature_count(temperature, n);
    ctkd_status status =
        checked(at, "tau", ctkd_temperature_forward(temperature, n, d->s, d->t, d->tau), 0, err);
    double sum = 0;
    report->tau_min = INFINITY;
    report->tau_max = -INFINITY;
    for (size_t i = 0; i < *n_tau && status == CTKD_OK; i++) {
        status = checked(at, "tau", CTKD_OK, d->tau[i], err);
        sum += (double)d->tau[i];
        report->tau_min = fminf(report->tau_min, d->tau[i]);
        report->tau_max = fmaxf(report->tau_max, d->tau[i]);
    }
    report->tau_mean = (float)(sum / (double)*n_tau);
    return status;
}

/* Adds the method's own loss to ds and dtau. */
static ctkd_status add_method(struct ctkd__distiller *d, const struct ctkd__batch *batch,
                              size_t n_tau, struct position at, struct ctkd__step_report *report,
                              ctkd_error *err)
{
    const struct ctkd__config *config = d->args.config;
    const bool has_dtau = d->method->needs & CTKD_NEEDS_TAU;
    const ctkd_loss_args args = { .n = batch->n,
                                  .k = d->args.classes,
                                  .s = d->s,
                                  .t = d->t,
                                  .labels = batch->labels,
                                  .tau = d->tau,
                                  .n_tau = n_tau,
                                  .loss = &report->loss_method,
                                  .ds = d->ds_part,
                                  .dtau = has_dtau ? d->dtau_part : NULL,
                                  .workspace = d->workspace };
    ctkd_status status = d->method->eval(d->method_config, &args);
    status = checked(at, "loss_method", status, report->loss_method, err);
    if (status != CTKD_OK)
        return status;
    const double warmup = (double)config->method.warmup_epochs;
    const double grown = warmup > 0 ? fmin((double)at.epoch / warmup, 1) : 1;
    const float weight = (float)(grown * (double)config->method.weight);
    add_scaled(args.n * args.k, weight, d->ds_part, d->ds);
    if (has_dtau)
        add_scaled(n_tau, weight, d->dtau_part, d->dtau);
    report->loss += weight * report->loss_method;
    return CTKD_OK;
}

/* Adds the KD loss and the method's own to ds (which has the cross-entropy) and makes dtau. */
static ctkd_status teach(struct ctkd__distiller *d, const struct ctkd__batch *batch,
                         struct position at, struct ctkd__step_report *report, ctkd_error *err)
{
    const struct ctkd__config *config = d->args.config;
    const size_t n = batch->n, k = d->args.classes;
    size_t n_tau = 0;
    ctkd_status status = find_tau(d, at, n, &n_tau, report, err);
    if (status != CTKD_OK)
        return status;
    status = ctkd_kd_loss(n, k, d->s, d->t, d->tau, n_tau, d->kd_form, &report->loss_kd, d->ds_part,
                          NULL, d->dtau);
    status = checked(at, "loss_kd", status, report->loss_kd, err);
    if (status != CTKD_OK)
        return status;
    add_scaled(n * k, config->method.kd_weight, d->ds_part, d->ds);
    scale(n_tau, config->method.kd_weight, d->dtau);
    report->loss += config->method.kd_weight * report->loss_kd;
    if (d->method)
        status = add_method(d, batch, n_tau, at, report, err);
    if (status != CTKD_OK)
        return status;
    double gradient = 0;
    for (size_t i = 0; i < n_tau; i++)
        gradient += (double)d->dtau[i];
    report->tau_gradient = (float)gradient;
    /* Before the student's backward pass: with temperature.through this adds to ds. */
    status =
        ctkd_temperature_backward(d->args.state->temperature, n, d->dtau, report->lambda, d->ds);
    return checked(at, "gradient of tau", status, report->tau_gradient, err);
}

static ctkd_status check_theta(const struct ctkd__distiller *d, struct position at, ctkd_error *err)
{
    for (size_t i = 0; d->n_groups > 1 && i < d->groups[1].n; i++)
        if (!isfinite(d->temperature_slice[i]))
            return not_finite(at, "gradient of theta", err);
    return CTKD_OK;
}

/* Losses of a batch whose logits are there: ds, the report, the temperature's gradient. */
static ctkd_status evaluate_losses(struct ctkd__distiller *d, const struct ctkd__batch *batch,
                                   struct position at, struct ctkd__step_report *report,
                                   ctkd_error *err)
{
    const size_t n = batch->n, k = d->args.classes;
    ctkd_status status = ctkd_cross_entropy(n, k, d->s, batch->labels, &report->loss_ce, d->ds);
    status = checked(at, "loss_ce", status, report->loss_ce, err);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < n; i++)
        report->correct += ctkd__label_rank(k, d->s + i * k, batch->labels[i]) == 0;
    report->loss = report->loss_ce;
    if (d->args.teacher) {
        const float weight = d->args.config->method.ce_weight;
        scale(n * k, weight, d->ds);
        report->loss *= weight;
        status = teach(d, batch, at, report, err);
        if (status == CTKD_OK)
            status = check_theta(d, at, err);
    }
    if (status == CTKD_OK)
        status = checked(at, "loss", CTKD_OK, report->loss, err);
    return status;
}

/* The student's gradient is finite and, when asked for, scaled to a norm of at most clip_norm:
   scale = clip_norm / (norm + 1e-6), as torch.nn.utils.clip_grad_norm_. */
static ctkd_status check_gradient(struct ctkd__distiller *d, struct position at, ctkd_error *err)
{
    const double limit = (double)d->args.config->optimizer.clip_norm;
    const double norm = ctkd__sgd_norm(&d->groups[0], d->args.workers, d->norm_sums);
    if (!isfinite(norm))
        return not_finite(at, "gradient of the student", err);
    d->groups[0].scale = limit > 0 ? (float)fmin(limit / (norm + 1e-6), 1) : 1;
    return CTKD_OK;
}

ctkd_status ctkd__distiller_step(struct ctkd__distiller *d, const struct ctkd__batch *batch,
                                 uint64_t epoch, double lr_factor, struct ctkd__step_report *report,
                                 ctkd_error *err)
{
    const struct position at = { epoch, d->args.state->epoch_step + 1, batch };
    ctkd_status status = CTKD_OK;
    *report = (struct ctkd__step_report){ .loss_kd = NAN,
                                          .loss_method = NAN,
                                          .tau_mean = NAN,
                                          .tau_min = NAN,
                                          .tau_max = NAN,
                                          .tau_gradient = NAN,
                                          .lr = (float)(lr_factor * (double)d->base_lr[0]) };
    if (d->args.teacher) {
        status = ctkd__distiller_lambda(d->args.config, epoch, &report->lambda);
        status = checked(at, "lambda", status, report->lambda, err);
        if (status == CTKD_OK)
            status = ctkd__teacher_predict(d->args.teacher, batch->n, batch->x, d->t, err);
        if (status == CTKD_OK)
            status = check_logits(at, "teacher's", d->args.classes, d->t,
                                  "damaged weights, or a wrong teacher.mean or .std", err);
    }
    if (status == CTKD_OK)
        status = ctkd__training_forward(d->args.training, batch->n, batch->x, d->s, err);
    if (status == CTKD_OK)
        status = check_logits(at, "student's", d->args.classes, d->s, remedy, err);
    if (status == CTKD_OK)
        status = evaluate_losses(d, batch, at, report, err);
    if (status == CTKD_OK)
        status = ctkd__training_backward(d->args.training, d->ds, err);
    if (status == CTKD_OK)
        status = check_gradient(d, at, err);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < d->n_groups; i++)
        d->groups[i].lr = (float)(lr_factor * (double)d->base_lr[i]);
    ctkd__sgd_update(d->groups, d->n_groups, d->args.workers);
    return CTKD_OK;
}
