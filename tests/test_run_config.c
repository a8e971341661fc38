#include "support/check.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/run_config.h"
#include "support/temp_files.h"
#include "util/options_inner.h"

/* FOLDER/DIR with a config.yaml, and FOLDER/DIR/MARK when one is given. */
static void put(const char *folder, const char *dir, const char *mark, const char *yaml)
{
    char name[256];
    mkdir(temp_path(folder, dir), 0777);
    snprintf(name, sizeof name, "%s/config.yaml", dir);
    temp_write(folder, name, yaml, strlen(yaml));
    if (!mark)
        return;
    snprintf(name, sizeof name, "%s/%s", dir, mark);
    temp_write(folder, name, "", 0);
}

static struct ctkd__config *read_config(const char *path)
{
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    check_ok(ctkd__config_create(&config, &err), &err);
    check_ok(ctkd__run_config_read(path, config, &err), &err);
    return config;
}

static const char yaml[] = "run: {dir: old/run, name: mine}\n"
                           "data: {set: 'mnist:old/run/data'}\n"
                           "teacher: {path: old/run/teacher.pth}\n"
                           "student: {init: old/runs/x.pth}\n"
                           "train: {choices: old/run/choices.txt, epochs: 7}\n";

static void a_moved_run_is_where_it_lies(void **state)
{
    static const char *const marks[] = { "log.jsonl", "summary.json", "last.ckpt", "previous.ckpt",
                                         "run.lock" };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        char dir[64], expected[1100];
        snprintf(dir, sizeof dir, "new%zu", i);
        put(*state, dir, marks[i], yaml);
        snprintf(expected, sizeof expected, "%s/%s/config.yaml", (char *)*state, dir);
        struct ctkd__config *config = read_config(expected);
        assert_string_equal(config->run.dir, temp_path(*state, dir));
        assert_string_equal(config->run.name, "mine");
        assert_int_equal(config->train.epochs, 7);
        snprintf(expected, sizeof expected, "%s/%s/choices.txt", (char *)*state, dir);
        assert_string_equal(config->train.choices, expected);
        snprintf(expected, sizeof expected, "mnist:%s/%s/data", (char *)*state, dir);
        assert_string_equal(config->data.set, expected);
        snprintf(expected, sizeof expected, "%s/%s/teacher.pth", (char *)*state, dir);
        assert_string_equal(config->teacher.path, expected);
        assert_string_equal(config->student.init, "old/runs/x.pth"); /* another directory */
        ctkd__config_destroy(config);
    }
}

static void the_directory_itself_is_taken_too(void **state)
{
    char path[1100];
    put(*state, "run", "last.ckpt", yaml);
    struct ctkd__config *config = read_config(temp_path(*state, "run"));
    assert_string_equal(config->run.dir, temp_path(*state, "run"));
    ctkd__config_destroy(config);
    snprintf(path, sizeof path, "%s/", temp_path(*state, "run"));
    config = read_config(path);
    assert_string_equal(config->run.dir, temp_path(*state, "run"));
    ctkd__config_destroy(config);
    assert_int_equal(chdir(temp_path(*state, "run")), 0); /* a name without a slash */
    config = read_config("config.yaml");
    assert_string_equal(config->run.dir, ".");
    assert_string_equal(config->train.choices, "./choices.txt");
    ctkd__config_destroy(config);
    assert_int_equal(chdir("/"), 0);
}

static void a_recipe_says_where_its_run_goes(void **state)
{
    put(*state, "recipes", NULL, yaml);
    put(*state, "weights", "last.safetensors", yaml);
    put(*state, "silent", "last.ckpt", "train: {epochs: 7}\n");
    struct ctkd__config *config = read_config(temp_path(*state, "recipes/config.yaml"));
    assert_string_equal(config->run.dir, "old/run");
    ctkd__config_destroy(config);
    config = read_config(temp_path(*state, "weights/config.yaml"));
    assert_string_equal(config->run.dir, "old/run");
    ctkd__config_destroy(config);
    config = read_config(temp_path(*state, "silent/config.yaml"));
    assert_string_equal(config->run.dir, "");
    ctkd__config_destroy(config);
    temp_write(*state, "silent/plan.yaml", yaml, strlen(yaml));
    config = read_config(temp_path(*state, "silent/plan.yaml"));
    assert_string_equal(config->run.dir, "old/run");
    ctkd__config_destroy(config);
}

