#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"
#include "util/text.h"

static void only_utf8_without_controls_is_a_line(void **state)
{
    (void)state;
    const char *const good[] = { "", "plain", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\xb8" };
    const char *const bad[] = {
        "\x80",     "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3",
        "\xe2\x82", "\x1b",     "a\tb",         "\xc2\x85",     "\xe2\x80\xa8",     "\x7f"
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(ctkd__text_is_line(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(ctkd__text_is_line(bad[i]));
}

static void utf8_may_have_controls(void **state)
{
    (void)state;
    assert_true(ctkd__text_is_utf8("a\tb\n\xc3\xa9"));
    assert_false(ctkd__text_is_utf8("a\xff"));
}

static void edits_are_counted(void **state)
{
    (void)state;
    char longest[65] = "";
    memset(longest, 'x', 64);
    assert_int_equal(ctkd__edit_distance("kitten", "sitting"), 3);
    assert_int_equal(ctkd__edit_distance("", "abc"), 3);
    assert_int_equal(ctkd__edit_distance("abc", "abc"), 0);
    assert_true(ctkd__edit_distance("abc", longest) == SIZE_MAX);
    assert_false(ctkd__is_near("abc", SIZE_MAX));
    assert_true(ctkd__is_near("abc", 1));
    assert_false(ctkd__is_near("abc", 2));
}

/* The text as it is written behind a heading. */
static void check_wrapped(const char *heading, const char *text, size_t indent,
                          const char *expected)
{
    char *found = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&found, &bytes);
    fputs(heading, out);
    ctkd__text_wrap(text, indent, strlen(heading), out);
    fclose(out);
    assert_string_equal(found, expected);
    free(found);
}

static void text_is_wrapped_at_80(void **state)
{
    (void)state;
    char eighty[82], expected[200];
    memset(eighty, 'x', 81);
    eighty[39] = ' ';
    eighty[80] = '\0'; /* two words that fill a line */
    snprintf(expected, sizeof expected, "%s\n", eighty);
    check_wrapped("", eighty, 0, expected);
    snprintf(expected, sizeof expected, " %.39s\n %s\n", eighty, eighty + 40);
    check_wrapped("", eighty, 1, expected);
    eighty[39] = 'x';
    snprintf(expected, sizeof expected, "  a\n  %s\n  b\n", eighty);
    char long_word[100];
    snprintf(long_word, sizeof long_word, "a %s b", eighty);
    check_wrapped("", long_word, 2, expected); /* is not broken */
    check_wrapped("head", "text of two\nlines", 6, "head  text of two lines\n");
    check_wrapped("heading ", "text", 8, "heading text\n");
    check_wrapped("a long heading", "text", 4, "a long heading\n    text\n");
    check_wrapped("", "", 4, "\n");
}

static void a_word_is_quoted_for_a_shell_where_it_needs_it(void **state)
{
    (void)state;
    char out[64];
    assert_string_equal(ctkd__text_shell("runs/a-1.yaml", out, sizeof out), "runs/a-1.yaml");
    assert_string_equal(ctkd__text_shell("", out, sizeof out), "''");
    assert_string_equal(ctkd__text_shell("my run", out, sizeof out), "'my run'");
    assert_string_equal(ctkd__text_shell("it's $x", out, sizeof out), "'it'\\''s $x'");
    for (size_t bytes = 1; bytes < 12; bytes++) {
        memset(out, 'x', sizeof out);
        assert_true(strlen(ctkd__text_shell("it's $x", out, bytes)) < bytes);
        assert_int_equal(out[bytes], 'x');
    }
}

static void the_last_part_of_a_path_has_no_slashes(void **state)
{
    (void)state;
    static const char *const cases[][2] = { { "a/b", "b" }, { "a/b//", "b" },
                                            { "b", "b" },   { "/", "" },
                                            { "", "" },     { "a/abcdefghij", "abcdefg" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[8];
        ctkd__last_part(cases[i][0], out, sizeof out);
        assert_string_equal(out, cases[i][1]);
    }
}

static void what_is_appended_is_cut_at_the_end_of_the_room(void **state)
{
    char text[8] = "";
    size_t used = 0;
    (void)state;
    ctkd__text_append(text, sizeof text, &used, "%s %d", "ab", 12);
    assert_string_equal(text, "ab 12");
    assert_int_equal(used, 5);
    ctkd__text_append(text, sizeof text, &used, "cd");
    assert_string_equal(text, "ab 12cd");
    assert_int_equal(used, 7);
    ctkd__text_append(text, sizeof text, &used, "ef");
    assert_string_equal(text, "ab 12cd");
    assert_int_equal(used, 9); /* not all has room */
    ctkd__text_append(text, sizeof text, &used, "gh");
    assert_string_equal(text, "ab 12cd");
}

static void a_text_is_cut_where_a_character_ends(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t most;
        int expected;
    } cases[] = { { "abc", 3, 3 },
                  { "abcd", 3, 3 },
                  { "ab\xc3\xa4", 3, 2 },
                  { "ab\xc3\xa4", 4, 4 },
                  { "a\xf0\x9f\x8c\xb1z", 4, 1 },
                  { "a\xf0\x9f\x8c\xb1z", 5, 5 },
                  { "", 3, 0 },
                  { "\xe2\x82\xac", 0, 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(ctkd__text_cut(cases[i].text, cases[i].most), cases[i].expected);
}

static void a_line_escapes_controls_and_what_is_no_character(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" }, /* whole characters stay */
        { "a\nb\x7f", "a\\x0Ab\\x7F" },
        { "\xc2\x9b[31m", "\\xC2\\x9B[31m" },         /* a control sequence in one character */
        { "'\xe2\x82', rest", "'\\xE2\\x82', rest" }, /* cut behind its second byte */
        { "caf\xe9.jpg", "caf\\xE9.jpg" },            /* Latin-1 */
        { "\x80\x80z", "\\x80\\x80z" },
        { "\xf0\x9f\x8c", "\\xF0\\x9F\\x8C" },
        { "", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        ctkd__text_line(cases[i][0], text, sizeof text);
        assert_string_equal(text, cases[i][1]);
    }
    /* Cut in front of what does not fit. */
    static const char *const cut[] = {
        "", "a", "a", "a", "a", "a\\xE9", "a\\xE9", "a\\xE9\xc3\xbc"
    };
    for (size_t n = 0; n < sizeof cut / sizeof *cut; n++) {
        char text[64] = "#########";
        ctkd__text_line("a\xe9\xc3\xbc", text, n + 1);
        assert_string_equal(text, cut[n]);
    }
}

static void a_cell_counts_characters(void **state)
{
    (void)state;
    static const struct {
        const char *text, *cell; /* of three columns */
        size_t columns;
    } cases[] = { { "", "   ", 0 },
                  { "ab", "ab ", 2 },
                  { "abcd", "abc", 4 },
                  { "\u00e4b", "\u00e4b ", 2 },
                  { "\u00e4\u20ac\u00e4\u00e4", "\u00e4\u20ac\u00e4", 4 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32] = "";
        FILE *const out = fmemopen(text, sizeof text, "w");
        assert_non_null(out);
        ctkd__text_cell(cases[i].text, 3, out);
        fclose(out);
        assert_string_equal(text, cases[i].cell);
        assert_int_equal(ctkd__text_columns(cases[i].text), cases[i].columns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_appended_is_cut_at_the_end_of_the_room),
        cmocka_unit_test(the_last_part_of_a_path_has_no_slashes),
        cmocka_unit_test(only_utf8_without_controls_is_a_line),
        cmocka_unit_test(utf8_may_have_controls),
        cmocka_unit_test(a_text_is_cut_where_a_character_ends),
        cmocka_unit_test(a_line_escapes_controls_and_what_is_no_character),
        cmocka_unit_test(a_cell_counts_characters),
        cmocka_unit_test(edits_are_counted),
        cmocka_unit_test(text_is_wrapped_at_80),
        cmocka_unit_test(a_word_is_quoted_for_a_shell_where_it_needs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
