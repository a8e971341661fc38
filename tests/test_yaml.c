#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "support/check.h"
#include "support/scratch.h"
#include "util/options.h"

struct config {
    float tau_min, lr;
    int64_t batch;
    bool force;
    int kind;
    char *dir, *milestones;
};
static const char *const kinds[] = { "fixed", "global", "instance", NULL };
static const ctkd_option options[] = {
    { "temperature.tau_min", CTKD_OPTION_F32, offsetof(struct config, tau_min), 1, 0.1, 100, NULL,
      NULL, "" },
    { "train.batch", CTKD_OPTION_I64, offsetof(struct config, batch), 64, 1, 65536, NULL, NULL,
      "" },
    { "temperature.kind", CTKD_OPTION_CHOICE, offsetof(struct config, kind), 1, 0, 0, NULL, kinds,
      "" },
    { "run.dir", CTKD_OPTION_STRING, offsetof(struct config, dir), 0, 0, 0, "runs", NULL, "" },
    { "run.force", CTKD_OPTION_BOOL, offsetof(struct config, force), 0, 0, 1, NULL, NULL, "" },
    { "milestones", CTKD_OPTION_STRING, offsetof(struct config, milestones), 0, 0, 0, "150,180",
      NULL, "" },
    CTKD_OPT_END,
};
static const ctkd_option deep_options[] = {
    CTKD_OPT_F32(struct config, lr, 0.05, 0, 0.7, ""),
    CTKD_OPT_END,
};

/* The section "run" has keys of today too, "old" has not. */
static const struct ctkd__former_key former[] = {
    { "run.form", "exact" },
    { "old.a.form", "1" },
    { NULL, NULL },
};

struct fixture {
    struct config config;
    struct ctkd__section items[2];
    struct ctkd__sections sections;
};

static void fixture_init(struct fixture *f)
{
    ctkd_error err;
    f->items[0] = (struct ctkd__section){ "", options, &f->config, NULL };
    f->items[1] = (struct ctkd__section){ "temperature.a.b.", deep_options, &f->config, NULL };
    f->sections = (struct ctkd__sections){ f->items, 2, former };
    check_ok(ctkd__sections_defaults(f->sections, &err), &err);
}

static ctkd_error read_path(struct fixture *f, const char *path)
{
    ctkd_error err = { .status = CTKD_OK };
    const ctkd_status status = ctkd__sections_read_yaml(f->sections, path, &err);
    assert_int_equal(status, err.status);
    return err;
}

static ctkd_error read_text(struct fixture *f, const char *text)
{
    return read_path(f, scratch_text("c.yaml", text));
}

/* The text is refused with a message that ends so (the folder before it has a random name). */
static void check_refused(const char *text, const char *message)
{
    struct fixture f;
    fixture_init(&f);
    const ctkd_error err = read_text(&f, text);
    if (!strstr(err.message, message) || err.status == CTKD_OK)
        fail_msg("%s: \"%s\", expected \"%s\"", text, err.message, message);
    assert_true(strlen(strstr(err.message, message)) == strlen(message));
    ctkd__sections_fini(f.sections);
}

static void nested_maps_lists_and_dotted_keys_are_read(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    ctkd_error err = read_text(&f, "# a comment\n"
                                   "temperature:\n"
                                   "  tau_min: 2.5\n"
                                   "  a: {b: {lr: 0.7}}\n"
                                   "train.batch: 128\n"
                                   "run:\n"
                                   "  dir: \"a: b\"\n"
                                   "  force: yes\n"
                                   "milestones: [150, 180, 210]\n");
    check_ok(err.status, &err);
    assert_true(f.config.tau_min == 2.5f && f.config.lr == 0.7f && f.config.force);
    assert_int_equal(f.config.batch, 128);
    assert_string_equal(f.config.dir, "a: b");
    assert_string_equal(f.config.milestones, "150,180,210");
    err = read_text(&f, "milestones: []\nrun:\n");
    check_ok(err.status, &err);
    assert_string_equal(f.config.milestones, "");
    err = read_text(&f, "");
    check_ok(err.status, &err);
    err = read_text(&f, "---\n# nothing\n");
    check_ok(err.status, &err);
    ctkd__sections_fini(f.sections);
}

