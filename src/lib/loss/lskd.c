/*
 * LSKD: KD or DKD of standardised logits. z = Z(x) of a row with k entries, mean m and unbiased
 * standard deviation sd:  z_j = (x_j - m)/D,  D = sd + 1e-7.
 */
#include <math.h>

#include "ctkd/loss.h"
#include "lib/memory.h"
#include "lib/rows.h"

enum lskd_base { LSKD_KD, LSKD_DKD };

struct lskd_config {
    int base; /* enum lskd_base */
    float alpha, beta;
};

struct moments {
    double mean, sd, denominator;
};

static struct moments moments_of(size_t k, const float *x)
{
    double sum = 0, squares = 0;
    for (size_t j = 0; j < k; j++)
        sum += (double)x[j];
    struct moments m = { .mean = sum / (double)k };
    for (size_t j = 0; j < k; j++)
        squares += ((double)x[j] - m.mean) * ((double)x[j] - m.mean);
    m.sd = sqrt(squares / ((double)k - 1));
    m.denominator = m.sd + 1e-7;
    return m;
}

static void standardise(size_t n, size_t k, const float *x, float *z)
{
    for (size_t i = 0; i < n; i++) {
        const struct moments m = moments_of(k, x + i * k);
        for (size_t j = i * k; j < (i + 1) * k; j++)
            z[j] = (float)(((double)x[j] - m.mean) / m.denominator);
    }
}

/* g = dL/dz becomes dL/dx = (g - mean g - z <g, z> D/((k - 1) sd)) / D. A row of equal logits has
   no derivative: 0. */
static void through_standardise(size_t n, size_t k, const float *x, float *g)
{
    for (size_t i = 0; i < n; i++, x += k, g += k) {
        const struct moments m = moments_of(k, x);
        double sum = 0, product = 0;
        for (size_t j = 0; j < k; j++) {
            sum += (double)g[j];
            product += (double)g[j] * ((double)x[j] - m.mean);
        }
        const double slope = m.sd > 0 ? product / (((double)k - 1) * m.sd * m.denominator) : 0;
        for (size_t j = 0; j < k; j++)
            g[j] =
                m.sd > 0
                    ? (float)(((double)g[j] - sum / (double)k - ((double)x[j] - m.mean) * slope) /
                              m.denominator)
                    : 0;
    }
}

/* Two float arrays [n, k]. */
static size_t lskd_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0;
    return ctkd__add_product(&values, shape->n, shape->k) ? values : 0;
}

static ctkd_status lskd_eval(const void *config, const ctkd_loss_args *a)
{
    const struct lskd_config *lskd = config;
    const size_t n = a->n, k = a->k;
    if (!ctkd__loss_arguments_ok(n, k, a->s, a->t, a->tau, a->n_tau, a->loss) || k < 2 ||
        !a->labels || !a->workspace)
        return CTKD_EINVAL;
    if (!ctkd__labels_ok(n, k, a->labels))
        return CTKD_ERANGE;
    float *s = (float *)(void *)a->workspace, *t = s + n * k;
    standardise(n, k, a->s, s);
    standardise(n, k, a->t, t);
    const ctkd_status status =
        lskd->base == LSKD_KD ? ctkd_kd_loss(n, k, s, t, a->tau, a->n_tau, CTKD_KD_EXACT, a->loss,
                                             a->ds, a->dt, a->dtau)
                              : ctkd_dkd_loss(n, k, s, t, a->labels, a->tau, a->n_tau, lskd->alpha,
                                              lskd->beta, a->loss, a->ds, a->dt, a->dtau);
    if (status != CTKD_OK)
        return status;
    if (a->ds)
        through_standardise(n, k, a->s, a->ds);
    if (a->dt)
        through_standardise(n, k, a->t, a->dt);
    return CTKD_OK;
}

static const char *const lskd_bases[] = { "kd", "dkd", NULL };

static const ctkd_option lskd_options[] = {
    CTKD_OPT_CHOICE(struct lskd_config, base, LSKD_KD, lskd_bases,
                    "the loss of the standardised logits; dkd needs three classes"),
    CTKD_OPT_F32(struct lskd_config, alpha, 1.0, 0.0, 1e6, "base dkd: weight of the target class"),
    CTKD_OPT_F32(struct lskd_config, beta, 8.0, 0.0, 1e6, "base dkd: weight of the other classes"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_lskd = {
    .name = "lskd",
    .title = "Logit standardisation",
    .formula = "KD (or DKD) of Z(s) and Z(t), Z(x) = (x - mean x)/(sd x + 1e-7) per row",
    .source = "Sun et al. 2024, arXiv:2403.01427",
    .needs = CTKD_NEEDS_LOGITS | CTKD_NEEDS_LABELS | CTKD_NEEDS_TAU,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_SHIFT_INVARIANT | CTKD_NONNEGATIVE,
    .classes_min = 2,
    .options = lskd_options,
    .config_size = sizeof(struct lskd_config),
    .weight = 9,
    .workspace = lskd_workspace,
    .eval = lskd_eval,
};
