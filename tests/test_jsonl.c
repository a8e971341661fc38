#include <stdlib.h>

#include "io/jsonl.h"
#include "support/check.h"
#include "support/scratch.h"

static void write_row(struct ctkd__jsonl *log, int64_t epoch, double loss)
{
    ctkd_error err;
    ctkd__jsonl_begin(log);
    ctkd__jsonl_integer(log, "epoch", epoch);
    ctkd__jsonl_number(log, "loss", loss);
    check_ok(ctkd__jsonl_end(log, &err), &err);
}

static struct ctkd__json_rows *read_rows(const char *path)
{
    struct ctkd__json_rows *rows = NULL;
    ctkd_error err;
    check_ok(ctkd__jsonl_read(path, &rows, &err), &err);
    return rows;
}

static void an_object_is_one_line_of_json(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    ctkd_error err;
    struct ctkd__jsonl log = { .stream = open_memstream(&text, &bytes) };
    ctkd__jsonl_begin(&log);
    ctkd__jsonl_integer(&log, "n", INT64_MIN);
    ctkd__jsonl_number(&log, "x", (double)0.1f);
    ctkd__jsonl_number(&log, "nan", (double)NAN);
    ctkd__jsonl_number(&log, "inf", (double)INFINITY);
    ctkd__jsonl_boolean(&log, "b", true);
    ctkd__jsonl_string(&log, "a\"b", "\\ \n \xc3\xa9 \xff");
    check_ok(ctkd__jsonl_end(&log, &err), &err);
    ctkd__jsonl_begin(&log);
    check_ok(ctkd__jsonl_end(&log, &err), &err);
    assert_string_equal(text, "{\"n\": -9223372036854775808, \"x\": 0.100000001, \"nan\": null, "
                              "\"inf\": null, \"b\": true, \"a\\\"b\": \"\\\\ \\u000a \xc3\xa9 "
                              "\\ufffd\"}\n{}\n");
    ctkd__jsonl_close(&log);
    ctkd__jsonl_close(&log);
    free(text);
}

static void rows_are_read_back(void **state)
{
    (void)state;
    struct ctkd__jsonl log;
    ctkd_error err;
    const char *path = scratch_path("log.jsonl");
    check_ok(ctkd__jsonl_open(&log, path, false, &err), &err);
    write_row(&log, 1, 2.5);
    ctkd__jsonl_close(&log);
    check_ok(ctkd__jsonl_open(&log, path, true, &err), &err);
    write_row(&log, 2, (double)NAN);
    ctkd__jsonl_close(&log);
    struct ctkd__json_rows *rows = read_rows(path);
    assert_int_equal(ctkd__json_rows_count(rows), 2);
    check_close(ctkd__json_rows_number(rows, 0, "loss"), 2.5, 0, 0);
    check_close(ctkd__json_rows_number(rows, 1, "epoch"), 2, 0, 0);
    assert_true(isnan(ctkd__json_rows_number(rows, 1, "loss")));
    assert_true(isnan(ctkd__json_rows_number(rows, 0, "absent")));
    assert_null(ctkd__json_rows_string(rows, 0, "epoch"));
    ctkd__json_rows_destroy(rows);
    check_ok(ctkd__jsonl_open(&log, path, false, &err), &err); /* not append: from nothing */
    ctkd__jsonl_close(&log);
    rows = read_rows(path);
    assert_int_equal(ctkd__json_rows_count(rows), 0);
    ctkd__json_rows_destroy(rows);
}

static void a_cut_last_line_is_skipped_and_then_removed(void **state)
{
    (void)state;
    struct ctkd__jsonl log;
    ctkd_error err;
    char text[10000];
    memset(text, 'x', sizeof text); /* a part of a line that is longer than one block */
    memcpy(text, "{\"epoch\": 1}\n\n{", 15);
    const char *path = scratch_write("cut.jsonl", text, sizeof text);
    struct ctkd__json_rows *rows = read_rows(path);
    assert_int_equal(ctkd__json_rows_count(rows), 1);
    ctkd__json_rows_destroy(rows);
    check_ok(ctkd__jsonl_open(&log, path, true, &err), &err);
    write_row(&log, 2, 1);
    ctkd__jsonl_close(&log);
    rows = read_rows(path);
    assert_int_equal(ctkd__json_rows_count(rows), 2);
    check_close(ctkd__json_rows_number(rows, 1, "epoch"), 2, 0, 0);
    ctkd__json_rows_destroy(rows);
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    struct ctkd__json_rows *rows = NULL;
    ctkd_error err;
    assert_int_equal(ctkd__jsonl_read(scratch_text("bad", "{}\n[1]\n"), &rows, &err), CTKD_EFORMAT);
    assert_non_null(strstr(err.message, "bad:2: found a value, expected a JSON object"));
    assert_int_equal(ctkd__jsonl_read(scratch_text("bad", "{}\n\n{\"a\": }\n"), &rows, &err),
                     CTKD_EFORMAT);
    assert_non_null(strstr(err.message, "bad:3: "));
    assert_int_equal(ctkd__jsonl_read(scratch_write("bad", "{}\n\0\n", 5), &rows, &err),
                     CTKD_EFORMAT);
    assert_int_equal(ctkd__jsonl_read(scratch_path("none"), &rows, &err), CTKD_EIO);
    assert_null(rows);
}

static void a_write_that_fails_surfaces_at_the_end_of_its_line(void **state)
{
    (void)state;
    struct ctkd__jsonl log;
    ctkd_error err;
    check_ok(ctkd__jsonl_open(&log, "/dev/full", false, &err), &err);
    ctkd__jsonl_begin(&log);
    assert_int_equal(ctkd__jsonl_end(&log, &err), CTKD_EIO);
    assert_string_equal(err.message, "cannot write /dev/full: No space left on device");
    ctkd__jsonl_close(&log);
    assert_int_equal(ctkd__jsonl_open(&log, scratch_path("none/log"), true, &err), CTKD_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_one_line_of_json),
        cmocka_unit_test(rows_are_read_back),
        cmocka_unit_test(a_cut_last_line_is_skipped_and_then_removed),
        cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(a_write_that_fails_surfaces_at_the_end_of_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
