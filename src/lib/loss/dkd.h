/** @file dkd.h  One row of DKD, which LSKD has on standardised logits. */
#ifndef CTKD_LIB_LOSS_DKD_H
#define CTKD_LIB_LOSS_DKD_H

#include "lib/loss/by_rows.h"

/** row->skip is the label; prepares the row. */
void ctkd__dkd_row(struct ctkd__kl_row *row, double n, double alpha, double beta,
                   struct ctkd__row_outputs *out);

#endif
