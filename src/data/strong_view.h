/*
 * The strong view of MLKD (doc/methods.md, "Strong view"; Jin et al., CVPR 2023): crop and flip,
 * two random operations out of fourteen, cutout; all on 8-bit images. An operation gives the bytes
 * that Pillow's gives (ImageOps, ImageEnhance, Image.rotate and Image.transform with the nearest
 * pixel and black outside): tests/golden/strong_view.py.
 */
#ifndef CTKD_DATA_STRONG_VIEW_H
#define CTKD_DATA_STRONG_VIEW_H

#include "data/affine.h"
#include "data/augment.h"

/* In the published order. In brackets: range of the magnitude, drawn uniformly; v a byte. */
enum ctkd__strong_op {
    CTKD__AUTO_CONTRAST, /* each channel stretched to 0..255 */
    CTKD__BRIGHTNESS,    /* [0.05..0.95] black + m (v - black) */
    CTKD__COLOR,         /* [0.05..0.95] grey + m (v - grey), grey the pixel's luma */
    CTKD__CONTRAST,      /* [0.05..0.95] mean + m (v - mean), mean that of the image's luma */
    CTKD__EQUALIZE,      /* each channel's histogram made flat */
    CTKD__IDENTITY,
    CTKD__POSTERIZE,   /* [4..8] the upper trunc(m) bits */
    CTKD__ROTATE,      /* [-30..30] degrees, counter-clockwise, about the centre */
    CTKD__SHARPNESS,   /* [0.05..0.95] smooth + m (v - smooth), smooth the 3x3 mean with centre 5 */
    CTKD__SHEAR_X,     /* [-0.3..0.3] pixel (r, c) is (r, c + m r) */
    CTKD__SHEAR_Y,     /* [-0.3..0.3] (r + m c, c) */
    CTKD__SOLARIZE,    /* [0..256] v below m, else 255 - v */
    CTKD__TRANSLATE_X, /* [-0.3..0.3] (r, c + m width) */
    CTKD__TRANSLATE_Y, /* [-0.3..0.3] (r + m height, c) */
    CTKD__STRONG_OPS
};

enum { CTKD__STRONG_DRAWS = 2 };

struct ctkd__strong_view {
    struct ctkd__view view;
    struct {
        enum ctkd__strong_op op;
        double magnitude; /* 0 where the operation has none */
    } ops[CTKD__STRONG_DRAWS];
    double side; /* of the cutout, 0..0.5 of the width; 0: none */
    double x, y; /* its centre, 0..1 of width and height */
};

/* The strong view of sample `id` < 2^62 in `epoch`; nothing in it depends on ctkd__view_draw's. A
   pure function of its arguments; padding < 2^30. */
struct ctkd__strong_view ctkd__strong_view_draw(uint64_t seed, uint64_t epoch, uint64_t id,
                                                size_t padding);

/* One operation on an image of 1 or 3 channels, in place; `plane` is scratch of [height][width]. A
   magnitude in its range. */
void ctkd__strong_apply(enum ctkd__strong_op op, double magnitude, const struct ctkd__raster *image,
                        uint8_t *plane);

/* The view's cutout, in place: (125, 123, 114), or its luma 123 on one channel. */
void ctkd__strong_cutout(const struct ctkd__strong_view *view, const struct ctkd__raster *image);

/* Writes the view on `pixels` [image->channels][height][width] into `image`; `plane` as above. */
void ctkd__strong_view_make(const uint8_t *pixels, size_t height, size_t width,
                            const struct ctkd__strong_view *view, const struct ctkd__raster *image,
                            uint8_t *plane);

#endif
