#include "support/check.h"

#include <stdlib.h>

#include "data/dev_part.h"

enum { COUNT = 90, PIXELS = 12 };

struct set {
    struct ctkd__images images;
    uint8_t pixels[COUNT * PIXELS];
    int32_t labels[COUNT];
};

/* Class 0 has 60 images, class 1 and 2 have 20 and 10; image i shows its number. */
static void make_set(struct set *set, const size_t *order)
{
    set->images = (struct ctkd__images){ .count = COUNT,
                                         .channels = 3,
                                         .height = 2,
                                         .width = 2,
                                         .pixels = set->pixels,
                                         .labels = set->labels };
    for (size_t i = 0; i < COUNT; i++) {
        const size_t n = order ? order[i] : i;
        memset(set->pixels + i * PIXELS, 7, PIXELS);
        set->pixels[i * PIXELS + n % PIXELS] = (uint8_t)n;
        set->labels[i] = n < 60 ? 0 : n < 80 ? 1 : 2;
    }
}

static void both_parts_are_all_images_and_each_class_keeps_its_proportion(void **state)
{
    (void)state;
    static struct set set;
    struct ctkd__dev_part part;
    size_t classes[3] = { 0 }, dev = 0, rest = 0;
    ctkd_error err = { 0 };
    make_set(&set, NULL);
    check_ok(ctkd__dev_part_choose(&set.images, 0.1, &part, &err), &err);
    assert_true(part.n_dev == 9 && part.n_rest == 81);
    for (uint32_t i = 0; i < COUNT; i++) {
        const bool held = dev < part.n_dev && part.dev[dev] == i;
        const bool kept = rest < part.n_rest && part.rest[rest] == i;
        assert_true(held != kept);
        dev += held;
        rest += kept;
        classes[set.labels[i]] += held;
    }
    assert_true(classes[0] == 6 && classes[1] == 2 && classes[2] == 1);
    ctkd__dev_part_free(&part);
}

static void the_same_images_are_held_out_in_whatever_order_they_come(void **state)
{
    (void)state;
    static struct set set, turned;
    struct ctkd__dev_part part, again;
    size_t order[COUNT];
    ctkd_error err = { 0 };
    bool held[COUNT] = { false };
    for (size_t i = 0; i < COUNT; i++)
        order[i] = i * 37 % COUNT;
    make_set(&set, NULL);
    make_set(&turned, order);
    check_ok(ctkd__dev_part_choose(&set.images, 0.3, &part, &err), &err);
    check_ok(ctkd__dev_part_choose(&turned.images, 0.3, &again, &err), &err);
    for (size_t i = 0; i < part.n_dev; i++)
        held[part.dev[i]] = true;
    for (size_t i = 0; i < again.n_dev; i++)
        assert_true(held[order[again.dev[i]]]);
    assert_int_equal(part.n_dev, again.n_dev);
    /* A smaller part is part of a larger one. */
    ctkd__dev_part_free(&again);
    check_ok(ctkd__dev_part_choose(&set.images, 0.1, &again, &err), &err);
    for (size_t i = 0; i < again.n_dev; i++)
        assert_true(held[again.dev[i]]);
    ctkd__dev_part_free(&part);
    ctkd__dev_part_free(&again);
}

static void an_empty_part_is_refused(void **state)
{
    (void)state;
    static struct set set;
    struct ctkd__dev_part part;
    ctkd_error err = { 0 };
    make_set(&set, NULL);
    assert_int_equal(ctkd__dev_part_choose(&set.images, 0.005, &part, &err), CTKD_ERANGE);
    assert_string_equal(err.message, "data.dev: found 0.005, which is 0 of 90 training images; "
                                     "expected at least one, and less than all");
    assert_null(part.dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_parts_are_all_images_and_each_class_keeps_its_proportion),
        cmocka_unit_test(the_same_images_are_held_out_in_whatever_order_they_come),
        cmocka_unit_test(an_empty_part_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
