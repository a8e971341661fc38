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
 * classes. Only the first of TT is learned. With one view, that stands for both. All in n x n
 * products: k x k ones are never made.
 */
#include <math.h>

#include "ctkd/loss.h"
#include "lib/each.h"
#include "lib/memory.h"
#include "lib/rows.h"
#include "lib/softmax.h"

static const float temperatures[] = { 0 /* tau */, 2, 3, 5, 6 };
/* Published: two of the strong view's terms are evaluated on the weak one. */
static const bool strong_terms[] = { true, false, true, true, false };
enum { TEMPERATURES = sizeof temperatures / sizeof *temperatures };

struct mlkd {
    const ctkd_loss_args *args;
    size_t n, k;
    const float *tau; /* of the current temperature */
    size_t n_tau;
    double m, mc;
    double *q, *p, *dq, *dp; /* [n, k] */
    double *qq, *qp, *pp;    /* [n, n]: products of rows */
    double *ds, *dt;         /* [n, k], sums over the temperatures */
    double *sums;            /* [n]: the samples' shares of m BC + mc CC */
    double *dtau;            /* [n], of the first temperature */
    double *sorted;          /* [n + k] */
    float *ds_part, *dt_part, *dtau_part;
};

static double tau_of(const struct mlkd *w, size_t i)
{
    return (double)w->tau[w->n_tau == 1 ? 0 : i];
}

static size_t mlkd_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0, width = 5;
    return ctkd__add_product(&width, 7, shape->k) && ctkd__add_product(&width, 3, shape->n) &&
                   ctkd__add_product(&values, shape->n, width) &&
                   ctkd__add_product(&values, 1, shape->k)
               ? values
               : 0;
}

static struct mlkd lay_out(const ctkd_loss_args *a)
{
    const size_t n = a->n, k = a->k, nk = n * k;
    struct mlkd w = { .args = a, .n = n, .k = k, .q = a->workspace };
    w.p = w.q + nk;
    w.dq = w.p + nk;
    w.dp = w.dq + nk;
    w.ds = w.dp + nk;
    w.dt = w.ds + nk;
    w.ds_part = (float *)(void *)(w.dt + nk);
    w.dt_part = w.ds_part + nk;
    w.qq = w.dt + 2 * nk;
    w.qp = w.qq + n * n;
    w.pp = w.qp + n * n;
    w.sums = w.pp + n * n;
    w.dtau = w.sums + n;
    w.dtau_part = (float *)(void *)(w.dtau + n);
    w.sorted = w.dtau + 2 * n;
    return w;
}

/* The fraction of n values that are not above their median; sorts them. */
static double share_below_median(size_t n, double *x)
{
    for (size_t i = 1; i < n; i++) {
        const double value = x[i];
        size_t j = i;
        for (; j > 0 && x[j - 1] > value; j--)
            x[j] = x[j - 1];
        x[j] = value;
    }
    const double median = 0.5 * (x[(n - 1) / 2] + x[n / 2]);
    size_t below = 0;
    while (below < n && x[below] <= median)
        below++;
    return (double)below / (double)n;
}

static void measure_confidence(struct mlkd *w)
{
    double *const samples = w->sorted, *const classes = samples + w->n;
    for (size_t j = 0; j < w->k; j++)
        classes[j] = 0;
    for (size_t i = 0; i < w->n; i++) {
        ctkd__softmax(w->k, w->args->t + i * w->k, 1, w->p);
        samples[i] = 0;
        for (size_t j = 0; j < w->k; j++) {
            samples[i] = fmax(samples[i], w->p[j]);
            classes[j] += w->p[j];
        }
    }
    w->m = share_below_median(w->n, samples);
    w->mc = share_below_median(w->k, classes);
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

static void prepare_row(void *argument, size_t i)
{
    const struct mlkd *w = argument;
    ctkd__softmax(w->k, w->args->s + i * w->k, tau_of(w, i), w->q + i * w->k);
    ctkd__softmax(w->k, w->args->t + i * w->k, tau_of(w, i), w->p + i * w->k);
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
        batch += (qq - pp) * (qq - pp);
        classes += (qq * qq - qp * qp) + (pp * pp - qp * qp);
        w->qq[i * n + r] = qq;
        w->qp[i * n + r] = qp;
        w->pp[i * n + r] = pp;
    }
    w->sums[i] = w->m * batch / (double)n + w->mc * classes / (double)k;
}

