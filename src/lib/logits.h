/** @file logits.h  Rows of logits of every type as float. */
#ifndef CTKD_LIB_LOGITS_H
#define CTKD_LIB_LOGITS_H

#include "ctkd/loss.h"

/** Row `row` of x [.., k] as float. The type is one of the list. */
void ctkd__logits_row(size_t k, ctkd_logit_type type, const void *x, size_t row, float *out);

#endif
