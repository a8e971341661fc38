/* Pictures as PNG and JPEG, for pages that show them. */
#ifndef CTKD_DATA_PICTURE_WRITE_H
#define CTKD_DATA_PICTURE_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

/* Rows of interleaved R, G, B, or of one grey value where `channels` is 1, as a PNG in memory,
   freed by the caller. CTKD_EINVAL: channels other than 1 and 3, or a side of 0; CTKD_ENOMEM. */
ctkd_status ctkd__picture_write_png(const uint8_t *pixels, size_t width, size_t height,
                                    size_t channels, uint8_t **png, size_t *bytes, ctkd_error *err);

/* The same as a baseline JPEG of quality 85: a fifth of the bytes, for photographs. */
ctkd_status ctkd__picture_write_jpeg(const uint8_t *pixels, size_t width, size_t height,
                                     size_t channels, uint8_t **jpeg, size_t *bytes,
                                     ctkd_error *err);

#endif