/* dq, dp of one row and through its softmaxes; adds to ds, dt, and to dtau at the first one. */
static void go_back_row(void *argument, size_t i)
{
    const struct mlkd *w = argument;
    const size_t n = w->n, k = w->k;
    const double batch = 4 * w->m / (double)n, classes = 4 * w->mc / (double)k;
    double *const dq = w->dq + i * k, *const dp = w->dp + i * k;
    for (size_t j = 0; j < k; j++)
        dq[j] = dp[j] = 0;
    for (size_t r = 0; r < n; r++) {
        const double *const q = w->q + r * k, *const p = w->p + r * k;
        const double qq = w->qq[i * n + r], pp = w->pp[i * n + r];
        const double own = batch * (qq - pp) + classes * qq, other = classes * w->qp[i * n + r];
        const double teacher = batch * (pp - qq) + classes * pp;
        const double teacher_other = classes * w->qp[r * n + i];
        for (size_t j = 0; j < k; j++) {
            dq[j] += own * q[j] - other * p[j];
            dp[j] += teacher * p[j] - teacher_other * q[j];
        }
    }
    float *const ds = w->ds_part + i * k, *const dt =
                                              w->dt_part + i * k; /* KD's are added by now */
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
static ctkd_status add_temperature(struct mlkd *w, size_t index, double *loss)
{
    const ctkd_loss_args *a = w->args;
    const size_t nk = w->n * w->k;
    const bool strong = a->view == CTKD_VIEW_STRONG, here = strong_terms[index] == strong;
    const double share = (strong ? 0 : w->m) + (here || a->view == CTKD_VIEW_ONLY ? 1 : 0);
    if (share == 0)
        return CTKD_OK;
    float kd;
    const ctkd_status status = ctkd_kd_loss(w->n, w->k, a->s, a->t, w->tau, w->n_tau, CTKD_KD_EXACT,
                                            &kd, w->ds_part, w->dt_part, w->dtau_part);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < nk; i++) {
        w->ds[i] += share * (double)w->ds_part[i];
        w->dt[i] += share * (double)w->dt_part[i];
    }
    for (size_t i = 0; i < w->n_tau && w->tau == a->tau; i++)
        w->dtau[i] += share * (double)w->dtau_part[i];
    if (strong) {
        *loss += share * (double)kd;
        return CTKD_OK;
    }
    ctkd__each(a->pool, w->n, prepare_row, w);
    ctkd__each(a->pool, w->n, relate_row, w);
    ctkd__each(a->pool, w->n, go_back_row, w);
    double relations = 0;
    for (size_t i = 0; i < w->n; i++)
        relations += w->sums[i];
    *loss += share * (double)kd + fmax(relations, 0); /* below 0 by rounding alone */
    return CTKD_OK;
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
    (void)config;
    if (!ctkd__loss_arguments_ok(a->n, a->k, a->s, a->t, a->tau, a->n_tau, a->loss) || a->k < 2 ||
        !a->workspace)
        return CTKD_EINVAL;
    struct mlkd w = lay_out(a);
    for (size_t i = 0; i < w.n * w.k; i++)
        w.ds[i] = w.dt[i] = 0;
    for (size_t i = 0; i < w.n; i++)
        w.dtau[i] = 0;
    measure_confidence(&w);
    double loss = 0;
    for (size_t i = 0; i < TEMPERATURES; i++) {
        w.tau = i == 0 ? a->tau : &temperatures[i];
        w.n_tau = i == 0 ? a->n_tau : 1;
        const ctkd_status status = add_temperature(&w, i, &loss);
        if (status != CTKD_OK)
            return status;
    }
    write_outputs(&w, loss);
    return CTKD_OK;
}

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
    .weight = 0.9f,
    .workspace = mlkd_workspace,
    .eval = mlkd_eval,
};