/* Each over a base that sets the key: the default comes back, as if nobody had set it. */
static void nothing_is_the_default_of_its_key(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    scratch_text("set.yaml", "temperature: {tau_min: 3, kind: fixed, a.b.lr: 0.1}\n"
                             "train: {batch: 3}\nrun: {dir: x, force: true}\nmilestones: [3]\n");
    static const char *const words[] = { "~", "null", "Null", "NULL", "" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char text[512];
        const char *w = words[i];
        snprintf(text, sizeof text,
                 "base: set.yaml\ntemperature.tau_min: %s\ntemperature.kind: %s\n"
                 "temperature.a.b.lr: %s\ntrain.batch: %s\nrun.dir: %s\nrun.force: %s\n"
                 "milestones: %s\n",
                 w, w, w, w, w, w, w);
        ctkd_error err = read_text(&f, text);
        check_ok(err.status, &err);
        assert_true(f.config.tau_min == 1.0f && f.config.lr == 0.05f && !f.config.force);
        assert_int_equal(f.config.batch, 64);
        assert_int_equal(f.config.kind, 1);
        assert_string_equal(f.config.dir, "runs");
        assert_string_equal(f.config.milestones, "150,180");
    }
    ctkd_error err = read_text(&f, "base: ~\nrun: null\nmilestones: \"~\"\n"); /* quoted: text */
    check_ok(err.status, &err);
    assert_string_equal(f.config.milestones, "~");
    check_refused("milestones: [~, 3]\n",
                  "c.yaml:1: milestones: found an empty list item, expected a value");
    ctkd__sections_fini(f.sections);
}

static void a_former_key_is_read_with_the_value_that_asked_for_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    ctkd_error err = read_text(&f, "run:\n  form: exact\n  dir: x\n"
                                   "old:\n  a:\n    form: '1'\ntrain.batch: 3\n");
    check_ok(err.status, &err);
    assert_string_equal(f.config.dir, "x");
    assert_int_equal(f.config.batch, 3);
    ctkd__sections_fini(f.sections);
    check_refused("run: {form: epsilon}\n",
                  "c.yaml:1: run.form: unknown key, did you mean run.force?");
    check_refused("run: {form: [exact]}\n",
                  "c.yaml:1: run.form: unknown key, did you mean run.force?");
    check_refused("old: {a: {form: 2}}\n", "c.yaml:1: old.a.form: unknown key");
    check_refused("old: {a: {force: 1}}\n",
                  "c.yaml:1: old.a.force: unknown key, did you mean run.force?");
    check_refused("old: 1\n", "c.yaml:1: old: unknown key");
    check_refused("old: {a: {form: 1}, a: {form: 1}}\n",
                  "c.yaml:1: old.a: already set in this file");
}

static void base_files_may_lie_in_the_home_directory(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char home[1024];
    snprintf(home, sizeof home, "%s", scratch_text("home.yaml", "train: {batch: 10}\n"));
    *strrchr(home, '/') = '\0';
    assert_int_equal(setenv("HOME", home, 1), 0);
    const ctkd_error err = read_text(&f, "base: ~/home.yaml\n");
    check_ok(err.status, &err);
    assert_int_equal(f.config.batch, 10);
    ctkd__sections_fini(f.sections);
    check_refused(
        "base: ~no-such-user/x.yaml\n",
        "c.yaml: base: ~no-such-user/x.yaml: ~no-such-user names no user's home directory "
        "(for a file of that name, write ./~no-such-user)");
}

static void errors_name_line_and_key(void **state)
{
    (void)state;
    check_refused("\n\ntemperature:\n  tau_mim: 3\n",
                  "c.yaml:4: temperature.tau_mim: unknown key, did you mean temperature.tau_min?");
    check_refused("train: {batch: 0}",
                  "c.yaml:1: train.batch: found 0, expected a whole number from 1 to 65536");
    check_refused("train:\n  batch: {a: 1}\n",
                  "c.yaml:2: train.batch: found a map, expected a value");
    check_refused("train: 3\n", "c.yaml:1: train: found a value, expected a map of keys");
    check_refused("train: [3]\n", "c.yaml:1: train: found a list, expected a map of keys");
    check_refused("train: {batch: [3, 4]}\n",
                  "c.yaml:1: train.batch: found a list, expected a whole number from 1 to 65536");
    check_refused("milestones: [[3], 4]\n",
                  "c.yaml:1: milestones: found a list of lists or maps, expected a list of values");
    check_refused("train.batch: 3\ntrain:\n  batch: 4\n",
                  "c.yaml:3: train.batch: already set on line 1");
    check_refused("run: {force: no}\nrun: {dir: x}\n", "c.yaml:2: run: already set in this file");
    check_refused("temperature: {kind: glob}",
                  "kind: found glob, expected one of fixed, global, instance");
    check_refused("- a\n- b\n", "c.yaml:1: found a value or list, expected a map of keys");
    check_refused("text", "c.yaml:1: found a value or list, expected a map of keys");
    check_refused("run: {dir: \"two\\nlines\"}",
                  "c.yaml:1: run.dir: found two\\x0Alines, expected one line of UTF-8 text");
    check_refused("train:\n\tbatch: 3\n",
                  "c.yaml:2: invalid YAML: found character that cannot start any token");
    check_refused("run: {dir: \"\\0\"}", "c.yaml:1: found a NUL character, expected text");
}

