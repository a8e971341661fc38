#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"
#include "util/options.h"

struct config {
    float tau, lr;
    int64_t batch, seed;
    bool force;
    int kind;
    char *dir, *name;
};
static const char *const kinds[] = { "fixed", "global", "instance", NULL };
static const ctkd_option options[] = {
    { "temperature.tau", CTKD_OPTION_F32, offsetof(struct config, tau), 4, 0.1, 100, NULL, NULL,
      "the temperature" },
    { "temperature.kind", CTKD_OPTION_CHOICE, offsetof(struct config, kind), 1, 0, 0, NULL, kinds,
      "where the temperature comes from" },
    { "train.batch", CTKD_OPTION_I64, offsetof(struct config, batch), 64, 1, 65536, NULL, NULL,
      "images per step" },
    { "train.seed", CTKD_OPTION_I64, offsetof(struct config, seed), 0, 0, 9007199254740992., NULL,
      NULL, "seed" },
    { "run.dir", CTKD_OPTION_PATH, offsetof(struct config, dir), 0, 0, 0, "runs", NULL, "folder" },
    { "run.name", CTKD_OPTION_STRING, offsetof(struct config, name), 0, 0, 0, NULL, NULL, "name" },
    { "run.force", CTKD_OPTION_BOOL, offsetof(struct config, force), 0, 0, 1, NULL, NULL,
      "overwrite" },
    CTKD_OPT_END,
};
static const ctkd_option optimizer_options[] = {
    CTKD_OPT_F32(struct config, lr, 0.05, 0, 0.7, "learning rate"),
    CTKD_OPT_END,
};
static const struct ctkd__alias aliases[] = {
    { "--kd_T", "temperature.tau", NULL, NULL },
    { "--instance", "temperature.kind", "instance", "published name" },
    { NULL, NULL, NULL, NULL },
};

/* Two sections over one config, as the trainer's tables are. */
struct fixture {
    struct config config;
    struct ctkd__section items[3];
    struct ctkd__sections sections;
};

static void fixture_init(struct fixture *f)
{
    ctkd_error err;
    *f = (struct fixture){ 0 };
    f->items[0] = (struct ctkd__section){ "", options, &f->config, NULL };
    f->items[1] = (struct ctkd__section){ "method.none.", NULL, NULL, NULL };
    f->items[2] = (struct ctkd__section){ "optimizer.", optimizer_options, &f->config, NULL };
    f->sections = (struct ctkd__sections){ f->items, 3, NULL };
    check_ok(ctkd__sections_defaults(f->sections, &err), &err);
}

static ctkd_error set(struct fixture *f, const char *key, const char *value)
{
    ctkd_error err = { .status = CTKD_OK };
    const ctkd_status status = ctkd__sections_set(f->sections, "command line", key, value, &err);
    assert_int_equal(status, err.status);
    return err;
}

static void defaults_fill_every_field(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_true(f.config.tau == 4.0f && f.config.lr == 0.05f && !f.config.force);
    assert_int_equal(f.config.batch, 64);
    assert_int_equal(f.config.kind, 1);
    assert_string_equal(f.config.dir, "runs");
    assert_string_equal(f.config.name, "");
    ctkd__sections_fini(f.sections);
    assert_null(f.config.dir);
}

static void every_type_is_set_from_text(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_int_equal(set(&f, "temperature.tau", "2.5e0").status, CTKD_OK);
    assert_int_equal(set(&f, "optimizer.lr", "0.1").status, CTKD_OK);
    assert_int_equal(set(&f, "train.batch", "65536").status, CTKD_OK);
    const char *const whole[] = { "10", "10.0", "1e1", "+10.",
                                  "0.1e2" }; /* as floats are written */
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        f.config.batch = 0;
        assert_int_equal(set(&f, "train.batch", whole[i]).status, CTKD_OK);
        assert_int_equal(f.config.batch, 10);
    }
    assert_int_equal(set(&f, "train.batch", "65536").status, CTKD_OK);
    assert_int_equal(set(&f, "train.seed", "9007199254740991").status, CTKD_OK);
    assert_int_equal(set(&f, "temperature.kind", "instance").status, CTKD_OK);
    assert_int_equal(set(&f, "run.dir", "a b: \"c\" \\ #\xc3\xa9").status, CTKD_OK);
    assert_true(f.config.tau == 2.5f && f.config.lr == 0.1f);
    assert_int_equal(f.config.batch, 65536);
    assert_int_equal(f.config.seed, 9007199254740991);
    assert_int_equal(f.config.kind, 2);
    assert_string_equal(f.config.dir, "a b: \"c\" \\ #\xc3\xa9");
    ctkd__sections_fini(f.sections);
}

