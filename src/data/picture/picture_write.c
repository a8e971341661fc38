#include "data/picture/picture_write.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include "util/error.h"

static ctkd_status check(size_t width, size_t height, size_t channels, ctkd_error *err)
{
    if ((channels == 1 || channels == 3) && width > 0 && height > 0)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EINVAL,
                      "picture: found %zu channels of %zu x %zu, expected 1 or 3 and no empty side",
                      channels, width, height);
}

ctkd_status ctkd__picture_write_png(const uint8_t *pixels, size_t width, size_t height,
                                    size_t channels, uint8_t **png, size_t *bytes, ctkd_error *err)
{
    png_alloc_size_t size = 0;
    png_image image = { .version = PNG_IMAGE_VERSION,
                        .width = (png_uint_32)width,
                        .height = (png_uint_32)height,
                        .format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY };
    *png = NULL;
    const ctkd_status status = check(width, height, channels, err);
    if (status != CTKD_OK)
        return status;
    if (!png_image_write_get_memory_size(image, size, 0, pixels, 0, NULL) ||
        !(*png = malloc(size)) ||
        !png_image_write_to_memory(&image, *png, &size, 0, pixels, 0, NULL)) {
        free(*png);
        *png = NULL;
        return ctkd__fail(err, CTKD_ENOMEM, "cannot write the picture as PNG: %s",
                          image.message[0] ? image.message : "out of memory");
    }
    *bytes = size;
    return CTKD_OK;
}

/* --- JPEG */

struct encoder {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    char message[JMSG_LENGTH_MAX];
    unsigned char *out;
    unsigned long bytes;
};

static void fail(j_common_ptr info)
{
    struct encoder *const e = info->client_data;
    info->err->format_message(info, e->message);
    longjmp(e->failed, 1);
}

/* No JPEG of this size is longer (TurboJPEG's bound). With less room libjpeg would replace the
   buffer, and the new one would be lost if it failed after that. */
static size_t jpeg_bound(size_t width, size_t height)
{
    return (width + 15) / 16 * 16 * ((height + 15) / 16 * 16) * 6 + 2048;
}

static void encode(struct encoder *e, const uint8_t *pixels, size_t width, size_t height,
                   size_t channels)
{
    struct jpeg_compress_struct *const info = &e->info;
    jpeg_create_compress(info);
    jpeg_mem_dest(info, &e->out, &e->bytes);
    info->image_width = (JDIMENSION)width;
    info->image_height = (JDIMENSION)height;
    info->input_components = (int)channels;
    info->in_color_space = channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(info);
    jpeg_set_quality(info, 85, TRUE);
    info->optimize_coding = TRUE;
    jpeg_start_compress(info, TRUE);
    while (info->next_scanline < info->image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + info->next_scanline * width * channels);
        jpeg_write_scanlines(info, &row, 1);
    }
    jpeg_finish_compress(info);
}

ctkd_status ctkd__picture_write_jpeg(const uint8_t *pixels, size_t width, size_t height,
                                     size_t channels, uint8_t **jpeg, size_t *bytes,
                                     ctkd_error *err)
{
    *jpeg = NULL;
    ctkd_status status = check(width, height, channels, err);
    if (status != CTKD_OK)
        return status;
    struct encoder *const e = calloc(1, sizeof *e);
    const size_t bound = jpeg_bound(width, height);
    uint8_t *const room = malloc(bound);
    if (!e || !room) {
        free(e);
        free(room);
        return ctkd__fail(err, CTKD_ENOMEM, "picture: out of memory");
    }
    e->out = room;
    e->bytes = bound;
    e->info.err = jpeg_std_error(&e->errors);
    e->info.client_data = e;
    e->errors.error_exit = fail;
    if (setjmp(e->failed) == 0) {
        encode(e, pixels, width, height, channels);
        *jpeg = e->out;
        *bytes = e->bytes;
    } else {
        free(room);
        status = ctkd__fail(err, CTKD_ENOMEM, "cannot write the picture as JPEG: %s", e->message);
    }
    jpeg_destroy_compress(&e->info);
    free(e);
    return status;
}
