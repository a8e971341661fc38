#include "data/strong_view.h"

#include <math.h>
#include <string.h>

#include "ctkd/random.h"

/* An operation is a table per channel, or a function on the image, or neither: the identity. */
struct operation {
    double low, high; /* magnitude */
    void (*table)(const size_t histogram[256], double magnitude, uint8_t out[256]);
    void (*apply)(const struct ctkd__raster *image, double magnitude, uint8_t *plane);
};

static void identity(uint8_t table[256])
{
    for (int v = 0; v < 256; v++)
        table[v] = (uint8_t)v;
}

/* In float, rounded twice and then truncated, as Pillow does: otherwise results differ by one grey
   level. Two statements, because a compiler may fuse the product and the sum within one. */
static uint8_t blend(uint8_t from, uint8_t to, double magnitude)
{
    const float part = (float)magnitude * (float)(to - from);
    return (uint8_t)((float)from + part);
}

static void auto_contrast(const size_t histogram[256], double magnitude, uint8_t table[256])
{
    (void)magnitude;
    int low = 0, high = 255;
    while (low < 255 && histogram[low] == 0)
        low++;
    while (high > low && histogram[high] == 0)
        high--;
    if (high == low) {
        identity(table);
        return;
    }
    const double scale = 255.0 / (high - low), offset = -low * scale;
    for (int v = 0; v < 256; v++) {
        const double scaled = v * scale; /* two statements, as in blend */
        const double value = scaled + offset;
        table[v] = (uint8_t)(value < 0.0 ? 0.0 : value > 255.0 ? 255.0 : value);
    }
}

static void brightness(const size_t histogram[256], double magnitude, uint8_t table[256])
{
    (void)histogram;
    for (int v = 0; v < 256; v++)
        table[v] = blend(0, (uint8_t)v, magnitude);
}

static void equalize(const size_t histogram[256], double magnitude, uint8_t table[256])
{
    (void)magnitude;
    size_t total = 0, last = 0; /* all pixels; those of the brightest value that occurs */
    for (int v = 0; v < 256; v++) {
        total += histogram[v];
        last = histogram[v] ? histogram[v] : last;
    }
    const size_t step = (total - last) / 255;
    if (step == 0) {
        identity(table);
        return;
    }
    size_t below = step / 2;
    for (int v = 0; v < 256; v++) {
        table[v] = (uint8_t)(below / step < 255 ? below / step : 255);
        below += histogram[v];
    }
}

static void posterize(const size_t histogram[256], double magnitude, uint8_t table[256])
{
    (void)histogram;
    const int bits = (int)magnitude;
    for (int v = 0; v < 256; v++)
        table[v] = (uint8_t)(v >> (8 - bits) << (8 - bits));
}

static void solarize(const size_t histogram[256], double magnitude, uint8_t table[256])
{
    (void)histogram;
    for (int v = 0; v < 256; v++)
        table[v] = (uint8_t)(v < magnitude ? v : 255 - v);
}

static uint8_t luma(const uint8_t *pixel, size_t channels, size_t plane)
{
    if (channels == 1)
        return *pixel;
    return (
        uint8_t)((pixel[0] * 19595u + pixel[plane] * 38470u + pixel[2 * plane] * 7471u + 0x8000u) >>
                 16);
}

static void color(const struct ctkd__raster *image, double magnitude, uint8_t *scratch)
{
    (void)scratch;
    const size_t plane = image->height * image->width;
    for (uint8_t *pixel = image->pixels; pixel < image->pixels + plane; pixel++) {
        const uint8_t grey = luma(pixel, image->channels, plane);
        for (size_t c = 0; c < image->channels; c++)
            pixel[c * plane] = blend(grey, pixel[c * plane], magnitude);
    }
}

