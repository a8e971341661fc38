#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/logits.h"
#include "lib/loss/pooled.h"
#include "lib/math/clones.h"
#include "lib/plugin_inner.h"
#include "lib/refuse.h"

/* The rows of a batch that count, those with a label first: `labelled` of `counted`. */
struct rows {
    size_t counted, labelled;
    const size_t *place; /* of a row in the batch, or NULL: the same */
    const float *s, *t;
    const int32_t *labels; /* NULL: none */
    const float *soft;     /* of the batch, in its order; NULL: none */
    const float *weights;  /* NULL: 1 */
};

CTKD__CLONES static bool all_finite_clones(size_t n, const float *x)
{
    int wrong = 0;
    for (size_t i = 0; i < n; i++)
        wrong |= !(fabsf(x[i]) <= FLT_MAX);
    return !wrong;
}

bool ctkd__all_finite(size_t n, const float *x)
{
    return all_finite_clones(n, x);
}

CTKD__CLONES static void add_scaled(size_t n, float scale, const float *restrict x,
                                    float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += scale * x[i];
}

/* --- what counts */

static ctkd_status refuse_at(ctkd_error *err, ctkd_status status, const char *what, double found,
                             size_t sample, const char *expected)
{
    char value[CTKD__NUMBER_BYTES], at[CTKD__NUMBER_BYTES];
    return CTKD__REFUSE(err, status, what, ": found ", ctkd__number_text(found, value),
                        " for sample ", ctkd__number_text((double)sample, at), ", expected ",
                        expected);
}

static ctkd_status check_batch(const ctkd_plugin *plugin, const ctkd_plugin_batch *b,
                               ctkd_error *err)
{
    const ctkd_plugin_config *const c = &plugin->config;
    char found[CTKD__NUMBER_BYTES], most[CTKD__NUMBER_BYTES];
    if (b->n == 0 || b->n > c->n_max)
        return CTKD__REFUSE(err, CTKD_EINVAL, "n: found ", ctkd__number_text((double)b->n, found),
                            ", expected 1 to ", ctkd__number_text((double)c->n_max, most));
    if (!b->s || !b->t)
        return CTKD__REFUSE(err, CTKD_EINVAL, b->s ? "t" : "s", ": found NULL, expected logits");
    if (b->s_type > CTKD_BF16 || b->t_type > CTKD_BF16)
        return CTKD__REFUSE(
            err, CTKD_EINVAL, b->s_type > CTKD_BF16 ? "s_type" : "t_type", ": found ",
            ctkd__number_text((double)(b->s_type > CTKD_BF16 ? b->s_type : b->t_type), found),
            ", expected 0 to 2, a ctkd_logit_type");
    if (b->labels && b->labels64)
        return CTKD__REFUSE(err, CTKD_EINVAL, "labels and labels64: found both, expected one");
    const bool hard = b->labels || b->labels64;
    if (!hard && !b->soft_labels && c->ce_weight != 0)
        return CTKD__REFUSE(
            err, CTKD_EINVAL,
            "labels: found NULL, expected labels or soft labels because ce_weight is not 0");
    if (!hard && plugin->method && (plugin->method->needs & CTKD_NEEDS_LABELS))
        return CTKD__REFUSE(err, CTKD_EINVAL, "labels: found NULL, expected labels for ",
                            plugin->method->name);
    if (b->weights && plugin->method && !(plugin->method->properties & CTKD_ROWWISE))
        return CTKD__REFUSE(err, CTKD_EUNSUPPORTED, "weights: expected NULL, because ",
                            plugin->method->name, " compares samples with each other");
    if (c->curriculum_steps ? b->step == 0 : b->epoch == 0)
        return CTKD__REFUSE(err, CTKD_EINVAL, c->curriculum_steps ? "step" : "epoch",
                            ": found 0, expected a number counted from 1");
    return CTKD_OK;
}

static int64_t label_at(const ctkd_plugin_batch *b, size_t i)
{
    return b->labels ? (int64_t)b->labels[i] : b->labels64[i];
}

