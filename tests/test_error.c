#include "support/check.h"
#include "util/error.h"
#include "util/say.h"
#include "util/text.h"

#include <stdlib.h>

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
    assert_string_equal(err.message, "a\\x0Ab\\x1B[31m\\x7F\\x09z");
}

static void a_long_name_in_latin_1_keeps_the_reason(void **state)
{
    (void)state;
    ctkd_error err;
    char name[601];
    memset(name, '\xe9', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ctkd__fail(&err, CTKD_EIO, "cannot open %s: No such file", name);
    assert_memory_equal(err.message, "cannot open \\xE9\\xE9", 20);
    assert_true(strlen(err.message) < sizeof err.message && strstr(err.message, "..."));
    assert_string_equal(err.message + strlen(err.message) - 18, "\\xE9: No such file");
}

static void what_is_said_is_a_line_as_errors_are(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&text, &bytes);
    ctkd__say(out, "%s: %d", "caf\xe9\n", 3);
    ctkd__say(out, "end");
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "caf\\xE9\\x0A: 3\nend\n");
    free(text);
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

static void a_long_message_keeps_its_beginning_and_its_end(void **state)
{
    (void)state;
    ctkd_error err;
    char path[4096];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    for (size_t n = 400; n < sizeof path; n = n < 600 ? n + 1 : 2 * n) {
        const char *const name = path + sizeof path - 1 - n;
        ctkd__fail(&err, CTKD_EIO, "cannot open %s: No such file", name);
        assert_memory_equal(err.message, "cannot open xxx", 15);
        const size_t length = strlen(err.message), whole = n + strlen("cannot open : No such file");
        assert_int_equal(length, whole < sizeof err.message ? whole : sizeof err.message - 1);
        assert_string_equal(err.message + length - 14, ": No such file");
        assert_int_equal(strstr(err.message, "...") != NULL, whole >= sizeof err.message);
        ctkd__fail(&err, CTKD_EIO, "inner");
        ctkd__fail_within(&err, CTKD_EIO, "%s", name);
        assert_string_equal(err.message + strlen(err.message) - 7, ": inner");
    }
}

static void a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    ctkd_error err;
    char text[1024];
    for (size_t shift = 0; shift < 4; shift++) {
        size_t n = 0;
        for (; n < shift; n++)
            text[n] = 'x';
        for (; n + 8 < sizeof text; n += 3)
            memcpy(text + n, "\u2603", 4);
        memcpy(text + n, &"yyyy"[shift], 5 - shift);
        ctkd__fail(&err, CTKD_EIO, "%s", text);
        assert_true(ctkd__text_is_utf8(err.message));
        assert_true(strlen(err.message) >= sizeof err.message - 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_writes_the_status_and_the_message),
        cmocka_unit_test(fail_takes_no_error_struct),
        cmocka_unit_test(a_message_is_one_line_whatever_it_quotes),
        cmocka_unit_test(a_long_name_in_latin_1_keeps_the_reason),
        cmocka_unit_test(what_is_said_is_a_line_as_errors_are),
        cmocka_unit_test(fail_within_puts_a_prefix_before),
        cmocka_unit_test(a_long_message_keeps_its_beginning_and_its_end),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
