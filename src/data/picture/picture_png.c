/* PNG through libpng. */
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "data/picture/picture_formats.h"
#include "util/error.h"

struct png_decoder {
    png_structp png;
    png_infop info;
    const struct ctkd__picture_file *file;
    size_t at;
    jmp_buf failed;
    char message[128];
};

static void fail(png_structp png, png_const_charp message)
{
    struct png_decoder *const d = png_get_error_ptr(png);
    strncpy(d->message, message, sizeof d->message - 1);
    longjmp(d->failed, 1);
}

static void ignore(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void read_bytes(png_structp png, png_bytep out, size_t n)
{
    struct png_decoder *const d = png_get_io_ptr(png);
    if (n > d->file->size - d->at)
        png_error(png, "the file ends early");
    memcpy(out, d->file->bytes + d->at, n);
    d->at += n;
}

static bool is_png(const uint8_t *bytes, size_t size)
{
    return size >= 8 && png_sig_cmp(bytes, 0, 8) == 0;
}

/* The orientation in the first chunk eXIf, which may lie behind the pixels. */
static int orientation_of(const uint8_t *bytes, size_t size)
{
    enum { SIGNATURE = 8, DATA = 8, AROUND = 12 }; /* of a chunk: length and name, checksum */
    for (size_t at = SIGNATURE; size - at >= AROUND;) {
        const size_t n = png_get_uint_32(bytes + at);
        if (n > size - at - AROUND)
            break;
        if (memcmp(bytes + at + 4, "eXIf", 4) == 0)
            return ctkd__exif_orientation(bytes + at + DATA, n);
        at += AROUND + n;
    }
    return 1;
}

static bool open_decoder(struct png_decoder *d, const struct ctkd__picture_file *file)
{
    memset(d, 0, sizeof *d);
    d->file = file;
    d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, fail, ignore);
    d->info = d->png ? png_create_info_struct(d->png) : NULL;
    if (!d->info)
        return false;
    png_set_user_limits(d->png, 0x7fffffff, 0x7fffffff); /* the caller's limit counts pixels */
    png_set_chunk_malloc_max(d->png, 1 << 24);           /* of text and the like */
    png_set_read_fn(d->png, d, read_bytes);
    return true;
}

static void close_decoder(struct png_decoder *d)
{
    png_destroy_read_struct(&d->png, &d->info, NULL);
}

static ctkd_status no_memory(const struct ctkd__picture_file *file, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file->name);
}

static ctkd_status probe(const struct ctkd__picture_file *file, struct ctkd__picture_info *out,
                         ctkd_error *err)
{
    struct png_decoder d;
    if (!open_decoder(&d, file)) {
        close_decoder(&d);
        return no_memory(file, err);
    }
    if (setjmp(d.failed)) {
        close_decoder(&d);
        return ctkd__picture_damaged(file, "PNG", d.message, err);
    }
    png_read_info(d.png, d.info);
    *out = (struct ctkd__picture_info){
        .format = "PNG",
        .width = png_get_image_width(d.png, d.info),
        .height = png_get_image_height(d.png, d.info),
        .grey = !(png_get_color_type(d.png, d.info) & PNG_COLOR_MASK_COLOR),
        .orientation = orientation_of(file->bytes, file->size),
    };
    close_decoder(&d);
    return CTKD_OK;
}

/* Converts 16-bit grey as Pillow converts its mode I;16: cut off at 255. */
static void cut_to_bytes(uint8_t *row, size_t n)
{
    for (size_t i = 0; i < n; i++)
        row[i] = row[2 * i] ? 255 : row[2 * i + 1];
}

/* Tells libpng the form of the rows; true if they are 16-bit grey, which libpng leaves as it is. */
static bool set_transforms(struct png_decoder *d)
{
    const int type = png_get_color_type(d->png, d->info);
    const bool deep_grey = type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(d->png, d->info) == 16;
    if (!deep_grey)
        png_set_strip_16(d->png);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(d->png);
    if (type == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(d->png);
    png_set_strip_alpha(d->png);
    png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    return deep_grey;
}

static void grey_to_rgb(uint8_t *row, size_t n)
{
    for (size_t i = n; i-- > 0;)
        row[3 * i] = row[3 * i + 1] = row[3 * i + 2] = row[i];
}

/* Runs under setjmp: returns false when out of memory, and jumps out on every other error. */
static bool decode_rows(struct png_decoder *d, const struct ctkd__picture_job *job,
                        struct ctkd__picture *out)
{
    png_read_info(d->png, d->info);
    const size_t width = png_get_image_width(d->png, d->info);
    const size_t height = png_get_image_height(d->png, d->info);
    const bool deep_grey = set_transforms(d), grey = png_get_channels(d->png, d->info) == 1;
    const size_t stride = 3 * width; /* holds two bytes of deep grey too */
    uint8_t *const pixels = ctkd__picture_buffer(job->pixels, height * stride);
    uint8_t *const rows = ctkd__picture_buffer(job->rows, height * sizeof(png_bytep));
    if (!pixels || !rows)
        return false;
    png_bytep *const pointers = (png_bytep *)(void *)rows;
    for (size_t r = 0; r < height; r++)
        pointers[r] = pixels + r * stride;
    png_read_image(d->png, pointers);
    png_read_end(d->png, NULL);
    for (size_t r = 0; r < height && grey; r++) {
        if (deep_grey)
            cut_to_bytes(pointers[r], width);
        grey_to_rgb(pointers[r], width);
    }
    ctkd__picture_view(pixels, stride, &job->box, out);
    return true;
}

static ctkd_status decode(const struct ctkd__picture_job *job, struct ctkd__picture *out,
                          ctkd_error *err)
{
    struct png_decoder d;
    if (!open_decoder(&d, &job->file)) {
        close_decoder(&d);
        return no_memory(&job->file, err);
    }
    if (setjmp(d.failed)) {
        close_decoder(&d);
        return ctkd__picture_damaged(&job->file, "PNG", d.message, err);
    }
    const bool made = decode_rows(&d, job, out);
    close_decoder(&d);
    return made ? CTKD_OK : no_memory(&job->file, err);
}

const struct ctkd__picture_format ctkd__picture_png = { "PNG", is_png, probe, decode };