static ctkd_status check_values(const ctkd_plugin *plugin, const ctkd_plugin_batch *b,
                                ctkd_error *err)
{
    const size_t k = plugin->config.k;
    const bool hard = b->labels || b->labels64;
    for (size_t i = 0; i < b->n; i++) {
        if (b->mask && !b->mask[i]) /* a masked row may hold anything */
            continue;
        const int64_t label = hard ? label_at(b, i) : 0;
        const bool ignored = hard && label == plugin->config.ignored_label;
        if (hard && !ignored && (label < 0 || (uint64_t)label >= k))
            return refuse_at(err, CTKD_ERANGE, "labels", (double)label, i, "an index below k");
        if (b->weights && !(b->weights[i] >= 0 && b->weights[i] <= FLT_MAX))
            return refuse_at(err, CTKD_ERANGE, "weights", (double)b->weights[i], i,
                             "a finite number of at least 0");
        for (size_t j = 0; b->soft_labels && !ignored && j < k; j++) {
            const float y = b->soft_labels[i * k + j];
            if (!(y >= 0 && y <= FLT_MAX))
                return refuse_at(err, CTKD_ERANGE, "soft_labels", (double)y, i,
                                 "a finite number of at least 0");
        }
    }
    return CTKD_OK;
}

/* Writes the places of the rows that count to plugin->picked, those with a label first. *picks:
   whether these rows are not simply the batch in its own order. */
static void pick(ctkd_plugin *plugin, const ctkd_plugin_batch *b, struct rows *rows, bool *picks)
{
    const bool hard = b->labels || b->labels64, any = hard || b->soft_labels;
    *picks = false;
    for (int labelled = 1; labelled >= 0; labelled--) {
        for (size_t i = 0; i < b->n; i++) {
            const bool has = any && !(hard && label_at(b, i) == plugin->config.ignored_label);
            if ((b->mask && !b->mask[i]) || has != (labelled == 1))
                continue;
            *picks |= i != rows->counted;
            plugin->picked[rows->counted++] = i;
        }
        if (labelled)
            rows->labelled = rows->counted;
    }
    *picks |= rows->counted != b->n;
}

static const float *read_logits(const ctkd_plugin *plugin, const struct rows *rows,
                                ctkd_logit_type type, const void *x, float *own)
{
    if (!rows->place && type == CTKD_F32)
        return x;
    for (size_t i = 0; i < rows->counted; i++)
        ctkd__logits_row(plugin->config.k, type, x, plugin->picked[i], own + i * plugin->config.k);
    return own;
}

static struct rows read_rows(ctkd_plugin *plugin, const ctkd_plugin_batch *b)
{
    struct rows rows = { .soft = b->soft_labels };
    bool picks;
    pick(plugin, b, &rows, &picks);
    rows.place = picks ? plugin->picked : NULL;
    rows.s = read_logits(plugin, &rows, b->s_type, b->s, plugin->s);
    rows.t = read_logits(plugin, &rows, b->t_type, b->t, plugin->t);
    if (b->labels || b->labels64) {
        for (size_t i = 0; i < rows.labelled; i++)
            plugin->labels[i] = (int32_t)label_at(b, plugin->picked[i]);
        rows.labels = plugin->labels;
    }
    if (b->weights) {
        for (size_t i = 0; i < rows.counted; i++)
            plugin->weights[i] = b->weights[plugin->picked[i]];
        rows.weights = plugin->weights;
    }
    return rows;
}

/* --- terms of the loss */

enum term { CROSS_ENTROPY, SOFTENED, METHOD };

