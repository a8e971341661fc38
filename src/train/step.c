#include "train/step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/epochs.h"
#include "ctkd/curriculum.h"
#include "ctkd/loss.h"
#include "train/gradient_sum.h"
#include "train/optimiser.h"
#include "train/sgd.h"
#include "train/step_checks.h"
#include "train/step_groups.h"
#include "train/step_teacher.h"
#include "util/clock.h"
#include "util/error.h"

struct ctkd__training_step {
    struct ctkd__step_args args;
    ctkd_kd_form kd_form;
    /* [batch][classes] */
    float *s, *t, *ds, *ds_part;
    /* [batch] */
    float *tau, *dtau;
    /* The gradients of all parameters in the last backward pass: one for each slice or, with
       several ranks, their sum alone; then `kept`. n_tree: how many of them are summed as a tree;
       0: all in order. */
    const float **gradients;
    size_t n_gradients, n_tree;
    const float *theta_gradients[2]; /* of the last pass; kept_theta */
    float *kept, *kept_theta;        /* with two views and no groups, of the strong view; or NULL */
    /* A batch is divided into batch-norm groups, whose gradients it sums; NULL: it is not. */
    struct ctkd__step_groups *groups;
    struct ctkd__step_report *reports; /* [groups] */
    float *taus;                       /* [train.batch] of one temperature for each sample */
    struct ctkd__optimiser *optimiser;
    struct ctkd__gradient_sum *ranks;  /* NULL: one rank */
    size_t n_theta;                    /* parameters of the temperature that this stage trains */
    struct ctkd__step_teacher teacher; /* with a teacher */
    int row_labels, row_kd, row_sgd;   /* of the profile */
    int row_exchanges[CTKD__TOPICS];   /* likewise, with several ranks */
};

static bool in_initial(const struct ctkd__training_step *d)
{
    return d->args.stage == CTKD_STAGE_INITIAL;
}

/* Whether a step has a strong view beside the usual one. */
static bool has_views(const struct ctkd__training_step *d)
{
    return d->args.teacher && d->args.methods->needs & CTKD_NEEDS_VIEWS && !in_initial(d);
}

static bool allocate(struct ctkd__training_step *d)
{
    const size_t all = (size_t)d->args.config->train.batch;
    const size_t batch = ctkd__config_pass(d->args.config), k = d->args.classes;
    d->s = calloc(batch * k * 4 + batch * 2, sizeof *d->s);
    d->gradients = calloc(d->n_gradients + 1, sizeof *d->gradients);
    if (!d->s || !d->gradients)
        return false;
    for (size_t s = 0; s < d->n_gradients; s++)
        d->gradients[s] = d->ranks ? ctkd__gradient_sum_values(d->ranks)
                                   : ctkd__training_gradient(d->args.training, s);
    if (has_views(d) && !d->groups) {
        d->kept = calloc(d->args.state->weights->n_values, sizeof *d->kept);
        d->kept_theta = calloc(d->args.state->n_theta + 1, sizeof *d->kept_theta);
        if (!d->kept || !d->kept_theta)
            return false;
    }
    d->gradients[d->n_gradients] = d->groups ? ctkd__step_groups_gradient(d->groups) : d->kept;
    d->theta_gradients[0] = d->args.state->dtheta;
    d->theta_gradients[1] = d->groups ? ctkd__step_groups_theta_gradient(d->groups) : d->kept_theta;
    d->t = d->s + batch * k;
    d->reports = calloc(all / batch + 1, sizeof *d->reports);
    d->taus = calloc(all, sizeof *d->taus);
    d->teacher = (struct ctkd__step_teacher){
        .args = &d->args,
        .logits = d->t,
        .counts = calloc(ctkd__dist_size(d->args.dist), sizeof *d->teacher.counts),
    };
    if (!d->reports || !d->taus || !d->teacher.counts)
        return false;
    d->ds = d->t + batch * k;
    d->ds_part = d->ds + batch * k;
    d->tau = d->ds_part + batch * k;
    d->dtau = d->tau + batch;
    return true;
}

