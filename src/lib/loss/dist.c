/*
 * DIST: relations instead of values. With q_i = softmax(s_i/tau_i), p_i = softmax(t_i/tau_i):
 *   inter_i = 1 - pearson(q_i, p_i) over classes,  intra = 1 - mean_j pearson(q_.j, p_.j) over the
 *   batch,  L = 1/n sum_i tau_i^2 (inter inter_i + intra_weight intra)
 * which is the published tau^2 (b inter + g intra) when every sample has the same tau. For large
 * tau softmax is linear and the correlations are those of the logits: L grows as tau^2 without
 * bound. Correlations of constant rows or columns (and of a batch of one) are 0 over 1e-8, hence 0:
 * their 1 - 0 stays in L, without a gradient.
 */
#include <math.h>

#include "ctkd/loss.h"
#include "lib/math/rows.h"
#include "lib/math/softmax.h"
#include "lib/memory.h"

struct dist_config {
    float inter, intra;
};

/* Entries first, first + step, ... of two matrices of one shape and of their gradients. */
struct line {
    size_t count, step;
    const double *q, *p;
    double *dq, *dp;
};

/* Pearson's correlation <qc, pc>/(|qc| |pc| + 1e-8) of the centred entries. */
struct pearson {
    double mean_q, mean_p, norm_q, norm_p, product, denominator;
};

static struct pearson pearson_of(const struct line *line)
{
    struct pearson r = { 0 };
    for (size_t i = 0, at = 0; i < line->count; i++, at += line->step) {
        r.mean_q += line->q[at];
        r.mean_p += line->p[at];
    }
    r.mean_q /= (double)line->count;
    r.mean_p /= (double)line->count;
    double squares_q = 0, squares_p = 0;
    for (size_t i = 0, at = 0; i < line->count; i++, at += line->step) {
        const double q = line->q[at] - r.mean_q, p = line->p[at] - r.mean_p;
        squares_q += q * q;
        squares_p += p * p;
        r.product += q * p;
    }
    r.norm_q = sqrt(squares_q);
    r.norm_p = sqrt(squares_p);
    r.denominator = r.norm_q * r.norm_p + 1e-8;
    return r;
}

/* Adds weight * d rho/dq to dq and weight * d rho/dp to dp; returns rho.
     d rho/dq = v - mean v,  v = pc/denominator - <qc, pc> |pc| qc / (|qc| denominator^2)
   whose mean is 0 but for rounding. */
static double add_pearson(const struct line *line, double weight)
{
    const struct pearson r = pearson_of(line);
    const double square = r.denominator * r.denominator;
    const double own_q = r.norm_q > 0 ? r.product * r.norm_p / (r.norm_q * square) : 0;
    const double own_p = r.norm_p > 0 ? r.product * r.norm_q / (r.norm_p * square) : 0;
    for (size_t i = 0, at = 0; i < line->count; i++, at += line->step) {
        const double q = line->q[at] - r.mean_q, p = line->p[at] - r.mean_p;
        line->dq[at] += weight * (p / r.denominator - own_q * q);
        line->dp[at] += weight * (q / r.denominator - own_p * p);
    }
    return r.product / r.denominator;
}

/* q, p, dq, dp: four arrays [n, k]. */
static size_t dist_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0;
    for (int i = 0; i < 4; i++)
        if (!ctkd__add_product(&values, shape->n, shape->k))
            return 0;
    return values;
}

static double tau_of(const ctkd_loss_args *a, size_t i)
{
    return (double)a->tau[a->n_tau == 1 ? 0 : i];
}

static ctkd_status dist_eval(const void *config, const ctkd_loss_args *a)
{
    const struct dist_config *dist = config;
    const size_t n = a->n, k = a->k;
    if (!ctkd__loss_arguments_ok(n, k, a->s, a->t, a->tau, a->n_tau, a->loss) || k < 2 ||
        !a->workspace)
        return CTKD_EINVAL;
    const double b = (double)dist->inter, g = (double)dist->intra, rows = (double)n;
    double *const q = a->workspace, *const p = q + n * k, *const dq = p + n * k,
                  *const dp = dq + n * k;
    double squares = 0; /* mean of tau^2 */
    for (size_t i = 0; i < n; i++) {
        ctkd__softmax(k, a->s + i * k, tau_of(a, i), q + i * k);
        ctkd__softmax(k, a->t + i * k, tau_of(a, i), p + i * k);
        squares += tau_of(a, i) * tau_of(a, i) / rows;
    }
    for (size_t i = 0; i < n * k; i++)
        dq[i] = dp[i] = 0;
    double intra = 0;
    for (size_t j = 0; j < k; j++) {
        const struct line column = { n, k, q + j, p + j, dq + j, dp + j };
        intra += (1 - add_pearson(&column, -squares * g / (double)k)) / (double)k;
    }
    double loss = squares * g * intra, dtau_sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double tau = tau_of(a, i);
        const size_t at = i * k;
        const struct line row = { k, 1, q + at, p + at, dq + at, dp + at };
        const double inter = 1 - add_pearson(&row, -tau * tau * b / rows);
        loss += tau * tau * b * inter / rows;
        const double dtau =
            2 * tau * (b * inter + g * intra) / rows +
            ctkd__through_softmax(k, a->s + at, tau, q + at, dq + at, a->ds ? a->ds + at : NULL) +
            ctkd__through_softmax(k, a->t + at, tau, p + at, dp + at, a->dt ? a->dt + at : NULL);
        dtau_sum += dtau;
        if (a->dtau && a->n_tau != 1)
            a->dtau[i] = (float)dtau;
    }
    if (a->dtau && a->n_tau == 1)
        *a->dtau = (float)dtau_sum;
    *a->loss = (float)loss;
    return CTKD_OK;
}

static const ctkd_option dist_options[] = {
    CTKD_OPT_F32(struct dist_config, inter, 1.0, 0.0, 1e6,
                 "weight of the relation between classes"),
    CTKD_OPT_F32(struct dist_config, intra, 1.0, 0.0, 1e6, "weight of the relation within a class"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_dist = {
    .name = "dist",
    .title = "Distillation from a stronger teacher",
    .formula = "tau^2 (inter (1 - mean_i pearson(q_i, p_i)) + intra (1 - mean_j pearson(q_.j, "
               "p_.j)))",
    .source = "Huang et al. 2022, arXiv:2205.10536",
    .needs = CTKD_NEEDS_LOGITS | CTKD_NEEDS_TAU,
    .properties = CTKD_SHIFT_INVARIANT | CTKD_NONNEGATIVE | CTKD_GROWS_WITH_TAU,
    .classes_min = 2,
    .options = dist_options,
    .config_size = sizeof(struct dist_config),
    .weight = 2,
    .workspace = dist_workspace,
    .eval = dist_eval,
};
