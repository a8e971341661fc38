/*
 * Images on their way into a network: normalised floats, or bytes that become floats where they are
 * read. A batch of bytes takes a quarter of the memory, and its floats are needed only in parts,
 * for a short time (nn/compile/instructions.h).
 */
#ifndef CTKD_UTIL_BATCH_IMAGES_H
#define CTKD_UTIL_BATCH_IMAGES_H

#include <stddef.h>
#include <stdint.h>

struct ctkd__batch_images {
    const float *values;        /* [n][channels][height][width]; NULL: bytes */
    const uint8_t *bytes;       /* the same extents; NULL without images */
    const float (*tables)[256]; /* of bytes: the value of each, by channel */
};

static inline struct ctkd__batch_images ctkd__batch_images_of(const float *values)
{
    return (struct ctkd__batch_images){ .values = values };
}

/* The images from pixel `at` on. */
static inline struct ctkd__batch_images ctkd__batch_images_from(struct ctkd__batch_images images,
                                                                size_t at)
{
    return (struct ctkd__batch_images){ images.values ? images.values + at : NULL,
                                        images.bytes ? images.bytes + at : NULL, images.tables };
}

/* Writes the values of n images of `channels` planes of `plane` pixels. */
void ctkd__batch_images_write(struct ctkd__batch_images images, size_t n, size_t channels,
                              size_t plane, float *out);

#endif