/* The gradient is the sum of batch-norm groups, or the last pass and what is kept. */
static ctkd_status create_optimiser(struct ctkd__training_step *d, ctkd_error *err)
{
    const struct ctkd__step_args *const args = &d->args;
    const size_t passes = d->kept ? 2 : 1;
    const struct ctkd__optimiser_args optimiser = {
        .config = args->config,
        .stage = args->stage,
        .state = args->state,
        .trained_in = args->trained_in,
        .workers = args->workers,
        .gradients = d->groups ? d->gradients + d->n_gradients : d->gradients,
        .n_gradients = d->groups ? 1 : d->n_gradients + passes - 1,
        .n_tree = d->groups ? 0 : d->n_tree,
        .theta_gradients = d->groups ? d->theta_gradients + 1 : d->theta_gradients,
        .n_theta_gradients = passes,
        .norm_parts = args->slices ? args->slices : d->n_gradients,
    };
    return ctkd__optimiser_create(&optimiser, &d->optimiser, err);
}

/* Where batches are divided into batch-norm groups. */
static ctkd_status create_groups(struct ctkd__training_step *d, ctkd_error *err)
{
    const struct ctkd__step_args *const args = &d->args;
    const struct ctkd__step_groups_config config = { .dist = args->groups_dist,
                                                     .workers = args->workers,
                                                     .training = args->training,
                                                     .weights = args->state->weights,
                                                     .n_theta = d->n_theta,
                                                     .batch = (size_t)args->config->train.batch,
                                                     .group = ctkd__config_pass(args->config),
                                                     .passes = has_views(d) ? 2 : 1,
                                                     .tree = d->n_tree > 0,
                                                     .overlap = args->config->train.overlap,
                                                     .dtheta = args->state->dtheta };
    return config.group < config.batch ? ctkd__step_groups_create(&config, &d->groups, err)
                                       : CTKD_OK;
}

static ctkd_status check_classes(const struct ctkd__step_args *args, ctkd_error *err)
{
    for (size_t i = 0; args->teacher && i < args->methods->count; i++) {
        const ctkd_loss_def *const def = args->methods->items[i].def;
        if (args->classes < def->classes_min)
            return ctkd__fail(err, CTKD_ERANGE,
                              "method.name: %s needs %zu classes or more, but the data set has %zu",
                              def->name, def->classes_min, args->classes);
    }
    return CTKD_OK;
}

static void add_exchange_rows(struct ctkd__training_step *d)
{
    static const char *const names[] = { [CTKD__TOPIC_OTHER] = "of methods",
                                         [CTKD__TOPIC_GRADIENTS] = "gradients",
                                         [CTKD__TOPIC_NORMS] = "batch norms",
                                         [CTKD__TOPIC_LOGITS] = "logits" };
    for (int t = 0; t < CTKD__TOPICS; t++)
        d->row_exchanges[t] =
            ctkd__profile_row(d->args.profile, "ranks", "exchange", names[t], "waited for", 0);
}

