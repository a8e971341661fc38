/*
 * MLKD: besides the samples' probabilities their relations within the batch (BC) and those of the
 * classes (CC), at several temperatures TT = tau, 2, 3, 5, 6, on two views of each image.
 * With q = softmax(s/tau) [n, k] and p of t:
 *   BC = 1/n |q q' - p p'|^2,  dq = 4/n (q q' - p p') q
 *   CC = 1/k |q' q - p' p|^2 = 1/k (|q q'|^2 - 2 |q p'|^2 + |p p'|^2),  dq = 4/k (q q' q - q p' p)
 *   L of the weak view   = sum over TT of [ m KD + m BC + mc CC ] + sum over 2, 6 of KD
 *   L of the strong view = sum over tau, 3, 5 of KD
 * with m the fraction of samples whose teacher's largest probability (tau 1) is not above its
 * median over the batch, mc that of classes whose summed probability is not above its median over
 * classes. Confidences are double; where all round to 1 (a gap of 36 between logits) none is above
 * the median, and m is 1. Only the first temperature of TT is learned. If there is only one view,
 * it stands for both. Everything is computed from n x n products; k x k matrices are never formed.
 *
 * Published, m and mc are numbers because each loss is summed before its mask multiplies it. With
 * the option `mask` they are true masks: m_i, mc_a = 1 for those samples and classes, else 0:
 *   m KD  = 1/n sum_i m_i tau^2 KL_i
 *   m BC  = 1/n sum_ir m_i (q q' - p p')_ir^2,          dq_i = 2/n sum_r (m_i + m_r) (..)_ir q_r
 *   mc CC = 1/k sum_ab mc_a (q' q - p' p)_ab^2
 *         = 1/k sum_ir [ (q W q')_ir (q q')_ir - 2 (q W p')_ir (q p')_ir + (p W p')_ir (p p')_ir ]
 *   dq    = 2/k [ q W q' q - q W p' p + (q q' q - q p' p) W ],  W = diag(mc)
 * BC and CC keep their divisors n and k, so that both forms have the same scale.
 *
 * With the option `standardise` the KD terms are of Z(s), Z(t) as in LSKD
 * (lib/math/standardise.h), BC and CC of s, t.
 */
#include <math.h>

#include "ctkd/loss.h"
#include "lib/each.h"
#include "lib/math/rows.h"
#include "lib/math/softmax.h"
#include "lib/math/standardise.h"
#include "lib/memory.h"

struct mlkd_config {
    bool mask, standardise;
};

static const float temperatures[] = { 0 /* tau */, 2, 3, 5, 6 };
/* Published: two of the strong view's terms are evaluated on the weak one. */
static const bool strong_terms[] = { true, false, true, true, false };
enum { TEMPERATURES = sizeof temperatures / sizeof *temperatures };

struct mlkd {
    const ctkd_loss_args *args;
    size_t n, k;
    bool masked, standardised;
    const float *tau; /* of the current temperature */
    size_t n_tau;
    bool kd_here;            /* this view has its KD term beside the weighted one */
    double *q, *p, *dq, *dp; /* [n, k] */
    double *wq, *wp;         /* [n, k]: q W, p W; masked alone */
    double *qq, *qp, *pp;    /* [n, n]: products of rows */
    double *wqq, *wqp, *wpp; /* [n, n]: with W between */
    double *ds, *dt;         /* [n, k], sums over the temperatures */
    double *sums;            /* [n]: the samples' shares of the loss */
    double *dtau;            /* [n], of the first temperature */
    double *m, *mc;          /* [n], [k]: weights of samples and classes; not masked: all equal */
    double *sorted;          /* [n + k] */
    float *ds_part, *dt_part;
};

static double tau_of(const struct mlkd *w, size_t i)
{
    return (double)w->tau[w->n_tau == 1 ? 0 : i];
}

static size_t mlkd_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0, width = 4;
    return ctkd__add_product(&width, 9, shape->k) && ctkd__add_product(&width, 6, shape->n) &&
                   ctkd__add_product(&values, shape->n, width) &&
                   ctkd__add_product(&values, 2, shape->k)
               ? values
               : 0;
}

