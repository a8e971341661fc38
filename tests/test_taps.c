/* What plans build on their taps: names of layers, regressors by the sizes of the two maps. */
#include "lib/taps.h"

#include "support/check.h"
#include "support/recording_builder.h"

static void a_layer_is_named_by_word_number_and_part(void **state)
{
    (void)state;
    char name[CTKD__NAME_BYTES];
    assert_string_equal(ctkd__layer_name(name, "connector", 0, "conv"), "connector.0.conv");
    assert_string_equal(ctkd__layer_name(name, "log_scale", 1203, NULL), "log_scale.1203");
    assert_ptr_equal(ctkd__layer_name(name, "w", SIZE_MAX, "p"), name);
    assert_string_equal(name, "w.18446744073709551615.p");
}

static void a_name_that_is_too_long_is_cut(void **state)
{
    (void)state;
    char name[CTKD__NAME_BYTES];
    (void)ctkd__layer_name(name, "0123456789012345678901234567890123456789", 7, "convolution");
    assert_string_equal(name, "0123456789012345678901234567890123456789.7.conv");
}

/* Sides of student and teacher, and of the regressor's output and the teacher's map after it. */
static void a_regressor_gives_channels_and_size_of_the_teacher(void **state)
{
    (void)state;
    static const struct {
        size_t student, teacher, together;
    } cases[] = {
        { 16, 8, 8 },  /* 3x3, stride 2 */
        { 8, 16, 16 }, /* transposed */
        { 8, 8, 8 },   /* 1x1 */
        { 9, 7, 7 },   /* 3x3 without padding */
        { 7, 1, 1 },   /* the whole map */
        { 5, 8, 5 },   /* 3x3; the teacher's map is pooled */
    };
    static struct recording r;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const ctkd_map student = { .c = 3, .h = cases[i].student, .w = cases[i].student };
        const ctkd_map teacher = { .c = 10, .h = cases[i].teacher, .w = cases[i].teacher };
        recording_start(&r, &student, 1, &teacher, 1);
        ctkd_builder *b = &r.builder;
        int y = b->tap(b, CTKD_TEACHER, 0, false);
        const int tap = b->tap(b, CTKD_STUDENT, 0, false);
        const int x = ctkd__conv_regressor(b, tap, &y, "regressor", 4);
        assert_int_equal(b->status, CTKD_OK);
        for (size_t side = 0; side < 2; side++) {
            size_t c, h, w;
            b->size(b, side ? y : x, &c, &h, &w);
            assert_true(c == 10 && h == cases[i].together && w == cases[i].together);
        }
        assert_int_equal(r.n_names, 2);
        assert_string_equal(r.names[0], "regressor.4.conv");
        assert_string_equal(r.names[1], "regressor.4.norm");
    }
}

static void a_builder_that_failed_stays_so(void **state)
{
    (void)state;
    static struct recording r;
    const ctkd_map map = { .c = 3, .h = 8, .w = 8 };
    recording_start(&r, &map, 1, &map, 1);
    ctkd_builder *b = &r.builder;
    int y = b->tap(b, CTKD_TEACHER, 5, false);
    assert_int_equal(ctkd__conv_regressor(b, b->tap(b, CTKD_STUDENT, 0, false), &y, "r", 0), -1);
    assert_int_equal(b->status, CTKD_ESHAPE);
    assert_int_equal(r.n_names, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_is_named_by_word_number_and_part),
        cmocka_unit_test(a_name_that_is_too_long_is_cut),
        cmocka_unit_test(a_regressor_gives_channels_and_size_of_the_teacher),
        cmocka_unit_test(a_builder_that_failed_stays_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