ctkd_status ctkd__step_create(const struct ctkd__step_args *args, struct ctkd__training_step **out,
                              ctkd_error *err)
{
    *out = NULL;
    ctkd_status status = check_classes(args, err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__training_step *d = calloc(1, sizeof *d);
    if (!d)
        return ctkd__fail(err, CTKD_ENOMEM, "training step: out of memory");
    d->args = *args;
    d->kd_form = ctkd__config_kd_form(args->config);
    d->n_theta = in_initial(d) ? 0 : args->state->n_theta;
    d->n_gradients = args->dist ? 1 : ctkd__training_slices(args->training);
    d->n_tree = args->slices ? d->n_gradients : 0;
    const struct ctkd__gradient_sum_config sum = { .dist = args->dist,
                                                   .workers = args->workers,
                                                   .training = args->training,
                                                   .weights = args->state->weights,
                                                   .overlap = args->config->train.overlap };
    status = args->dist ? ctkd__gradient_sum_create(&sum, &d->ranks, err) : CTKD_OK;
    if (status == CTKD_OK)
        status = create_groups(d, err);
    if (status == CTKD_OK && !allocate(d))
        status = ctkd__fail(err, CTKD_ENOMEM, "training step: out of memory");
    if (status == CTKD_OK)
        status = create_optimiser(d, err);
    if (status != CTKD_OK) {
        ctkd__step_destroy(d);
        return status;
    }
    d->row_labels =
        ctkd__profile_row(args->profile, "losses", "loss", "cross-entropy", "libctkd", 0);
    d->row_kd = ctkd__profile_row(args->profile, "losses", "loss", "kd", "libctkd", 0);
    d->row_sgd = ctkd__profile_row(args->profile, "student", "sgd", "all parameters", "own", 0);
    add_exchange_rows(d);
    *out = d;
    return CTKD_OK;
}

void ctkd__step_destroy(struct ctkd__training_step *d)
{
    if (!d)
        return;
    free(d->s);
    free(d->teacher.counts);
    free(d->kept);
    free(d->kept_theta);
    free(d->reports);
    free(d->taus);
    free(d->gradients);
    ctkd__step_groups_destroy(d->groups);
    ctkd__gradient_sum_destroy(d->ranks);
    ctkd__optimiser_destroy(d->optimiser);
    free(d);
}

/* The sum over several ranks; NULL: one rank. */
static const struct ctkd__gradient_sum *rank_sum(const struct ctkd__training_step *d)
{
    return d->args.groups_dist ? ctkd__step_groups_ranks(d->groups) : d->ranks;
}

size_t ctkd__step_buckets(const struct ctkd__training_step *d)
{
    return rank_sum(d) ? ctkd__gradient_sum_buckets(rank_sum(d)) : 0;
}

double ctkd__step_exposed(const struct ctkd__training_step *d, double seconds)
{
    return rank_sum(d) ? ctkd__gradient_sum_exposed(rank_sum(d), seconds) : 0;
}

const float *ctkd__step_strong_gradient(const struct ctkd__training_step *d)
{
    return d->kept;
}

ctkd_status ctkd__step_temperature(const struct ctkd__config *config, size_t classes,
                                   ctkd_temperature **out, ctkd_error *err)
{
    ctkd_temperature_config t = ctkd_temperature_defaults();
    t.kind = ctkd__methods_temperature_kind(config);
    t.tau = config->temperature.tau;
    t.tau_min = config->temperature.tau_min;
    t.tau_span = config->temperature.tau_span;
    t.theta_init = config->temperature.theta_init;
    t.n_max = ctkd__config_pass(config);
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

ctkd_status ctkd__step_lambda(const struct ctkd__config *config, uint64_t epoch, float *lambda)
{
    /* With 0 epochs the published code divides by zero; here lambda is lambda_max from the
       start. */
    const uint64_t epochs = ctkd__epochs_of(config, config->temperature.curriculum_epochs);
    return ctkd_curriculum_lambda(
        epochs == 0 ? CTKD_CURRICULUM_NONE : (ctkd_curriculum)config->temperature.curriculum, epoch,
        (size_t)epochs, config->temperature.lambda_min, config->temperature.lambda_max, lambda);
}

static void scale_values(size_t n, float weight, float *values)
{
    for (size_t i = 0; i < n; i++)
        values[i] *= weight;
}

static ctkd_status find_tau(struct ctkd__training_step *d, struct ctkd__step_position position,
                            size_t n, size_t *n_tau, struct ctkd__step_report *report,
                            ctkd_error *err)
{
    ctkd_temperature *temperature = d->args.state->temperature;
    *n_tau = ctkd_temperature_count(temperature, n);
    ctkd_status status = ctkd__step_check_value(
        position, "tau", ctkd_temperature_forward(temperature, n, d->s, d->t, d->tau), 0, err);
    double sum = 0;
    report->tau_min = INFINITY;
    report->tau_max = -INFINITY;
    for (size_t i = 0; i < *n_tau && status == CTKD_OK; i++) {
        status = ctkd__step_check_value(position, "tau", CTKD_OK, d->tau[i], err);
        sum += (double)d->tau[i];
        report->tau_min = fminf(report->tau_min, d->tau[i]);
        report->tau_max = fmaxf(report->tau_max, d->tau[i]);
    }
    report->tau_mean = (float)(sum / (double)*n_tau);
    return status;
}

static float norm_of(size_t n, float weight, const float *values)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)values[i] * (double)values[i];
    return (float)((double)weight * sqrt(sum));
}

