#include <stdbool.h>

#include "ctkd/option.h"
#include "support/check.h"

struct config {
    float rate;
    int64_t steps;
    bool fast;
    int form;
    char *name;
};

static const char *const forms[] = { "plain", "fancy", NULL };

static const ctkd_option options[] = {
    CTKD_OPT_F32(struct config, rate, 0.25, 0, 1, "a rate"),
    CTKD_OPT_I64(struct config, steps, 3, -10, 1e19, "a count"),
    CTKD_OPT_BOOL(struct config, fast, 1, "a flag"),
    CTKD_OPT_CHOICE(struct config, form, 1, forms, "a form"),
    { "name", CTKD_OPTION_STRING, offsetof(struct config, name), 0, 0, 0, "x", NULL, "a name" },
    CTKD_OPT_END,
};

static void defaults_come_from_the_table(void **state)
{
    (void)state;
    struct config config = { 0 };
    ctkd_options_defaults(options, &config);
    assert_true(config.rate == 0.25f && config.steps == 3 && config.fast && config.form == 1);
    assert_null(config.name);
    ctkd_options_defaults(NULL, &config);
}

static void values_in_range_are_stored_in_their_fields(void **state)
{
    (void)state;
    struct config config;
    ctkd_options_defaults(options, &config);
    assert_int_equal(ctkd_option_set(options, &config, "rate", 1), CTKD_OK);
    assert_int_equal(ctkd_option_set(options, &config, "steps", -10), CTKD_OK);
    assert_int_equal(ctkd_option_set(options, &config, "fast", 0), CTKD_OK);
    assert_int_equal(ctkd_option_set(options, &config, "form", 0), CTKD_OK);
    assert_true(config.rate == 1 && config.steps == -10 && !config.fast && config.form == 0);
    assert_int_equal(ctkd_option_set(options, &config, "steps", 0x1p62), CTKD_OK);
    assert_true(config.steps == INT64_C(1) << 62);
}

static void wrong_values_and_names_are_refused_and_change_nothing(void **state)
{
    (void)state;
    struct config config, before;
    memset(&config, 0, sizeof config);
    ctkd_options_defaults(options, &config);
    before = config;
    const struct {
        const char *name;
        double value;
        ctkd_status expected;
    } cases[] = {
        { "rate", -0.1, CTKD_ERANGE },  { "rate", 1.1, CTKD_ERANGE },
        { "rate", NAN, CTKD_ERANGE },   { "rate", INFINITY, CTKD_ERANGE },
        { "steps", 0.5, CTKD_ERANGE },  { "steps", -11, CTKD_ERANGE },
        { "steps", NAN, CTKD_ERANGE },  { "steps", 0x1p63, CTKD_ERANGE },
        { "fast", 2, CTKD_ERANGE },     { "fast", 0.5, CTKD_ERANGE },
        { "form", 2, CTKD_ERANGE },     { "form", -1, CTKD_ERANGE },
        { "form", 0.5, CTKD_ERANGE },   { "form", NAN, CTKD_ERANGE },
        { "name", 1, CTKD_EINVAL },     { "nam", 1, CTKD_ENOTFOUND },
        { "rates", 1, CTKD_ENOTFOUND },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(ctkd_option_set(options, &config, cases[i].name, cases[i].value),
                         cases[i].expected);
    assert_int_equal(ctkd_option_set(options, NULL, "rate", 1), CTKD_EINVAL);
    assert_int_equal(ctkd_option_set(NULL, &config, "rate", 1), CTKD_ENOTFOUND);
    assert_memory_equal(&config, &before, sizeof config);
}

static void options_are_found_by_their_exact_name(void **state)
{
    (void)state;
    assert_ptr_equal(ctkd_option_find(options, "fast"), &options[2]);
    assert_null(ctkd_option_find(options, "fas"));
    assert_null(ctkd_option_find(options, NULL));
    assert_null(ctkd_option_find(NULL, "fast"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_come_from_the_table),
        cmocka_unit_test(values_in_range_are_stored_in_their_fields),
        cmocka_unit_test(wrong_values_and_names_are_refused_and_change_nothing),
        cmocka_unit_test(options_are_found_by_their_exact_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
