#include "data/affine.h"

#include <stdio.h>
#include <stdlib.h>

#include "data/augment.h"
#include "support/check.h"
#include "support/next_batch.h"

/* As in tests/golden/rotated_views.py. */
enum { SEED = 5, EPOCH = 3, IMAGES = 4, CHANNELS = 3, HEIGHT = 11, WIDTH = 14 };
enum { PIXELS = CHANNELS * HEIGHT * WIDTH };

static uint8_t pixels[IMAGES * PIXELS];
static int32_t labels[IMAGES];
static const struct ctkd__images images = { .count = IMAGES,
                                            .channels = CHANNELS,
                                            .height = HEIGHT,
                                            .width = WIDTH,
                                            .pixels = pixels,
                                            .labels = labels };
static struct golden *golden;

/* Bytes of a key: three to a number. */
static void unpack(const char *key, size_t n, uint8_t *out)
{
    const float *const numbers = golden_get(golden, key, n / 3);
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)((uint32_t)numbers[i / 3] >> (16 - 8 * (i % 3)));
}

static int open_golden(void **state)
{
    (void)state;
    golden = golden_open("rotated_views.txt");
    unpack("pixels", sizeof pixels, pixels);
    return 0;
}

static int close_golden(void **state)
{
    (void)state;
    golden_close(golden);
    return 0;
}

static struct ctkd__loader_config config_make(size_t padding, double rotation)
{
    return (struct ctkd__loader_config){ .batch = 3,
                                         .shuffle = true,
                                         .augment = true,
                                         .crop_padding = padding,
                                         .rotation = rotation,
                                         .seed = SEED,
                                         .std = { 1, 1, 1 } };
}

static struct ctkd__loader *loader_make(const struct ctkd__loader_config *config)
{
    struct ctkd__loader *loader;
    ctkd_error err = { 0 };
    check_ok(ctkd__loader_create(&images, config, &loader, &err), &err);
    return loader;
}

/* The bytes of a view, by image; returns how many images the epoch had from batch `first` on. */
static size_t collect(struct ctkd__loader *loader, size_t first, uint8_t out[IMAGES * PIXELS])
{
    struct ctkd__batch batch;
    size_t n = 0;
    ctkd__loader_start(loader, EPOCH, first);
    for (; next_batch(loader, &batch); n += batch.n)
        for (size_t i = 0; i < batch.n; i++) {
            assert_int_equal(batch.views[i], EPOCH - 1);
            for (size_t j = 0; j < PIXELS; j++)
                out[batch.ids[i] * PIXELS + j] =
                    (uint8_t)(batch.x.values[i * PIXELS + j] * 255.0f + 0.5f);
        }
    return n;
}

static void rotated_views_are_those_of_pillow(void **state)
{
    static const struct {
        const char *name;
        size_t padding;
        double rotation;
    } cases[] = { { "flip.20", 0, 20 }, { "crop_flip.20", 4, 20 }, { "flip.180", 0, 180 } };
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const struct ctkd__loader_config config = config_make(cases[c].padding, cases[c].rotation);
        struct ctkd__loader *const loader = loader_make(&config);
        uint8_t found[IMAGES * PIXELS];
        assert_int_equal(collect(loader, 0, found), IMAGES);
        for (size_t i = 0; i < IMAGES; i++) {
            uint8_t expected[PIXELS];
            char key[64];
            snprintf(key, sizeof key, "%s.%zu", cases[c].name, i);
            unpack(key, PIXELS, expected);
            for (size_t j = 0; j < PIXELS; j++)
                if (found[i * PIXELS + j] != expected[j])
                    fail_msg("%s: byte %zu is %d, expected %d", key, j, found[i * PIXELS + j],
                             expected[j]);
        }
        ctkd__loader_destroy(loader);
    }
    golden_check_all_read(golden);
}

/* As a run that is resumed begins in the middle of an epoch. */
static void a_rotated_view_does_not_depend_on_where_the_epoch_begins(void **state)
{
    (void)state;
    const struct ctkd__loader_config config = config_make(4, 20);
    struct ctkd__loader *const loader = loader_make(&config);
    uint8_t whole[IMAGES * PIXELS], rest[IMAGES * PIXELS];
    assert_int_equal(collect(loader, 0, whole), IMAGES);
    memcpy(rest, whole, sizeof rest);
    assert_int_equal(collect(loader, 1, rest), IMAGES - config.batch);
    assert_memory_equal(rest, whole, sizeof rest);
    ctkd__loader_destroy(loader);
}