/* A term of `n` rows from `first` on, as the mean over them; ds NULL: no gradient of the logits. */
static ctkd_status term_of(ctkd_plugin *plugin, enum term term, const struct rows *rows,
                           size_t first, size_t n, float *loss, float *ds)
{
    const ctkd_plugin_config *const c = &plugin->config;
    const bool one_tau = ctkd_temperature_count(plugin->temperature, 2) == 1;
    const float *const s = rows->s + first * c->k, *const t = rows->t + first * c->k;
    const float *const tau = plugin->tau + (one_tau ? 0 : first);
    float *const dtau = plugin->dtau_part;
    /* one row: handing it to the pool costs more than it */
    const ctkd_pool *const pool = n == 1 ? NULL : c->pool;
    if (term == CROSS_ENTROPY && rows->soft)
        return ctkd__cross_entropy_soft(
            pool, n, c->k, s, rows->soft + (rows->place ? rows->place[first] : first) * c->k, loss,
            ds);
    if (term == CROSS_ENTROPY)
        return ctkd__cross_entropy(pool, n, c->k, s, rows->labels + first, loss, ds);
    if (term == SOFTENED)
        return ctkd__kd_loss(pool, n, c->k, s, t, tau, one_tau ? 1 : n, c->kd_form, loss, ds, NULL,
                             dtau);
    const ctkd_loss_args args = { .size = sizeof args,
                                  .n = n,
                                  .k = c->k,
                                  .s = s,
                                  .t = t,
                                  .labels = rows->labels ? rows->labels + first : NULL,
                                  .tau = tau,
                                  .n_tau = one_tau ? 1 : n,
                                  .loss = loss,
                                  .ds = ds,
                                  .dtau = plugin->method->needs & CTKD_NEEDS_TAU ? dtau : NULL,
                                  .workspace = plugin->workspace,
                                  .pool = pool,
                                  .multiplier = c->multiplier };
    return plugin->method->eval(plugin->method_config, &args);
}

/* Adds weight times the term of the first n rows to plugin->ds and plugin->dtau; its loss, without
   the weight, to *loss. It is evaluated in one call, or row by row where rows differ in weight, or
   where they are picked and have soft labels, which are read in place from the caller's array. */
static ctkd_status add_term(ctkd_plugin *plugin, enum term term, const struct rows *rows, size_t n,
                            float weight, float *loss, bool wants_ds)
{
    const size_t k = plugin->config.k;
    const bool has_dtau =
        term == SOFTENED || (term == METHOD && (plugin->method->needs & CTKD_NEEDS_TAU));
    const bool one_tau = ctkd_temperature_count(plugin->temperature, 2) == 1;
    const bool row_by_row = rows->weights || (term == CROSS_ENTROPY && rows->soft && rows->place);
    const size_t step = row_by_row ? 1 : n;
    double sum = 0;
    for (size_t i = 0; i < n; i += step) {
        float part;
        const float share = row_by_row ? (rows->weights ? rows->weights[i] : 1) / (float)n : 1;
        const ctkd_status status =
            term_of(plugin, term, rows, i, step, &part, wants_ds ? plugin->ds_part : NULL);
        if (status != CTKD_OK)
            return status;
        sum += (double)share * (double)part;
        if (wants_ds)
            add_scaled(step * k, weight * share, plugin->ds_part, plugin->ds + i * k);
        if (has_dtau)
            add_scaled(one_tau ? 1 : step, weight * share, plugin->dtau_part,
                       plugin->dtau + (one_tau ? 0 : i));
    }
    *loss = (float)sum;
    return CTKD_OK;
}

static ctkd_status add_terms(ctkd_plugin *plugin, const struct rows *rows, bool wants_ds,
                             ctkd_plugin_report *report)
{
    const ctkd_plugin_config *const c = &plugin->config;
    const size_t n_tau = ctkd_temperature_count(plugin->temperature, rows->counted);
    if (wants_ds)
        memset(plugin->ds, 0, rows->counted * c->k * sizeof(float));
    memset(plugin->dtau, 0, n_tau * sizeof(float));
    ctkd_status status = add_term(plugin, CROSS_ENTROPY, rows, rows->labelled, c->ce_weight,
                                  &report->loss_ce, wants_ds);
    if (status != CTKD_OK)
        return status;
    status =
        add_term(plugin, SOFTENED, rows, rows->counted, c->kd_weight, &report->loss_kd, wants_ds);
    if (status != CTKD_OK)
        return status;
    report->loss = c->ce_weight * report->loss_ce + c->kd_weight * report->loss_kd;
    if (!plugin->method)
        return CTKD_OK;
    const bool labelled = plugin->method->needs & CTKD_NEEDS_LABELS;
    status = add_term(plugin, METHOD, rows, labelled ? rows->labelled : rows->counted,
                      c->method_weight, &report->loss_method, wants_ds);
    if (status != CTKD_OK)
        return status;
    report->loss += c->method_weight * report->loss_method;
    return CTKD_OK;
}

/* --- a batch */

