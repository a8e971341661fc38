/*
 * What a network sees of an image file: torchvision's RandomResizedCrop and flip in training,
 * Resize and CenterCrop in evaluation, as bytes (doc/images.md). A training view is a function of
 * (seed, epoch, id) and the file alone.
 */
#ifndef CTKD_DATA_VIEWER_H
#define CTKD_DATA_VIEWER_H

#include "data/picture/picture.h"
#include "data/picture/resize.h"

struct ctkd__view_settings {
    size_t size;                   /* side of a view, 224 */
    size_t resize;                 /* short side in evaluation, >= size: 256 */
    struct ctkd__crop_ranges crop; /* of training views */
    enum ctkd__resize_order order; /* which direction of a resize comes first */
    uint64_t pixels_max;           /* images of more pixels are refused; 179 million */
    bool upright;                  /* as their EXIF orientation says; false: as stored */
    bool roi;                      /* decode only what a view needs; false: the same bytes */
};
/* The most of data.size and data.pad_to, and half of that of data.resize. */
enum { CTKD__VIEW_SIDE_MAX = 4096 };

/* 224 and 256, torchvision's ranges, horizontal first, with roi. */
struct ctkd__view_settings ctkd__view_settings_defaults(void);
/* The short side for views of `size`: 256 for 224, in proportion for others (size / 0.875,
   truncated). */
size_t ctkd__view_resize_for(size_t size);

/* Buffers of one thread, reused for every file. */
struct ctkd__viewer;
/* CTKD_EINVAL: size is 0 or above CTKD__VIEW_SIDE_MAX, resize is below size or above twice that, or
   a range is invalid. */
ctkd_status ctkd__viewer_create(const struct ctkd__view_settings *settings,
                                struct ctkd__viewer **out, ctkd_error *err);
void ctkd__viewer_destroy(struct ctkd__viewer *viewer);

/* Both write R, G, B planes [3][size][size]. Errors of ctkd__picture_decode. */
ctkd_status ctkd__viewer_training(struct ctkd__viewer *viewer,
                                  const struct ctkd__picture_file *file, uint64_t seed,
                                  uint64_t epoch, uint64_t id, uint8_t *out, ctkd_error *err);
ctkd_status ctkd__viewer_evaluation(struct ctkd__viewer *viewer,
                                    const struct ctkd__picture_file *file, uint8_t *out,
                                    ctkd_error *err);

#endif
