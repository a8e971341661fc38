/*
 * LSKD: KD or DKD of standardised logits. z = Z(x) of a row with k entries, mean m and unbiased
 * standard deviation sd:  z_j = (x_j - m)/D,  D = sd + 1e-7. Nothing between the logits and their
 * gradients is rounded to float, because student and teacher may be so close that rounding would
 * hide their difference. A row of equal logits has z = 0 and no gradient.
 */
#include <math.h>

#include "ctkd/loss.h"
#include "lib/loss/dkd.h"
#include "lib/math/standardise.h"
#include "lib/memory.h"

enum lskd_base { LSKD_KD, LSKD_DKD };

struct lskd_config {
    int base; /* enum lskd_base */
    float alpha, beta;
};

/* A row's gradient in double, of student and teacher. */
static size_t lskd_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0;
    return ctkd__add_product(&values, 2, shape->k) ? values : 0;
}

static void write_gradient(size_t k, const float *x, const struct ctkd__moments *m, double *g,
                           float *dx)
{
    ctkd__through_standardise(k, x, m, g);
    for (size_t j = 0; j < k; j++)
        dx[j] = (float)g[j];
}

/* Row i: tau^2 KL or DKD and its derivatives, not divided by n; writes ds and dt. */
static struct ctkd__row_outputs lskd_row(const struct lskd_config *lskd, const ctkd_loss_args *a,
                                         size_t i)
{
    const size_t k = a->k;
    const float *const s = a->s + i * k, *const t = a->t + i * k;
    const struct ctkd__moments of_s = ctkd__moments_of(k, s), of_t = ctkd__moments_of(k, t);
    struct ctkd__row_outputs out = { .ds = { .doubles = a->ds ? a->workspace : NULL },
                                     .dt = { .doubles = a->dt ? a->workspace + k : NULL } };
    /* The means are left out: a softmax does not change when a constant is added to its logits. */
    struct ctkd__kl_row row = { .k = k,
                                .skip = CTKD__NO_CLASS,
                                .s = s,
                                .t = t,
                                .tau = (double)a->tau[a->n_tau == 1 ? 0 : i],
                                .s_factor = 1 / of_s.denominator,
                                .t_factor = 1 / of_t.denominator };
    if (lskd->base == LSKD_DKD) {
        row.skip = (size_t)a->labels[i];
        ctkd__dkd_row(&row, (double)a->n, (double)lskd->alpha, (double)lskd->beta, &out);
    } else {
        const double scale = row.tau / (double)a->n;
        ctkd__kl_row_prepare(&row);
        ctkd__kl_row_sum(&row, (struct ctkd__ds_weights){ .difference = scale }, out.ds);
        if (a->dt)
            ctkd__kl_row_teacher(&row, scale, 0, out.dt);
        out.loss = row.tau * row.tau * row.kl;
        out.dtau = row.dtau;
    }
    if (a->ds)
        write_gradient(k, s, &of_s, out.ds.doubles, a->ds + i * k);
    if (a->dt)
        write_gradient(k, t, &of_t, out.dt.doubles, a->dt + i * k);
    return out;
}

static ctkd_status lskd_eval(const void *config, const ctkd_loss_args *a)
{
    const struct lskd_config *lskd = config;
    const size_t n = a->n, k = a->k;
    if (!ctkd__loss_arguments_ok(n, k, a->s, a->t, a->tau, a->n_tau, a->loss) || k < 2 ||
        (lskd->base == LSKD_DKD && k < 3) || !a->labels || !a->workspace)
        return CTKD_EINVAL;
    if (!ctkd__labels_ok(n, k, a->labels))
        return CTKD_ERANGE;
    double loss = 0, dtau = 0;
    for (size_t i = 0; i < n; i++) {
        const struct ctkd__row_outputs row = lskd_row(lskd, a, i);
        loss += row.loss;
        dtau += row.dtau;
        if (a->dtau && a->n_tau != 1)
            a->dtau[i] = (float)(row.dtau / (double)n);
    }
    if (a->dtau && a->n_tau == 1)
        *a->dtau = (float)(dtau / (double)n);
    *a->loss = (float)(loss / (double)n);
    return CTKD_OK;
}

static const char *const lskd_bases[] = { "kd", "dkd", NULL };

static const ctkd_option lskd_options[] = {
    CTKD_OPT_CHOICE(struct lskd_config, base, LSKD_KD, lskd_bases,
                    "loss of the standardised logits; dkd needs at least 3 classes"),
    CTKD_OPT_F32(struct lskd_config, alpha, 1.0, 0.0, 1e6, "base dkd: weight of the target class"),
    CTKD_OPT_F32(struct lskd_config, beta, 8.0, 0.0, 1e6, "base dkd: weight of the other classes"),
    CTKD_OPT_END,
};

static const char *lskd_option_lacks(const void *config, const ctkd_option *option)
{
    const struct lskd_config *const lskd = config;
    return lskd->base == LSKD_KD && option != &lskd_options[0] ? "base=dkd" : NULL;
}

const ctkd_loss_def ctkd__loss_lskd = {
    .name = "lskd",
    .title = "Logit standardisation",
    .formula = "KD (or DKD) of Z(s) and Z(t), Z(x) = (x - mean x)/(sd x + 1e-7) per row",
    .source = "Sun et al. 2024, arXiv:2403.01427",
    .needs = CTKD_NEEDS_LOGITS | CTKD_NEEDS_LABELS | CTKD_NEEDS_TAU,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_SHIFT_INVARIANT | CTKD_NONNEGATIVE | CTKD_ROWWISE,
    .classes_min = 2,
    .options = lskd_options,
    .config_size = sizeof(struct lskd_config),
    .weight = 9,
    .workspace = lskd_workspace,
    .eval = lskd_eval,
    .option_lacks = lskd_option_lacks,
};
