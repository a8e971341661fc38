/*
 * Image files as people have them (JPEG, PNG, PPM, WebP), decoded to 8-bit RGB: the bytes that
 * Pillow's Image.open(file).convert("RGB") gives. The format follows from the first bytes, never
 * from the name.
 *
 *   CMYK and YCCK JPEGs   inverted, as Pillow assumes of every one: r = (255 - k)(255 - c) / 255
 *   grey                  the value three times; 16-bit grey PNGs are cut at 255, not scaled
 *   16-bit colour PNGs    the high byte;  palettes are looked up;  transparency is dropped
 *   EXIF orientation      not applied (nor do Pillow and torchvision) unless that is asked for;
 *                         ctkd__picture_info has it
 */
#ifndef CTKD_DATA_PICTURE_H
#define CTKD_DATA_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"
#include "data/picture/crop.h"

/* The bytes of one file. `name` is what messages call it. */
struct ctkd__picture_file {
    const char *name;
    const uint8_t *bytes;
    size_t size;
};

struct ctkd__picture_info {
    const char *format;   /* "JPEG", "PNG", ... */
    size_t width, height; /* pixels, >= 1 */
    bool grey, cmyk;      /* as stored */
    int orientation;      /* EXIF, 1 to 8; 1 where the file says nothing */
};

/* Rows of interleaved R, G, B; at least CTKD__PICTURE_SLACK readable bytes follow the last pixel.
 */
struct ctkd__picture {
    const uint8_t *pixels;
    size_t stride; /* bytes from a row to the next */
    size_t width, height;
    bool damaged; /* JPEG: the library met corrupt codes and continued, as Pillow does */
};
enum { CTKD__PICTURE_SLACK = 32 };

/* Buffers of one thread, reused for every file. */
struct ctkd__picture_reader;

/* pixels_max: files of more are refused before anything is allocated for them (179 million in
   Pillow). partial: decode only what a box needs; tests pass false to show that the bytes are the
   same. */
ctkd_status ctkd__picture_reader_create(uint64_t pixels_max, bool partial,
                                        struct ctkd__picture_reader **out, ctkd_error *err);
void ctkd__picture_reader_destroy(struct ctkd__picture_reader *reader);

/* From now on pictures are decoded upright, as Pillow's ImageOps.exif_transpose turns them: boxes
   and sizes are of the upright image. An image that its EXIF turns is decoded in full. */
void ctkd__picture_reader_upright(struct ctkd__picture_reader *reader, bool upright);
/* The sizes of the upright image instead of the stored one; its orientation becomes 1. */
void ctkd__picture_info_upright(struct ctkd__picture_info *info);

/* Reads the header only. CTKD_EFORMAT: not an image, or damaged, with what the file looks like;
   CTKD_EUNSUPPORTED: a format that is recognised but not supported (GIF, BMP, TIFF, ...); the
   message names it. */
ctkd_status ctkd__picture_probe(const struct ctkd__picture_file *file,
                                struct ctkd__picture_info *out, ctkd_error *err);

/* Decodes `box` of the image, or all of it (box NULL); *out is valid until the next call. Of a
   baseline JPEG only the blocks under the box are transformed. A file that ends early is
   CTKD_EFORMAT even if the box lies before its end. CTKD_ERANGE: more than pixels_max, or a box
   that does not lie inside. */
ctkd_status ctkd__picture_decode(struct ctkd__picture_reader *reader,
                                 const struct ctkd__picture_file *file, const struct ctkd__box *box,
                                 struct ctkd__picture *out, ctkd_error *err);

#endif
