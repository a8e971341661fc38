/*
 * Which part of an image a view shows: torchvision's RandomResizedCrop, Resize and CenterCrop as
 * boxes of integers, and the draws behind them. A view is a pure function of (seed, epoch, id).
 */
#ifndef CTKD_DATA_CROP_H
#define CTKD_DATA_CROP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ctkd__box {
    size_t left, top, width, height;
};

/* Ranges of the random crop: a share of the image's area, and width / height. */
struct ctkd__crop_ranges {
    double area_min, area_max;   /* 0.08, 1 */
    double ratio_min, ratio_max; /* 3/4, 4/3 */
};
struct ctkd__crop_ranges ctkd__crop_ranges_defaults(void);

/*
 * Size of the box of one try from two uniforms of [0, 1); false when it does not fit into the
 * image (doc/methods.md, "Random resized crop"):
 *   A = W H (area_min + u_area (area_max - area_min))
 *   r = exp(log ratio_min + u_ratio (log ratio_max - log ratio_min))
 *   w = round(sqrt(A r)),  h = round(sqrt(A / r)),  0 < w <= W,  0 < h <= H
 * in torchvision's types: the uniforms and r are floats, all else is double; halves go to even.
 */
bool ctkd__crop_try(size_t width, size_t height, const struct ctkd__crop_ranges *ranges,
                    float u_area, float u_ratio, size_t *w, size_t *h);
/* The box when no try fits: the ratio clamped to its range, centred. */
struct ctkd__box ctkd__crop_fallback(size_t width, size_t height,
                                     const struct ctkd__crop_ranges *ranges);

struct ctkd__crop_view {
    struct ctkd__box box;
    bool flip;
};
/* Up to ten tries, then the fallback; place uniform, flip with probability 1/2. Words come from
   blocks 16 id .. 16 id + 5 of the generator's AUGMENT stream: block b < 5 holds the two tries 2b
   and 2b + 1, block 5 the place and the flip. id < 2^60. */
struct ctkd__crop_view ctkd__crop_draw(uint64_t seed, uint64_t epoch, uint64_t id, size_t width,
                                       size_t height, const struct ctkd__crop_ranges *ranges);

/* Evaluation: Resize(short_side), then CenterCrop(crop). resized receives the width and height of
   the whole resized image (long side truncated); the result is the window on it, at offsets
   round((side - crop)/2), halves to even. The caller ensures crop <= short_side, so that the window
   always lies inside. */
struct ctkd__box ctkd__crop_centre(size_t width, size_t height, size_t short_side, size_t crop,
                                   size_t resized[2]);

#endif
