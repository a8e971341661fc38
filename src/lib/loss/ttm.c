#include "lib/loss/power.h"

/* TTM: the teacher is transformed by a power, the student not at all:
     L = 1/n sum_i KL(P_i || q_i),  P = softmax(x t),  q = softmax(s),  x the exponent. */
static ctkd_status ttm_eval(const void *config, const ctkd_loss_args *args)
{
    return ctkd__power_loss(config, args, false);
}

static const ctkd_option ttm_options[] = {
    CTKD_OPT_F32(struct ctkd__power_config, exponent, 0.1, 1e-3, 1.0,
                 "power of the teacher's probabilities; 1/exponent acts as a temperature"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_ttm = {
    .name = "ttm",
    .title = "Transformed teacher matching",
    .formula = "1/n sum_i KL(softmax(x t_i) || softmax(s_i)), x = exponent",
    .source = "Zheng & Yang 2024, arXiv:2402.11148",
    .properties = CTKD_SHIFT_INVARIANT | CTKD_NONNEGATIVE | CTKD_ROWWISE,
    .classes_min = 2,
    .options = ttm_options,
    .needs = CTKD_NEEDS_LOGITS,
    .config_size = sizeof(struct ctkd__power_config),
    .weight = 45,
    .eval = ttm_eval,
};