static void booleans_have_eight_spellings(void **state)
{
    (void)state;
    const char *const words[] = { "false", "true", "no", "yes", "off", "ON", "0", "1" };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < 8; i++) {
        f.config.force = i % 2 == 0;
        assert_int_equal(set(&f, "run.force", words[i]).status, CTKD_OK);
        assert_int_equal(f.config.force, i % 2);
    }
    ctkd__sections_fini(f.sections);
}

static void bad_values_are_named_with_what_is_allowed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    const char *const bad_f32[] = { "",   "x",   "nan", "inf",  "1e99", "0x1p3", " 1",
                                    "1 ", "1,5", "4x",  "0.09", "101",  "--1",   "1e" };
    for (size_t i = 0; i < sizeof bad_f32 / sizeof bad_f32[0]; i++)
        assert_int_equal(set(&f, "temperature.tau", bad_f32[i]).status, CTKD_ERANGE);
    const char *const bad_i64[] = { "",   "0",    "65537", "1.5",  "1e5",  "99999999999999999999",
                                    " 7", "1.0.", "1e",    "0x10", "1e99", "9007199254740993.0" };
    for (size_t i = 0; i < sizeof bad_i64 / sizeof bad_i64[0]; i++)
        assert_int_equal(set(&f, "train.batch", bad_i64[i]).status, CTKD_ERANGE);
    assert_true(f.config.tau == 4.0f);
    assert_int_equal(f.config.batch, 64);
    assert_string_equal(
        set(&f, "train.batch", "0").message,
        "command line: train.batch: found 0, expected a whole number from 1 to 65536");
    assert_string_equal(
        set(&f, "optimizer.lr", "").message,
        "command line: optimizer.lr: found nothing, expected a number from 0 to 0.7");
    assert_string_equal(set(&f, "run.force", "2").message,
                        "command line: run.force: found 2, expected true or false");
    assert_string_equal(
        set(&f, "temperature.kind", "instanse").message,
        "command line: temperature.kind: found instanse, expected one of fixed, global, "
        "instance; did you mean instance?");
    assert_int_equal(set(&f, "run.dir", "two\nlines").status, CTKD_ERANGE);
    assert_int_equal(set(&f, "run.dir", "not utf-8 \xff").status, CTKD_ERANGE);
    assert_string_equal(f.config.dir, "runs");
    ctkd__sections_fini(f.sections);
}

static void an_unknown_key_names_the_nearest(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    const ctkd_error err = set(&f, "temperature.tua", "4");
    assert_int_equal(err.status, CTKD_ENOTFOUND);
    assert_string_equal(err.message, "command line: temperature.tua: unknown key, did you mean "
                                     "temperature.tau?");
    assert_string_equal(set(&f, "lr", "1").message,
                        "command line: lr: unknown key, did you mean optimizer.lr?");
    assert_string_equal(set(&f, "zzzzzzzz", "1").message, "command line: zzzzzzzz: unknown key");
    assert_string_equal(set(&f, "train", "1").message,
                        "command line: train: found a value, expected a map of keys");
    ctkd__sections_fini(f.sections);
}

static const ctkd_option theta_options[] = {
    CTKD_OPT_F32(struct config, lr, 0.05, 0, 0.7, "learning rate of the temperature"),
    CTKD_OPT_END,
};

/* The order is that of the distance, not of the table. */
static void keys_that_end_alike_are_all_offered(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct ctkd__section items[3] = { { "temperature.", theta_options, &f.config, NULL },
                                      f.items[2],
                                      { "", options, &f.config, NULL } };
    f.sections = (struct ctkd__sections){ items, 3, NULL };
    assert_string_equal(set(&f, "lr", "1").message,
                        "command line: lr: unknown key, did you mean optimizer.lr or "
                        "temperature.lr?");
    assert_string_equal(set(&f, "optimiser.lr", "1").message,
                        "command line: optimiser.lr: unknown key, did you mean optimizer.lr?");
    assert_string_equal(set(&f, "forse", "1").message,
                        "command line: forse: unknown key, did you mean run.force?");
    ctkd__sections_fini(f.sections);
}

