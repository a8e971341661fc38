#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctkd/option.h"
#include "lib/refuse.h"
#include "support/check.h"

static void numbers_are_written_as_printf_does(void **state)
{
    (void)state;
    const double values[] = { 0,
                              1,
                              -1,
                              0.5,
                              1e-3,
                              123456,
                              0.1f,
                              3.402823466e38,
                              1e-45,
                              1e300,
                              1e-300,
                              1e6,
                              1.5e7,
                              2.5e-5,
                              0.000123,
                              65536,
                              99999.96,
                              999999.6,
                              1e-4,
                              9.99999e-5,
                              -0.25,
                              5e-324,
                              1.7976931348623157e308,
                              123.456789 };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char ours[CTKD__NUMBER_BYTES], theirs[64];
        (void)ctkd__number_text(values[i], ours);
        (void)snprintf(theirs, sizeof theirs, "%.6g", values[i]);
        const double read = strtod(ours, NULL);
        check_close(read, strtod(theirs, NULL), 1e-5, 0);
        if (fabs(values[i]) < 1e5 && fabs(values[i]) > 1e-4)
            assert_string_equal(ours, theirs);
    }
    char text[CTKD__NUMBER_BYTES];
    assert_string_equal(ctkd__number_text(NAN, text), "nan");
    assert_string_equal(ctkd__number_text(-INFINITY, text), "-inf");
    assert_string_equal(ctkd__number_text(9007199254740992.0 / 16, text), "562949953421312");
}

static void numbers_are_read_in_every_locale(void **state)
{
    (void)state;
    const char *const good[] = { "0",
                                 "-0.5",
                                 "+1",
                                 "1e-3",
                                 "1E+10",
                                 "12345678901234567890",
                                 ".5",
                                 "5.",
                                 "1e5",
                                 "0.1",
                                 "3.4e38",
                                 "1e-45",
                                 "0.0005",
                                 "1e400",
                                 "1e-400",
                                 "0.00000000000000000000000000000000001",
                                 "123456789012345678901e-20" };
    (void)setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is installed */
    double ours;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(ctkd__number_read(good[i], &ours));
        (void)setlocale(LC_ALL, "C");
        const double theirs = strtod(good[i], NULL);
        if (isfinite(theirs))
            check_close(ours, theirs, 1e-15, 0);
        else
            assert_true(ours == theirs);
    }
    const char *const bad[] = { "",     "-",  ".",  "e5",  "1e",  "1e+",  "1,5",
                                "0x10", " 1", "1 ", "nan", "inf", "1..2", "--1" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(ctkd__number_read(bad[i], &ours));
}

static void a_long_message_is_cut(void **state)
{
    (void)state;
    ctkd_error err;
    char part[300];
    memset(part, 'x', sizeof part - 1);
    part[sizeof part - 1] = 0;
    assert_int_equal(CTKD__REFUSE(&err, CTKD_EIO, part, part), CTKD_EIO);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_int_equal(err.status, CTKD_EIO);
    assert_int_equal(CTKD__REFUSE(NULL, CTKD_ENAN, "unread"), CTKD_ENAN);
}

/* --- options from text (option_text.c) */

struct config {
    float rate;
    int64_t count;
    bool on;
    int kind;
};
static const char *const kinds[] = { "round", "square", NULL };
static const ctkd_option options[] = {
    CTKD_OPT_F32(struct config, rate, 0.5, 0, 2, ""),
    CTKD_OPT_I64(struct config, count, 3, 1, 9, ""),
    CTKD_OPT_BOOL(struct config, on, 1, ""),
    CTKD_OPT_CHOICE(struct config, kind, 0, kinds, ""),
    CTKD_OPT_END,
};

static void options_are_set_from_text(void **state)
{
    (void)state;
    struct config c;
    ctkd_error err;
    ctkd_options_defaults(options, &c);
    check_ok(ctkd_option_set_text(options, &c, "rate", "1.25", &err), &err);
    check_ok(ctkd_option_set_text(options, &c, "count", "7", &err), &err);
    check_ok(ctkd_option_set_text(options, &c, "on", "false", &err), &err);
    check_ok(ctkd_option_set_text(options, &c, "kind", "square", &err), &err);
    assert_true(c.rate == 1.25f && c.count == 7 && !c.on && c.kind == 1);
    check_ok(ctkd_option_set_text(options, &c, "on", "1", NULL), &err);
    assert_true(c.on);
}