static void what_could_grow_is_refused(void **state)
{
    (void)state;
    check_refused("run: &a {dir: x}\n",
                  "c.yaml:1: a: found an anchor or alias, expected plain values");
    check_refused("run: *a\n", "c.yaml:1: a: found an anchor or alias, expected plain values");
    check_refused("run: !!map {dir: x}\n",
                  "c.yaml:1: tag:yaml.org,2002:map: found an explicit tag, expected plain values");
    check_refused("train.batch: 1\n---\ntrain.batch: 2\n",
                  "c.yaml:2: found a second document, expected one");
    check_refused("? {a: b}\n: c\n", "c.yaml:1: found a list or map as a key, expected a name");
    enum { n = (1 << 20) + 1 };
    static char text[n + 1];
    memset(text, '[', n);
    check_refused(text, "c.yaml: larger than the limit of 1048576 bytes");
    text[n - 1] = '\0';
    check_refused(text, "c.yaml:1: found a value or list, expected a map of keys");
    memcpy(text, "train.batch: ", 13);
    memset(text + 13, '1', n - 14);
    struct fixture f;
    fixture_init(&f);
    assert_int_equal(read_text(&f, text).status, CTKD_ERANGE);
    memset(text, 'k', n - 3);
    memcpy(text + 900, ": 1", 4);
    assert_int_equal(read_text(&f, text).status, CTKD_ENOTFOUND);
    ctkd__sections_fini(f.sections);
}

static void base_files_come_first_wherever_they_are_named(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    mkdir(scratch_path("sub"), 0777);
    scratch_text("one.yaml", "train: {batch: 10}\nrun: {dir: one, force: true}\n");
    scratch_text("two.yaml", "run: {dir: two}\n");
    const ctkd_error err = read_path(
        &f, scratch_text("sub/child.yaml", "train.batch: 30\nbase: [../one.yaml, ../two.yaml]\n"));
    check_ok(err.status, &err);
    assert_int_equal(f.config.batch, 30);
    assert_string_equal(f.config.dir, "two");
    assert_true(f.config.force);
    ctkd__sections_fini(f.sections);
}

static void bad_base_files_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    char text[2000] = "base: [";
    check_refused("base: c.yaml\n", "/c.yaml itself builds on this file");
    scratch_text("x.yaml", "base: ./c.yaml\n");
    check_refused("base: x.yaml\n", "/./c.yaml itself builds on this file");
    check_refused("base: {a: b}\n",
                  "c.yaml:1: base: found a map, expected a file or a list of files");
    check_refused("base: none.yaml\n", "/none.yaml: No such file or directory");
    fixture_init(&f);
    assert_non_null(strstr(read_text(&f, "base: \"\"\n").message,
                           "c.yaml: base: found a file name of 0 bytes, expected 1 to "));
    ctkd__sections_fini(f.sections);
    check_refused("base: x\nbase: y\n", "c.yaml:2: base: already set in this file");
    scratch_text("bad.yaml", "train.batch: x\n");
    check_refused("base: bad.yaml\n",
                  "bad.yaml:1: train.batch: found x, expected a whole number from 1 to 65536");
    scratch_text("leaf.yaml", "train.batch: 3\n");
    for (int i = 0; i < 64; i++)
        strcat(text, "leaf.yaml, ");
    strcat(text, "]\n");
    check_refused(text, "leaf.yaml: found more than 64 base files in all");
    for (int i = 0; i < 9; i++) {
        char name[32], base[32];
        snprintf(name, sizeof name, "n%d.yaml", i);
        snprintf(base, sizeof base, "base: n%d.yaml\n", i + 1);
        scratch_text(name, base);
    }
    scratch_text("n9.yaml", "");
    fixture_init(&f);
    assert_int_equal(read_path(&f, scratch_path("n2.yaml")).status, CTKD_OK);
    const ctkd_error err = read_path(&f, scratch_path("n1.yaml"));
    assert_non_null(strstr(err.message, "n9.yaml: base files are nested more than 8 deep"));
    ctkd__sections_fini(f.sections);
}