static void contrast(const struct ctkd__raster *image, double magnitude, uint8_t *scratch)
{
    (void)scratch;
    const size_t plane = image->height * image->width;
    uint64_t sum = 0;
    for (size_t i = 0; i < plane; i++)
        sum += luma(image->pixels + i, image->channels, plane);
    const uint8_t mean = (uint8_t)((double)sum / (double)plane + 0.5);
    for (size_t i = 0; i < image->channels * plane; i++)
        image->pixels[i] = blend(mean, image->pixels[i], magnitude);
}

/* round((neighbours + 5 centre) / 13); there are no ties. */
static uint8_t smooth(const uint8_t *centre, size_t width)
{
    const uint8_t *above = centre - width, *below = centre + width;
    const int sum = above[-1] + above[0] + above[1] + centre[-1] + 5 * centre[0] + centre[1] +
                    below[-1] + below[0] + below[1];
    return (uint8_t)((2 * sum + 13) / 26);
}

static void sharpness(const struct ctkd__raster *image, double magnitude, uint8_t *scratch)
{
    const size_t width = image->width, plane = image->height * width;
    for (size_t c = 0; c < image->channels; c++) {
        uint8_t *out = image->pixels + c * plane;
        memcpy(scratch, out, plane);
        for (size_t row = 1; row + 1 < image->height; row++) /* the border is left as it is */
            for (size_t i = row * width + 1; i + 1 < (row + 1) * width; i++)
                out[i] = blend(smooth(scratch + i, width), scratch[i], magnitude);
    }
}

static void rotate(const struct ctkd__raster *image, double magnitude, uint8_t *scratch)
{
    ctkd__rotate(image, magnitude, scratch);
}

static void shear_x(const struct ctkd__raster *image, double magnitude, uint8_t *scratch)
{
    ctkd__affine(image, (const double[6]){ 1, magnitude, 0, 0, 1, 0 }, scratch);
}

static void shear_y(const struct ctkd__raster *image, double magnitude, uint8_t *scratch)
{
    ctkd__affine(image, (const double[6]){ 1, 0, 0, magnitude, 1, 0 }, scratch);
}

static void translate(const struct ctkd__raster *image, double x, double y, uint8_t *scratch)
{
    const size_t plane = image->height * image->width;
    const struct ctkd__view view = { (ptrdiff_t)floor(y + 0.5), (ptrdiff_t)floor(x + 0.5), false };
    for (size_t c = 0; c < image->channels; c++) {
        memcpy(scratch, image->pixels + c * plane, plane);
        ctkd__view_bytes(scratch, image->height, image->width, &view, image->height, image->width,
                         image->pixels + c * plane);
    }
}

static void translate_x(const struct ctkd__raster *image, double magnitude, uint8_t *scratch)
{
    translate(image, magnitude * (double)image->width, 0, scratch);
}

static void translate_y(const struct ctkd__raster *image, double magnitude, uint8_t *scratch)
{
    translate(image, 0, magnitude * (double)image->height, scratch);
}

static const struct operation operations[CTKD__STRONG_OPS] = {
    [CTKD__AUTO_CONTRAST] = { .table = auto_contrast },
    [CTKD__BRIGHTNESS] = { 0.05, 0.95, .table = brightness },
    [CTKD__COLOR] = { 0.05, 0.95, .apply = color },
    [CTKD__CONTRAST] = { 0.05, 0.95, .apply = contrast },
    [CTKD__EQUALIZE] = { .table = equalize },
    [CTKD__POSTERIZE] = { 4, 8, .table = posterize },
    [CTKD__ROTATE] = { -30, 30, .apply = rotate },
    [CTKD__SHARPNESS] = { 0.05, 0.95, .apply = sharpness },
    [CTKD__SHEAR_X] = { -0.3, 0.3, .apply = shear_x },
    [CTKD__SHEAR_Y] = { -0.3, 0.3, .apply = shear_y },
    [CTKD__SOLARIZE] = { 0, 256, .table = solarize },
    [CTKD__TRANSLATE_X] = { -0.3, 0.3, .apply = translate_x },
    [CTKD__TRANSLATE_Y] = { -0.3, 0.3, .apply = translate_y },
};

