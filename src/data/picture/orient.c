#include "data/picture/picture_formats.h"

#include <string.h>

/* A walk over the stored image in upright order: byte offset of the first upright pixel, and the
   steps in bytes to the next pixel of a row and from one row to the next. */
struct turned_walk {
    ptrdiff_t first, next, row;
};

/* EXIF 2.32, 4.6.4: the visual sides of row 0 and of column 0. */
static struct turned_walk walk_of(const struct ctkd__picture *in, int orientation)
{
    const ptrdiff_t x = 3, y = (ptrdiff_t)in->stride;
    const ptrdiff_t right = x * (ptrdiff_t)(in->width - 1),
                    bottom = y * (ptrdiff_t)(in->height - 1);
    const struct turned_walk walks[] = {
        { 0, x, y }, { right, -x, y },  { right + bottom, -x, -y }, { bottom, x, -y },
        { 0, y, x }, { bottom, -y, x }, { right + bottom, -y, -x }, { right, y, -x },
    };
    return walks[orientation - 1];
}

void ctkd__picture_info_upright(struct ctkd__picture_info *info)
{
    const size_t width = info->width;
    if (info->orientation >= 5) {
        info->width = info->height;
        info->height = width;
    }
    info->orientation = 1;
}

bool ctkd__picture_turn(const struct ctkd__picture *in, int orientation,
                        struct ctkd__picture_buffer *buffer, struct ctkd__picture *out)
{
    const bool lying = orientation >= 5;
    const size_t width = lying ? in->height : in->width, height = lying ? in->width : in->height;
    const struct turned_walk walk = walk_of(in, orientation);
    uint8_t *const pixels = ctkd__picture_buffer(buffer, 3 * width * height);
    if (!pixels)
        return false;
    uint8_t *to = pixels;
    for (size_t y = 0; y < height; y++) {
        const uint8_t *from = in->pixels + walk.first + (ptrdiff_t)y * walk.row;
        for (size_t x = 0; x < width; x++, to += 3)
            memcpy(to, from + (ptrdiff_t)x * walk.next, 3);
    }
    *out = (struct ctkd__picture){ .pixels = pixels,
                                   .stride = 3 * width,
                                   .width = width,
                                   .height = height,
                                   .damaged = in->damaged };
    return true;
}
