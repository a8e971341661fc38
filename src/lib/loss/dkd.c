#include "lib/loss/dkd.h"

#include <math.h>

#include "ctkd/loss.h"
#include "lib/loss/pooled.h"

/*
 * Target against the rest: a two-class KL between P = p_y and a = q_y. `row` holds the softmaxes
 * over the other classes, so that logit P = u_y - lse_{j != y} u without any logarithm of a sum.
 */
struct target {
    double s, t; /* target's logits, relative to the row's maxima over the others */
    double kl;
    double difference; /* a - P */
    double pull;       /* d kl / d logit P = P (1 - P) (logit P - logit a) */
};

static struct target target_of(const struct ctkd__kl_row *row)
{
    struct target target;
    target.s = ctkd__kl_row_s(row, row->skip);
    target.t = ctkd__kl_row_t(row, row->skip);
    const double logit_p = target.t / row->tau - row->t_lse;
    const double logit_a = target.s / row->tau - row->s_lse;
    /* logit P - logit a, without cancelling their common part */
    const double x = (target.t - target.s) / row->tau - row->lse_difference;
    const double p = ctkd__sigmoid(logit_p), a = ctkd__sigmoid(logit_a);
    const double rest_p = ctkd__sigmoid(-logit_p), rest_a = ctkd__sigmoid(-logit_a);
    double r, rest_r;  /* log P/a, log (1 - P)/(1 - a) */
    if (fabs(x) < 1) { /* as lse_difference of a row with logits x and 0 */
        rest_r = -log1p(a * expm1(x));
        r = x + rest_r;
    } else {
        r = ctkd__softplus(-logit_a) - ctkd__softplus(-logit_p);
        rest_r = ctkd__softplus(logit_a) - ctkd__softplus(logit_p);
    }
    const struct ctkd__kl_term hit = ctkd__kl_term(p, a, r);
    const struct ctkd__kl_term rest = ctkd__kl_term(rest_p, rest_a, rest_r);
    target.kl = hit.kl + rest.kl;
    /* from the smaller probability, whose difference keeps its digits */
    target.difference = p < 0.5 ? hit.difference : -rest.difference;
    target.pull = p * rest_p * x;
    return target;
}

void ctkd__dkd_row(struct ctkd__kl_row *row, double n, double alpha, double beta,
                   struct ctkd__row_outputs *out)
{
    const size_t y = row->skip;
    const double tau = row->tau, scale = tau / n;
    ctkd__kl_row_prepare(row);
    const struct target target = target_of(row);
    const double student = scale * alpha * target.difference;
    ctkd__kl_row_sum(
        row, (struct ctkd__ds_weights){ .difference = scale * beta, .student = -student }, out->ds);
    ctkd__put(out->ds, y, student);
    if (out->dt.floats || out->dt.doubles) {
        ctkd__kl_row_teacher(row, scale * beta, -scale * alpha * target.pull, out->dt);
        ctkd__put(out->dt, y, scale * alpha * target.pull);
    }
    out->loss = tau * tau * (alpha * target.kl + beta * row->kl);
    out->dtau = alpha * (2.0 * tau * target.kl - target.pull * (target.t - row->mean_t) -
                         target.difference * (target.s - row->mean_s)) +
                beta * row->dtau;
}

struct dkd_factors {
    double alpha, beta;
};

static void dkd_row(const void *context, struct ctkd__kl_row *row, double n,
                    struct ctkd__row_outputs *out)
{
    const struct dkd_factors *const factors = context;
    ctkd__dkd_row(row, n, factors->alpha, factors->beta, out);
}

ctkd_status ctkd__dkd_loss(const ctkd_pool *pool, size_t n, size_t k, const float *s,
                           const float *t, const int32_t *labels, const float *tau, size_t n_tau,
                           float alpha, float beta, float *loss, float *ds, float *dt, float *dtau)
{
    const struct dkd_factors factors = { (double)alpha, (double)beta };
    if (!ctkd__loss_arguments_ok(n, k, s, t, tau, n_tau, loss) || k < 3 || !labels ||
        !isfinite(alpha) || !isfinite(beta) || alpha < 0 || beta < 0)
        return CTKD_EINVAL;
    if (!ctkd__labels_ok(n, k, labels))
        return CTKD_ERANGE;
    ctkd__by_rows(pool, &(struct ctkd__by_rows){ .n = n,
                                                 .k = k,
                                                 .n_tau = n_tau,
                                                 .s = s,
                                                 .t = t,
                                                 .tau = tau,
                                                 .skip = labels,
                                                 .row = dkd_row,
                                                 .context = &factors,
                                                 .loss = loss,
                                                 .ds = ds,
                                                 .dt = dt,
                                                 .dtau = dtau });
    return CTKD_OK;
}

ctkd_status ctkd_dkd_loss(size_t n, size_t k, const float *s, const float *t, const int32_t *labels,
                          const float *tau, size_t n_tau, float alpha, float beta, float *loss,
                          float *ds, float *dt, float *dtau)
{
    return ctkd__dkd_loss(NULL, n, k, s, t, labels, tau, n_tau, alpha, beta, loss, ds, dt, dtau);
}

struct dkd_config {
    float alpha, beta;
};

static const ctkd_option dkd_options[] = {
    CTKD_OPT_F32(struct dkd_config, alpha, 1.0, 0.0, 1e6, "weight of the target-class term"),
    CTKD_OPT_F32(struct dkd_config, beta, 8.0, 0.0, 1e6, "weight of the other-classes term"),
    CTKD_OPT_END,
};

static ctkd_status dkd_eval(const void *config, const ctkd_loss_args *a)
{
    const struct dkd_config *dkd = config;
    return ctkd__dkd_loss(a->pool, a->n, a->k, a->s, a->t, a->labels, a->tau, a->n_tau, dkd->alpha,
                          dkd->beta, a->loss, a->ds, a->dt, a->dtau);
}

const ctkd_loss_def ctkd__loss_dkd = {
    .name = "dkd",
    .title = "Decoupled knowledge distillation",
    .formula = "1/n sum_i tau_i^2 (alpha KLb_i + beta KLn_i)",
    .source = "Zhao et al. 2022, arXiv:2203.08679",
    .needs = CTKD_NEEDS_LOGITS | CTKD_NEEDS_LABELS | CTKD_NEEDS_TAU,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_SHIFT_INVARIANT | CTKD_NONNEGATIVE | CTKD_ROWWISE,
    .classes_min = 3,
    .options = dkd_options,
    .config_size = sizeof(struct dkd_config),
    .weight = 1,
    .eval = dkd_eval,
};