static void describe_tau(ctkd_plugin_report *report, size_t n_tau, const float *tau)
{
    double sum = 0;
    report->tau_min = report->tau_max = tau[0];
    for (size_t i = 0; i < n_tau; i++) {
        sum += (double)tau[i];
        report->tau_min = fminf(report->tau_min, tau[i]);
        report->tau_max = fmaxf(report->tau_max, tau[i]);
    }
    report->tau_mean = (float)(sum / (double)n_tau);
}

static ctkd_status lambda_of(const ctkd_plugin_config *c, const ctkd_plugin_batch *b, float *lambda)
{
    const uint64_t length = c->curriculum_steps ? c->curriculum_steps : c->curriculum_epochs;
    const uint64_t at = c->curriculum_steps ? b->step : b->epoch;
    return ctkd_curriculum_lambda(
        length ? c->curriculum : CTKD_CURRICULUM_NONE, at > SIZE_MAX ? SIZE_MAX : (size_t)at,
        length > SIZE_MAX ? SIZE_MAX : (size_t)length, c->lambda_min, c->lambda_max, lambda);
}

static ctkd_status refuse_not_finite(ctkd_error *err, const char *what)
{
    return CTKD__REFUSE(err, CTKD_ENAN, what, " is not finite");
}

/* Evaluates a batch into the plugin's own arrays. */
static ctkd_status measure(ctkd_plugin *plugin, const ctkd_plugin_batch *b, bool wants_ds,
                           struct rows *rows, ctkd_plugin_report *now, ctkd_error *err)
{
    ctkd_status status = check_batch(plugin, b, err);
    if (status == CTKD_OK)
        status = check_values(plugin, b, err);
    if (status != CTKD_OK)
        return status;
    memset(now, 0, sizeof *now); /* with its padding: reports may be compared as bytes */
    status = lambda_of(&plugin->config, b, &now->lambda);
    if (status != CTKD_OK)
        return CTKD__REFUSE(err, status, "curriculum: ", ctkd_status_text(status));
    *rows = read_rows(plugin, b);
    now->counted = rows->counted;
    now->labelled = rows->labelled;
    const size_t count = rows->counted ? rows->counted : 1; /* the mean over none is 0 */
    const size_t n_tau = ctkd_temperature_count(plugin->temperature, count);
    if (rows->counted == 0 && plugin->count > 0)
        memset(plugin->gradient, 0, plugin->count * sizeof(float));
    if (rows->counted == 0 && plugin->config.temperature.kind == CTKD_TEMPERATURE_INSTANCE)
        return CTKD_OK; /* no sample has a temperature */
    status = ctkd_temperature_forward(plugin->temperature, count, rows->s, rows->t, plugin->tau);
    if (status != CTKD_OK)
        return CTKD__REFUSE(err, status, "temperature: ", ctkd_status_text(status));
    if (!ctkd__all_finite(n_tau, plugin->tau)) /* the logits are not finite */
        return refuse_not_finite(err, "a temperature, and therefore a logit,");
    describe_tau(now, n_tau, plugin->tau);
    if (rows->counted == 0)
        return CTKD_OK;
    status = add_terms(plugin, rows, wants_ds, now);
    if (status != CTKD_OK)
        return CTKD__REFUSE(err, status, "loss: ", ctkd_status_text(status));
    status = ctkd_temperature_backward(plugin->temperature, rows->counted, plugin->dtau,
                                       now->lambda, wants_ds ? plugin->ds : NULL);
    if (status != CTKD_OK)
        return CTKD__REFUSE(err, status, "temperature: ", ctkd_status_text(status));
    now->theta_gradient = ctkd_temperature_theta_gradient(plugin->temperature);
    if (!isfinite(now->loss))
        return refuse_not_finite(err, "the loss");
    if (!isfinite(now->theta_gradient) || !ctkd__all_finite(plugin->count, plugin->gradient))
        return refuse_not_finite(err, "theta's gradient");
    if (wants_ds && !ctkd__all_finite(rows->counted * plugin->config.k, plugin->ds))
        return refuse_not_finite(err, "the gradient of the student's logits");
    return CTKD_OK;
}

