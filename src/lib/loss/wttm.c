#include "lib/loss/power.h"

/* WTTM: TTM with each sample weighted by U_i = sum_j softmax(t_i)_j^x, large where the teacher is
   unsure:  L = 1/n sum_i U_i KL(P_i || q_i). */
static ctkd_status wttm_eval(const void *config, const ctkd_loss_args *args)
{
    return ctkd__power_loss(config, args, true);
}

static const ctkd_option wttm_options[] = {
    CTKD_OPT_F32(struct ctkd__power_config, exponent, 0.2, 1e-3, 1.0,
                 "power of the teacher's probabilities; 1/exponent acts as a temperature"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_wttm = {
    .name = "wttm",
    .title = "Weighted transformed teacher matching",
    .formula = "1/n sum_i U_i KL(softmax(x t_i) || softmax(s_i)), U = sum_j softmax(t)_j^x",
    .source = "Zheng & Yang 2024, arXiv:2402.11148",
    .properties = CTKD_SHIFT_INVARIANT | CTKD_NONNEGATIVE | CTKD_ROWWISE,
    .classes_min = 2,
    .options = wttm_options,
    .needs = CTKD_NEEDS_LOGITS,
    .config_size = sizeof(struct ctkd__power_config),
    .weight = 4,
    .eval = wttm_eval,
};