/* A run that never moved keeps its name as it was given. */
static void the_same_directory_keeps_its_name(void **state)
{
    char text[1200];
    mkdir(temp_path(*state, "run"), 0777);
    snprintf(text, sizeof text, "run: {dir: %s/./run}\n", (char *)*state);
    put(*state, "run", "last.ckpt", text);
    struct ctkd__config *config = read_config(temp_path(*state, "run/config.yaml"));
    snprintf(text, sizeof text, "%s/./run", (char *)*state);
    assert_string_equal(config->run.dir, text);
    ctkd__config_destroy(config);
}

/* What a distillation does not use of the keys that a configuration gives. */
static void assert_unused(const char *path, const char *expected)
{
    char text[200];
    struct ctkd__config *config = read_config(path);
    assert_string_equal(
        ctkd__config_unused(config, CTKD__READER_DISTILS, NULL, NULL, text, sizeof text), expected);
    ctkd__config_destroy(config);
}

static void write_resolved(const char *path)
{
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    FILE *const out = fopen(path, "w");
    check_ok(ctkd__config_create(&config, &err), &err);
    config->temperature.tau = 9; /* which the default temperature.kind does not read */
    ctkd__sections_write_yaml(ctkd__config_sections(config), out);
    assert_int_equal(fclose(out), 0);
    ctkd__config_destroy(config);
}

static void only_what_a_recipe_says_itself_is_given(void **state)
{
    static const char other[] = "schedule: {factor: 0.5}\ntemperature: {tau: 9}\n",
                      own[] = "base: other.yaml\ntemperature: {tau: 7}\nschedule: {factor: }\n";
    temp_write(*state, "other.yaml", other, strlen(other));
    temp_write(*state, "own.yaml", own, strlen(own));
    assert_unused(temp_path(*state, "other.yaml"), "temperature.tau (for temperature.kind=fixed)");
    assert_unused(temp_path(*state, "own.yaml"), "temperature.tau (for temperature.kind=fixed)");
    static const char shared[] = "base: other.yaml\ntrain: {epochs: 3}\n";
    temp_write(*state, "shared.yaml", shared, strlen(shared));
    assert_unused(temp_path(*state, "shared.yaml"), "");
    /* A configuration that was resolved says nothing about what was meant. */
    write_resolved(temp_path(*state, "resolved.yaml"));
    assert_unused(temp_path(*state, "resolved.yaml"), "");
    put(*state, "run", "last.ckpt", other); /* as of a version with fewer keys */
    assert_unused(temp_path(*state, "run"), "");
}

static enum ctkd__given given(const char *path, const char *key)
{
    struct ctkd__config *config;
    struct ctkd__option_at at;
    ctkd_error err = { 0 };
    check_ok(ctkd__config_create(&config, &err), &err);
    check_ok(ctkd__run_config_read(path, config, &err), &err);
    assert_true(ctkd__options_find(ctkd__config_sections(config), key, &at));
    const bool itself = ctkd__option_is_given(&at), somebody = ctkd__option_is_set(&at);
    ctkd__config_destroy(config);
    assert_true(somebody || !itself);
    return itself ? CTKD__GIVEN : somebody ? CTKD__GIVEN_BY_BASE : CTKD__GIVEN_NOT;
}

