/* IDX files (MNIST, Fashion-MNIST): big-endian header, then bytes (doc/methods.md, "IDX").
 */
#ifndef CTKD_DATA_IDX_H
#define CTKD_DATA_IDX_H

#include "data/dataset.h"

/*
 * One part from the two files in memory; any number of rows and columns, and in idx4 files up to
 * CTKD__CHANNELS_MAX channels, as planes or interleaved. The places begin messages.
 * Fills a zeroed `images`; on failure it holds no memory.
 */
ctkd_status ctkd__idx_parse(const char *pixels_place, const uint8_t *pixels, size_t pixels_size,
                            const char *labels_place, const uint8_t *labels, size_t labels_size,
                            size_t classes, struct ctkd__images *images, ctkd_error *err);

#endif
