#include "data/strong_view.h"

#include <stdio.h>

#include "support/check.h"

enum { SIDE = 32, BYTES_MAX = 3 * SIDE * SIDE, DRAWS = 42000 };

static const char *const names[CTKD__STRONG_OPS] = {
    "AutoContrast", "Brightness", "Color",  "Contrast", "Equalize", "Identity",   "Posterize",
    "Rotate",       "Sharpness",  "ShearX", "ShearY",   "Solarize", "TranslateX", "TranslateY",
};
static const struct {
    const char *name;
    size_t channels, height, width, cutouts;
} images[] = { { "rgb", 3, SIDE, SIDE, 2 }, { "grey", 1, SIDE, SIDE, 2 }, { "small", 3, 9, 7, 5 } };

static int open_golden(void **state)
{
    *state = golden_open("strong_view.txt");
    return 0;
}

static int close_golden(void **state)
{
    golden_close(*state);
    return 0;
}

/* Bytes of a key: three to a number. */
static void unpack(struct golden *golden, const char *key, size_t n, uint8_t *out)
{
    const float *numbers = golden_get(golden, key, (n + 2) / 3);
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)((uint32_t)numbers[i / 3] >> (16 - 8 * (i % 3)));
}

static void check_bytes(struct golden *golden, const char *key, const struct ctkd__raster *image)
{
    const size_t n = image->channels * image->height * image->width;
    uint8_t expected[BYTES_MAX];
    unpack(golden, key, n, expected);
    for (size_t i = 0; i < n; i++)
        if (image->pixels[i] != expected[i])
            fail_msg("%s: byte %zu is %d, expected %d", key, i, image->pixels[i], expected[i]);
}

/* Image `which` of the golden file in `pixels`, with a guard behind it and behind the scratch. */
struct canvas {
    uint8_t pixels[BYTES_MAX + 1], plane[SIDE * SIDE + 1];
    struct ctkd__raster image;
};

static void canvas_load(struct canvas *canvas, struct golden *golden, size_t which)
{
    char key[64];
    canvas->image = (struct ctkd__raster){ images[which].channels, images[which].height,
                                           images[which].width, canvas->pixels };
    const size_t plane = images[which].height * images[which].width;
    snprintf(key, sizeof key, "%s.pixels", images[which].name);
    unpack(golden, key, images[which].channels * plane, canvas->pixels);
    canvas->pixels[images[which].channels * plane] = canvas->plane[plane] = 0xa5;
}

static void check_guards(const struct canvas *canvas)
{
    const size_t plane = canvas->image.height * canvas->image.width;
    assert_int_equal(canvas->pixels[canvas->image.channels * plane], 0xa5);
    assert_int_equal(canvas->plane[plane], 0xa5);
}

static void every_operation_gives_the_bytes_that_pillow_gives(void **state)
{
    struct canvas canvas;
    for (size_t which = 0; which < sizeof images / sizeof *images; which++)
        for (size_t op = 0; op < CTKD__STRONG_OPS; op++) {
            char key[64];
            snprintf(key, sizeof key, "%s.%s.magnitudes", names[op], images[which].name);
            const size_t count = golden_count(*state, key);
            const float *magnitudes = golden_get(*state, key, count);
            assert_in_range(count, 1, 9);
            for (size_t i = 0; i < count; i++) {
                canvas_load(&canvas, *state, which);
                ctkd__strong_apply((enum ctkd__strong_op)op, (double)magnitudes[i], &canvas.image,
                                   canvas.plane);
                snprintf(key, sizeof key, "%s.%s.%zu", names[op], images[which].name, i);
                check_bytes(*state, key, &canvas.image);
                check_guards(&canvas);
            }
        }
}

static struct ctkd__strong_view with_cutout(const float at[3])
{
    return (
        struct ctkd__strong_view){ .side = (double)at[0], .x = (double)at[1], .y = (double)at[2] };
}

static void cutouts_are_the_rectangles_that_pillow_draws(void **state)
{
    struct canvas canvas;
    for (size_t which = 0; which < sizeof images / sizeof *images; which++)
        for (size_t i = 0; i < images[which].cutouts; i++) {
            char key[64];
            canvas_load(&canvas, *state, which);
            snprintf(key, sizeof key, "cutout.%s.%zu.at", images[which].name, i);
            const struct ctkd__strong_view view = with_cutout(golden_get(*state, key, 3));
            ctkd__strong_cutout(&view, &canvas.image);
            snprintf(key, sizeof key, "cutout.%s.%zu", images[which].name, i);
            check_bytes(*state, key, &canvas.image);
            check_guards(&canvas);
        }
}

