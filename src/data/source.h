/*
 * Images that are files instead of a block of memory: which file an id stands for, its bytes, and
 * how views are made of it. `struct ctkd__images` (data/dataset.h) has either pixels or a source;
 * the loader hands out batches of both in the same way.
 */
#ifndef CTKD_DATA_SOURCE_H
#define CTKD_DATA_SOURCE_H

#include "data/folder/tree.h"
#include "data/picture/viewer.h"

struct ctkd__image_source {
    const struct ctkd__tree *tree; /* borrowed */
    const uint32_t *files;         /* [count of the part] index in the tree of each id; borrowed */
    struct ctkd__view_settings views;
};

/* Most bytes of an image file. */
enum { CTKD__IMAGE_BYTES_MAX = 1 << 30 };

/* The bytes of image `id`; any thread. */
ctkd_status ctkd__image_source_read(const struct ctkd__image_source *source, size_t id,
                                    struct ctkd__tree_bytes *out, ctkd_error *err);
/* What messages call it. */
void ctkd__image_source_place(const struct ctkd__image_source *source, size_t id, char *out,
                              size_t bytes);

#endif
