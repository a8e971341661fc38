#include "lib/rows.h"

#include <math.h>

struct ctkd__lse ctkd__row_lse(size_t k, const float *x)
{
    struct ctkd__lse lse = { -INFINITY, 0 };
    for (size_t j = 0; j < k; j++)
        lse.max = (double)x[j] > lse.max ? (double)x[j] : lse.max;
    double sum = 0;
    for (size_t j = 0; j < k; j++)
        sum += exp((double)x[j] - lse.max);
    lse.log_sum = log(sum);
    return lse;
}

struct ctkd__kl_term ctkd__kl_term(double p, double q, double r)
{
    if (!(fabs(r) < 0.03)) /* not through e^-r, which overflows where p is 0 */
        return (struct ctkd__kl_term){ p * (r - 1.0) + q, q - p };
    /* r + e^-r - 1 cancels to r^2/2 */
    const double series =
        0.5 + r * (-1.0 / 6 + r * (1.0 / 24 + r * (-1.0 / 120 + r * (1.0 / 720 - r / 5040))));
    return (struct ctkd__kl_term){ p * r * r * series, p * r * (r * series - 1.0) };
}

double ctkd__softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

double ctkd__sigmoid(double x)
{
    const double e = exp(-fabs(x));
    return (x < 0 ? e : 1.0) / (1.0 + e);
}

/* One class of a row. */
struct row_class {
    double s, t;     /* logits less the row's maximum */
    double p, q, r;  /* r = log p - log q */
    double r_smooth; /* log(p + epsilon) - log q */
};

static struct row_class class_at(const struct ctkd__kl_row *row, size_t j)
{
    struct row_class c;
    c.s = ctkd__kl_row_s(row, j);
    c.t = ctkd__kl_row_t(row, j);
    const double log_q = c.s / row->tau - row->s_lse;
    c.q = exp(log_q);
    c.p = exp(c.t / row->tau - row->t_lse);
    c.r = (c.t - c.s) / row->tau - row->lse_difference;
    c.r_smooth = c.r;
    if (row->epsilon > 0)
        c.r_smooth =
            c.p > row->epsilon ? c.r + log1p(row->epsilon / c.p) : log(c.p + row->epsilon) - log_q;
    return c;
}

static void find_maxima(struct ctkd__kl_row *row)
{
    row->s_max = row->t_max = -INFINITY;
    for (size_t j = 0; j < row->k; j++) {
        if (j == row->skip)
            continue;
        const double s = (double)row->s[j], t = (double)row->t[j];
        row->s_max = s > row->s_max ? s : row->s_max;
        row->t_max = t > row->t_max ? t : row->t_max;
    }
}

void ctkd__kl_row_prepare(struct ctkd__kl_row *row)
{
    find_maxima(row);
    row->s_factor = row->s_factor == 0 ? 1 : row->s_factor;
    row->t_factor = row->t_factor == 0 ? 1 : row->t_factor;
    double s_sum = 0, t_sum = 0, widest = 0;
    for (size_t j = 0; j < row->k; j++) {
        if (j == row->skip)
            continue;
        const double s = ctkd__kl_row_s(row, j), t = ctkd__kl_row_t(row, j);
        s_sum += exp(s / row->tau);
        t_sum += exp(t / row->tau);
        widest = fmax(widest, fabs(t - s));
    }
    row->s_lse = log(s_sum);
    row->t_lse = log(t_sum);
    row->lse_difference = row->t_lse - row->s_lse;
    if (!(widest / row->tau < 1))
        return;
    /* Both are near log k, and their difference is of the size of the logits' differences over tau:
       sum q e^((t - s)/tau) = e^lse_difference gives it without the cancellation. */
    double excess = 0;
    for (size_t j = 0; j < row->k; j++) {
        if (j == row->skip)
            continue;
        const double s = ctkd__kl_row_s(row, j), t = ctkd__kl_row_t(row, j);
        excess += exp(s / row->tau) * expm1((t - s) / row->tau);
    }
    row->lse_difference = log1p(excess / s_sum);
}

void ctkd__kl_row_sum(struct ctkd__kl_row *row, struct ctkd__ds_weights weights,
                      struct ctkd__row_gradient ds)
{
    double kl = 0, mean_r = 0, mean_s = 0, mean_t = 0, moved_s = 0, mean_tr = 0;
    for (size_t j = 0; j < row->k; j++) {
        if (j == row->skip)
            continue;
        const struct row_class c = class_at(row, j);
        const struct ctkd__kl_term term = ctkd__kl_term(c.p, c.q, c.r);
        /* sum p r is sum term.kl, because the differences sum to 0 */
        const double smoothed = term.kl + c.p * (c.r_smooth - c.r);
        mean_r += smoothed;
        kl += smoothed + row->epsilon * c.r_smooth;
        mean_s += c.q * c.s;
        mean_t += c.p * c.t;
        mean_tr += c.p * c.t * c.r_smooth;
        const double d = term.difference + row->epsilon * ((double)row->k * c.q - 1.0);
        moved_s += d * c.s;
        ctkd__put(ds, j,
                  weights.difference * term.difference + weights.student * c.q + weights.constant);
    }
    row->kl = kl;
    row->mean_r = mean_r;
    row->mean_s = mean_s;
    row->mean_t = mean_t;
    /* Both softmaxes and the factor tau^2 depend on tau. */
    row->dtau = 2.0 * row->tau * kl - moved_s - (mean_tr - mean_t * mean_r);
}

void ctkd__kl_row_teacher(const struct ctkd__kl_row *row, double weight, double constant,
                          struct ctkd__row_gradient dt)
{
    for (size_t j = 0; j < row->k; j++) {
        if (j == row->skip)
            continue;
        const struct row_class c = class_at(row, j);
        ctkd__put(dt, j, c.p * (weight * (c.r_smooth - row->mean_r) + constant));
    }
}

bool ctkd__loss_arguments_ok(size_t n, size_t k, const float *s, const float *t, const float *tau,
                             size_t n_tau, const float *loss)
{
    if (n == 0 || k == 0 || !s || !t || !tau || !loss || (n_tau != 1 && n_tau != n))
        return false;
    for (size_t i = 0; i < n_tau; i++)
        if (!(tau[i] > 0) || !isfinite(tau[i]))
            return false;
    return true;
}

bool ctkd__labels_ok(size_t n, size_t k, const int32_t *labels)
{
    for (size_t i = 0; i < n; i++)
        if (labels[i] < 0 || (size_t)labels[i] >= k)
            return false;
    return true;
}
