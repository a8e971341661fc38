/** @file taps.h  What the plans of several methods do with their taps (ctkd/adaptor.h). */
#ifndef CTKD_LIB_TAPS_H
#define CTKD_LIB_TAPS_H

#include "ctkd/adaptor.h"

enum { CTKD__NAME_BYTES = 48 };

/** Writes "word.i.part", or "word.i" when part is NULL; returns out. A name that does not fit is
    cut. */
const char *ctkd__layer_name(char out[CTKD__NAME_BYTES], const char *word, size_t i,
                             const char *part);

/**
 * Rep's ConvReg without its ReLU: a convolution with bias and a batch norm that bring the student's
 * map x to the channels and, where it can, the size of the teacher's y:
 *   H_x = 2 H_y: 3x3, stride 2;  2 H_x = H_y: transposed 4x4, stride 2;
 *   H_x >= H_y: 1 + H_x - H_y without padding;  else 3x3, and y is pooled to x (as in CTKD's copy).
 */
int ctkd__conv_regressor(ctkd_builder *b, int x, int *y, const char *word, size_t i);

#endif
