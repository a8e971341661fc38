/* What a format of image files provides to picture.c, which has the list of formats. */
#ifndef CTKD_DATA_PICTURE_FORMATS_H
#define CTKD_DATA_PICTURE_FORMATS_H

#include "data/picture/picture.h"

/* Memory that grows and is reused. */
struct ctkd__picture_buffer {
    uint8_t *bytes;
    size_t size;
};
/* At least `size` bytes and the slack behind them; NULL: out of memory. The contents are lost. */
uint8_t *ctkd__picture_buffer(struct ctkd__picture_buffer *buffer, size_t size);

struct ctkd__picture_job {
    struct ctkd__picture_file file;
    struct ctkd__box box; /* inside the image */
    bool partial;
    struct ctkd__picture_buffer *pixels, *rows; /* the result; a format's own */
};

struct ctkd__picture_format {
    const char *name;
    bool (*detect)(const uint8_t *bytes, size_t size);
    /* NULL: the format is recognised but cannot be read. */
    ctkd_status (*probe)(const struct ctkd__picture_file *file, struct ctkd__picture_info *out,
                         ctkd_error *err);
    ctkd_status (*decode)(const struct ctkd__picture_job *job, struct ctkd__picture *out,
                          ctkd_error *err);
};

extern const struct ctkd__picture_format ctkd__picture_jpeg, ctkd__picture_png, ctkd__picture_pnm;
#ifdef CTKD_HAVE_WEBP
extern const struct ctkd__picture_format ctkd__picture_webp;
#endif

/* CTKD_EFORMAT "NAME: FORMAT: reason". */
ctkd_status ctkd__picture_damaged(const struct ctkd__picture_file *file, const char *format,
                                  const char *reason, ctkd_error *err);

/* *out becomes `box` of a whole image in memory. */
void ctkd__picture_view(const uint8_t *pixels, size_t stride, const struct ctkd__box *box,
                        struct ctkd__picture *out);

/* Turns `in` upright, from orientation 1 to 8, into `buffer`; false: out of memory. */
bool ctkd__picture_turn(const struct ctkd__picture *in, int orientation,
                        struct ctkd__picture_buffer *buffer, struct ctkd__picture *out);

/* Orientation in EXIF: a TIFF header and what follows, behind "Exif\0\0" or without it; 1 where it
   says nothing. */
int ctkd__exif_orientation(const uint8_t *bytes, size_t size);

#endif
