#include "ctkd/loss.h"
#include "lib/each.h"
#include "lib/loss/pooled.h"
#include "lib/math/rows.h"

struct kd {
    size_t n, k;
    const float *s, *t, *tau;
    bool one_tau;
    double epsilon;
    float *ds, *dt, *dtau;
    struct kd_sums {
        double loss, dtau;
    } sums[CTKD__TASKS];
};

static void kd_task(void *argument, size_t task)
{
    struct kd *kd = argument;
    const size_t k = kd->k, end = ctkd__task_begin(kd->n, task + 1);
    double kept[2 * CTKD__ROW_KEPT];
    struct kd_sums sums = { 0 };
    for (size_t i = ctkd__task_begin(kd->n, task); i < end; i++) {
        struct ctkd__kl_row row = { .k = k,
                                    .skip = CTKD__NO_CLASS,
                                    .s = kd->s + i * k,
                                    .t = kd->t + i * k,
                                    .tau = (double)kd->tau[kd->one_tau ? 0 : i],
                                    .epsilon = kd->epsilon,
                                    .kept = kept };
        const double scale = row.tau / (double)kd->n;
        ctkd__kl_row_prepare(&row);
        /* ds = scale ((1 + k epsilon) q - p - epsilon) */
        ctkd__kl_row_sum(&row,
                         (struct ctkd__ds_weights){ .difference = scale,
                                                    .student = scale * kd->epsilon * (double)k,
                                                    .constant = -scale * kd->epsilon },
                         (struct ctkd__row_gradient){ .floats = kd->ds ? kd->ds + i * k : NULL });
        if (kd->dt)
            ctkd__kl_row_teacher(&row, scale, 0,
                                 (struct ctkd__row_gradient){ .floats = kd->dt + i * k });
        sums.loss += row.tau * row.tau * row.kl;
        sums.dtau += row.dtau;
        if (kd->dtau && !kd->one_tau)
            kd->dtau[i] = (float)(row.dtau / (double)kd->n);
    }
    kd->sums[task] = sums;
}

ctkd_status ctkd__kd_loss(const ctkd_pool *pool, size_t n, size_t k, const float *s, const float *t,
                          const float *tau, size_t n_tau, ctkd_kd_form form, float *loss, float *ds,
                          float *dt, float *dtau)
{
    if (!ctkd__loss_arguments_ok(n, k, s, t, tau, n_tau, loss) ||
        (form != CTKD_KD_EXACT && form != CTKD_KD_EPSILON))
        return CTKD_EINVAL;
    struct kd kd = { .n = n,
                     .k = k,
                     .s = s,
                     .t = t,
                     .tau = tau,
                     .one_tau = n_tau == 1,
                     .epsilon = form == CTKD_KD_EPSILON ? 1e-7 : 0.0,
                     .ds = ds,
                     .dt = dt,
                     .dtau = dtau };
    ctkd__each(pool, CTKD__TASKS, kd_task, &kd);
    double loss_sum = 0, dtau_sum = 0;
    for (size_t i = 0; i < CTKD__TASKS; i++) {
        loss_sum += kd.sums[i].loss;
        dtau_sum += kd.sums[i].dtau;
    }
    if (dtau && n_tau == 1)
        *dtau = (float)(dtau_sum / (double)n);
    *loss = (float)(loss_sum / (double)n);
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
