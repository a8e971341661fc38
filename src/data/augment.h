/* Views of an image: padding, random crop and flip (doc/methods.md, "Crop and flip"), and bytes to
   normalised floats. */
#ifndef CTKD_DATA_AUGMENT_H
#define CTKD_DATA_AUGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A window on an image: output pixel (r, c) is image pixel (r + top, c + left), c counted from the
   right when flipped; outside the image it is 0, black before normalisation. */
struct ctkd__view {
    ptrdiff_t top, left;
    bool flip;
};

/* The view of sample `id` in `epoch`: both offsets uniform on -padding..padding, flip with
   probability 1/2. A pure function of its arguments; padding < 2^30. */
struct ctkd__view ctkd__view_draw(uint64_t seed, uint64_t epoch, uint64_t id, size_t padding);
/* As ctkd__view_draw, from three given random words. */
struct ctkd__view ctkd__view_of_words(const uint32_t words[3], size_t padding);

/* There are 2 (2 padding + 1)^2 views, numbered from 0 in the order of top, left, flip. */
size_t ctkd__view_count(size_t padding);
size_t ctkd__view_number(const struct ctkd__view *view, size_t padding);
struct ctkd__view ctkd__view_of_number(size_t number, size_t padding);

/* Normalised value of every byte: (v / 255 - mean) / std, rounded as in float arithmetic. */
void ctkd__normalise_table(float mean, float std, float table[256]);

/* Writes one plane [out_height][out_width] of the view on `plane` [height][width]; `out` is
 * overwritten. */
void ctkd__view_plane(const uint8_t *plane, size_t height, size_t width,
                      const struct ctkd__view *view, const float table[256], size_t out_height,
                      size_t out_width, float *out);
/* The same without normalisation: bytes. `out` must not overlap `plane`. */
void ctkd__view_bytes(const uint8_t *plane, size_t height, size_t width,
                      const struct ctkd__view *view, size_t out_height, size_t out_width,
                      uint8_t *out);

#endif
