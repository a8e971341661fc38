#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/predictor.h"
#include "support/photos.h"
#include "support/scratch.h"

static void classes_are_ranked_by_probability_and_equal_ones_by_number(void **state)
{
    (void)state;
    const float logits[] = { 1, 3, -2, 3, 1000, -1000 };
    struct ctkd__ranked ranked[6];
    ctkd__rank_classes(4, logits, 4, ranked);
    const size_t order[] = { 1, 3, 0, 2 };
    double sum = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ranked[i].label, order[i]);
        sum += ranked[i].probability;
    }
    check_close(sum, 1, 1e-15, 0);
    check_close(ranked[0].probability / ranked[2].probability, 7.38905609893065, 1e-12, 0);
    ranked[1].label = 99;
    ctkd__rank_classes(6, logits, 1, ranked);
    assert_int_equal(ranked[0].label, 4);
    check_close(ranked[0].probability, 1, 0, 0);
    assert_int_equal(ranked[1].label, 99); /* no more than n are written */
    ctkd__rank_classes(1, logits, 1, ranked);
    check_close(ranked[0].probability, 1, 0, 0);
}

static void files_are_taken_as_named_and_folders_in_the_order_of_bytes(void **state)
{
    (void)state;
    char folder[1024], path[1100], place[CTKD__TREE_PLACE_MAX];
    struct ctkd__pictures *pictures;
    struct ctkd__tree_bytes bytes;
    ctkd_error err = { 0 };
    snprintf(folder, sizeof folder, "%s", scratch_path("pictures"));
    static const char *const names[] = { "b/2.ppm", "b/10.PPM", "a/z.png", "a-b/1.ppm", "1.ppm" };
    static const char *const order[] = { "1.ppm", "a/z.png", "a-b/1.ppm", "b/10.PPM", "b/2.ppm" };
    for (size_t i = 0; i < 5; i++)
        photo_write(folder, names[i], 4, 4, 0, 0);
    photo_text(folder, "b/notes.txt", "text");
    photo_text(folder, ".hidden/1.ppm", "text");
    check_ok(ctkd__pictures_create(&pictures, &err), &err);
    snprintf(path, sizeof path, "%s/b/notes.txt", folder);
    check_ok(ctkd__pictures_add(pictures, path, &err), &err); /* a file need not look like one */
    check_ok(ctkd__pictures_add(pictures, folder, &err), &err);
    assert_int_equal(ctkd__pictures_count(pictures), 6);
    assert_int_equal(ctkd__pictures_others(pictures), 1);
    check_ok(ctkd__pictures_read(pictures, 0, &bytes, &err), &err);
    assert_int_equal(bytes.size, 4);
    assert_memory_equal(bytes.bytes, "text", 4);
    ctkd__tree_bytes_free(&bytes);
    for (size_t i = 0; i < 5; i++) {
        ctkd__pictures_place(pictures, i + 1, place, sizeof place);
        snprintf(path, sizeof path, "%s/%s", folder, order[i]);
        assert_string_equal(place, path);
    }
    snprintf(path, sizeof path, "%s/none", folder);
    assert_int_equal(ctkd__pictures_add(pictures, path, &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "none: No such file"));
    snprintf(path, sizeof path, "%s/1.ppm", folder);
    remove(path);
    assert_int_equal(ctkd__pictures_read(pictures, 1, &bytes, &err), CTKD_EIO); /* it vanished */
    ctkd__pictures_destroy(pictures);
    ctkd__pictures_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_are_ranked_by_probability_and_equal_ones_by_number),
        cmocka_unit_test(files_are_taken_as_named_and_folders_in_the_order_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
