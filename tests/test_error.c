#include "support/check.h"
#include "util/error.h"

static void fail_writes_the_status_and_the_message(void **state)
{
    (void)state;
    ctkd_error err;
    assert_int_equal(ctkd__fail(&err, CTKD_ESHAPE, "%s: %d", "conv1.weight", 7), CTKD_ESHAPE);
    assert_int_equal(err.status, CTKD_ESHAPE);
    assert_string_equal(err.message, "conv1.weight: 7");
}

static void fail_takes_no_error_struct(void **state)
{
    (void)state;
    assert_int_equal(ctkd__fail(NULL, CTKD_EIO, "unread"), CTKD_EIO);
    assert_int_equal(ctkd__fail_within(NULL, CTKD_EIO, "unread"), CTKD_EIO);
}

static void a_message_is_one_line_whatever_it_quotes(void **state)
{
    (void)state;
    ctkd_error err;
    ctkd__fail(&err, CTKD_EFORMAT, "%s", "a\nb\x1b[31m\x7f\tz");
    assert_string_equal(err.message, "a?b?[31m??z");
}

static void fail_within_puts_a_prefix_before(void **state)
{
    (void)state;
    ctkd_error err;
    ctkd__fail(&err, CTKD_EFORMAT, "inner");
    assert_int_equal(ctkd__fail_within(&err, CTKD_EIO, "%s:%d", "a.yaml", 3), CTKD_EIO);
    assert_string_equal(err.message, "a.yaml:3: inner");
    assert_int_equal(err.status, CTKD_EIO);
}

static void long_messages_are_cut(void **state)
{
    (void)state;
    ctkd_error err;
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ctkd__fail(&err, CTKD_EIO, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    for (size_t n = 500; n < 520; n++) {
        text[sizeof text - 1 - n] = 'y';
        ctkd__fail(&err, CTKD_EIO, "inner");
        ctkd__fail_within(&err, CTKD_EIO, "%s", text + sizeof text - 1 - n);
        assert_true(strlen(err.message) < sizeof err.message);
        assert_memory_equal(err.message, text + sizeof text - 1 - n, 500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_writes_the_status_and_the_message),
        cmocka_unit_test(fail_takes_no_error_struct),
        cmocka_unit_test(a_message_is_one_line_whatever_it_quotes),
        cmocka_unit_test(fail_within_puts_a_prefix_before),
        cmocka_unit_test(long_messages_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
