#include "support/check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/loop.h"
#include "run/notes.h"
#include "run/start.h"
#include "support/photos.h"
#include "support/temp_files.h"
#include "support/tiny.h"
#include "util/file.h"
#include "util/run_files.h"

/* A tiny run in FOLDER/run. */
static struct ctkd__config *config_of(const char *folder, const char *settings)
{
    char all[1500];
    snprintf(all, sizeof all, "run.dir=%s train.epochs=2 schedule.kind=constant %s",
             temp_path(folder, "run"), settings);
    return tiny_config(folder, all);
}

/* Plans a run with these settings; what the configuration says afterwards. */
static ctkd_status plan(const char *folder, const char *settings, bool *resume, bool *force,
                        ctkd_error *err)
{
    struct ctkd__config *config = config_of(folder, settings);
    const ctkd_status status = ctkd__start_plan(config, resume, err);
    *force = config->run.force;
    assert_int_equal(config->run.resume, CTKD__RESUME_NO); /* of this call alone */
    ctkd__config_destroy(config);
    return status;
}

static void what_lies_in_the_directory_decides_how_a_run_begins(void **state)
{
    static const struct {
        const char *file; /* added to the directory; NULL: nothing */
        const char *settings;
        ctkd_status status;
        bool resume, force;
        const char *message;
    } cases[] = {
        { NULL, "", CTKD_OK, false, false, NULL },
        { NULL, "run.resume=auto", CTKD_OK, false, false, NULL },
        { NULL, "run.resume=yes", CTKD_ENOTFOUND, false, false, "holds no run to resume" },
        /* killed before its first checkpoint */
        { "run/config.yaml", "run.resume=yes", CTKD_OK, false, true, NULL },
        { "run/config.yaml", "", CTKD_EEXIST, false, false, "holds a run (config.yaml)" },
        { "run/config.yaml", "run.force=true", CTKD_OK, false, true, NULL },
        { "run/summary.json", "run.resume=auto", CTKD_EEXIST, false, false,
          "a finished run without last.ckpt" },
        { "run/summary.json", "run.resume=auto run.force=true", CTKD_OK, false, true, NULL },
        { "run/previous.ckpt", "run.resume=yes", CTKD_OK, true, false, NULL },
        { "run/last.ckpt", "run.resume=auto", CTKD_OK, true, false, NULL },
        { "run/last.ckpt", "", CTKD_EEXIST, false, false, "holds a run (" },
    };
    static const char done[] = "{\"status\": \"done\"}\n";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ctkd_error err = { 0 };
        bool resume, force;
        if (cases[i].file) {
            if (access(temp_path(*state, "run"), F_OK) != 0)
                temp_folder_add(*state, "run");
            temp_write(*state, cases[i].file, done, sizeof done - 1);
        }
        const ctkd_status status = plan(*state, cases[i].settings, &resume, &force, &err);
        if (status != cases[i].status || resume != cases[i].resume || force != cases[i].force ||
            (cases[i].message && !strstr(err.message, cases[i].message)))
            fail_msg("case %zu: status %d, resume %d, force %d, '%s'", i, (int)status, resume,
                     force, err.message);
    }
}

static void a_run_that_measured_convolutions_goes_on_with_those(void **state)
{
    ctkd_error err = { 0 };
    bool resume;
    temp_folder_add(*state, "run");
    temp_write(*state, "run/last.ckpt", "x", 1);
    struct ctkd__config *config = config_of(*state, "run.resume=yes train.tune=true");
    check_ok(ctkd__start_plan(config, &resume, &err), &err);
    assert_true(resume);
    assert_false(config->train.tune);
    assert_string_equal(config->train.choices, temp_path(*state, "run/choices.txt"));
    ctkd__config_destroy(config);
}

/* Trains until train.max_steps, as a new run or as the one that is there. */
static uint64_t train(const char *folder, const char *settings, bool expected)
{
    struct ctkd__config *config = config_of(folder, settings);
    struct ctkd__run run;
    char note[CTKD__CHECKPOINT_NOTE];
    ctkd_error err = { 0 };
    bool resume;
    check_ok(ctkd__start_plan(config, &resume, &err), &err);
    assert_int_equal(resume, expected);
    struct ctkd__session *const session = tiny_session(config, false);
    temp_write(folder, "recipe.yaml", "{}\n", 3);
    const struct ctkd__start start = { "train", resume, session, temp_path(folder, "recipe.yaml") };
    check_ok(ctkd__start_run(&start, &run, note, &err), &err);
    struct ctkd__findings findings = { 0 };
    ctkd__preflight_session(session, &findings);
    ctkd__note_findings(run.dir, &findings, 0, "", NULL);
    assert_string_equal(note, "");
    const uint64_t from = session->state.step;
    const struct ctkd__loop loop = {
        .session = session, .run = &run, .command = "train", .resumed = resume
    };
    check_ok(ctkd__loop_run(&loop, &err), &err);
    ctkd__run_close(&run);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
    return from;
}

