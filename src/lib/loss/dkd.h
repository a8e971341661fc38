/** @file dkd.h  One row of DKD, which LSKD has on standardised logits. */
#ifndef CTKD_LIB_LOSS_DKD_H
#define CTKD_LIB_LOSS_DKD_H

#include "lib/math/rows.h"

struct ctkd__dkd_outputs {
    struct ctkd__row_gradient ds, dt; /**< of the batch mean, hence over n; all classes */
    double loss, dtau;                /**< of the row, not divided by n */
};

/** row->skip is the label; prepares the row. */
void ctkd__dkd_row(struct ctkd__kl_row *row, double n, double alpha, double beta,
                   struct ctkd__dkd_outputs *out);

#endif