static double unit(uint32_t word)
{
    return (double)word * 0x1p-32;
}

struct ctkd__strong_view ctkd__strong_view_draw(uint64_t seed, uint64_t epoch, uint64_t id,
                                                size_t padding)
{
    uint32_t words[12];
    for (uint64_t block = 0; block < 3; block++)
        ctkd_random_u32x4(seed, CTKD_RANDOM_STRONG, epoch, 4 * id + block, words + 4 * block);
    struct ctkd__strong_view view = { .view = ctkd__view_of_words(words, padding),
                                      .side = 0.5 * unit(words[3]),
                                      .x = unit(words[4]),
                                      .y = unit(words[5]) };
    for (size_t i = 0; i < CTKD__STRONG_DRAWS; i++) {
        const uint32_t *pair = words + 6 + 2 * i;
        const uint32_t op = (uint32_t)(((uint64_t)pair[0] * CTKD__STRONG_OPS) >> 32);
        const struct operation *operation = &operations[op];
        view.ops[i].op = (enum ctkd__strong_op)op;
        view.ops[i].magnitude = operation->low + (operation->high - operation->low) * unit(pair[1]);
    }
    return view;
}

static void map_planes(const struct operation *operation, double magnitude,
                       const struct ctkd__raster *image)
{
    const size_t plane = image->height * image->width;
    for (size_t c = 0; c < image->channels; c++) {
        uint8_t *pixels = image->pixels + c * plane, table[256];
        size_t histogram[256] = { 0 };
        for (size_t i = 0; i < plane; i++)
            histogram[pixels[i]]++;
        operation->table(histogram, magnitude, table);
        for (size_t i = 0; i < plane; i++)
            pixels[i] = table[pixels[i]];
    }
}

void ctkd__strong_apply(enum ctkd__strong_op op, double magnitude, const struct ctkd__raster *image,
                        uint8_t *plane)
{
    const struct operation *operation = &operations[op];
    if (operation->table)
        map_planes(operation, magnitude, image);
    else if (operation->apply)
        operation->apply(image, magnitude, plane);
}

/* First and last + 1 of the pixels that a cutout covers along one side. The published rectangle
   includes its end: it is a pixel wider than `side` says. */
static void cutout_span(double centre, double side, size_t size, size_t *begin, size_t *end)
{
    const double first = centre - side / 2;
    *begin = first > 0 ? (size_t)first : 0;
    const size_t last = (size_t)((double)*begin + side);
    *end = last < size ? last + 1 : size;
}

void ctkd__strong_cutout(const struct ctkd__strong_view *view, const struct ctkd__raster *image)
{
    static const uint8_t colour[3] = { 125, 123, 114 }, grey = 123;
    const size_t width = image->width, height = image->height;
    const double side = view->side * (double)width;
    size_t left, right, top, bottom;
    if (side <= 0)
        return;
    cutout_span(view->x * (double)width, side, width, &left, &right);
    cutout_span(view->y * (double)height, side, height, &top, &bottom);
    for (size_t c = 0; c < image->channels; c++)
        for (size_t row = top; row < bottom; row++)
            memset(image->pixels + (c * height + row) * width + left,
                   image->channels == 1 ? grey : colour[c], right - left);
}

void ctkd__strong_view_make(const uint8_t *pixels, size_t height, size_t width,
                            const struct ctkd__strong_view *view, const struct ctkd__raster *image,
                            uint8_t *plane)
{
    for (size_t c = 0; c < image->channels; c++)
        ctkd__view_bytes(pixels + c * height * width, height, width, &view->view, image->height,
                         image->width, image->pixels + c * image->height * image->width);
    for (size_t i = 0; i < CTKD__STRONG_DRAWS; i++)
        ctkd__strong_apply(view->ops[i].op, view->ops[i].magnitude, image, plane);
    ctkd__strong_cutout(view, image);
}