/* Adds the gradients of the methods' losses to ds and dtau (neither in an initial stage) and the
   losses to the report. */
static ctkd_status add_methods(struct ctkd__training_step *d, const struct ctkd__batch *batch,
                               ctkd_view view, size_t n_tau, struct ctkd__step_position position,
                               struct ctkd__step_report *report, ctkd_error *err)
{
    const struct ctkd__methods *methods = d->args.methods;
    const struct ctkd__config *config = d->args.config;
    const double warmup = (double)ctkd__epochs_of(config, config->method.warmup_epochs);
    const bool initial = in_initial(d);
    struct ctkd__method_losses_step step = {
        .batch = batch,
        .s = d->s,
        .t = d->t,
        .tau = d->tau,
        .n_tau = n_tau,
        .step = d->args.state->step,
        .view = view,
        .warmup_factor = warmup > 0 && !initial ? fmin((double)position.epoch / warmup, 1) : 1,
        .state = d->args.state->method_state,
        .ds = initial ? NULL : d->ds,
        .dtau = initial ? NULL : d->dtau,
    };
    ctkd_status status = ctkd__method_losses_share(d->args.method_losses, &step, err);
    if (status != CTKD_OK)
        return status;
    status = ctkd__method_losses_evaluate(d->args.method_losses, &step, err);
    if (status != CTKD_OK && step.failed == CTKD__METHODS_MAX)
        return status;
    if (status != CTKD_OK) {
        char quantity[64];
        snprintf(quantity, sizeof quantity, "loss of method %s",
                 methods->items[step.failed].def->name);
        return ctkd__step_check_value(position, quantity, status, NAN, err);
    }
    for (size_t i = 0; i < methods->count; i++)
        report->losses[i] = step.losses[i];
    report->loss_method = methods->count == 1 ? step.losses[0] : (float)step.loss;
    report->loss += (float)step.loss;
    return CTKD_OK;
}

/* Only the first step measures the balance of the losses, so that the others do not pay for it. */
static bool tells_balance(struct ctkd__step_position position)
{
    return position.epoch == 1 && position.step == 1;
}

/* Adds the weighted gradient of the KD loss to ds and overwrites dtau with its own. */
static ctkd_status add_kd(struct ctkd__training_step *d, struct ctkd__step_position position,
                          size_t n_tau, struct ctkd__step_report *report, ctkd_error *err)
{
    const float weight = d->args.methods->kd_weight;
    const size_t n = position.batch->n, k = d->args.classes;
    const uint64_t start = d->args.profile ? ctkd__clock_ns() : 0;
    ctkd_status status = ctkd_kd_loss(n, k, d->s, d->t, d->tau, n_tau, d->kd_form, &report->loss_kd,
                                      d->ds_part, NULL, d->dtau);
    status = ctkd__step_check_value(position, "loss_kd", status, report->loss_kd, err);
    if (status != CTKD_OK)
        return status;
    ctkd__add_scaled(n * k, weight, d->ds_part, d->ds);
    scale_values(n_tau, weight, d->dtau);
    report->loss += weight * report->loss_kd;
    if (tells_balance(position))
        report->gradient_kd = norm_of(n * k, weight, d->ds_part);
    if (d->args.profile)
        ctkd__profile_add_all(d->args.profile, d->row_kd, ctkd__clock_ns() - start, n);
    return CTKD_OK;
}

/* Adds the gradients of the KD loss and the methods' losses to ds, which holds that of the
   cross-entropy, and computes dtau and from it the gradient of the temperature. */
