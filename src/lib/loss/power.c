#include "lib/loss/power.h"

#include <math.h>

#include "lib/math/rows.h"

struct power_row {
    size_t k;
    double x; /* exponent */
    const float *s, *t;
    struct ctkd__lse s_lse, t_lse; /* of s, t */
    double t_max, power_log_sum;   /* log sum exp(x (t - t_max)) */
    double kl, mean_r, u;
};

struct class_terms {
    double p, q, r; /* P, softmax(s), log P/q */
};

static struct class_terms terms_of(const struct power_row *row, size_t j)
{
    const double log_p = row->x * ((double)row->t[j] - row->t_max) - row->power_log_sum;
    const double log_q = (double)row->s[j] - row->s_lse.max - row->s_lse.log_sum;
    return (struct class_terms){ exp(log_p), exp(log_q), log_p - log_q };
}

static struct power_row row_of(size_t k, const float *s, const float *t, double x)
{
    struct power_row row = {
        .k = k, .x = x, .s = s, .t = t, .s_lse = ctkd__row_lse(k, s), .t_lse = ctkd__row_lse(k, t)
    };
    row.t_max = row.t_lse.max;
    double sum = 0;
    for (size_t j = 0; j < k; j++)
        sum += exp(x * ((double)t[j] - row.t_max));
    row.power_log_sum = log(sum);
    for (size_t j = 0; j < k; j++) {
        const struct class_terms c = terms_of(&row, j);
        row.kl += ctkd__kl_term(c.p, c.q, c.r).kl;
        row.mean_r += c.p * c.r;
    }
    /* sum_j softmax(t)_j^x = sum_j exp(x (t - max)) / exp(x log_sum) */
    row.u = exp(row.power_log_sum - x * row.t_lse.log_sum);
    return row;
}

static void row_gradients(const struct power_row *row, double n, bool weighted, float *ds,
                          float *dt)
{
    const double w = weighted ? row->u : 1;
    for (size_t j = 0; j < row->k; j++) {
        const struct class_terms c = terms_of(row, j);
        if (ds)
            ds[j] = (float)(w * ctkd__kl_term(c.p, c.q, c.r).difference / n);
        if (!dt)
            continue;
        double g = row->x * w * c.p * (c.r - row->mean_r);
        if (weighted) {
            const double teacher = exp((double)row->t[j] - row->t_lse.max - row->t_lse.log_sum);
            g += row->kl * row->x * row->u * (c.p - teacher); /* softmax^x = u P */
        }
        dt[j] = (float)(g / n);
    }
}

ctkd_status ctkd__power_loss(const struct ctkd__power_config *config, const ctkd_loss_args *a,
                             bool weighted)
{
    const float no_tau = 1;
    if (!ctkd__loss_arguments_ok(a->n, a->k, a->s, a->t, &no_tau, 1, a->loss) || a->k < 2)
        return CTKD_EINVAL;
    double sum = 0;
    for (size_t i = 0; i < a->n; i++) {
        const size_t at = i * a->k;
        const struct power_row row = row_of(a->k, a->s + at, a->t + at, (double)config->exponent);
        sum += (weighted ? row.u : 1) * row.kl;
        row_gradients(&row, (double)a->n, weighted, a->ds ? a->ds + at : NULL,
                      a->dt ? a->dt + at : NULL);
    }
    *a->loss = (float)(sum / (double)a->n);
    return CTKD_OK;
}