static void a_path_may_begin_in_the_home_directory(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_int_equal(setenv("HOME", "/home/of me", 1), 0);
    static const char *const paths[][2] = {
        { "~/runs/x", "/home/of me/runs/x" },
        { "~", "/home/of me" },
        { "mnist:~/data", "mnist:/home/of me/data" },
        { "./~/x", "./~/x" },
        { "a~/x", "a~/x" },
        { "a:b:~/x", "a:b:~/x" },
        { "~/a:~/b", "/home/of me/a:~/b" },
        { "/a:~/b", "/a:~/b" },
        { "", "" },
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        for (size_t k = 0; k < 2; k++) { /* a recorded configuration is read again */
            assert_int_equal(set(&f, "run.dir", paths[i][k]).status, CTKD_OK);
            assert_string_equal(f.config.dir, paths[i][1]);
        }
    assert_string_equal(
        set(&f, "run.dir", "~no-such-user/x").message,
        "command line: run.dir: ~no-such-user/x: ~no-such-user names no user's home "
        "directory (for a file of that name, write ./~no-such-user)");
    assert_int_equal(set(&f, "run.dir", "~root/x").status, CTKD_OK);
    assert_true(f.config.dir[0] == '/');
    assert_int_equal(set(&f, "run.name", "~/x").status, CTKD_OK); /* a name is no path */
    assert_string_equal(f.config.name, "~/x");
    ctkd__sections_fini(f.sections);
}

static void reset_gives_the_default_of_every_type(void **state)
{
    (void)state;
    struct fixture f, untouched;
    fixture_init(&f);
    fixture_init(&untouched);
    static const char *const values[][2] = {
        { "temperature.tau", "2" }, { "temperature.kind", "fixed" },
        { "train.batch", "3" },     { "train.seed", "3" },
        { "run.dir", "x" },         { "run.name", "x" },
        { "run.force", "yes" },     { "optimizer.lr", "0.2" },
    };
    ctkd_error err = { 0 };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_int_equal(set(&f, values[i][0], values[i][1]).status, CTKD_OK);
        check_ok(ctkd__sections_reset(f.sections, "here", values[i][0], &err), &err);
    }
    assert_string_equal(f.config.dir, untouched.config.dir);
    assert_string_equal(f.config.name, "");
    assert_true(f.config.tau == 4.0f && f.config.lr == 0.05f && !f.config.force);
    assert_int_equal(f.config.batch, 64);
    assert_int_equal(f.config.seed, 0);
    assert_int_equal(f.config.kind, 1);
    assert_int_equal(ctkd__sections_reset(f.sections, "here", "run.nam", &err), CTKD_ENOTFOUND);
    ctkd__sections_fini(f.sections);
    ctkd__sections_fini(untouched.sections);
}

static void nearest_knows_when_nothing_is_near(void **state)
{
    (void)state;
    assert_string_equal(ctkd__nearest("gloabl", kinds), "global");
    assert_null(ctkd__nearest("elephant", kinds));
}

static void help_shows_range_default_and_aliases(void **state)
{
    (void)state;
    struct fixture f;
    char *text = NULL;
    size_t bytes = 0;
    fixture_init(&f);
    FILE *out = open_memstream(&text, &bytes);
    ctkd__sections_help(f.sections, aliases, NULL, out);
    fclose(out);
    assert_non_null(strstr(text, "  temperature.tau (a number from 0.1 to 100; default 4)\n"
                                 "      the temperature; also --kd_T\n"));
    assert_non_null(strstr(text, "(one of fixed, global, instance; default global)\n"));
    assert_non_null(strstr(text, "; also --instance for instance (published\n      name)\n"));
    assert_non_null(strstr(text, "  optimizer.lr ("));
    assert_non_null(strstr(text, "; default \"runs\")\n"));
    free(text);
    ctkd__sections_fini(f.sections);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_every_field),
        cmocka_unit_test(every_type_is_set_from_text),
        cmocka_unit_test(booleans_have_eight_spellings),
        cmocka_unit_test(bad_values_are_named_with_what_is_allowed),
        cmocka_unit_test(an_unknown_key_names_the_nearest),
        cmocka_unit_test(keys_that_end_alike_are_all_offered),
        cmocka_unit_test(a_path_may_begin_in_the_home_directory),
        cmocka_unit_test(reset_gives_the_default_of_every_type),
        cmocka_unit_test(nearest_knows_when_nothing_is_near),
        cmocka_unit_test(help_shows_range_default_and_aliases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
