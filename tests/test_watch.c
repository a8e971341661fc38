/* What `ctkd watch` writes of a run. */
#include <string.h>

#include "run/watch.h"
#include "support/check.h"
#include "support/temp_files.h"

static const char *write_log(const char *folder, size_t epochs)
{
    char text[8192] = "";
    for (size_t e = 1; e <= epochs; e++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "{\"kind\": \"epoch\", \"epoch\": %zu, \"loss\": %zu, \"train_top1\": 12.5, "
                 "\"test_top1\": %s, \"tau\": null}\n",
                 e, epochs - e, e % 2 ? "40.25" : "null");
    temp_write(folder, "log.jsonl", text, strlen(text));
    return folder;
}

static void a_line_has_the_newest_values(void **state)
{
    struct ctkd__curves curves;
    ctkd_error err = { 0 };
    char text[512], expected[512];
    check_ok(ctkd__curves_read(write_log(*state, 4), &curves, &err), &err);
    snprintf(expected, sizeof expected,
             "%s  epoch 4/240  loss 0.0000  train 12.50 %%  test 40.25 %%", (char *)*state);
    assert_string_equal(ctkd__watch_line(&curves, 240, text, sizeof text), expected);
    ctkd__watch_line(&curves, 240, text, 20); /* cut, never beyond its room */
    assert_int_equal(strlen(text), 19);
    ctkd__curves_free(&curves);
}

static void a_long_line_loses_the_beginning_of_its_name_first(void **state)
{
    (void)state;
    static const struct {
        size_t columns;
        const char *line;
    } cases[] = { { 41, "sweep/kd+ctkd/seed-1  epoch 4/240  ended" },
                  { 40, "sweep/kd+ctkd/seed-1  epoch 4/240  ended" },
                  { 39, "...p/kd+ctkd/seed-1  epoch 4/240  ended" },
                  { 31, "...d/seed-1  epoch 4/240  ended" },
                  { 26, "...d/seed-1  epoch 4/240  " },
                  { 0, "" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[] = "sweep/kd+ctkd/seed-1  epoch 4/240  ended";
        ctkd__watch_fit(text, cases[i].columns);
        assert_string_equal(text, cases[i].line);
    }
    char letters[] = "\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4  x";
    ctkd__watch_fit(letters, 18);
    assert_string_equal(letters, "...\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4  x");
    char short_name[] = "\u00e4\u00e4";
    ctkd__watch_fit(short_name, 3);
    assert_string_equal(short_name, "\u00e4");
}

static void a_row_scales_from_the_least_to_the_greatest(void **state)
{
    struct ctkd__curves curves;
    ctkd_error err = { 0 };
    char text[256];
    check_ok(ctkd__curves_read(write_log(*state, 8), &curves, &err), &err);
    assert_true(ctkd__watch_row(&curves, "loss", 80, false, text, sizeof text));
    assert_string_equal(text, "#*+=-:._");
    assert_true(ctkd__watch_row(&curves, "loss", 4, false, text, sizeof text));
    assert_string_equal(text,
                        "#+:_"); /* means of two epochs each: 6.5 4.5 2.5 0.5 are heights 7 5 2 0 */
    assert_true(ctkd__watch_row(&curves, "loss", 8, true, text, sizeof text));
    assert_string_equal(text, "\u2588\u2587\u2586\u2585\u2584\u2583\u2582\u2581");
    assert_true(ctkd__watch_row(&curves, "test_top1", 80, false, text, sizeof text));
    assert_string_equal(text, "===="); /* the epochs that have a value; all equal */
    assert_false(ctkd__watch_row(&curves, "tau", 80, false, text, sizeof text));
    ctkd__curves_free(&curves);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_the_newest_values, temp_folder_make,
                                        temp_folder_remove),
        cmocka_unit_test(a_long_line_loses_the_beginning_of_its_name_first),
        cmocka_unit_test_setup_teardown(a_row_scales_from_the_least_to_the_greatest,
                                        temp_folder_make, temp_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
