/* Image files that are small enough to be decoded once and kept. */
#ifndef CTKD_DATA_IN_MEMORY_H
#define CTKD_DATA_IN_MEMORY_H

#include "data/source.h"

/* Whether all images have one size of at most `side_max` pixels a side, which becomes size: height,
   width. Reads files until one differs, on all processors. */
ctkd_status ctkd__image_source_one_size(const struct ctkd__image_source *source, size_t count,
                                        size_t side_max, bool *one, size_t size[2],
                                        ctkd_error *err);

/* Writes all images as planes [count][3][height][width]: as they are where `size` is not NULL
   (height, width: others are CTKD_ESHAPE), else as in evaluation. On all processors. */
ctkd_status ctkd__image_source_load(const struct ctkd__image_source *source, size_t count,
                                    const size_t *size, uint8_t *pixels, ctkd_error *err);

#endif
