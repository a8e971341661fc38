#include "util/names.h"

#include "support/check.h"
#include "support/scratch.h"

static const struct ctkd__names *names_of(const char *text)
{
    const struct ctkd__names *names;
    ctkd_error err;
    check_ok(ctkd__names_of_text("here", text, &names, &err), &err);
    return names;
}

static void a_name_is_a_line_of_either_kind(void **state)
{
    (void)state;
    const struct ctkd__names *const names = names_of("ant\r\nbee\nlong tailed tit\n\n");
    assert_int_equal(names->count, 3);
    assert_string_equal(names->items[0], "ant");
    assert_string_equal(names->items[2], "long tailed tit");
    assert_string_equal(names->text, "ant\nbee\nlong tailed tit\n");
    assert_int_equal(ctkd__names_find(names, "bee"), 1);
    assert_int_equal(ctkd__names_find(names, "be"), 3);
}

static void equal_lists_are_one(void **state)
{
    (void)state;
    assert_ptr_equal(names_of("ant\nbee"), names_of("ant\r\nbee\n"));
    assert_ptr_not_equal(names_of("ant\nbee"), names_of("bee\nant"));
}

static void what_is_no_list_of_names_is_said(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "", "here: found no name, expected one per line" },
        { "\n\n", "here: found no name, expected one per line" },
        { "ant\n\nbee\n", "here: name 2: found an empty line, expected a line of UTF-8 text" },
        { "ant\nb\xff\n",
          "here: name 2: found bytes that are no text, expected a line of UTF-8 text" },
        { "ant\nbee\nant\n", "here: found 'ant' twice, expected names that differ" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct ctkd__names *names;
        ctkd_error err;
        assert_int_equal(ctkd__names_of_text("here", cases[i].text, &names, &err), CTKD_EFORMAT);
        assert_null(names);
        assert_string_equal(err.message, cases[i].message);
    }
}

static void a_file_is_read_and_one_that_is_absent_is_named(void **state)
{
    (void)state;
    const struct ctkd__names *names;
    ctkd_error err;
    check_ok(ctkd__names_of_file(scratch_text("names.txt", "x\ny"), &names, &err), &err);
    assert_ptr_equal(names, names_of("x\ny"));
    assert_int_equal(ctkd__names_of_file(scratch_path("absent"), &names, &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "absent"));
    assert_int_equal(ctkd__names_of_file(scratch_write("zero", "a\0b", 3), &names, &err),
                     CTKD_EFORMAT);
    assert_non_null(strstr(err.message, "found a zero byte"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_a_line_of_either_kind),
        cmocka_unit_test(equal_lists_are_one),
        cmocka_unit_test(what_is_no_list_of_names_is_said),
        cmocka_unit_test(a_file_is_read_and_one_that_is_absent_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
