/* PPM and PGM: P5, P6 (bytes) and P2, P3 (text), largest value 1 to 255. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "data/picture/picture_formats.h"
#include "util/error.h"

struct header {
    size_t width, height, maximum;
    bool grey, text;
    size_t at; /* where the values begin */
};

static bool is_pnm(const uint8_t *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 'P' && strchr("2356", bytes[1]) && bytes[1] &&
           isspace(bytes[2]);
}

/* Reads the next number, skipping blanks and comments before it. False at anything else. */
static bool read_number(const struct ctkd__picture_file *file, size_t *at, size_t *out)
{
    bool comment = false;
    while (*at < file->size && (comment || isspace(file->bytes[*at]) || file->bytes[*at] == '#')) {
        comment = (comment || file->bytes[*at] == '#') && file->bytes[*at] != '\n';
        ++*at;
    }
    size_t digits = 0;
    for (*out = 0; *at < file->size && isdigit(file->bytes[*at]) && digits < 9; ++*at, digits++)
        *out = *out * 10 + (size_t)(file->bytes[*at] - '0');
    return digits > 0;
}

static ctkd_status read_header(const struct ctkd__picture_file *file, struct header *out,
                               ctkd_error *err)
{
    *out = (struct header){ .grey = file->bytes[1] == '2' || file->bytes[1] == '5',
                            .text = file->bytes[1] == '2' || file->bytes[1] == '3',
                            .at = 2 };
    if (!read_number(file, &out->at, &out->width) || !read_number(file, &out->at, &out->height) ||
        !read_number(file, &out->at, &out->maximum) || out->width == 0 || out->height == 0 ||
        out->maximum == 0)
        return ctkd__picture_damaged(
            file, "PNM", "the file does not begin with width, height and largest value", err);
    if (out->maximum > 255)
        return ctkd__fail(err, CTKD_EUNSUPPORTED,
                          "%s: found a PNM with values up to %zu, expected at most 255", file->name,
                          out->maximum);
    out->at++; /* exactly one blank, then the values */
    return CTKD_OK;
}

static ctkd_status probe(const struct ctkd__picture_file *file, struct ctkd__picture_info *out,
                         ctkd_error *err)
{
    struct header header;
    const ctkd_status status = read_header(file, &header, err);
    if (status)
        return status;
    *out = (struct ctkd__picture_info){ .format = "PNM",
                                        .width = header.width,
                                        .height = header.height,
                                        .grey = header.grey,
                                        .orientation = 1 };
    return CTKD_OK;
}

static bool read_value(const struct ctkd__picture_file *file, struct header *header, size_t *out)
{
    if (header->text)
        return read_number(file, &header->at, out);
    if (header->at >= file->size)
        return false;
    *out = file->bytes[header->at++];
    return true;
}

static ctkd_status decode(const struct ctkd__picture_job *job, struct ctkd__picture *out,
                          ctkd_error *err)
{
    struct header header;
    ctkd_status status = read_header(&job->file, &header, err);
    if (status)
        return status;
    const size_t n = header.width * header.height * 3, stored = header.grey ? 3 : 1;
    uint8_t *const pixels = ctkd__picture_buffer(job->pixels, n);
    if (!pixels)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", job->file.name);
    for (size_t i = 0; i < n; i += stored) {
        size_t value;
        if (!read_value(&job->file, &header, &value))
            return ctkd__picture_damaged(&job->file, "PNM", "the file ends early", err);
        if (value > header.maximum)
            return ctkd__picture_damaged(&job->file, "PNM", "a value exceeds the stated maximum",
                                         err);
        const double scaled = (double)value / (double)header.maximum * 255.0;
        memset(pixels + i, (int)nearbyint(scaled), stored); /* halves to even, as Pillow */
    }
    ctkd__picture_view(pixels, 3 * header.width, &job->box, out);
    return CTKD_OK;
}

const struct ctkd__picture_format ctkd__picture_pnm = { "PNM", is_pnm, probe, decode };
