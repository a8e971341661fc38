/* JPEG through libjpeg-turbo's libjpeg interface. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "data/picture/picture_formats.h"
#include "util/error.h"

struct jpeg_decoder {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    char message[JMSG_LENGTH_MAX];
    bool ends_early;
};

static struct jpeg_decoder *decoder_of(j_common_ptr info)
{
    return info->client_data;
}

static void fail(j_common_ptr info)
{
    struct jpeg_decoder *const d = decoder_of(info);
    info->err->format_message(info, d->message);
    longjmp(d->failed, 1);
}

/* The library counts warnings itself; the one that matters here is the missing end. */
static void note(j_common_ptr info, int level)
{
    if (level >= 0)
        return;
    info->err->num_warnings++;
    if (info->err->msg_code == JWRN_JPEG_EOF)
        decoder_of(info)->ends_early = true;
}

static void open_decoder(struct jpeg_decoder *d)
{
    memset(d, 0, sizeof *d);
    d->info.err = jpeg_std_error(&d->errors);
    d->info.client_data = d;
    d->errors.error_exit = fail;
    d->errors.emit_message = note;
}

static bool is_jpeg(const uint8_t *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

/* The payload of the first APP1 segment that holds EXIF, found by walking the markers. */
static int orientation_of(const uint8_t *bytes, size_t size)
{
    for (size_t at = 2; at + 4 <= size && bytes[at] == 0xff;) {
        const uint8_t marker = bytes[at + 1];
        const size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (marker == 0xda || marker == 0xd9 || length < 2 || at + 2 + length > size)
            break;
        if (marker == 0xe1 && length > 8 && memcmp(bytes + at + 4, "Exif\0\0", 6) == 0)
            return ctkd__exif_orientation(bytes + at + 4, length - 2);
        at += 2 + length;
    }
    return 1;
}

static void start(struct jpeg_decoder *d, const struct ctkd__picture_file *file)
{
    jpeg_create_decompress(&d->info);
    jpeg_mem_src(&d->info, file->bytes, (unsigned long)file->size);
    jpeg_read_header(&d->info, TRUE);
}

static ctkd_status probe(const struct ctkd__picture_file *file, struct ctkd__picture_info *out,
                         ctkd_error *err)
{
    struct jpeg_decoder d;
    open_decoder(&d);
    if (setjmp(d.failed)) {
        jpeg_destroy_decompress(&d.info);
        return ctkd__picture_damaged(file, "JPEG", d.message, err);
    }
    start(&d, file);
    *out = (struct ctkd__picture_info){ .format = "JPEG",
                                        .width = d.info.image_width,
                                        .height = d.info.image_height,
                                        .grey = d.info.num_components == 1,
                                        .cmyk = d.info.num_components == 4,
                                        .orientation = orientation_of(file->bytes, file->size) };
    const int components = d.info.num_components;
    jpeg_destroy_decompress(&d.info);
    if (components != 1 && components != 3 && components != 4)
        return ctkd__fail(err, CTKD_EUNSUPPORTED,
                          "%s: found a JPEG of %d components, expected 1, 3 or 4", file->name,
                          components);
    return CTKD_OK;
}

/* Whether the library's partial decode gives the bytes of the whole decode: baseline Huffman, 8
   bits, chroma at half or full resolution; elsewhere (four times subsampled, arithmetic) version
   2.1 has bugs. Progressive files need all of their scans anyway. */
static bool can_crop(const struct jpeg_decompress_struct *info)
{
    if (info->progressive_mode || info->arith_code || info->data_precision != 8)
        return false;
    if (info->num_components == 1)
        return info->comp_info[0].h_samp_factor == 1 && info->comp_info[0].v_samp_factor == 1;
    bool plain = info->num_components == 3 && info->comp_info[0].h_samp_factor <= 2 &&
                 info->comp_info[0].v_samp_factor <= 2;
    for (int i = 1; i < info->num_components; i++)
        plain =
            plain && info->comp_info[i].h_samp_factor == 1 && info->comp_info[i].v_samp_factor == 1;
    return plain;
}

/* Whether the end marker is there: a file without it is decoded to the end, so that missing data is
   always found. */
static bool has_end(const struct ctkd__picture_file *file)
{
    enum { TAIL = 65536 };
    const size_t first = file->size > TAIL ? file->size - TAIL : 0;
    for (size_t i = file->size; i-- > first + 1;)
        if (file->bytes[i] == 0xd9 && file->bytes[i - 1] == 0xff)
            return true;
    return false;
}

static uint8_t clip(int value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Pillow's "CMYK;I" and cmyk2rgb: stored values are inverted, ink c on key k leaves nk - c nk /
 * 255. */
static void cmyk_to_rgb(const uint8_t *in, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++, in += 4, out += 3) {
        const int left = in[3]; /* 255 - k */
        for (int c = 0; c < 3; c++) {
            const int product = (255 - in[c]) * left + 128;
            out[c] = clip(left - ((product >> 8) + product) / 256);
        }
    }
}

static void grey_to_rgb(const uint8_t *in, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++, out += 3)
        out[0] = out[1] = out[2] = in[i];
}