static struct mlkd lay_out(const struct mlkd_config *config, const ctkd_loss_args *a)
{
    const size_t n = a->n, k = a->k, nk = n * k;
    struct mlkd w = { .args = a, .n = n, .k = k, .q = a->workspace };
    w.masked = config->mask;
    w.standardised = config->standardise;
    w.p = w.q + nk;
    w.dq = w.p + nk;
    w.dp = w.dq + nk;
    w.wq = w.dp + nk;
    w.wp = w.wq + nk;
    w.ds = w.wp + nk;
    w.dt = w.ds + nk;
    w.ds_part = (float *)(void *)(w.dt + nk);
    w.dt_part = w.ds_part + nk;
    w.qq = w.dt + 2 * nk;
    w.qp = w.qq + n * n;
    w.pp = w.qp + n * n;
    w.wqq = w.pp + n * n;
    w.wqp = w.wqq + n * n;
    w.wpp = w.wqp + n * n;
    w.sums = w.wpp + n * n;
    w.dtau = w.sums + n;
    w.m = w.dtau + n;
    w.mc = w.m + n;
    w.sorted = w.mc + k;
    return w;
}

static void sort(size_t n, double *x)
{
    for (size_t i = 1; i < n; i++) {
        const double value = x[i];
        size_t j = i;
        for (; j > 0 && x[j - 1] > value; j--)
            x[j] = x[j - 1];
        x[j] = value;
    }
}

/* n confidences become weights: 1 where they are not above their median, else 0; not masked: the
   share of those everywhere. */
static void weigh(size_t n, double *x, double *sorted, bool masked)
{
    for (size_t i = 0; i < n; i++)
        sorted[i] = x[i];
    sort(n, sorted);
    const double median = 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]);
    double below = 0;
    for (size_t i = 0; i < n; i++)
        below += x[i] <= median;
    for (size_t i = 0; i < n; i++)
        x[i] = !masked ? below / (double)n : x[i] <= median ? 1 : 0;
}

static void measure_confidence(struct mlkd *w)
{
    for (size_t j = 0; j < w->k; j++)
        w->mc[j] = 0;
    for (size_t i = 0; i < w->n; i++) {
        ctkd__softmax(w->k, w->args->t + i * w->k, 1, w->p);
        w->m[i] = 0;
        for (size_t j = 0; j < w->k; j++) {
            w->m[i] = fmax(w->m[i], w->p[j]);
            w->mc[j] += w->p[j];
        }
    }
    weigh(w->n, w->m, w->sorted, w->masked);
    weigh(w->k, w->mc, w->sorted, w->masked);
}

