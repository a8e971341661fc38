#include "ctkd/loss.h"
#include "lib/rows.h"

ctkd_status ctkd_kd_loss(size_t n, size_t k, const float *s, const float *t, const float *tau,
                         size_t n_tau, ctkd_kd_form form, float *loss, float *ds, float *dt,
                         float *dtau)
{
    if (!ctkd__loss_arguments_ok(n, k, s, t, tau, n_tau, loss) ||
        (form != CTKD_KD_EXACT && form != CTKD_KD_EPSILON))
        return CTKD_EINVAL;
    const double epsilon = form == CTKD_KD_EPSILON ? 1e-7 : 0.0;
    double loss_sum = 0, dtau_sum = 0;
    for (size_t i = 0; i < n; i++) {
        struct ctkd__kl_row row = { .k = k,
                                    .skip = CTKD__NO_CLASS,
                                    .s = s + i * k,
                                    .t = t + i * k,
                                    .tau = (double)tau[n_tau == 1 ? 0 : i],
                                    .epsilon = epsilon };
        const double scale = row.tau / (double)n;
        ctkd__kl_row_prepare(&row);
        /* ds = scale ((1 + k epsilon) q - p - epsilon) */
        ctkd__kl_row_sum(&row,
                         (struct ctkd__ds_weights){ .difference = scale,
                                                    .student = scale * epsilon * (double)k,
                                                    .constant = -scale * epsilon },
                         (struct ctkd__row_gradient){ .floats = ds ? ds + i * k : NULL });
        if (dt)
            ctkd__kl_row_teacher(&row, scale, 0,
                                 (struct ctkd__row_gradient){ .floats = dt + i * k });
        loss_sum += row.tau * row.tau * row.kl;
        dtau_sum += row.dtau;
        if (dtau && n_tau != 1)
            dtau[i] = (float)(row.dtau / (double)n);
    }
    if (dtau && n_tau == 1)
        *dtau = (float)(dtau_sum / (double)n);
    *loss = (float)(loss_sum / (double)n);
    return CTKD_OK;
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
    return ctkd_kd_loss(a->n, a->k, a->s, a->t, a->tau, a->n_tau, (ctkd_kd_form)kd->form, a->loss,
                        a->ds, a->dt, a->dtau);
}

const ctkd_loss_def ctkd__loss_kd = {
    .name = "kd",
    .title = "Softened Kullback-Leibler divergence",
    .formula = "1/n sum_i tau_i^2 KL(softmax(t_i/tau_i) || softmax(s_i/tau_i))",
    .source = "Hinton et al. 2015, arXiv:1503.02531",
    .needs = CTKD_NEEDS_LOGITS | CTKD_NEEDS_TAU,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_SHIFT_INVARIANT | CTKD_NONNEGATIVE,
    .classes_min = 1,
    .options = kd_options,
    .weight = 1,
    .config_size = sizeof(struct kd_config),
    .eval = kd_eval,
};
