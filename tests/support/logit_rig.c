#include "support/logit_rig.h"

#include "support/check.h"

const float taus[N_TAUS] = { 1, 4, 20 };
const float tau_each[N] = { 1, 2.5f, 4, 8.25f, 15.5f, 20 };
const int32_t labels[N] = { 0, 8, 3, 3, 5, 1 };

double workspace[WORKSPACE];

const ctkd_loss_def *const *logit_losses(void)
{
    static const ctkd_loss_def *losses[64];
    size_t count = 0;
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++)
        if (!((*def)->needs & (CTKD_NEEDS_MAPS | CTKD_NEEDS_IDS | CTKD_NEEDS_HEAD))) {
            assert_true(count + 1 < sizeof losses / sizeof *losses);
            losses[count++] = *def;
        }
    losses[count] = NULL;
    return losses;
}

ctkd_status evaluate_view(const ctkd_loss_def *def, const void *config, ctkd_view view,
                          const float *s, const float *t, const int32_t *y, const float *tau,
                          size_t n_tau, struct outputs *out)
{
    size_t values;
    assert_int_equal(
        ctkd_loss_workspace(def, config, &(ctkd_loss_shape){ .n = N, .k = K }, &values), CTKD_OK);
    assert_true(values <= WORKSPACE);
    memset(out, 0, sizeof *out); /* a loss without tau leaves dtau alone */
    const ctkd_loss_args args = { .n = N,
                                  .k = K,
                                  .s = s,
                                  .t = t,
                                  .labels = y,
                                  .tau = tau,
                                  .n_tau = n_tau,
                                  .loss = &out->loss,
                                  .ds = out->ds,
                                  .dt = out->dt,
                                  .dtau = out->dtau,
                                  .workspace = workspace,
                                  .view = view };
    return def->eval(config, &args);
}

ctkd_status evaluate_with(const ctkd_loss_def *def, const void *config, const float *s,
                          const float *t, const int32_t *y, const float *tau, size_t n_tau,
                          struct outputs *out)
{
    return evaluate_view(def, config, CTKD_VIEW_ONLY, s, t, y, tau, n_tau, out);
}

const ctkd_option *varied;

ctkd_status evaluate(const ctkd_loss_def *def, const float *s, const float *t, const float *tau,
                     size_t n_tau, struct outputs *out)
{
    _Alignas(16) char config[CONFIG_BYTES];
    assert_true(def->config_size <= sizeof config);
    ctkd_options_defaults(def->options, config);
    if (varied)
        assert_int_equal(ctkd_option_set(def->options, config, varied->name, varied->value ? 0 : 1),
                         CTKD_OK);
    return evaluate_with(def, config, s, t, labels, tau, n_tau, out);
}

float loss_at(const ctkd_loss_def *def, const float *s, const float *t, const float *tau,
              size_t n_tau)
{
    struct outputs out;
    assert_int_equal(evaluate(def, s, t, tau, n_tau, &out), CTKD_OK);
    return out.loss;
}

void fill_logits(float *s, float *t)
{
    fill_uniform(s, NK, 1, -3, 3);
    fill_uniform(t, NK, 2, -4, 4);
}
