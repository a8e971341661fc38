/* Boxes of views against torchvision's formulas (tests/golden/pictures.py), and how draws are
 * spread. */
#include <stdio.h>

#include "data/picture/crop.h"
#include "support/check.h"

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    return hash;
}

/* A thousand boxes as pictures.py writes them down. */
static uint64_t hash_boxes(uint64_t seed)
{
    const struct ctkd__crop_ranges ranges = ctkd__crop_ranges_defaults();
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < 1000; i++) {
        const size_t width = 1 + splitmix(&seed) % 3000, height = 1 + splitmix(&seed) % 3000;
        char text[96];
        size_t w, h;
        if (i % 10 == 0) {
            const struct ctkd__box box = ctkd__crop_fallback(width, height, &ranges);
            snprintf(text, sizeof text, "%zu %zu %zu %zu\n", box.left, box.top, box.width,
                     box.height);
        } else {
            const float area = (float)(splitmix(&seed) >> 40) * 0x1p-24f;
            const float ratio = (float)(splitmix(&seed) >> 40) * 0x1p-24f;
            if (ctkd__crop_try(width, height, &ranges, area, ratio, &w, &h))
                snprintf(text, sizeof text, "%zu %zu\n", w, h);
            else
                snprintf(text, sizeof text, "none\n");
        }
        hash = hash_text(hash, text);
    }
    return hash;
}

static void boxes_are_those_of_torchvision(void **state)
{
    (void)state;
    FILE *const list = fopen(CTKD_SOURCE_DIR "/tests/golden/pictures.txt", "r");
    assert_non_null(list);
    char line[256];
    int thousands = 0;
    while (fgets(line, sizeof line, list)) {
        unsigned long long seed, hash;
        if (sscanf(line, "boxes %llu %llx", &seed, &hash) != 2)
            continue;
        if (hash_boxes(seed) != hash)
            fail_msg("seed %llu: other boxes", seed);
        thousands++;
    }
    fclose(list);
    assert_int_equal(thousands, 100);
}

/* |count - n p| within 4 standard deviations of a binomial. */
static void check_share(const char *what, double count, double n, double p)
{
    const double sigma = sqrt(n * p * (1 - p));
    if (!(fabs(count - n * p) < 4 * sigma))
        fail_msg("%s: %g of %g, expected %g +- %g", what, count, n, n * p, 4 * sigma);
}

static void draws_are_spread_as_they_should_be(void **state)
{
    (void)state;
    enum { N = 1000000, SIDE = 400 };
    const struct ctkd__crop_ranges ranges = ctkd__crop_ranges_defaults();
    double flips = 0, small = 0, smaller = 0, wide = 0;
    for (uint64_t id = 0; id < N; id++) {
        const struct ctkd__crop_view view = ctkd__crop_draw(7, 1 + id % 3, id, SIDE, SIDE, &ranges);
        const struct ctkd__box *const b = &view.box;
        assert_true(b->width >= 1 && b->left + b->width <= SIDE);
        assert_true(b->height >= 1 && b->top + b->height <= SIDE);
        flips += view.flip;
        /* Boxes of an area below 0.54 fit at every ratio, so that among them areas and ratios are
           spread as they are drawn. */
        const double area = (double)(b->width * b->height) / (SIDE * SIDE);
        small += area < 0.54;
        smaller += area < 0.31;
        if (area < 0.54)
            wide += b->width > b->height ? 1.0 : b->width == b->height ? 0.5 : 0.0;
    }
    check_share("flips", flips, N, 0.5);
    check_share("areas", smaller, small, 0.5);
    check_share("wide boxes", wide, small, 0.5);
}

static void a_view_is_a_function_of_seed_epoch_and_image(void **state)
{
    (void)state;
    const struct ctkd__crop_ranges ranges = ctkd__crop_ranges_defaults();
    const struct ctkd__crop_view a = ctkd__crop_draw(1, 2, 3, 500, 375, &ranges);
    const struct ctkd__crop_view b = ctkd__crop_draw(1, 2, 3, 500, 375, &ranges);
    assert_true(a.box.left == b.box.left && a.box.top == b.box.top && a.flip == b.flip &&
                a.box.width == b.box.width && a.box.height == b.box.height);
    int same = 0;
    for (uint64_t id = 4; id < 104; id++) {
        const struct ctkd__crop_view c = ctkd__crop_draw(1, 2, id, 500, 375, &ranges);
        same += c.box.left == a.box.left && c.box.width == a.box.width && c.box.top == a.box.top;
    }
    assert_int_equal(same, 0);
}

/* An image that no ratio of the range fits ends in the fallback: centred, and as large as it can
 * be. */
static void a_narrow_image_gives_the_fallback(void **state)
{
    (void)state;
    const struct ctkd__crop_ranges ranges = ctkd__crop_ranges_defaults();
    for (uint64_t id = 0; id < 100; id++) {
        const struct ctkd__crop_view view = ctkd__crop_draw(1, 1, id, 2, 3000, &ranges);
        assert_true(view.box.width >= 1 && view.box.width <= 2);
        assert_true(view.box.top + view.box.height <= 3000);
    }
    const struct ctkd__box box = ctkd__crop_fallback(2, 3000, &ranges);
    assert_true(box.width == 2 && box.height == 3 && box.left == 0 && box.top == 1498);
}

static void centre_windows_round_halves_to_even(void **state)
{
    (void)state;
    size_t size[2];
    struct ctkd__box box = ctkd__crop_centre(500, 375, 256, 224, size);
    assert_true(size[0] == 341 && size[1] == 256);
    assert_true(box.left == 58 && box.top == 16); /* 58.5 goes to 58 */
    box = ctkd__crop_centre(375, 500, 232, 224, size);
    assert_true(size[0] == 232 && size[1] == 309);
    assert_true(box.left == 4 && box.top == 42); /* 42.5 goes to 42 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_are_those_of_torchvision),
        cmocka_unit_test(draws_are_spread_as_they_should_be),
        cmocka_unit_test(a_view_is_a_function_of_seed_epoch_and_image),
        cmocka_unit_test(a_narrow_image_gives_the_fallback),
        cmocka_unit_test(centre_windows_round_halves_to_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
