#include "data/picture/crop.h"

#include <math.h>

#include "ctkd/random.h"

enum { TRIES = 10, BLOCKS_OF_AN_IMAGE = 16, PLACE_BLOCK = 5 };

struct ctkd__crop_ranges ctkd__crop_ranges_defaults(void)
{
    return (struct ctkd__crop_ranges){ 0.08, 1.0, 3.0 / 4.0, 4.0 / 3.0 };
}

/* torch.empty(1).uniform_(low, high) from its uniform: one product, one sum, both rounded. */
static float between(float u, float low, float high)
{
    volatile float product = u * (high - low); /* never contracted to a fused operation */
    return product + low;
}

/* exp and log as floats are computed in double and rounded: the same with every libm. */
static float log_of(double x)
{
    return (float)log((double)(float)x);
}

bool ctkd__crop_try(size_t width, size_t height, const struct ctkd__crop_ranges *ranges,
                    float u_area, float u_ratio, size_t *w, size_t *h)
{
    const double area = (double)width * (double)height *
                        (double)between(u_area, (float)ranges->area_min, (float)ranges->area_max);
    const float log_ratio = between(u_ratio, log_of(ranges->ratio_min), log_of(ranges->ratio_max));
    const double ratio = (double)(float)exp((double)log_ratio);
    const double wide = nearbyint(sqrt(area * ratio)), high = nearbyint(sqrt(area / ratio));
    if (!(wide > 0 && wide <= (double)width && high > 0 && high <= (double)height))
        return false;
    *w = (size_t)wide;
    *h = (size_t)high;
    return true;
}

struct ctkd__box ctkd__crop_fallback(size_t width, size_t height,
                                     const struct ctkd__crop_ranges *ranges)
{
    const double ratio = (double)width / (double)height;
    const double low = ranges->ratio_min, high = ranges->ratio_max;
    struct ctkd__box box = { .width = width, .height = height };
    if (ratio < low)
        box.height = (size_t)nearbyint((double)width / low);
    else if (ratio > high)
        box.width = (size_t)nearbyint((double)height * high);
    box.top = (height - box.height) / 2;
    box.left = (width - box.width) / 2;
    return box;
}

/* A word's upper 24 bits as a float of [0, 1). */
static float uniform_of(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

/* Uniform on 0..bound-1; the bias is below 2^-32 * bound. */
static size_t below(uint32_t word, size_t bound)
{
    return (size_t)(((uint64_t)word * bound) >> 32);
}

struct ctkd__crop_view ctkd__crop_draw(uint64_t seed, uint64_t epoch, uint64_t id, size_t width,
                                       size_t height, const struct ctkd__crop_ranges *ranges)
{
    struct ctkd__crop_view view = { .box = { 0 } };
    const uint64_t first = id * BLOCKS_OF_AN_IMAGE;
    uint32_t words[4], place[4];
    bool fits = false;
    for (unsigned i = 0; i < TRIES && !fits; i++) {
        if (i % 2 == 0)
            ctkd_random_u32x4(seed, CTKD_RANDOM_AUGMENT, epoch, first + i / 2, words);
        const uint32_t *const pair = words + i % 2 * 2;
        fits = ctkd__crop_try(width, height, ranges, uniform_of(pair[0]), uniform_of(pair[1]),
                              &view.box.width, &view.box.height);
    }
    ctkd_random_u32x4(seed, CTKD_RANDOM_AUGMENT, epoch, first + PLACE_BLOCK, place);
    if (fits) {
        view.box.top = below(place[0], height - view.box.height + 1);
        view.box.left = below(place[1], width - view.box.width + 1);
    } else {
        view.box = ctkd__crop_fallback(width, height, ranges);
    }
    view.flip = place[2] >> 31;
    return view;
}

struct ctkd__box ctkd__crop_centre(size_t width, size_t height, size_t short_side, size_t crop,
                                   size_t resized[2])
{
    const size_t least = width < height ? width : height, most = width < height ? height : width;
    const size_t longer =
        (size_t)((double)short_side * (double)most / (double)least); /* int(size * long / short) */
    resized[0] = width < height ? short_side : longer;
    resized[1] = width < height ? longer : short_side;
    return (struct ctkd__box){
        .left = (size_t)nearbyint((double)(resized[0] - crop) / 2.0),
        .top = (size_t)nearbyint((double)(resized[1] - crop) / 2.0),
        .width = crop,
        .height = crop,
    };
}