static void a_rotation_comes_before_the_padding(void **state)
{
    (void)state;
    struct ctkd__loader_config config = config_make(0, 20);
    struct ctkd__loader *loader = loader_make(&config);
    uint8_t plain[IMAGES * PIXELS];
    collect(loader, 0, plain);
    ctkd__loader_destroy(loader);
    config.pad_to = 18;
    loader = loader_make(&config);
    struct ctkd__batch batch;
    ctkd__loader_start(loader, EPOCH, 0);
    while (next_batch(loader, &batch))
        for (size_t i = 0; i < batch.n * CHANNELS * HEIGHT; i++) {
            const size_t image = i / (CHANNELS * HEIGHT), c = i / HEIGHT % CHANNELS;
            const size_t row = i % HEIGHT, top = (18 - HEIGHT) / 2, left = (18 - WIDTH) / 2;
            const float *const found =
                batch.x.values + ((image * CHANNELS + c) * 18 + row + top) * 18 + left;
            const uint8_t *const expected =
                plain + batch.ids[image] * PIXELS + (c * HEIGHT + row) * WIDTH;
            for (size_t j = 0; j < WIDTH; j++)
                assert_true(found[j] == (float)expected[j] / 255.0f);
        }
    ctkd__loader_destroy(loader);
}

static void angles_are_uniform_and_their_own_draws(void **state)
{
    enum { DRAWS = 100000, BINS = 20 };
    (void)state;
    const double most = 20;
    double sum = 0, squares = 0, with_flip = 0;
    size_t bins[BINS] = { 0 };
    for (uint64_t i = 0; i < DRAWS; i++) {
        const double angle = ctkd__rotation_draw(SEED, 1 + i % 10, i / 10, most);
        assert_true(angle >= -most && angle < most);
        assert_true(angle == ctkd__rotation_draw(SEED, 1 + i % 10, i / 10, most));
        const bool flip = ctkd__view_draw(SEED, 1 + i % 10, i / 10, 0).flip;
        bins[(size_t)((angle + most) / (2 * most) * BINS)]++;
        sum += angle;
        squares += angle * angle;
        with_flip += flip ? angle : 0;
    }
    /* Within 4 standard deviations; the variance of an angle is most^2 / 3. */
    const double deviation = most / sqrt(3);
    check_close(sum / DRAWS, 0, 0, 4 * deviation / sqrt(DRAWS));
    check_close(with_flip / DRAWS, 0, 0, 4 * deviation / sqrt(2.0 * DRAWS));
    check_close(squares / DRAWS, most * most / 3, 0, 4 * most * most * sqrt(4.0 / 45 / DRAWS));
    for (size_t b = 0; b < BINS; b++)
        check_close(bins[b], DRAWS / BINS, 0, 4 * sqrt(DRAWS / BINS));
}

static void rotated_views_have_no_numbers(void **state)
{
    (void)state;
    struct ctkd__loader_config config = config_make(4, 20);
    struct ctkd__loader *loader = loader_make(&config);
    assert_int_equal(ctkd__loader_views(loader), 0);
    ctkd__loader_destroy(loader);
    config.augment = false; /* evaluation: nothing is rotated */
    loader = loader_make(&config);
    assert_int_equal(ctkd__loader_views(loader), 1);
    struct ctkd__batch batch;
    ctkd__loader_start(loader, EPOCH, 0);
    while (next_batch(loader, &batch))
        for (size_t i = 0; i < batch.n * PIXELS; i++)
            assert_true(batch.x.values[i] ==
                        (float)pixels[batch.ids[i / PIXELS] * PIXELS + i % PIXELS] / 255.0f);
    ctkd__loader_destroy(loader);
}

static void wrong_angles_are_refused(void **state)
{
    static const double wrong[] = { -1, 181, NAN, INFINITY };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const struct ctkd__loader_config config = config_make(4, wrong[i]);
        struct ctkd__loader *loader;
        ctkd_error err = { 0 };
        char expected[96];
        assert_int_equal(ctkd__loader_create(&images, &config, &loader, &err), CTKD_ERANGE);
        snprintf(expected, sizeof expected, "loader: found rotation %g, expected 0..180 degrees",
                 wrong[i]);
        assert_string_equal(err.message, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotated_views_are_those_of_pillow),
        cmocka_unit_test(a_rotated_view_does_not_depend_on_where_the_epoch_begins),
        cmocka_unit_test(a_rotation_comes_before_the_padding),
        cmocka_unit_test(angles_are_uniform_and_their_own_draws),
        cmocka_unit_test(rotated_views_have_no_numbers),
        cmocka_unit_test(wrong_angles_are_refused),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