static void a_wrong_text_says_what_is_expected(void **state)
{
    (void)state;
    const struct {
        const char *name, *text;
        ctkd_status status;
        const char *message;
    } wrong[] = {
        { "rate", "3", CTKD_ERANGE, "rate: found \"3\", expected a number from 0 to 2" },
        { "rate", "fast", CTKD_ERANGE, "rate: found \"fast\", expected a number from 0 to 2" },
        { "count", "2.5", CTKD_ERANGE, "count: found \"2.5\", expected an integer from 1 to 9" },
        { "on", "yes", CTKD_ERANGE, "on: found \"yes\", expected true or false" },
        { "kind", "oval", CTKD_ERANGE, "kind: found \"oval\", expected one of round, square" },
        { "coutn", "1", CTKD_ENOTFOUND, "unknown option \"coutn\"; did you mean \"count\"?" },
        { "temperature", "1", CTKD_ENOTFOUND, "unknown option \"temperature\"" },
    };
    struct config c;
    memset(&c, 0, sizeof c);
    ctkd_options_defaults(options, &c);
    const struct config before = c;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ctkd_error err;
        assert_int_equal(ctkd_option_set_text(options, &c, wrong[i].name, wrong[i].text, &err),
                         wrong[i].status);
        assert_string_equal(err.message, wrong[i].message);
        assert_memory_equal(&c, &before, sizeof c);
    }
    assert_int_equal(ctkd_option_set_text(options, &c, NULL, "1", NULL), CTKD_EINVAL);
    assert_int_equal(ctkd_option_set_text(options, &c, "rate", NULL, NULL), CTKD_EINVAL);
    assert_int_equal(ctkd_option_set_text(options, NULL, "rate", "1", NULL), CTKD_EINVAL);
}

/* --- structs of other versions */

static void a_struct_of_another_version_is_read_as_far_as_it_goes(void **state)
{
    (void)state;
    const int32_t from[4] = { 1, 2, 3, 0 };
    int32_t own[3] = { 9, 9, 9 };
    assert_int_equal(ctkd__struct_read(own, 12, 8, from, 8), CTKD_OK); /* older: the rest is 0 */
    assert_true(own[0] == 1 && own[1] == 2 && own[2] == 0);
    assert_int_equal(ctkd__struct_read(own, 12, 8, from, 0), CTKD_OK); /* 0: the first version */
    assert_true(own[1] == 2 && own[2] == 0);
    assert_int_equal(ctkd__struct_read(own, 12, 8, from, 16), CTKD_OK); /* newer, but unused */
    assert_true(own[2] == 3);
    assert_int_equal(ctkd__struct_read(own, 8, 8, from, 12), CTKD_EUNSUPPORTED);
    assert_int_equal(ctkd__struct_read(own, 12, 8, from, 4), CTKD_EINVAL);
}

static void a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    char name[1024] = "xxx";
    for (size_t n = 3; n + 3 < sizeof name; n += 3)
        memcpy(name + n, "\u2603", 4);
    for (size_t shift = 0; shift < 4; shift++) {
        ctkd_error err;
        (void)CTKD__REFUSE(&err, CTKD_ENOTFOUND, "method: ", name + shift);
        const size_t length = strlen(err.message);
        assert_true(length >= sizeof err.message - 4);
        assert_int_equal((length - strlen("method: xxx") + shift) % 3, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_as_printf_does),
        cmocka_unit_test(numbers_are_read_in_every_locale),
        cmocka_unit_test(a_long_message_is_cut),
        cmocka_unit_test(options_are_set_from_text),
        cmocka_unit_test(a_wrong_text_says_what_is_expected),
        cmocka_unit_test(a_struct_of_another_version_is_read_as_far_as_it_goes),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