static ctkd_status add_teacher_losses(struct ctkd__training_step *d,
                                      const struct ctkd__batch *batch, ctkd_view view,
                                      struct ctkd__step_position position,
                                      struct ctkd__step_report *report, ctkd_error *err)
{
    const size_t n = batch->n, k = d->args.classes;
    size_t n_tau = 0;
    ctkd_status status = find_tau(d, position, n, &n_tau, report, err);
    if (status != CTKD_OK)
        return status;
    if (view == CTKD_VIEW_STRONG) /* the KD loss is of the usual view alone */
        memset(d->dtau, 0, n_tau * sizeof *d->dtau);
    else
        status = add_kd(d, position, n_tau, report, err);
    const bool tells = tells_balance(position) && view != CTKD_VIEW_STRONG;
    if (tells)
        memcpy(d->ds_part, d->ds, n * k * sizeof *d->ds);
    if (status == CTKD_OK && d->args.method_losses)
        status = add_methods(d, batch, view, n_tau, position, report, err);
    if (tells && d->args.method_losses) {
        ctkd__add_scaled(n * k, -1, d->ds, d->ds_part);
        report->gradient_method = norm_of(n * k, 1, d->ds_part);
    }
    if (status != CTKD_OK)
        return status;
    double gradient = 0;
    for (size_t i = 0; i < n_tau; i++)
        gradient += (double)d->dtau[i];
    report->tau_gradient = (float)gradient;
    /* Before the student's backward pass: with temperature.through this adds to ds. */
    status =
        ctkd_temperature_backward(d->args.state->temperature, n, d->dtau, report->lambda, d->ds);
    return ctkd__step_check_value(position, "gradient of tau", status, report->tau_gradient, err);
}

static ctkd_status check_theta(const struct ctkd__training_step *d,
                               struct ctkd__step_position position, ctkd_error *err)
{
    for (size_t i = 0; i < d->n_theta; i++)
        if (!isfinite(d->args.state->dtheta[i]))
            return ctkd__step_not_finite(position, "gradient of theta", err);
    return CTKD_OK;
}

static bool has_taus(const struct ctkd__training_step *d)
{
    return d->args.teacher && !in_initial(d) &&
           d->args.config->temperature.kind == CTKD_TEMPERATURE_INSTANCE;
}

/* Adds the temperatures of the samples of a batch to the epoch's histogram. */
static void count_taus(struct ctkd__training_step *d, size_t n)
{
    struct ctkd__run_state *state = d->args.state;
    const struct ctkd__config *config = d->args.config;
    for (size_t i = 0; i < n; i++) {
        const float fraction =
            (d->taus[i] - config->temperature.tau_min) / config->temperature.tau_span;
        const float bin = fminf(fmaxf(fraction, 0) * CTKD__TAU_BINS, CTKD__TAU_BINS - 1);
        state->tau_counts[(size_t)bin] += 1;
    }
}

/* The losses of a batch after both forward passes: computes ds, the report and the gradient of the
   temperature. */
static ctkd_status evaluate_losses(struct ctkd__training_step *d, const struct ctkd__batch *batch,
                                   ctkd_view view, struct ctkd__step_position position,
                                   struct ctkd__step_report *report, ctkd_error *err)
{
    const size_t n = batch->n, k = d->args.classes;
    const uint64_t start = d->args.profile ? ctkd__clock_ns() : 0;
    ctkd_status status = ctkd_cross_entropy(n, k, d->s, batch->labels, &report->loss_ce, d->ds);
    status = ctkd__step_check_value(position, "loss_ce", status, report->loss_ce, err);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < n; i++)
        report->correct += ctkd__label_rank(k, d->s + i * k, batch->labels[i]) == 0;
    report->loss = report->loss_ce;
    if (d->args.profile)
        ctkd__profile_add_all(d->args.profile, d->row_labels, ctkd__clock_ns() - start, n);
    if (d->args.teacher) {
        const float weight = d->args.config->method.ce_weight;
        scale_values(n * k, weight, d->ds);
        if (tells_balance(position))
            report->gradient_ce = norm_of(n * k, 1, d->ds);
        report->loss *= weight;
        status = add_teacher_losses(d, batch, view, position, report, err);
        if (status == CTKD_OK)
            status = check_theta(d, position, err);
        if (status == CTKD_OK && view != CTKD_VIEW_STRONG && has_taus(d))
            memcpy(d->taus + position.first, d->tau, n * sizeof *d->tau);
    }
    if (status == CTKD_OK)
        status = ctkd__step_check_value(position, "loss", CTKD_OK, report->loss, err);
    return status;
}

