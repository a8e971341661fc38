#include "ctkd/loss.h"
#include "lib/loss/by_rows.h"
#include "lib/loss/pooled.h"

static void kd_row(const void *context, struct ctkd__kl_row *row, double n,
                   struct ctkd__row_outputs *out)
{
    const double epsilon = *(const double *)context, scale = row->tau / n;
    row->epsilon = epsilon;
    ctkd__kl_row_prepare(row);
    /* ds = scale ((1 + k epsilon) q - p - epsilon) */
    ctkd__kl_row_sum(row,
                     (struct ctkd__ds_weights){ .difference = scale,
                                                .student = scale * epsilon * (double)row->k,
                                                .constant = -scale * epsilon },
                     out->ds);
    if (out->dt.floats)
        ctkd__kl_row_teacher(row, scale, 0, out->dt);
    out->loss = row->tau * row->tau * row->kl;
    out->dtau = row->dtau;
}

ctkd_status ctkd__kd_loss(const ctkd_pool *pool, size_t n, size_t k, const float *s, const float *t,
                          const float *tau, size_t n_tau, ctkd_kd_form form, float *loss, float *ds,
                          float *dt, float *dtau)
{
    const double epsilon = form == CTKD_KD_EPSILON ? 1e-7 : 0.0;
    if (!ctkd__loss_arguments_ok(n, k, s, t, tau, n_tau, loss) ||
        (form != CTKD_KD_EXACT && form != CTKD_KD_EPSILON))
        return CTKD_EINVAL;
    ctkd__by_rows(pool, &(struct ctkd__by_rows){ .n = n,
                                                 .k = k,
                                                 .n_tau = n_tau,
                                                 .s = s,
                                                 .t = t,
                                                 .tau = tau,
                                                 .row = kd_row,
                                                 .context = &epsilon,
                                                 .loss = loss,
                                                 .ds = ds,
                                                 .dt = dt,
                                                 .dtau = dtau });
    return CTKD_OK;
}

ctkd_status ctkd_kd_loss(size_t n, size_t k, const float *s, const float *t, const float *tau,
                         size_t n_tau, ctkd_kd_form form, float *loss, float *ds, float *dt,
                         float *dtau)
{
    return ctkd__kd_loss(NULL, n, k, s, t, tau, n_tau, form, loss, ds, dt, dtau);
}

struct kd_config {
    int form;
};

static const char *const kd_forms[] = { "exact", "epsilon", NULL };

static const ctkd_option kd_options[] = {
    CTKD_OPT_CHOICE(struct kd_config, form, CTKD_KD_EXACT, kd_forms,
                    "exact: KL(p||q); epsilon: the published instance-wise form with p + 1e-7"),
    CTKD_OPT_END,
};

static ctkd_status kd_eval(const void *config, const ctkd_loss_args *a)
{
    const struct kd_config *kd = config;
    return ctkd__kd_loss(a->pool, a->n, a->k, a->s, a->t, a->tau, a->n_tau, (ctkd_kd_form)kd->form,
                         a->loss, a->ds, a->dt, a->dtau);
}

const ctkd_loss_def ctkd__loss_kd = {
    .name = "kd",
    .title = "Softened Kullback-Leibler divergence",
    .formula = "1/n sum_i tau_i^2 KL(softmax(t_i/tau_i) || softmax(s_i/tau_i))",
    .source = "Hinton et al. 2015, arXiv:1503.02531",
    .needs = CTKD_NEEDS_LOGITS | CTKD_NEEDS_TAU,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_SHIFT_INVARIANT | CTKD_NONNEGATIVE | CTKD_ROWWISE,
    .classes_min = 1,
    .options = kd_options,
    .weight = 1,
    .config_size = sizeof(struct kd_config),
    .eval = kd_eval,
};