static void cutouts_stay_inside_the_image_at_every_centre(void **state)
{
    struct canvas canvas;
    for (size_t i = 0; i < 11 * 11 * 6; i++) {
        const float at[3] = { (float)(i % 6) / 10.0f, (float)(i / 6 % 11) / 10.0f,
                              (float)(i / 66) / 10.0f };
        const struct ctkd__strong_view view = with_cutout(at);
        canvas_load(&canvas, *state, 2);
        uint8_t before[BYTES_MAX];
        memcpy(before, canvas.pixels, sizeof before);
        ctkd__strong_cutout(&view, &canvas.image);
        check_guards(&canvas);
        if (at[0] == 0.0f) /* no side, no cutout */
            assert_memory_equal(before, canvas.pixels, 3 * 9 * 7);
    }
}

static void a_whole_view_is_crop_flip_two_operations_and_cutout(void **state)
{
    struct canvas canvas;
    for (size_t i = 0; i < 24; i++) {
        char key[64];
        snprintf(key, sizeof key, "view.%zu.at", i);
        const float *at = golden_get(*state, key, 10);
        struct ctkd__strong_view view = with_cutout(at + 7);
        view.view = (struct ctkd__view){ (ptrdiff_t)at[0], (ptrdiff_t)at[1], at[2] != 0.0f };
        for (size_t j = 0; j < CTKD__STRONG_DRAWS; j++) {
            view.ops[j].op = (enum ctkd__strong_op)at[3 + 2 * j];
            view.ops[j].magnitude = (double)at[4 + 2 * j];
        }
        uint8_t source[3 * 9 * 7];
        canvas_load(&canvas, *state, 2);
        memcpy(source, canvas.pixels, sizeof source);
        ctkd__strong_view_make(source, 9, 7, &view, &canvas.image, canvas.plane);
        snprintf(key, sizeof key, "view.%zu", i);
        check_bytes(*state, key, &canvas.image);
        check_guards(&canvas);
    }
}

static void flat_images_and_single_pixels_pass_through_every_operation(void **state)
{
    (void)state;
    static const size_t sizes[][2] = { { 1, 1 }, { 1, 5 }, { 5, 1 }, { 2, 2 } };
    for (size_t s = 0; s < 4; s++)
        for (size_t op = 0; op < CTKD__STRONG_OPS; op++) {
            uint8_t pixels[6], plane[5];
            memset(pixels, 100, sizeof pixels);
            const size_t n = sizes[s][0] * sizes[s][1];
            const struct ctkd__raster image = { 1, sizes[s][0], sizes[s][1], pixels };
            /* Magnitudes that keep a value of 100 and a pixel in its place. */
            const double magnitude = op == CTKD__BRIGHTNESS  ? 1.0
                                     : op == CTKD__POSTERIZE ? 6.5 /* 100 = 25 * 4 */
                                     : op == CTKD__SOLARIZE  ? 100.5
                                                             : 0.0;
            ctkd__strong_apply((enum ctkd__strong_op)op, magnitude, &image, plane);
            for (size_t i = 0; i < sizeof pixels; i++)
                if (pixels[i] != 100)
                    fail_msg("%s: byte %zu of %zu is %d, expected 100", names[op], i, n, pixels[i]);
        }
}

/* Range of each magnitude, as published; the rest have none. */
static void range_of(enum ctkd__strong_op op, double *low, double *high)
{
    *low = *high = 0;
    switch (op) {
    case CTKD__BRIGHTNESS:
    case CTKD__COLOR:
    case CTKD__CONTRAST:
    case CTKD__SHARPNESS:
        *low = 0.05, *high = 0.95;
        break;
    case CTKD__POSTERIZE:
        *low = 4, *high = 8;
        break;
    case CTKD__ROTATE:
        *low = -30, *high = 30;
        break;
    case CTKD__SHEAR_X:
    case CTKD__SHEAR_Y:
    case CTKD__TRANSLATE_X:
    case CTKD__TRANSLATE_Y:
        *low = -0.3, *high = 0.3;
        break;
    case CTKD__SOLARIZE:
        *high = 256;
        break;
    case CTKD__AUTO_CONTRAST:
    case CTKD__EQUALIZE:
    case CTKD__IDENTITY:
    case CTKD__STRONG_OPS:
        break;
    }
}

