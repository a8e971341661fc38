#include "data/picture/picture.h"

#include <stdlib.h>
#include <string.h>

#include "data/picture/picture_formats.h"
#include "util/error.h"

struct ctkd__picture_reader {
    uint64_t pixels_max;
    bool partial, upright;
    struct ctkd__picture_buffer pixels, rows, turned;
};

/* --- formats that are recognised but not read */

static bool begins(const uint8_t *bytes, size_t size, const char *magic, size_t n)
{
    return size >= n && memcmp(bytes, magic, n) == 0;
}

static bool is_gif(const uint8_t *bytes, size_t size)
{
    return begins(bytes, size, "GIF8", 4);
}

static bool is_bmp(const uint8_t *bytes, size_t size)
{
    return begins(bytes, size, "BM", 2) && size > 26;
}

static bool is_tiff(const uint8_t *bytes, size_t size)
{
    return begins(bytes, size, "II*\0", 4) || begins(bytes, size, "MM\0*", 4);
}

static bool is_heif(const uint8_t *bytes, size_t size)
{
    return size >= 12 && memcmp(bytes + 4, "ftyp", 4) == 0;
}

static bool is_jpeg2000(const uint8_t *bytes, size_t size)
{
    return begins(bytes, size, "\0\0\0\x0cjP  ", 8) || begins(bytes, size, "\xff\x4f\xff\x51", 4);
}

static bool is_jpegxl(const uint8_t *bytes, size_t size)
{
    return begins(bytes, size, "\xff\x0a", 2) || begins(bytes, size, "\0\0\0\x0cJXL ", 8);
}

static const struct ctkd__picture_format gif = { .name = "GIF", .detect = is_gif },
                                         bmp = { .name = "BMP", .detect = is_bmp },
                                         tiff = { .name = "TIFF", .detect = is_tiff },
                                         heif = { .name = "AVIF or HEIF", .detect = is_heif },
                                         jpeg2000 = { .name = "JPEG 2000", .detect = is_jpeg2000 },
                                         jpegxl = { .name = "JPEG XL", .detect = is_jpegxl };
#ifndef CTKD_HAVE_WEBP
static bool is_webp(const uint8_t *bytes, size_t size)
{
    return begins(bytes, size, "RIFF", 4) && size >= 12 && memcmp(bytes + 8, "WEBP", 4) == 0;
}
static const struct ctkd__picture_format ctkd__picture_webp = {
    .name = "WebP (this build has no WebP support)", .detect = is_webp
};
#endif

static const struct ctkd__picture_format *const formats[] = {
    &ctkd__picture_jpeg,
    &ctkd__picture_png,
    &ctkd__picture_webp,
    &ctkd__picture_pnm,
    &gif,
    &bmp,
    &tiff,
    &heif,
    &jpeg2000,
    &jpegxl,
};

static ctkd_status find_format(const struct ctkd__picture_file *file,
                               const struct ctkd__picture_format **out, ctkd_error *err)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (!formats[i]->detect(file->bytes, file->size))
            continue;
        *out = formats[i];
        return (*out)->decode ? CTKD_OK
                              : ctkd__fail(err, CTKD_EUNSUPPORTED,
                                           "%s: %s is not supported, expected JPEG, PNG, WebP or "
                                           "PPM",
                                           file->name, (*out)->name);
    }
    if (file->size == 0)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: the file is empty, expected an image",
                          file->name);
    return ctkd__fail(
        err, CTKD_EFORMAT,
        "%s: found no image (first bytes %02x %02x %02x), expected JPEG, PNG, WebP or PPM",
        file->name, file->bytes[0], file->size > 1 ? file->bytes[1] : 0,
        file->size > 2 ? file->bytes[2] : 0);
}

/* --- helpers for the formats */

uint8_t *ctkd__picture_buffer(struct ctkd__picture_buffer *buffer, size_t size)
{
    if (size > SIZE_MAX - CTKD__PICTURE_SLACK)
        return NULL;
    size += CTKD__PICTURE_SLACK;
    if (size > buffer->size) {
        free(buffer->bytes);
        buffer->bytes = calloc(size, 1); /* the slack after the pixels may be read: zero it */
        buffer->size = buffer->bytes ? size : 0;
    }
    return buffer->bytes;
}

ctkd_status ctkd__picture_damaged(const struct ctkd__picture_file *file, const char *format,
                                  const char *reason, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_EFORMAT, "%s: damaged %s of %zu bytes: %s", file->name, format,
                      file->size, reason);
}

void ctkd__picture_view(const uint8_t *pixels, size_t stride, const struct ctkd__box *box,
                        struct ctkd__picture *out)
{
    *out = (struct ctkd__picture){ .pixels = pixels + box->top * stride + 3 * box->left,
                                   .stride = stride,
                                   .width = box->width,
                                   .height = box->height };
}

static unsigned read_u16(const uint8_t *bytes, bool big)
{
    return big ? (unsigned)bytes[0] << 8 | bytes[1] : (unsigned)bytes[1] << 8 | bytes[0];
}

