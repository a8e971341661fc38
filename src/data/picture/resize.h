/*
 * Bilinear resize with antialias of 8-bit RGB, to the byte as Pillow's
 * resize((width, height), BILINEAR) does it, and only the window of the result that is wanted.
 *
 * Each direction from n_in to n_out, rounding to bytes in between; a direction whose size does not
 * change is skipped. With scale = n_in / n_out and support = max(scale, 1), output x lies at c = (x
 * + 1/2) scale and reads inputs max(0, trunc(c - support + 1/2)) to min(n_in, trunc(c + support +
 * 1/2)) - 1, input i with weight max(0, 1 - |i + 1/2 - c| / support), normalised to sum 1 and
 * rounded to integers of 22 bits:
 *   pixel = clip((2^21 + sum weight value) >> 22, 0, 255)
 * Integer sums are exact, so that every instruction set gives the same bytes.
 */
#ifndef CTKD_DATA_RESIZE_H
#define CTKD_DATA_RESIZE_H

#include "ctkd/status.h"
#include "data/picture/crop.h"
#include "data/picture/picture.h"

/* Which direction comes first. Pillow up to 12, and with it every published network: horizontal.
   Pillow 13: vertical when the height shrinks, and by more than twice what the width shrinks by
   (height_in - height > 2 (width_in - width)). 12.2 already does so for images more than 100 times
   as high as wide. */
enum ctkd__resize_order { CTKD__HORIZONTAL_FIRST, CTKD__PILLOW_13 };

/* Weights and intermediate rows of one thread, reused for every image. */
struct ctkd__resizer;
ctkd_status ctkd__resizer_create(enum ctkd__resize_order order, struct ctkd__resizer **out,
                                 ctkd_error *err);
void ctkd__resizer_destroy(struct ctkd__resizer *resizer);
/* false: the portable path, for tests. */
void ctkd__resizer_use_simd(struct ctkd__resizer *resizer, bool use);

/* `window` of `in` resized to width x height; out is [3][window.height][window.width], overwritten,
   and mirrored when `flip`. CTKD_EINVAL: a size of 0, or a window that does not lie inside.
   CTKD_ENOMEM: it needs more rows or weights than before and cannot allocate them. */
ctkd_status ctkd__resize(struct ctkd__resizer *resizer, const struct ctkd__picture *in,
                         size_t width, size_t height, const struct ctkd__box *window, bool flip,
                         uint8_t *out);

/* A resize when only a part of the image is available. */
struct ctkd__resize_plan {
    size_t width_in, height_in, width, height; /* of the image, before and after */
    struct ctkd__box window;                   /* of the result */
};
/* The part of the image that the window is made of; an empty box for a plan that is
   CTKD_EINVAL below. */
struct ctkd__box ctkd__resize_reads(const struct ctkd__resize_plan *plan);
/* `part` is a picture of the box ctkd__resize_reads(plan); CTKD_EINVAL: of another size. */
ctkd_status ctkd__resize_part(struct ctkd__resizer *resizer, const struct ctkd__resize_plan *plan,
                              const struct ctkd__picture *part, bool flip, uint8_t *out);

#endif