/* Columns that are decoded: with one pixel of margin, since fancy upsampling reads a neighbour, at
   least four, since it gives wrong ones of a single sample of colour, and from the beginning of a
   block. Rows above are skipped once, from the first: a later skip, or one in the middle, returns
   wrong rows in 2.1. */
static void crop(struct jpeg_decompress_struct *info, const struct ctkd__box *box, size_t *left)
{
    enum { COLUMNS_MIN = 4 };
    const size_t all = info->image_width;
    size_t first = box->left ? box->left - 1 : 0, last = box->left + box->width + 1;
    if (last < COLUMNS_MIN)
        last = COLUMNS_MIN;
    if (last > all)
        last = all;
    if (last - first < COLUMNS_MIN)
        first = last > COLUMNS_MIN ? last - COLUMNS_MIN : 0;
    JDIMENSION offset = (JDIMENSION)first, width = (JDIMENSION)(last - first);
    jpeg_crop_scanline(info, &offset, &width);
    if (box->top)
        jpeg_skip_scanlines(info, (JDIMENSION)box->top);
    *left = offset;
}

static void read_rows(struct jpeg_decompress_struct *info, size_t rows, uint8_t *row, uint8_t *out,
                      size_t stride)
{
    const size_t n = info->output_width;
    for (size_t r = 0; r < rows; r++, out += stride) {
        JSAMPROW target = info->output_components == 3 ? out : row;
        jpeg_read_scanlines(info, &target, 1);
        if (info->output_components == 1)
            grey_to_rgb(row, n, out);
        else if (info->output_components == 4)
            cmyk_to_rgb(row, n, out);
    }
}

/* Runs under setjmp: returns false when out of memory, and jumps out on every other error. */
static bool decode_rows(struct jpeg_decoder *d, const struct ctkd__picture_job *job,
                        struct ctkd__picture *out)
{
    struct jpeg_decompress_struct *const info = &d->info;
    info->out_color_space = info->num_components == 1   ? JCS_GRAYSCALE
                            : info->num_components == 3 ? JCS_RGB
                                                        : JCS_CMYK;
    const bool partial = job->partial && can_crop(info) && has_end(&job->file);
    size_t left = 0;
    jpeg_start_decompress(info);
    if (partial)
        crop(info, &job->box, &left);
    const size_t rows = partial ? job->box.height : info->output_height;
    const size_t stride = 3 * (size_t)info->output_width;
    uint8_t *const pixels = ctkd__picture_buffer(job->pixels, rows * stride);
    uint8_t *const row = ctkd__picture_buffer(job->rows, 4 * (size_t)info->output_width);
    if (!pixels || !row)
        return false;
    read_rows(info, rows, row, pixels, stride);
    struct ctkd__box box = job->box;
    if (partial) {
        box.left -= left;
        box.top = 0;
        jpeg_abort_decompress(info);
    } else {
        jpeg_finish_decompress(info);
    }
    ctkd__picture_view(pixels, stride, &box, out);
    return true;
}

static ctkd_status decode(const struct ctkd__picture_job *job, struct ctkd__picture *out,
                          ctkd_error *err)
{
    struct jpeg_decoder d;
    open_decoder(&d);
    if (setjmp(d.failed)) {
        jpeg_destroy_decompress(&d.info);
        return ctkd__picture_damaged(&job->file, "JPEG", d.message, err);
    }
    start(&d, &job->file);
    const bool made = decode_rows(&d, job, out);
    out->damaged = d.errors.num_warnings > 0;
    jpeg_destroy_decompress(&d.info);
    if (!made)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", job->file.name);
    return d.ends_early ? ctkd__picture_damaged(&job->file, "JPEG", "the file ends early", err)
                        : CTKD_OK;
}

const struct ctkd__picture_format ctkd__picture_jpeg = { "JPEG", is_jpeg, probe, decode };