static void drawn_operations_are_uniform_with_replacement(void **state)
{
    (void)state;
    enum { OPS = CTKD__STRONG_OPS };
    size_t pairs[OPS][OPS] = { { 0 } };
    double sums[OPS] = { 0 }, squares[OPS] = { 0 };
    size_t counts[OPS] = { 0 };
    for (uint64_t id = 0; id < DRAWS; id++) {
        const struct ctkd__strong_view view = ctkd__strong_view_draw(5, 1 + id % 3, id, 4);
        pairs[view.ops[0].op][view.ops[1].op]++;
        for (size_t i = 0; i < CTKD__STRONG_DRAWS; i++) {
            double low, high;
            range_of(view.ops[i].op, &low, &high);
            assert_true(view.ops[i].magnitude >= low && view.ops[i].magnitude <= high);
            if (low == high)
                continue;
            const double u = (view.ops[i].magnitude - low) / (high - low);
            counts[view.ops[i].op]++;
            sums[view.ops[i].op] += u;
            squares[view.ops[i].op] += u * u;
        }
    }
    for (size_t i = 0; i < OPS; i++) {
        for (size_t j = 0; j < OPS; j++) /* 214 expected; six standard deviations over 196 cells */
            check_close(pairs[i][j], DRAWS / 196.0, 0, 6 * 14.7);
        if (counts[i] == 0)
            continue;
        check_close(sums[i] / (double)counts[i], 0.5, 0, 6 * 0.0038); /* 0.289 / sqrt(6000) */
        check_close(squares[i] / (double)counts[i], 1.0 / 3, 0, 6 * 0.0039);
    }
}

static void drawn_cutouts_and_crops_are_uniform(void **state)
{
    (void)state;
    double sums[6] = { 0 };
    for (uint64_t id = 0; id < DRAWS; id++) {
        const struct ctkd__strong_view view = ctkd__strong_view_draw(6, 2, id, 4);
        assert_true(view.side >= 0 && view.side < 0.5 && view.x >= 0 && view.x < 1 && view.y >= 0 &&
                    view.y < 1);
        assert_in_range(view.view.top + 4, 0, 8);
        assert_in_range(view.view.left + 4, 0, 8);
        const double values[6] = { 2 * view.side,
                                   view.x,
                                   view.y,
                                   (double)(view.view.top + 4) / 8,
                                   (double)(view.view.left + 4) / 8,
                                   view.view.flip };
        for (size_t i = 0; i < 6; i++)
            sums[i] += values[i];
    }
    for (size_t i = 0; i < 6; i++) /* at most 0.5 / sqrt(42000) each */
        check_close(sums[i] / DRAWS, 0.5, 0, 6 * 0.0025);
}

static void a_draw_depends_on_seed_epoch_and_sample_alone(void **state)
{
    (void)state;
    size_t same_epoch = 0, same_seed = 0, same_sample = 0;
    for (uint64_t id = 0; id < 200; id++) {
        const struct ctkd__strong_view a = ctkd__strong_view_draw(1, 2, id, 4),
                                       b = ctkd__strong_view_draw(1, 2, id, 4);
        assert_true(a.view.top == b.view.top && a.view.left == b.view.left &&
                    a.view.flip == b.view.flip && a.side == b.side && a.x == b.x && a.y == b.y);
        for (size_t i = 0; i < CTKD__STRONG_DRAWS; i++)
            assert_true(a.ops[i].op == b.ops[i].op && a.ops[i].magnitude == b.ops[i].magnitude);
        same_epoch += a.side == ctkd__strong_view_draw(1, 3, id, 4).side;
        same_seed += a.side == ctkd__strong_view_draw(2, 2, id, 4).side;
        same_sample += a.side == ctkd__strong_view_draw(1, 2, id + 1, 4).side;
    }
    assert_int_equal(same_epoch + same_seed + same_sample, 0);
}

static void strong_crops_are_independent_of_the_weak_view(void **state)
{
    (void)state;
    size_t same = 0, flips = 0;
    for (uint64_t id = 0; id < DRAWS; id++) {
        const struct ctkd__view weak = ctkd__view_draw(7, 3, id, 4),
                                strong = ctkd__strong_view_draw(7, 3, id, 4).view;
        same += weak.top == strong.top && weak.left == strong.left;
        flips += weak.flip == strong.flip;
    }
    check_close(same, DRAWS / 81.0, 0, 5 * 22.7);
    check_close(flips, DRAWS / 2.0, 0, 5 * 102.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_gives_the_bytes_that_pillow_gives),
        cmocka_unit_test(cutouts_are_the_rectangles_that_pillow_draws),
        cmocka_unit_test(cutouts_stay_inside_the_image_at_every_centre),
        cmocka_unit_test(a_whole_view_is_crop_flip_two_operations_and_cutout),
        cmocka_unit_test(flat_images_and_single_pixels_pass_through_every_operation),
        cmocka_unit_test(drawn_operations_are_uniform_with_replacement),
        cmocka_unit_test(drawn_cutouts_and_crops_are_uniform),
        cmocka_unit_test(a_draw_depends_on_seed_epoch_and_sample_alone),
        cmocka_unit_test(strong_crops_are_independent_of_the_weak_view),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
