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
        cmocka_unit_test_setup_teardown(a_row_scales_from_the_least_to_the_greatest,
                                        temp_folder_make, temp_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
