/*
 * The views that are made of an image file as one hash, which a list from Pillow has too
 * (tests/golden/image_views.py): SHA-256 of the bytes [3][size][size] of many boxes of the image,
 * resized, and of its evaluation view.
 */
#ifndef CTKD_SELFTEST_VIEWS_H
#define CTKD_SELFTEST_VIEWS_H

#include "data/picture/viewer.h"
#include "util/sha256.h"

struct ctkd__view_hash_settings {
    size_t boxes; /* 2 or more, of which only the part is decoded that each needs */
    size_t size;  /* side of a view in pixels */
    enum ctkd__resize_order order; /* that of the Pillow which made the list */
};
/* 200 boxes, 224 pixels, horizontal first. */
struct ctkd__view_hash_settings ctkd__view_hash_defaults(void);

/* Buffers of one thread, reused for every file. */
struct ctkd__view_hasher;
/* CTKD_EINVAL: the size is not one of views. CTKD_ENOMEM. */
ctkd_status ctkd__view_hasher_create(const struct ctkd__view_hash_settings *settings,
                                     struct ctkd__view_hasher **out, ctkd_error *err);
void ctkd__view_hasher_destroy(struct ctkd__view_hasher *hasher);

/* Errors of ctkd__picture_decode. */
ctkd_status ctkd__view_hash(struct ctkd__view_hasher *hasher, const struct ctkd__picture_file *file,
                            char out[CTKD__SHA256_DIGITS + 1], ctkd_error *err);

#endif
