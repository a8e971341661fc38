#include "data/picture/picture_write.h"

#include <png.h>
#include <stdlib.h>

#include "util/error.h"

ctkd_status ctkd__picture_write_png(const uint8_t *pixels, size_t width, size_t height,
                                    size_t channels, uint8_t **png, size_t *bytes, ctkd_error *err)
{
    png_alloc_size_t size = 0;
    png_image image = { .version = PNG_IMAGE_VERSION,
                        .width = (png_uint_32)width,
                        .height = (png_uint_32)height,
                        .format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY };
    *png = NULL;
    if ((channels != 1 && channels != 3) || width == 0 || height == 0)
        return ctkd__fail(err, CTKD_EINVAL,
                          "picture: found %zu channels of %zu x %zu, expected 1 or 3 and no empty "
                          "side",
                          channels, width, height);
    if (!png_image_write_get_memory_size(image, size, 0, pixels, 0, NULL) ||
        !(*png = malloc(size)) ||
        !png_image_write_to_memory(&image, *png, &size, 0, pixels, 0, NULL)) {
        free(*png);
        *png = NULL;
        return ctkd__fail(err, CTKD_ENOMEM, "picture: cannot be written as PNG: %s",
                          image.message[0] ? image.message : "out of memory");
    }
    *bytes = size;
    return CTKD_OK;
}
