/*
 * Images of bytes through an affine map, with the bytes of Pillow's Image.transform and
 * Image.rotate: the nearest pixel, and black outside the image.
 */
#ifndef CTKD_DATA_AFFINE_H
#define CTKD_DATA_AFFINE_H

#include <stddef.h>
#include <stdint.h>

/* An image as planes [channels][height][width]. */
struct ctkd__raster {
    size_t channels, height, width;
    uint8_t *pixels;
};

/* Output pixel (r, c), by its centre, is the pixel at column a0 c + a1 r + a2 and row a3 c + a4 r +
   a5. In place; `plane` is scratch of [height][width]. */
void ctkd__affine(const struct ctkd__raster *image, const double a[6], uint8_t *plane);

/* Counter-clockwise about the centre, in place; `plane` as above. */
void ctkd__rotate(const struct ctkd__raster *image, double degrees, uint8_t *plane);

/* The angle of sample `id` in `epoch`, uniform on [-most, most) degrees. A pure function of its
   arguments. */
double ctkd__rotation_draw(uint64_t seed, uint64_t epoch, uint64_t id, double most);

#endif
