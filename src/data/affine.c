#include "data/affine.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "ctkd/random.h"

/* 16 fractional bits, which decide between neighbours as in Pillow. */
static int64_t fixed(double value)
{
    return (int64_t)floor(value * 65536.0 + 0.5);
}

void ctkd__affine(const struct ctkd__raster *image, const double a[6], uint8_t *plane)
{
    const int64_t width = (int64_t)image->width, height = (int64_t)image->height;
    const size_t pixels = image->height * image->width;
    const int64_t x0 = fixed(a[2] + a[0] * 0.5 + a[1] * 0.5), xc = fixed(a[0]), xr = fixed(a[1]);
    const int64_t y0 = fixed(a[5] + a[3] * 0.5 + a[4] * 0.5), yc = fixed(a[3]), yr = fixed(a[4]);
    for (size_t c = 0; c < image->channels; c++) {
        uint8_t *out = image->pixels + c * pixels;
        memcpy(plane, out, pixels);
        for (int64_t row = 0; row < height; row++)
            for (int64_t column = 0; column < width; column++) {
                const int64_t x = (x0 + xr * row + xc * column) >> 16;
                const int64_t y = (y0 + yr * row + yc * column) >> 16;
                const bool inside = x >= 0 && x < width && y >= 0 && y < height;
                *out++ = inside ? plane[y * width + x] : 0;
            }
    }
}

void ctkd__rotate(const struct ctkd__raster *image, double degrees, uint8_t *plane)
{
    const double angle = -degrees * (3.14159265358979323846 / 180.0);
    const double cosine = cos(angle), sine = sin(angle);
    const double x = (double)image->width / 2, y = (double)image->height / 2;
    const double a[6] = { cosine, sine,   x - cosine * x - sine * y,
                          -sine,  cosine, y + sine * x - cosine * y };
    ctkd__affine(image, a, plane);
}

double ctkd__rotation_draw(uint64_t seed, uint64_t epoch, uint64_t id, double most)
{
    uint32_t words[4];
    ctkd_random_u32x4(seed, CTKD_RANDOM_ROTATION, epoch, id, words);
    return most * ((double)words[0] * 0x1p-31 - 1.0);
}
