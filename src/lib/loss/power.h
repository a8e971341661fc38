/**
 * @file power.h  KL of a power-transformed teacher and an untempered student: TTM and WTTM.
 */
#ifndef CTKD_LIB_LOSS_POWER_H
#define CTKD_LIB_LOSS_POWER_H

#include <stdbool.h>

#include "ctkd/loss.h"

struct ctkd__power_config {
    float exponent; /* x in (0, 1] */
};

/**
 * L = 1/n sum_i w_i KL(softmax(x t_i) || softmax(s_i)), w_i = 1 or U_i = sum_j softmax(t_i)_j^x:
 *   ds = w (q - P)/n,  dt = (x w P (r - E_P r) + KL dU/dt)/n,  r = log P/q,
 *   dU/dt_j = x (softmax(t)_j^x - softmax(t)_j U).
 */
ctkd_status ctkd__power_loss(const struct ctkd__power_config *config, const ctkd_loss_args *args,
                             bool weighted);

#endif