static void write_outputs(const ctkd_plugin *plugin, size_t n, const struct rows *rows,
                          const ctkd_plugin_report *now, float *ds, ctkd_plugin_report *report)
{
    const size_t k = plugin->config.k;
    const size_t wanted = plugin->config.report_size, own = sizeof *now;
    if (report)
        memcpy(report, now, wanted && wanted < own ? wanted : own);
    if (!ds)
        return;
    if (!rows->place) {
        memcpy(ds, plugin->ds, n * k * sizeof *ds);
        return;
    }
    memset(ds, 0, n * k * sizeof *ds);
    for (size_t i = 0; i < rows->counted; i++)
        memcpy(ds + rows->place[i] * k, plugin->ds + i * k, k * sizeof *ds);
}

static ctkd_status read_batch(const ctkd_plugin *plugin, const ctkd_plugin_batch *from,
                              ctkd_plugin_batch *batch, ctkd_error *err)
{
    if (!plugin || !from)
        return CTKD__REFUSE(err, CTKD_EINVAL, plugin ? "batch" : "plugin", ": found NULL");
    const ctkd_status status =
        ctkd__struct_read(batch, sizeof *batch, sizeof *batch, from, from->size);
    return status == CTKD_OK ? CTKD_OK : ctkd__refuse_struct(err, status, "batch");
}

ctkd_status ctkd_plugin_evaluate(ctkd_plugin *plugin, const ctkd_plugin_batch *from, float *ds,
                                 float *dtheta, ctkd_plugin_report *report, ctkd_error *err)
{
    ctkd_plugin_batch batch;
    ctkd_plugin_report now;
    struct rows rows;
    ctkd_status status = read_batch(plugin, from, &batch, err);
    if (status == CTKD_OK)
        status = measure(plugin, &batch, ds != NULL, &rows, &now, err);
    if (status != CTKD_OK)
        return status;
    write_outputs(plugin, batch.n, &rows, &now, ds, report);
    if (dtheta && plugin->count > 0)
        memcpy(dtheta, plugin->gradient, plugin->count * sizeof *dtheta);
    return CTKD_OK;
}

/* SGD as the student's (doc/methods.md, "Update"): weight decay inside the gradient, no dampening.
 */
ctkd_status ctkd_plugin_apply(ctkd_plugin *plugin, const float *dtheta, float scale,
                              ctkd_error *err)
{
    if (!plugin || (!dtheta && plugin->count > 0))
        return CTKD__REFUSE(err, CTKD_EINVAL, plugin ? "dtheta" : "plugin", ": found NULL");
    const double rate = (double)plugin->config.learning_rate;
    const double momentum = (double)plugin->config.momentum;
    const double decay = (double)plugin->config.weight_decay;
    if (!isfinite(scale))
        return refuse_not_finite(err, "scale");
    for (int writes = 0; writes < 2; writes++) { /* first check, then write */
        for (size_t i = 0; i < plugin->count; i++) {
            const double theta = (double)plugin->parameters[i];
            const double d = (double)scale * (double)dtheta[i] + decay * theta;
            const double v = momentum * (double)plugin->velocity[i] + d;
            const float next = (float)(theta - rate * v);
            if (!isfinite((float)v) || !isfinite(next))
                return refuse_not_finite(err, "theta, its momentum or dtheta");
            if (writes) {
                plugin->velocity[i] = (float)v;
                plugin->parameters[i] = next;
            }
        }
    }
    return CTKD_OK;
}

ctkd_status ctkd_plugin_step(ctkd_plugin *plugin, size_t n, const float *s, const float *t,
                             const int32_t *labels, size_t epoch, float *ds,
                             ctkd_plugin_report *report)
{
    if (!plugin || !labels || !ds)
        return CTKD_EINVAL;
    const ctkd_plugin_batch batch = { .size = sizeof batch,
                                      .n = n,
                                      .s = s,
                                      .t = t,
                                      .labels = labels,
                                      .epoch = epoch,
                                      .step = epoch };
    ctkd_plugin_report now;
    struct rows rows;
    ctkd_status status = measure(plugin, &batch, true, &rows, &now, NULL);
    if (status == CTKD_OK)
        status = ctkd_plugin_apply(plugin, plugin->gradient, 1, NULL);
    if (status == CTKD_OK)
        write_outputs(plugin, n, &rows, &now, ds, report);
    return status;
}