/* Waits for the sum of the ranks' gradients, and uses the time. */
static ctkd_status finish_sum(struct ctkd__training_step *d, struct ctkd__step_position position,
                              ctkd_error *err)
{
    ctkd__step_teacher_look_ahead(&d->teacher, position);
    return ctkd__gradient_sum_finish(d->ranks, err);
}

/* Forward passes, losses and gradients of one view. Moves no parameter. */
static ctkd_status run_view(struct ctkd__training_step *d, struct ctkd__step_position position,
                            ctkd_view view, struct ctkd__step_report *report, ctkd_error *err)
{
    const struct ctkd__batch *const batch = position.batch;
    const struct ctkd__batch_images x = view == CTKD_VIEW_STRONG ? batch->strong : batch->x;
    float *const logits = in_initial(d) ? NULL : d->s, *const ds = in_initial(d) ? NULL : d->ds;
    ctkd_status status = d->args.teacher ? ctkd__step_teacher_answer(&d->teacher, position, view,
                                                                     &report->teacher, err)
                                         : CTKD_OK;
    if (status == CTKD_OK && d->args.method_losses)
        ctkd__method_losses_give_inputs(d->args.method_losses);
    ctkd__step_draws(&d->args, d->args.training, false, view, position);
    if (status == CTKD_OK)
        status = ctkd__training_forward_images(d->args.training, batch->n, x, logits, err);
    if (status == CTKD_OK && logits)
        status = ctkd__dist_gather_logits(d->args.dist, batch->n, logits, d->args.classes, err);
    if (status == CTKD_OK && logits)
        status = ctkd__step_check_logits(position, "student's", d->args.classes, logits,
                                         ctkd__step_remedy, err);
    if (status == CTKD_OK)
        status = in_initial(d) ? add_methods(d, batch, view, 0, position, report, err)
                               : evaluate_losses(d, batch, view, position, report, err);
    if (d->groups)
        status = ctkd__step_groups_agree(d->groups, status, err);
    if (status == CTKD_OK)
        status = ctkd__training_backward(d->args.training, ds, err);
    if (status == CTKD_OK && d->ranks)
        status = finish_sum(d, position, err);
    return status;
}

/* Keeps the gradient of the strong view, which the next backward pass would overwrite. The
   optimiser adds it to that of the usual view. */
static void keep_strong_view_gradient(struct ctkd__training_step *d)
{
    const size_t n = d->args.state->weights->n_values;
    ctkd__sgd_sum(d->gradients, d->n_gradients, d->n_tree, 0, n, d->kept);
    for (size_t i = 0; i < d->n_theta; i++)
        d->kept_theta[i] = d->args.state->dtheta[i];
}

/* The passes of a batch, or of a batch-norm group. The report is that of the usual view, but its
   losses and gradient of tau are the sums of both views. */
static ctkd_status run_views(struct ctkd__training_step *d, struct ctkd__step_position position,
                             struct ctkd__step_report *report, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    struct ctkd__step_report strong = *report;
    const bool views = has_views(d);
    if (views) {
        status = run_view(d, position, CTKD_VIEW_STRONG, &strong, err);
        if (status != CTKD_OK)
            return status;
        if (d->groups)
            ctkd__step_groups_add(d->groups, d->gradients, d->n_gradients);
        else
            keep_strong_view_gradient(d);
    }
    status = run_view(d, position, views ? CTKD_VIEW_WEAK : CTKD_VIEW_ONLY, report, err);
    if (status == CTKD_OK && d->groups)
        ctkd__step_groups_add(d->groups, d->gradients, d->n_gradients);
    if (!views)
        return status;
    report->loss += strong.loss;
    report->loss_ce += strong.loss_ce;
    report->tau_gradient += strong.tau_gradient;
    report->loss_method += strong.loss_method;
    for (size_t i = 0; i < d->args.methods->count; i++)
        report->losses[i] += isfinite(strong.losses[i]) ? strong.losses[i] : 0;
    return status;
}