static size_t read_u32(const uint8_t *bytes, bool big)
{
    const size_t first = read_u16(bytes, big), second = read_u16(bytes + 2, big);
    return big ? first << 16 | second : second << 16 | first;
}

int ctkd__exif_orientation(const uint8_t *bytes, size_t size)
{
    enum { ENTRY = 12, ORIENTATION = 0x112, SHORT = 3 };
    const size_t head = begins(bytes, size, "Exif\0\0", 6) ? 6 : 0;
    if (size < head + 8 || !is_tiff(bytes + head, size - head))
        return 1;
    const uint8_t *const file = bytes + head;
    const size_t n = size - head;
    const bool big = file[0] == 'M';
    const size_t directory = read_u32(file + 4, big);
    if (directory > n - 2)
        return 1;
    const size_t entries = read_u16(file + directory, big);
    for (size_t i = 0; i < entries && directory + 2 + (i + 1) * ENTRY <= n; i++) {
        const uint8_t *const entry = file + directory + 2 + i * ENTRY;
        const unsigned value = read_u16(entry + 8, big);
        if (read_u16(entry, big) == ORIENTATION && read_u16(entry + 2, big) == SHORT)
            return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* --- reading */

ctkd_status ctkd__picture_reader_create(uint64_t pixels_max, bool partial,
                                        struct ctkd__picture_reader **out, ctkd_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return ctkd__fail(err, CTKD_ENOMEM, "image reader: out of memory");
    (*out)->pixels_max = pixels_max;
    (*out)->partial = partial;
    return CTKD_OK;
}

void ctkd__picture_reader_destroy(struct ctkd__picture_reader *reader)
{
    if (!reader)
        return;
    free(reader->pixels.bytes);
    free(reader->rows.bytes);
    free(reader->turned.bytes);
    free(reader);
}

void ctkd__picture_reader_upright(struct ctkd__picture_reader *reader, bool upright)
{
    reader->upright = upright;
}

ctkd_status ctkd__picture_probe(const struct ctkd__picture_file *file,
                                struct ctkd__picture_info *out, ctkd_error *err)
{
    const struct ctkd__picture_format *format = NULL;
    const ctkd_status status = find_format(file, &format, err);
    return status ? status : format->probe(file, out, err);
}

static ctkd_status check_box(const struct ctkd__picture_file *file,
                             const struct ctkd__picture_info *info, const struct ctkd__box *box,
                             ctkd_error *err)
{
    if (box->width == 0 || box->height == 0 || box->width > info->width ||
        box->height > info->height || box->left > info->width - box->width ||
        box->top > info->height - box->height)
        return ctkd__fail(err, CTKD_ERANGE,
                          "%s: found a box of %zu x %zu at %zu, %zu, expected one inside %zu x %zu",
                          file->name, box->width, box->height, box->left, box->top, info->width,
                          info->height);
    return CTKD_OK;
}

/* Decodes the whole image, turns it upright, and returns the box of the result. */
static ctkd_status decode_turned(struct ctkd__picture_reader *reader,
                                 const struct ctkd__picture_format *format,
                                 const struct ctkd__picture_job *all, int orientation,
                                 const struct ctkd__box *box, struct ctkd__picture *out,
                                 ctkd_error *err)
{
    struct ctkd__picture stored, upright;
    const ctkd_status status = format->decode(all, &stored, err);
    if (status != CTKD_OK)
        return status;
    if (!ctkd__picture_turn(&stored, orientation, &reader->turned, &upright))
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", all->file.name);
    *out = upright;
    if (box)
        ctkd__picture_view(upright.pixels, upright.stride, box, out);
    out->damaged = upright.damaged;
    return CTKD_OK;
}

ctkd_status ctkd__picture_decode(struct ctkd__picture_reader *reader,
                                 const struct ctkd__picture_file *file, const struct ctkd__box *box,
                                 struct ctkd__picture *out, ctkd_error *err)
{
    const struct ctkd__picture_format *format = NULL;
    struct ctkd__picture_info info = { 0 };
    ctkd_status status = find_format(file, &format, err);
    if (!status)
        status = format->probe(file, &info, err);
    if (status)
        return status;
    if (info.width > reader->pixels_max / info.height)
        return ctkd__fail(
            err, CTKD_ERANGE, "%s: found %zu x %zu pixels, expected at most %llu (data.max_pixels)",
            file->name, info.width, info.height, (unsigned long long)reader->pixels_max);
    const bool turned = reader->upright && info.orientation != 1;
    const int orientation = info.orientation;
    struct ctkd__picture_job job = { .file = *file,
                                     .box = { 0, 0, info.width, info.height },
                                     .partial = reader->partial && box && !turned,
                                     .pixels = &reader->pixels,
                                     .rows = &reader->rows };
    if (turned)
        ctkd__picture_info_upright(&info);
    status = box ? check_box(file, &info, box, err) : CTKD_OK;
    if (status != CTKD_OK)
        return status;
    if (turned)
        return decode_turned(reader, format, &job, orientation, box, out, err);
    if (box)
        job.box = *box;
    return format->decode(&job, out, err);
}