static double dot(size_t k, const double *a, const double *b)
{
    enum { LANES = 4 };
    double lanes[LANES] = { 0 }, rest = 0;
    size_t i = 0;
    for (; i + LANES <= k; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lanes[l] += a[i + l] * b[i + l];
    for (; i < k; i++)
        rest += a[i] * b[i];
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest;
}

static void add_gradient(size_t k, struct ctkd__row_gradient g, double *sum)
{
    for (size_t j = 0; j < k; j++)
        sum[j] += g.doubles ? g.doubles[j] : (double)g.floats[j];
}

/* The KD term of one row, with gradients of what the row holds to ds and dt: returns tau^2 KL/n. */
static double kd_row(const struct mlkd *w, size_t i, double weight, struct ctkd__kl_row *row,
                     struct ctkd__row_gradient ds, struct ctkd__row_gradient dt)
{
    const double scale = weight * row->tau / (double)w->n;
    ctkd__kl_row_prepare(row);
    ctkd__kl_row_sum(row, (struct ctkd__ds_weights){ .difference = scale }, ds);
    ctkd__kl_row_teacher(row, scale, 0, dt);
    if (w->tau == w->args->tau)
        w->dtau[i] += weight * row->dtau / (double)w->n;
    return scale * row->tau * row->kl;
}

/* The same of the row's standardised logits; its gradients are of the logits again. */
static double standardised_row(const struct mlkd *w, size_t i, double weight,
                               struct ctkd__kl_row *row, struct ctkd__row_gradient ds,
                               struct ctkd__row_gradient dt)
{
    const struct ctkd__moments of_s = ctkd__moments_of(w->k, row->s);
    const struct ctkd__moments of_t = ctkd__moments_of(w->k, row->t);
    row->s_factor = 1 / of_s.denominator;
    row->t_factor = 1 / of_t.denominator;
    const double loss = kd_row(w, i, weight, row, ds, dt);
    ctkd__through_standardise(w->k, row->s, &of_s, ds.doubles);
    ctkd__through_standardise(w->k, row->t, &of_t, dt.doubles);
    return loss;
}

/* The KD term of one row by what this view gives it. */
static void add_kd_row(void *argument, size_t i)
{
    const struct mlkd *w = argument;
    const ctkd_loss_args *a = w->args;
    const size_t k = w->k, at = i * k;
    const double weight = (a->view == CTKD_VIEW_STRONG ? 0 : w->m[i]) + (w->kd_here ? 1 : 0);
    w->sums[i] = 0;
    if (weight == 0)
        return;
    struct ctkd__kl_row row = {
        .k = k, .skip = CTKD__NO_CLASS, .s = a->s + at, .t = a->t + at, .tau = tau_of(w, i)
    };
    struct ctkd__row_gradient ds = { .floats = w->ds_part + at },
                              dt = { .floats = w->dt_part + at };
    if (w->standardised) { /* dq, dp are free until go_back_row */
        ds = (struct ctkd__row_gradient){ .doubles = w->dq + at };
        dt = (struct ctkd__row_gradient){ .doubles = w->dp + at };
        w->sums[i] = standardised_row(w, i, weight, &row, ds, dt);
    } else {
        w->sums[i] = kd_row(w, i, weight, &row, ds, dt);
    }
    add_gradient(k, ds, w->ds + at);
    add_gradient(k, dt, w->dt + at);
}

static void prepare_row(void *argument, size_t i)
{
    const struct mlkd *w = argument;
    const size_t k = w->k;
    double *const q = w->q + i * k, *const p = w->p + i * k;
    ctkd__softmax(k, w->args->s + i * k, tau_of(w, i), q);
    ctkd__softmax(k, w->args->t + i * k, tau_of(w, i), p);
    for (size_t j = 0; j < k && w->masked; j++) {
        w->wq[i * k + j] = w->mc[j] * q[j];
        w->wp[i * k + j] = w->mc[j] * p[j];
    }
}

static void relate_row(void *argument, size_t i)
{
    const struct mlkd *w = argument;
    const size_t n = w->n, k = w->k;
    double batch = 0, classes = 0;
    for (size_t r = 0; r < n; r++) {
        const double qq = dot(k, w->q + i * k, w->q + r * k);
        const double qp = dot(k, w->q + i * k, w->p + r * k);
        const double pp = dot(k, w->p + i * k, w->p + r * k);
        double wqq = w->mc[0] * qq, wqp = w->mc[0] * qp, wpp = w->mc[0] * pp;
        if (w->masked) {
            wqq = dot(k, w->wq + i * k, w->q + r * k);
            wqp = dot(k, w->wq + i * k, w->p + r * k);
            wpp = dot(k, w->wp + i * k, w->p + r * k);
        }
        batch += (qq - pp) * (qq - pp);
        classes += (wqq * qq - wqp * qp) + (wpp * pp - wqp * qp);
        const size_t at = i * n + r;
        w->qq[at] = qq, w->qp[at] = qp, w->pp[at] = pp;
        w->wqq[at] = wqq, w->wqp[at] = wqp, w->wpp[at] = wpp;
    }
    w->sums[i] += w->m[i] * batch / (double)n + classes / (double)k;
}

/* dq += qq q - qp p and dp += pp p - pq q. */
static void add_products(size_t k, const double *q, const double *p, double qq, double qp,
                         double pp, double pq, double *restrict dq, double *restrict dp)
{
    for (size_t j = 0; j < k; j++) {
        dq[j] += qq * q[j] - qp * p[j];
        dp[j] += pp * p[j] - pq * q[j];
    }
}

/* dq, dp of one row and through its softmaxes; adds to ds, dt, and to dtau at the first one. */
static void go_back_row(void *argument, size_t i)
{
    const struct mlkd *w = argument;
    const size_t n = w->n, k = w->k;
    /* Not masked, the terms with W on either side are one and the same. */
    const double batch = 2 / (double)n, classes = (w->masked ? 2 : 4) / (double)k;
    double *const dq = w->dq + i * k, *const dp = w->dp + i * k;
    for (size_t j = 0; j < k; j++)
        dq[j] = dp[j] = 0;
    for (size_t r = 0; r < n; r++) {
        const size_t at = i * n + r, back = r * n + i;
        const double own = batch * (w->m[i] + w->m[r]) * (w->qq[at] - w->pp[at]);
        add_products(k, w->q + r * k, w->p + r * k, own + classes * w->wqq[at],
                     classes * w->wqp[at], classes * w->wpp[at] - own, classes * w->wqp[back], dq,
                     dp);
        if (w->masked)
            add_products(k, w->wq + r * k, w->wp + r * k, classes * w->qq[at], classes * w->qp[at],
                         classes * w->pp[at], classes * w->qp[back], dq, dp);
    }
    float *const ds = w->ds_part + i * k, *const dt =
                                              w->dt_part + i * k; /* KD's are already added */
    const double tau = tau_of(w, i);
    const double dtau = ctkd__through_softmax(k, w->args->s + i * k, tau, w->q + i * k, dq, ds) +
                        ctkd__through_softmax(k, w->args->t + i * k, tau, w->p + i * k, dp, dt);
    if (w->tau == w->args->tau)
        w->dtau[i] += dtau;
    for (size_t j = 0; j < k; j++) {
        w->ds[i * k + j] += (double)ds[j];
        w->dt[i * k + j] += (double)dt[j];
    }
}

/* All terms at one temperature; returns their sum. */
static double add_temperature(struct mlkd *w, size_t index)
{
    const ctkd_loss_args *a = w->args;
    const bool strong = a->view == CTKD_VIEW_STRONG;
    w->kd_here = strong_terms[index] == strong || a->view == CTKD_VIEW_ONLY;
    if (strong && !w->kd_here)
        return 0;
    ctkd__each(a->pool, w->n, add_kd_row, w);
    if (!strong) {
        ctkd__each(a->pool, w->n, prepare_row, w);
        ctkd__each(a->pool, w->n, relate_row, w);
        ctkd__each(a->pool, w->n, go_back_row, w);
    }
    double sum = 0;
    for (size_t i = 0; i < w->n; i++)
        sum += w->sums[i];
    return sum < 0 ? 0 : sum; /* below 0 by rounding only; a NaN stays NaN */
}

static void write_outputs(const struct mlkd *w, double loss)
{
    const ctkd_loss_args *a = w->args;
    for (size_t i = 0; i < w->n * w->k; i++) {
        if (a->ds)
            a->ds[i] = (float)w->ds[i];
        if (a->dt)
            a->dt[i] = (float)w->dt[i];
    }
    for (size_t i = 1; i < w->n && a->n_tau == 1; i++)
        w->dtau[0] += w->dtau[i];
    for (size_t i = 0; i < a->n_tau && a->dtau; i++)
        a->dtau[i] = (float)w->dtau[i];
    *a->loss = (float)loss;
}

static ctkd_status mlkd_eval(const void *config, const ctkd_loss_args *a)
{
    const struct mlkd_config *mlkd = config;
    if (!ctkd__loss_arguments_ok(a->n, a->k, a->s, a->t, a->tau, a->n_tau, a->loss) || a->k < 2 ||
        !a->workspace)
        return CTKD_EINVAL;
    struct mlkd w = lay_out(mlkd, a);
    for (size_t i = 0; i < w.n * w.k; i++)
        w.ds[i] = w.dt[i] = 0;
    for (size_t i = 0; i < w.n; i++)
        w.dtau[i] = 0;
    measure_confidence(&w);
    double loss = 0;
    for (size_t i = 0; i < TEMPERATURES; i++) {
        w.tau = i == 0 ? a->tau : &temperatures[i];
        w.n_tau = i == 0 ? a->n_tau : 1;
        loss += add_temperature(&w, i);
    }
    write_outputs(&w, loss);
    return CTKD_OK;
}

static const ctkd_option mlkd_options[] = {
    CTKD_OPT_BOOL(struct mlkd_config, mask, 0,
                  "true: leave out each confident sample and class; false: weight all terms by the "
                  "share of the others, as published"),
    CTKD_OPT_BOOL(struct mlkd_config, standardise, 0,
                  "use standardised logits in the KD terms (LSKD on MLKD), not in BC and CC"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_mlkd = {
    .name = "mlkd",
    .title = "Multi-level logit distillation",
    .formula = "weak view: sum over tau, 2, 3, 5, 6 of m KD + m/n |q q' - p p'|^2 + mc/k |q' q - "
               "p' p|^2, and KD "
               "at 2 and 6; strong view: KD at tau, 3, 5",
    .source = "Jin et al. 2023, CVPR",
    .needs = CTKD_NEEDS_LOGITS | CTKD_NEEDS_TAU | CTKD_NEEDS_VIEWS,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_SHIFT_INVARIANT | CTKD_NONNEGATIVE,
    .classes_min = 2,
    .options = mlkd_options,
    .config_size = sizeof(struct mlkd_config),
    .weight = 0.9f,
    .workspace = mlkd_workspace,
    .eval = mlkd_eval,
};