/* Adds what a batch-norm group measured, weighted by its share of the batch. */
static void add_report(struct ctkd__step_report *sum, const struct ctkd__step_report *part,
                       float share, size_t methods)
{
    sum->loss += share * part->loss;
    sum->loss_ce += share * part->loss_ce;
    sum->loss_kd += share * part->loss_kd;
    sum->loss_method += share * part->loss_method;
    for (size_t i = 0; i < methods; i++)
        sum->losses[i] += share * part->losses[i];
    sum->tau_mean += share * part->tau_mean;
    sum->tau_gradient += share * part->tau_gradient;
    sum->tau_min = fminf(sum->tau_min, part->tau_min);
    sum->tau_max = fmaxf(sum->tau_max, part->tau_max);
    sum->correct += part->correct;
    ctkd__teacher_store_count(&sum->teacher, &part->teacher);
}

/* The images of a batch from `first` on, at most n. */
static struct ctkd__batch part_of(const struct ctkd__training_step *d,
                                  const struct ctkd__batch *all, size_t first, size_t n)
{
    const size_t at = first * d->args.image_floats;
    return (struct ctkd__batch){ .n = all->n - first < n ? all->n - first : n,
                                 .x = ctkd__batch_images_from(all->x, at),
                                 .labels = all->labels + first,
                                 .ids = all->ids + first,
                                 .strong = ctkd__batch_images_from(all->strong, at),
                                 .views = all->views ? all->views + first : NULL };
}

void ctkd__step_expect(struct ctkd__training_step *d, struct ctkd__batch next)
{
    const size_t group = ctkd__config_pass(d->args.config);
    size_t first = 0, end = 1;
    if (d->groups)
        (void)ctkd__step_groups_count(d->groups, next.n, &first, &end);
    d->teacher.next = (struct ctkd__batch){ 0 };
    if (next.n && first < end)
        d->teacher.next = part_of(d, &next, first * group, group);
    d->teacher.next_first = first * group;
}

/* The report of a batch from those of its groups. Sums start at 0; what is NaN in the parts makes
   them NaN. */
static void add_reports(const struct ctkd__training_step *d, size_t images, size_t groups,
                        struct ctkd__step_report *report)
{
    const size_t group = ctkd__config_pass(d->args.config);
    const size_t methods = d->args.teacher ? d->args.methods->count : 0;
    const struct ctkd__step_report *const first = &d->reports[0];
    *report = (struct ctkd__step_report){ .tau_min = first->tau_min,
                                          .tau_max = first->tau_max,
                                          .gradient_ce = first->gradient_ce,
                                          .gradient_kd = first->gradient_kd,
                                          .gradient_method = first->gradient_method,
                                          .lambda = first->lambda,
                                          .lr = first->lr };
    for (size_t i = 0; i < groups; i++) {
        const size_t left = images - i * group;
        const float share = (float)(left < group ? left : group) / (float)images;
        add_report(report, &d->reports[i], share, methods);
    }
}

/* A step in batch-norm groups (step_groups.h). */
static ctkd_status run_groups(struct ctkd__training_step *d, struct ctkd__step_position position,
                              struct ctkd__step_report *report, ctkd_error *err)
{
    const struct ctkd__batch *const all = position.batch;
    const size_t group = ctkd__config_pass(d->args.config);
    size_t first, end;
    const size_t groups = ctkd__step_groups_begin(d->groups, all->n, &first, &end);
    ctkd_status status = CTKD_OK;
    for (size_t i = first; i < end && status == CTKD_OK; i++) {
        const struct ctkd__batch batch = part_of(d, all, i * group, group);
        const struct ctkd__step_position here = { position.epoch, position.step, &batch,
                                                  i * group };
        d->reports[i] = *report;
        ctkd__step_groups_enter(d->groups, i);
        status = run_views(d, here, &d->reports[i], err);
    }
    status = ctkd__step_groups_agree(d->groups, status, err);
    if (status != CTKD_OK)
        return status;
    ctkd__step_teacher_look_ahead(&d->teacher, position);
    status = ctkd__step_groups_finish(d->groups, d->reports, has_taus(d) ? d->taus : NULL, err);
    if (status == CTKD_OK)
        add_reports(d, all->n, groups, report);
    return status;
}