static void write_then_read(struct fixture *from, struct fixture *to)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    ctkd__sections_write_yaml(from->sections, out);
    fclose(out);
    const ctkd_error err = read_text(to, text);
    check_ok(err.status, &err);
    free(text);
}

static void what_is_written_reads_back_to_the_same_bits(void **state)
{
    (void)state;
    struct fixture f, g;
    ctkd_error err;
    fixture_init(&f);
    fixture_init(&g);
    check_ok(ctkd__sections_set(f.sections, "t", "run.dir", "a \"b\" \\ #: \xc3\xa9 'x'", &err),
             &err);
    f.config.kind = 2;
    f.config.force = true;
    f.config.batch = 777;
    write_then_read(&f, &g);
    assert_string_equal(g.config.dir, f.config.dir);
    assert_string_equal(g.config.milestones, "150,180");
    assert_int_equal(g.config.kind, 2);
    assert_int_equal(g.config.batch, 777);
    assert_true(g.config.force);
    float values[203];
    fill_uniform(values, 200, 1, 0.1f, 100.0f);
    values[200] = 0.1f, values[201] = 1.0f / 3.0f, values[202] = 100.0f;
    for (size_t i = 0; i < 203; i++) {
        f.config.tau_min = values[i];
        f.config.lr = 0.7f; /* above its range's end as a double */
        write_then_read(&f, &g);
        assert_true(g.config.tau_min == values[i] && g.config.lr == 0.7f);
    }
    ctkd__sections_fini(f.sections);
    ctkd__sections_fini(g.sections);
}

static void sections_that_interleave_are_written_as_one_map(void **state)
{
    (void)state;
    struct fixture f;
    char *text = NULL;
    size_t bytes = 0;
    fixture_init(&f);
    FILE *out = open_memstream(&text, &bytes);
    ctkd__sections_write_yaml(f.sections, out);
    fclose(out);
    assert_string_equal(text, "temperature:\n"
                              "  tau_min: 1\n"
                              "  kind: global\n"
                              "  a:\n"
                              "    b:\n"
                              "      lr: 0.05\n"
                              "train:\n"
                              "  batch: 64\n"
                              "run:\n"
                              "  dir: \"runs\"\n"
                              "  force: false\n"
                              "milestones: \"150,180\"\n");
    free(text);
    ctkd__sections_fini(f.sections);
}

static void a_file_cut_at_any_byte_is_read_or_refused(void **state)
{
    (void)state;
    const char text[] = "base: [leaf.yaml]\ntemperature:\n  tau_min: 2.5\n  a: {b: {lr: 0.7}}\n"
                        "run: {dir: \"a: \\u00e9\", force: yes}\nmilestones: [1, 2]\n";
    scratch_text("leaf.yaml", "train.batch: 3\n");
    for (size_t n = 0; n < sizeof text; n++) {
        struct fixture f;
        ctkd_error err = { .status = CTKD_OK };
        fixture_init(&f);
        const char *path = scratch_write("cut.yaml", text, n);
        const ctkd_status status = ctkd__sections_read_yaml(f.sections, path, &err);
        assert_int_equal(status, err.status);
        assert_true(status == CTKD_OK || strstr(err.message, ".yaml"));
        ctkd__sections_fini(f.sections);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested_maps_lists_and_dotted_keys_are_read),
        cmocka_unit_test(nothing_is_the_default_of_its_key),
        cmocka_unit_test(a_former_key_is_read_with_the_value_that_asked_for_nothing),
        cmocka_unit_test(base_files_may_lie_in_the_home_directory),
        cmocka_unit_test(errors_name_line_and_key),
        cmocka_unit_test(what_could_grow_is_refused),
        cmocka_unit_test(base_files_come_first_wherever_they_are_named),
        cmocka_unit_test(bad_base_files_are_refused),
        cmocka_unit_test(what_is_written_reads_back_to_the_same_bits),
        cmocka_unit_test(sections_that_interleave_are_written_as_one_map),
        cmocka_unit_test(a_file_cut_at_any_byte_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
