#include "data/augment.h"

#include <stdlib.h>

#include "support/check.h"

enum { HEIGHT = 5, WIDTH = 7 };

/* doc/methods.md, "Crop and flip", in its own words: pad with zeros, crop, flip, /255, normalise.
 */
static float direct(const uint8_t plane[HEIGHT][WIDTH], const struct ctkd__view *view, float mean,
                    float std, ptrdiff_t row, ptrdiff_t column, ptrdiff_t out_width)
{
    const ptrdiff_t unflipped = view->flip ? out_width - 1 - column : column;
    const ptrdiff_t r = row + view->top, c = unflipped + view->left;
    const bool inside = r >= 0 && r < HEIGHT && c >= 0 && c < WIDTH;
    const float byte = inside ? (float)plane[r][c] : 0.0f;
    return (byte / 255.0f - mean) / std;
}

static void a_view_is_the_direct_formula_at_every_offset(void **state)
{
    (void)state;
    static const size_t sizes[][2] = { { HEIGHT, WIDTH }, { 9, 9 }, { 3, 2 } };
    uint8_t plane[HEIGHT][WIDTH];
    for (size_t i = 0; i < HEIGHT * WIDTH; i++)
        plane[i / WIDTH][i % WIDTH] = (uint8_t)(i * 37 + 1);
    float table[256], out[81 + 1];
    uint8_t bytes[81 + 1];
    ctkd__normalise_table(0.4f, 0.25f, table);
    for (size_t s = 0; s < 3; s++)
        for (ptrdiff_t top = -10; top <= 10; top++)
            for (ptrdiff_t left = -10; left <= 10; left++)
                for (int flip = 0; flip < 2; flip++) {
                    const struct ctkd__view view = { top, left, flip };
                    const size_t height = sizes[s][0], width = sizes[s][1];
                    out[height * width] = 77.0f;
                    ctkd__view_plane(&plane[0][0], HEIGHT, WIDTH, &view, table, height, width, out);
                    for (size_t i = 0; i < height * width; i++)
                        assert_true(out[i] == direct(plane, &view, 0.4f, 0.25f,
                                                     (ptrdiff_t)(i / width), (ptrdiff_t)(i % width),
                                                     (ptrdiff_t)width));
                    assert_true(out[height * width] == 77.0f);
                    bytes[height * width] = 78;
                    ctkd__view_bytes(&plane[0][0], HEIGHT, WIDTH, &view, height, width, bytes);
                    for (size_t i = 0; i < height * width; i++)
                        assert_true(out[i] == table[bytes[i]]);
                    assert_int_equal(bytes[height * width], 78);
                }
}

static void drawn_views_are_uniform_and_independent(void **state)
{
    (void)state;
    enum { DRAWS = 90000 };
    size_t tops[9] = { 0 }, lefts[9] = { 0 }, pairs[9][9] = { { 0 } }, flips = 0, corner_flips = 0;
    for (uint64_t id = 0; id < DRAWS; id++) {
        const struct ctkd__view view = ctkd__view_draw(5, 1 + id % 3, id, 4);
        assert_in_range(view.top + 4, 0, 8);
        assert_in_range(view.left + 4, 0, 8);
        tops[view.top + 4]++;
        lefts[view.left + 4]++;
        pairs[view.top + 4][view.left + 4]++;
        flips += view.flip;
        corner_flips += view.flip && view.top < 0 && view.left < 0;
    }
    /* Bounds of five standard deviations. */
    check_close(flips, DRAWS / 2, 0, 5 * 150);
    check_close(corner_flips, DRAWS / 2 * 16 / 81.0, 0, 5 * 90);
    for (size_t i = 0; i < 9; i++) {
        check_close(tops[i], DRAWS / 9, 0, 5 * 95);
        check_close(lefts[i], DRAWS / 9, 0, 5 * 95);
        for (size_t j = 0; j < 9; j++)
            check_close(pairs[i][j], DRAWS / 81.0, 0, 5 * 34);
    }
}

static void a_draw_depends_on_seed_epoch_and_sample_alone(void **state)
{
    (void)state;
    size_t same_epoch = 0, same_seed = 0;
    for (uint64_t id = 0; id < 200; id++) {
        const struct ctkd__view a = ctkd__view_draw(1, 2, id, 4), b = ctkd__view_draw(1, 2, id, 4);
        const struct ctkd__view c = ctkd__view_draw(1, 3, id, 4), d = ctkd__view_draw(2, 2, id, 4);
        assert_true(a.top == b.top && a.left == b.left && a.flip == b.flip);
        same_epoch += a.top == c.top && a.left == c.left && a.flip == c.flip;
        same_seed += a.top == d.top && a.left == d.left && a.flip == d.flip;
    }
    assert_in_range(same_epoch, 0, 10); /* 200 / 162 are expected by chance */
    assert_in_range(same_seed, 0, 10);
}

static void no_padding_leaves_only_the_flip(void **state)
{
    (void)state;
    size_t flips = 0;
    for (uint64_t id = 0; id < 100; id++) {
        const struct ctkd__view view = ctkd__view_draw(9, 1, id, 0);
        assert_int_equal(view.top, 0);
        assert_int_equal(view.left, 0);
        flips += view.flip;
    }
    assert_in_range(flips, 20, 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_is_the_direct_formula_at_every_offset),
        cmocka_unit_test(drawn_views_are_uniform_and_independent),
        cmocka_unit_test(a_draw_depends_on_seed_epoch_and_sample_alone),
        cmocka_unit_test(no_padding_leaves_only_the_flip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
