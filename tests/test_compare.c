/* Arms against a reference: which seeds are paired, and what is said of the numbers. */
#include <stdio.h>
#include <stdlib.h>

#include "report/compare.h"
#include "support/check.h"

static const struct ctkd__compare_options options = { .level = 0.05,
                                                      .power = 0.8,
                                                      .margin = 0.3,
                                                      .draws = 2000,
                                                      .metric = "test_top1",
                                                      .choice = "last epoch" };

static const int64_t seeds[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
static const double base[] = { 70.1, 70.5, 69.9, 70.3, 70.7, 70.0, 70.4, 70.2 };
static const double better[] = { 70.6, 70.9, 70.5, 70.8, 71.3, 70.4, 70.9, 70.8 };
static const double alike[] = { 70.3, 70.2, 70.0, 70.1, 70.9, 69.8, 70.6, 70.1 };

static void seeds_of_both_arms_are_paired(void **state)
{
    (void)state;
    const int64_t others[] = { 9, 3, 1, 7 };
    const double values[] = { 99, 70.9, 71.1, 71.4 };
    const struct ctkd__compared_arm arms[] = { { "kd", seeds, base, 8, 0 },
                                               { "ctkd", others, values, 4, 2 } };
    struct ctkd__comparison out[2];
    ctkd_error err = { 0 };
    check_ok(ctkd__compare(arms, 2, &options, out, &err), &err);
    assert_int_equal(out[1].arm.n, 4);
    assert_int_equal(out[1].difference.n, 3); /* 9 has no partner */
    check_close(out[1].difference.mean, 1.0, 1e-12, 0);
    assert_int_equal(out[1].wins, 3);
    assert_int_equal(out[1].unfinished, 2);
    check_close(out[1].p_flip, 2.0 / 8, 1e-12, 0);
    assert_int_equal(out[0].difference.n, 0);
    check_close(out[0].least, 69.9, 1e-12, 0);
    check_close(out[0].most, 70.7, 1e-12, 0);
}

static const char *verdict(const double *values, size_t n)
{
    static char text[640];
    const struct ctkd__compared_arm arms[] = { { "kd", seeds, base, n, 0 },
                                               { "arm", seeds, values, n, 0 } };
    struct ctkd__comparison out[2];
    ctkd_error err = { 0 };
    check_ok(ctkd__compare(arms, 2, &options, out, &err), &err);
    return ctkd__compare_verdict(&out[1], "kd", &options, text, sizeof text);
}

static void the_verdict_says_what_the_numbers_allow(void **state)
{
    (void)state;
    const char *text = verdict(better, 8);
    if (strncmp(text, "8 seeds: arm is 0.51 above kd (95 %: ", 37) != 0 ||
        !strstr(text, "p 0.0078"))
        fail_msg("%s", text);
    text = verdict(alike, 8);
    if (strncmp(text, "8 seeds: not distinguishable from kd (difference -0.01, 95 %: ", 62) != 0 ||
        !strstr(text, "; 8 seeds detect 0.2"))
        fail_msg("%s", text);
    text = verdict(better, 4);
    if (strncmp(text,
                "4 seeds are too few for the exact test, whose p cannot fall below 0.12:", 71))
        fail_msg("%s", text);
    text = verdict(better, 1);
    if (strncmp(text, "On the one seed in common arm is 0.50 above kd", 46) != 0)
        fail_msg("%s", text);
}

static void holm_counts_the_arms(void **state)
{
    (void)state;
    const struct ctkd__compared_arm arms[] = { { "kd", seeds, base, 8, 0 },
                                               { "a", seeds, better, 8, 0 },
                                               { "b", seeds, alike, 8, 0 } };
    struct ctkd__comparison out[3];
    assert_int_equal(ctkd__compare(arms, 3, &options, out, NULL), CTKD_OK);
    check_close(out[1].p_holm, 2 * out[1].p_flip, 1e-12, 0);
    check_close(out[2].p_holm, out[2].p_flip, 1e-12, 0);
}

static void what_cannot_be_compared_is_named(void **state)
{
    (void)state;
    const int64_t other[] = { 11, 12 };
    struct ctkd__comparison out[2];
    ctkd_error err = { 0 };
    struct ctkd__compared_arm arms[] = { { "kd", seeds, base, 8, 0 }, { "x", other, base, 2, 0 } };
    assert_int_equal(ctkd__compare(arms, 2, &options, out, &err), CTKD_EINVAL);
    assert_string_equal(err.message, "x and kd have no seed in common, expected at least one");
    arms[1].n = 0;
    assert_int_equal(ctkd__compare(arms, 2, &options, out, &err), CTKD_EINVAL);
    assert_string_equal(err.message, "x: found no finished run, expected at least one");
    assert_int_equal(ctkd__compare(arms, 1, &options, out, &err), CTKD_EINVAL);
}

/* Every form has a row for each arm, and the columns of a row are as many as those of its head. */
static void every_form_has_a_row_for_each_arm(void **state)
{
    (void)state;
    const struct ctkd__compared_arm arms[] = { { "k_d~\\", seeds, base, 8, 0 },
                                               { "a", seeds, better, 8, 0 } };
    struct ctkd__comparison out[2];
    assert_int_equal(ctkd__compare(arms, 2, &options, out, NULL), CTKD_OK);
    const char *const separators[] = { NULL, "|", "&", ",", NULL };
    for (int format = CTKD__COMPARE_TEXT; format <= CTKD__COMPARE_JSON; format++) {
        char *text = NULL;
        size_t size = 0;
        FILE *const stream = open_memstream(&text, &size);
        assert_non_null(stream);
        assert_int_equal(
            ctkd__compare_write(out, 2, &options, (enum ctkd__compare_format)format, stream, NULL),
            CTKD_OK);
        fclose(stream);
        assert_non_null(strstr(text, format == CTKD__COMPARE_LATEX
                                         ? "k\\_d\\textasciitilde{}\\textbackslash{} &"
                                         : "k_d~"));
        assert_non_null(strstr(text, "test_top1"));
        assert_non_null(strstr(text, "last epoch"));
        assert_null(strstr(text, "nan"));
        size_t wanted = 0, rows = 0;
        for (char *line = strtok(text, "\n"); line && separators[format];
             line = strtok(NULL, "\n")) {
            size_t found = 0;
            for (const char *at = line; *at; at++)
                found += *at == separators[format][0];
            if (found == 0)
                continue;
            assert_true(wanted == 0 || found == wanted);
            wanted = found;
            rows++;
        }
        assert_true(!separators[format] || rows >= 3);
        free(text);
    }
}

static void a_name_does_not_end_a_cell_of_markdown(void **state)
{
    (void)state;
    const struct ctkd__compared_arm arms[] = { { "kd", seeds, base, 8, 0 },
                                               { "a|b", seeds, better, 8, 0 } };
    struct ctkd__comparison out[2];
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(ctkd__compare(arms, 2, &options, out, NULL), CTKD_OK);
    FILE *const stream = open_memstream(&text, &size);
    assert_non_null(stream);
    assert_int_equal(ctkd__compare_write(out, 2, &options, CTKD__COMPARE_MARKDOWN, stream, NULL),
                     CTKD_OK);
    fclose(stream);
    assert_non_null(strstr(text, "| a\\|b"));
    free(text);
}

static void of_a_loss_the_lower_arm_wins(void **state)
{
    (void)state;
    struct ctkd__compare_options losses = options;
    losses.less_is_better = true;
    const struct ctkd__compared_arm arms[] = { { "kd", seeds, base, 8, 0 },
                                               { "a", seeds, better, 8, 0 } };
    struct ctkd__comparison out[2];
    assert_int_equal(ctkd__compare(arms, 2, &losses, out, NULL), CTKD_OK);
    assert_int_equal(out[1].wins, 0);
    assert_int_equal(ctkd__compare(arms, 2, &options, out, NULL), CTKD_OK);
    assert_int_equal(out[1].wins, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_of_both_arms_are_paired),
        cmocka_unit_test(the_verdict_says_what_the_numbers_allow),
        cmocka_unit_test(holm_counts_the_arms),
        cmocka_unit_test(what_cannot_be_compared_is_named),
        cmocka_unit_test(every_form_has_a_row_for_each_arm),
        cmocka_unit_test(a_name_does_not_end_a_cell_of_markdown),
        cmocka_unit_test(of_a_loss_the_lower_arm_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