static void what_a_base_file_says_is_no_default(void **state)
{
    static const struct {
        const char *text;
        enum ctkd__given store;
    } cases[] = {
        { "base: low.yaml\n", CTKD__GIVEN_BY_BASE },
        { "base: [low.yaml, other.yaml]\n", CTKD__GIVEN_BY_BASE },
        { "base: middle.yaml\n", CTKD__GIVEN_BY_BASE },
        { "base: low.yaml\nteacher: {store: x}\n", CTKD__GIVEN },
        { "base: low.yaml\nteacher: {store: }\n", CTKD__GIVEN_NOT }, /* the default again */
        { "base: reset.yaml\n", CTKD__GIVEN_NOT },
        { "base: other.yaml\n", CTKD__GIVEN_NOT },
        { "base: resolved.yaml\n", CTKD__GIVEN_NOT },
    };
    static const struct {
        const char *name, *text;
    } files[] = { { "low.yaml", "teacher: {store: off}\n" },
                  { "middle.yaml", "base: low.yaml\n" },
                  { "reset.yaml", "base: low.yaml\nteacher: {store: ~}\n" },
                  { "other.yaml", "train: {epochs: 3}\n" } };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        temp_write(*state, files[i].name, files[i].text, strlen(files[i].text));
    write_resolved(temp_path(*state, "resolved.yaml"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        temp_write(*state, "own.yaml", cases[i].text, strlen(cases[i].text));
        if (given(temp_path(*state, "own.yaml"), "teacher.store") != cases[i].store)
            fail_msg("case %zu", i);
    }
}

/* Its relative paths are those of the folder in which it began, whatever the working folder; what
   is not there is left as it is. */
static void a_run_is_read_from_any_folder(void **state)
{
    static const char text[] = "run: {dir: ./runs/a//}\n"
                               "data: {set: 'mnist:data', classes: 10, exclude: gone.txt}\n"
                               "teacher: {path: runs/t.pth, store: off, classes: names}\n"
                               "student: {init: runs/a/first.pth}\n";
    char expected[1100];
    mkdir(temp_path(*state, "runs"), 0777);
    put(*state, "runs/a", "log.jsonl", text);
    for (size_t i = 0; i < 5; i++) {
        static const char *const files[] = { "data", "names", "10", "off", "runs/t.pth" };
        temp_write(*state, files[i], "", 0);
    }
    struct ctkd__config *config = read_config(temp_path(*state, "runs/a"));
    snprintf(expected, sizeof expected, "mnist:%s/data", (char *)*state);
    assert_string_equal(config->data.set, expected);
    snprintf(expected, sizeof expected, "%s/runs/t.pth", (char *)*state);
    assert_string_equal(config->teacher.path, expected);
    assert_string_equal(config->teacher.classes, temp_path(*state, "names"));
    assert_string_equal(config->student.init, "runs/a/first.pth"); /* it is not there */
    assert_string_equal(config->data.exclude, "gone.txt");
    assert_string_equal(config->data.classes, "10"); /* a number, and a word */
    assert_string_equal(config->teacher.store, "off");
    ctkd__config_destroy(config);
    /* Where it began, everything is as it was given. */
    assert_int_equal(chdir(*state), 0);
    config = read_config("runs/a");
    assert_string_equal(config->data.set, "mnist:data");
    assert_string_equal(config->run.dir, "./runs/a//");
    ctkd__config_destroy(config);
    assert_int_equal(chdir("/"), 0);
    /* Moved to another place, it does not know where it began. */
    put(*state, "moved", "log.jsonl", text);
    config = read_config(temp_path(*state, "moved"));
    assert_string_equal(config->data.set, "mnist:data");
    ctkd__config_destroy(config);
}

static void a_path_and_the_same_made_absolute_are_one_value(void **state)
{
    (void)state;
    static const struct {
        const char *key, *a, *b;
        bool same;
    } cases[] = {
        { "teacher.path", "runs/t", "/work/runs/t", true },
        { "teacher.path", "t", "t", true },
        { "teacher.path", "/work/t", "t", true },
        { "teacher.path", "t", "/work/nt", false },
        { "teacher.path", "", "/work/", false },
        { "teacher.path", "runs/t", "t", false },
        { "teacher.path", "/a/t", "/b/t", false },
        { "student.network", "x", "/y/x", false },
    };
    struct ctkd__config *config;
    struct ctkd__option_at at;
    ctkd_error err = { 0 };
    check_ok(ctkd__config_create(&config, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(ctkd__options_find(ctkd__config_sections(config), cases[i].key, &at));
        if (ctkd__config_same_value(&at, cases[i].a, cases[i].b) != cases[i].same)
            fail_msg("case %zu", i);
    }
    ctkd__config_destroy(config);
}

/* Earlier versions wrote method.kd.form too, which nothing read. */
static void a_run_of_an_older_version_is_read(void **state)
{
    static const char text[] = "method:\n  name: dkd\n  kd_form: epsilon\n  kd:\n    form: exact\n"
                               "  dkd:\n    beta: 2\n";
    put(*state, "run", "last.ckpt", text);
    struct ctkd__config *config = read_config(temp_path(*state, "run"));
    assert_int_equal(ctkd__config_kd_form(config), CTKD_KD_EPSILON);
    assert_string_equal(config->method.name, "dkd");
    ctkd__config_destroy(config);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(a_moved_run_is_where_it_lies),
        TEST(the_directory_itself_is_taken_too),
        TEST(a_run_of_an_older_version_is_read),
        TEST(a_recipe_says_where_its_run_goes),
        TEST(the_same_directory_keeps_its_name),
        TEST(only_what_a_recipe_says_itself_is_given),
        TEST(what_a_base_file_says_is_no_default),
        TEST(a_run_is_read_from_any_folder),
        TEST(a_path_and_the_same_made_absolute_are_one_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
