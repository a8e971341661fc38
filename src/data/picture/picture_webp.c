/* WebP through libwebp, where that is installed. */
#ifdef CTKD_HAVE_WEBP
#include <string.h>
#include <webp/decode.h>

#include "data/picture/picture_formats.h"
#include "util/error.h"

static bool is_webp(const uint8_t *bytes, size_t size)
{
    return size >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0;
}

static size_t read_u32(const uint8_t *bytes)
{
    return bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
}

/* The orientation in chunk EXIF. Chunks begin at even places. */
static int orientation_of(const uint8_t *bytes, size_t size)
{
    enum { BEGIN = 12, HEAD = 8 };
    for (size_t at = BEGIN; at < size && size - at >= HEAD;) {
        const size_t n = read_u32(bytes + at + 4);
        if (n > size - at - HEAD)
            break;
        if (memcmp(bytes + at, "EXIF", 4) == 0)
            return ctkd__exif_orientation(bytes + at + HEAD, n);
        at += HEAD + n + n % 2;
    }
    return 1;
}

static ctkd_status probe(const struct ctkd__picture_file *file, struct ctkd__picture_info *out,
                         ctkd_error *err)
{
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(file->bytes, file->size, &features) != VP8_STATUS_OK)
        return ctkd__picture_damaged(file, "WebP", "the header is unreadable", err);
    if (features.has_animation)
        return ctkd__fail(err, CTKD_EUNSUPPORTED,
                          "%s: found an animated WebP, expected a single image", file->name);
    *out = (struct ctkd__picture_info){ .format = "WebP",
                                        .width = (size_t)features.width,
                                        .height = (size_t)features.height,
                                        .orientation = orientation_of(file->bytes, file->size) };
    return CTKD_OK;
}

static ctkd_status decode(const struct ctkd__picture_job *job, struct ctkd__picture *out,
                          ctkd_error *err)
{
    struct ctkd__picture_info info = { 0 };
    const ctkd_status status = probe(&job->file, &info, err);
    if (status)
        return status;
    const size_t stride = 3 * info.width, size = stride * info.height;
    uint8_t *const pixels = ctkd__picture_buffer(job->pixels, size);
    if (!pixels)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", job->file.name);
    if (!WebPDecodeRGBInto(job->file.bytes, job->file.size, pixels, size, (int)stride))
        return ctkd__picture_damaged(&job->file, "WebP", "the data are invalid or end early", err);
    ctkd__picture_view(pixels, stride, &job->box, out);
    return CTKD_OK;
}

const struct ctkd__picture_format ctkd__picture_webp = { "WebP", is_webp, probe, decode };
#else
typedef int ctkd__no_webp; /* ISO C forbids an empty translation unit */
#endif