static void a_run_leaves_no_file_that_the_list_lacks(void **state)
{
    char settings[800];
    photo_folder_write(temp_path(*state, "photos"), 20, 4);
    const int n =
        snprintf(settings, sizeof settings, "data.set=imagefolder:%s data.size=16 train.tune=true",
                 temp_path(*state, "photos"));
    snprintf(settings + n, sizeof settings - (size_t)n, " train.max_steps=2");
    assert_int_equal(train(*state, settings, false), 0);
    snprintf(settings + n, sizeof settings - (size_t)n, " run.resume=yes");
    assert_int_equal(train(*state, settings, true), 2);
    DIR *const folder = opendir(temp_path(*state, "run"));
    assert_non_null(folder);
    const struct dirent *entry;
    bool found[CTKD__RUN_FILES] = { false };
    while ((entry = readdir(folder))) {
        unsigned file = 0;
        while (file < CTKD__RUN_FILES && strcmp(entry->d_name, ctkd__run_file_name(file)) != 0)
            file++;
        if (file < CTKD__RUN_FILES)
            found[file] = true;
        else if (entry->d_name[0] != '.')
            fail_msg("%s is no file of a run", entry->d_name);
    }
    closedir(folder);
    for (unsigned file = 0; file < CTKD__RUN_FILES; file++)
        assert_int_equal(found[file], file != CTKD__RUN_NEW_CHECKPOINT);
}

/* Opens the run that is there to resume it. */
static void open_again(const char *folder, char note[CTKD__CHECKPOINT_NOTE])
{
    struct ctkd__config *config = config_of(folder, "run.resume=yes");
    struct ctkd__run run;
    ctkd_error err = { 0 };
    bool resume;
    check_ok(ctkd__start_plan(config, &resume, &err), &err);
    assert_true(resume);
    struct ctkd__session *const session = tiny_session(config, false);
    const struct ctkd__start start = { "train", resume, session, NULL };
    check_ok(ctkd__start_run(&start, &run, note, &err), &err);
    ctkd__run_close(&run);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void what_a_resumed_run_has_lost_is_noted(void **state)
{
    char note[CTKD__CHECKPOINT_NOTE], expected[CTKD__CHECKPOINT_NOTE];
    char *const log = strdup(temp_path(*state, "run/log.jsonl")), *text = NULL;
    size_t bytes = 0;
    ctkd_error err = { 0 };
    tiny_data_write(*state, 40, 20);
    train(*state, "", false);
    open_again(*state, note);
    assert_string_equal(note, "");
    check_ok(ctkd__file_read(log, 1 << 20, &text, &bytes, &err), &err);
    const size_t first = strcspn(text, "\n") + 1; /* of two epochs */
    assert_true(first < bytes);
    /* Cut within the second line, which is then no line; and removed. */
    const size_t kept[] = { first, 0 };
    for (size_t i = 0; i < 2; i++) {
        if (i == 0)
            temp_write(*state, "run/log.jsonl", text, bytes - 9);
        else
            assert_int_equal(unlink(log), 0);
        snprintf(expected, sizeof expected,
                 "%s: found %zu bytes, expected the %zu of the checkpoint: ", log, kept[i], bytes);
        open_again(*state, note);
        assert_memory_equal(note, expected, strlen(expected));
    }
    temp_write(*state, "run/log.jsonl", text, bytes);
    assert_int_equal(unlink(temp_path(*state, "run/best.safetensors")), 0);
    open_again(*state, note);
    assert_non_null(
        strstr(note, "/run/best.safetensors: found no file, expected the best weights "));
    free(text);
    /* The report has it, too. */
    check_ok(ctkd__file_read(temp_path(*state, "run/notes.jsonl"), 1 << 20, &text, &bytes, &err),
             &err);
    assert_non_null(strstr(text, "\"resumed\""));
    assert_non_null(strstr(text, note));
    free(text);
    free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_lies_in_the_directory_decides_how_a_run_begins,
                                        temp_folder_make, temp_folder_remove),
        cmocka_unit_test_setup_teardown(a_run_that_measured_convolutions_goes_on_with_those,
                                        temp_folder_make, temp_folder_remove),
        cmocka_unit_test_setup_teardown(what_a_resumed_run_has_lost_is_noted, temp_folder_make,
                                        temp_folder_remove),
        cmocka_unit_test_setup_teardown(a_run_leaves_no_file_that_the_list_lacks, temp_folder_make,
                                        temp_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