static ctkd_status make_gradients(struct ctkd__training_step *d,
                                  struct ctkd__step_position position,
                                  struct ctkd__step_report *report, ctkd_error *err)
{
    const ctkd_status status =
        d->groups ? run_groups(d, position, report, err) : run_views(d, position, report, err);
    if (status == CTKD_OK && has_taus(d))
        count_taus(d, position.batch->n);
    if (status == CTKD_OK && !isfinite(ctkd__optimiser_clip(d->optimiser)))
        return ctkd__step_not_finite(position, "gradient of the student", err);
    return status;
}

ctkd_status ctkd__step_begin(const struct ctkd__training_step *d, uint64_t epoch, double lr_factor,
                             struct ctkd__step_report *report, ctkd_error *err)
{
    *report = (struct ctkd__step_report){ .loss_kd = NAN,
                                          .loss_method = NAN,
                                          .tau_mean = NAN,
                                          .tau_min = NAN,
                                          .tau_max = NAN,
                                          .tau_gradient = NAN,
                                          .gradient_ce = NAN,
                                          .gradient_kd = NAN,
                                          .gradient_method = NAN,
                                          .lr = ctkd__optimiser_lr(d->optimiser, lr_factor) };
    const struct ctkd__batch none = { 0 };
    const struct ctkd__step_position position = { epoch, d->args.state->epoch_step + 1, &none, 0 };
    if (in_initial(d)) {
        report->loss_ce = report->lambda = NAN;
    } else if (d->args.teacher) {
        const ctkd_status status = ctkd__step_lambda(d->args.config, epoch, &report->lambda);
        return ctkd__step_check_value(position, "lambda", status, report->lambda, err);
    }
    return CTKD_OK;
}

/* For how many seconds the rank has waited for exchanges so far. */
static double waited_for(const struct ctkd__training_step *d, int topic)
{
    const struct ctkd__dist *const dist = d->args.dist ? d->args.dist : d->args.groups_dist;
    return ctkd__dist_topic_counts(dist, (enum ctkd__dist_topic)topic).waited;
}

ctkd_status ctkd__step_gradients(struct ctkd__training_step *d, const struct ctkd__batch *batch,
                                 uint64_t epoch, double lr_factor, struct ctkd__step_report *report,
                                 ctkd_error *err)
{
    const struct ctkd__step_position position = { epoch, d->args.state->epoch_step + 1, batch, 0 };
    double waited[CTKD__TOPICS];
    for (int t = 0; t < CTKD__TOPICS; t++)
        waited[t] = waited_for(d, t);
    ctkd_status status = ctkd__step_begin(d, epoch, lr_factor, report, err);
    if (status == CTKD_OK)
        status = make_gradients(d, position, report, err);
    for (int t = 0; t < CTKD__TOPICS && d->args.profile; t++) {
        const double seconds = waited_for(d, t) - waited[t];
        if (seconds > 0)
            ctkd__profile_add_all(d->args.profile, d->row_exchanges[t], (uint64_t)(1e9 * seconds),
                                  batch->n);
    }
    return status;
}

void ctkd__step_update(struct ctkd__training_step *d, size_t n, double lr_factor)
{
    const uint64_t start = d->args.profile ? ctkd__clock_ns() : 0;
    ctkd__optimiser_update(d->optimiser, lr_factor);
    if (d->args.profile)
        ctkd__profile_add_all(d->args.profile, d->row_sgd, ctkd__clock_ns() - start, n);
}

ctkd_status ctkd__step_run(struct ctkd__training_step *d, const struct ctkd__batch *batch,
                           uint64_t epoch, double lr_factor, struct ctkd__step_report *report,
                           ctkd_error *err)
{
    const ctkd_status status = ctkd__step_gradients(d, batch, epoch, lr_factor, report, err);
    if (status == CTKD_OK)
        ctkd__step_update(d, batch->n, lr_factor);
    return status;
}
