#include "support/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run/loop.h"
#include "support/temp_files.h"
#include "support/tiny.h"

static void names_tell_runs_apart(void **state)
{
    static const struct {
        const char *settings, *name;
        bool distil;
    } cases[] = {
        { "run.name=", "train-mnist-resnet8-seed0", false },
        { "run.name= teacher.path=runs/a/ train.seed=3", "distill-mnist-a-resnet8-kd-global-seed3",
          true },
        { "run.name= teacher.path=x/t.safetensors method.name=dkd temperature.kind=fixed",
          "distill-mnist-t-resnet8-dkd-fixed-seed0", true },
        { "run.name=mine", "mine", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctkd__config *config = tiny_config(*state, cases[i].settings);
        ctkd_error err = { 0 };
        char dir[256];
        check_ok(ctkd__run_resolve(config, cases[i].distil, &err), &err);
        assert_string_equal(config->run.name, cases[i].name);
        snprintf(dir, sizeof dir, "runs/%s", cases[i].name);
        assert_string_equal(config->run.dir, dir);
        ctkd__config_destroy(config);
    }
}

static struct ctkd__config *run_config(const char *folder, const char *settings)
{
    char all[1024];
    snprintf(all, sizeof all, "run.dir=%s %s", temp_path(folder, "new/run"), settings);
    return tiny_config(folder, all);
}

static void create_makes_parents_and_never_overwrites_a_run(void **state)
{
    struct ctkd__config *config = run_config(*state, "train.seed=5");
    struct ctkd__run run;
    ctkd_error err = { 0 };
    check_ok(ctkd__run_check(config, &err), &err);
    check_ok(ctkd__run_create(&run, config, &err), &err);
    ctkd__run_close(&run);
    struct ctkd__config *read = tiny_config(*state, "");
    check_ok(ctkd__sections_read_yaml(ctkd__config_sections(read),
                                      temp_path(*state, "new/run/config.yaml"), &err),
             &err);
    assert_int_equal(read->train.seed, 5);
    assert_string_equal(read->data.set, config->data.set);
    ctkd__config_destroy(read);

    assert_int_equal(ctkd__run_check(config, &err), CTKD_EEXIST);
    assert_non_null(strstr(err.message, "holds a run (config.yaml)"));
    assert_int_equal(ctkd__run_create(&run, config, &err), CTKD_EEXIST);
    temp_write(*state, "new/run/best.safetensors", "old", 3);
    temp_write(*state, "new/run/notes.txt", "mine", 4);
    config->run.force = true;
    check_ok(ctkd__run_create(&run, config, &err), &err);
    ctkd__run_close(&run);
    assert_int_not_equal(access(temp_path(*state, "new/run/best.safetensors"), F_OK), 0);
    assert_int_equal(access(temp_path(*state, "new/run/notes.txt"), F_OK), 0); /* not a run's */
    ctkd__config_destroy(config);
}

/* In a process of its own: holds the lock of a run for a moment, and begins it meanwhile. */
static void begin_other_run(const char *folder, int told)
{
    const int lock = open(temp_path(folder, "new/run/run.lock"), O_RDWR | O_CREAT, 0666);
    if (lock < 0 || flock(lock, LOCK_EX) != 0 || write(told, "x", 1) != 1)
        _exit(1);
    nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
    const int file = open(temp_path(folder, "new/run/config.yaml"), O_WRONLY | O_CREAT, 0666);
    _exit(write(file, "other", 5) == 5 ? 0 : 1);
}

static void a_run_that_begins_before_the_lock_is_not_replaced(void **state)
{
    struct ctkd__config *config = run_config(*state, "");
    struct ctkd__run run;
    ctkd_error err = { 0 };
    int told[2], ended;
    char byte;
    size_t size;
    temp_folder_add(*state, "new");
    temp_folder_add(*state, "new/run");
    assert_int_equal(pipe(told), 0);
    check_ok(ctkd__run_check(config, &err), &err); /* nothing is there yet */
    const pid_t other = fork();
    if (other == 0)
        begin_other_run(*state, told[1]);
    assert_int_equal(read(told[0], &byte, 1), 1);
    assert_int_equal(ctkd__run_create(&run, config, &err), CTKD_EEXIST);
    ctkd__run_close(&run);
    assert_non_null(strstr(err.message, "holds a run (config.yaml)"));
    assert_int_equal(waitpid(other, &ended, 0), other);
    assert_int_equal(ended, 0);
    char *const text = temp_read(temp_path(*state, "new/run/config.yaml"), &size);
    assert_memory_equal(text, "other", 5);
    free(text);
    close(told[0]);
    close(told[1]);
    ctkd__config_destroy(config);
}

static void what_a_killed_process_left_is_removed(void **state)
{
    static const char *const left[] = { "new/run/new.ckpt.17.00",
                                        "new/run/last.safetensors.4194304.99" },
                             *const others[] = { "new/run/new.ckpt.17",     "new/run/new.ckpt.17.0",
                                                 "new/run/new.ckpt.17.000", "new/run/new.ckpt..00",
                                                 "new/run/new.ckpt.x.00",   "new/run/mine.17.00" };
    struct ctkd__config *config = run_config(*state, "");
    struct ctkd__run run;
    ctkd_error err = { 0 };
    temp_folder_add(*state, "new");
    temp_folder_add(*state, "new/run");
    for (int resumed = 0; resumed < 2; resumed++) {
        for (size_t i = 0; i < sizeof left / sizeof *left; i++)
            temp_write(*state, left[i], "x", 1);
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            temp_write(*state, others[i], "x", 1);
        check_ok((resumed ? ctkd__run_open : ctkd__run_create)(&run, config, &err), &err);
        ctkd__run_close(&run);
        for (size_t i = 0; i < sizeof left / sizeof *left; i++)
            assert_int_not_equal(access(temp_path(*state, left[i]), F_OK), 0);
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            assert_int_equal(access(temp_path(*state, others[i]), F_OK), 0);
    }
    ctkd__config_destroy(config);
}

static void a_file_in_the_way_is_named(void **state)
{
    struct ctkd__config *config = run_config(*state, "");
    struct ctkd__run run;
    ctkd_error err = { 0 };
    temp_write(*state, "new", "x", 1);
    assert_int_equal(ctkd__run_check(config, &err), CTKD_EEXIST); /* before anything is read */
    assert_non_null(strstr(err.message, "run.dir: "));
    assert_non_null(strstr(err.message, "/new is a file, expected a directory"));
    assert_int_equal(ctkd__run_create(&run, config, &err), CTKD_EEXIST);
    ctkd__run_close(&run);
    ctkd__config_destroy(config);
}

static ctkd_status run_loop(struct ctkd__session *session, volatile sig_atomic_t *stop,
                            ctkd_error *err)
{
    struct ctkd__run run;
    ctkd_status status = ctkd__run_create(&run, session->config, err);
    const struct ctkd__loop loop = {
        .session = session, .run = &run, .command = "train", .stop = stop
    };
    if (status == CTKD_OK)
        status = ctkd__loop_run(&loop, err);
    ctkd__run_close(&run);
    return status;
}

static struct ctkd__json_rows *read_rows(const char *folder, const char *name)
{
    struct ctkd__json_rows *rows;
    ctkd_error err = { 0 };
    check_ok(ctkd__jsonl_read(temp_path(folder, name), &rows, &err), &err);
    return rows;
}

/* A run may be resumed by a ctkd that writes more keys, or others. */
static void columns_of_the_table_are_those_of_its_first_line(void **state)
{
    static const char log[] = "{\"kind\": \"epoch\", \"epoch\": 1, \"loss\": 2.5, \"old\": 7}\n"
                              "{\"kind\": \"epoch\", \"epoch\": 2, \"new\": 3, \"loss\": 0.5}\n";
    static const char table[] = "epoch,loss,old\n1,2.5,7\n2,0.5,\n";
    struct ctkd__config *config = tiny_config(*state, "");
    struct ctkd__results results;
    ctkd_error err = { 0 };
    size_t size;
    temp_write(*state, "log.jsonl", log, sizeof log - 1);
    check_ok(ctkd__results_open(&results, *state, config, &err), &err);
    ctkd__results_close(&results);
    char *const found = temp_read(temp_path(*state, "results.csv"), &size);
    assert_int_equal(size, sizeof table - 1);
    assert_memory_equal(found, table, size);
    free(found);
    ctkd__config_destroy(config);
}

static void loop_learns_logs_and_saves(void **state)
{
    tiny_data_write(*state, 200, 50);
    struct ctkd__config *config =
        run_config(*state, "train.epochs=4 train.eval_every=2 train.log_every=20 optimizer.lr=0.02 "
                           "data.augment=none");
    struct ctkd__session *session = tiny_session(config, false);
    ctkd_error err = { 0 };
    check_ok(run_loop(session, NULL, &err), &err);

    struct ctkd__json_rows *rows = read_rows(*state, "new/run/log.jsonl");
    size_t epochs = 0, steps = 0;
    double losses[5] = { 0 }, top1 = 0;
    for (size_t i = 0; i < ctkd__json_rows_count(rows); i++) {
        const bool epoch = strcmp(ctkd__json_rows_string(rows, i, "kind"), "epoch") == 0;
        steps += !epoch;
        if (!epoch)
            continue;
        epochs++;
        check_close(ctkd__json_rows_number(rows, i, "epoch"), epochs, 0, 0);
        check_close(ctkd__json_rows_number(rows, i, "step"), 13 * epochs, 0, 0);
        losses[epochs] = ctkd__json_rows_number(rows, i, "loss");
        top1 = ctkd__json_rows_number(rows, i, "test_top1");
        assert_true(isnan(top1) == (epochs % 2 == 1)); /* every second is evaluated */
        assert_true(isnan(ctkd__json_rows_number(rows, i, "tau")));
        assert_true(ctkd__json_rows_number(rows, i, "images_per_second") > 0);
        assert_true(ctkd__json_rows_number(rows, i, "data_ms") > 0);
        assert_true(ctkd__json_rows_number(rows, i, "wait_ms") >= 0);
        assert_true(isnan(ctkd__json_rows_number(rows, i, "teacher_hits"))); /* null: no store */
        check_close(ctkd__json_rows_number(rows, i, "ranks"), 1, 0, 0);
        check_close(ctkd__json_rows_number(rows, i, "bn_group"), 16, 0, 0);
        assert_true(ctkd__json_rows_number(rows, i, "slices") ==
                    ctkd__json_rows_number(rows, i, "threads"));
        assert_true(isnan(ctkd__json_rows_number(rows, i, "comm_ms"))); /* null: one process */
    }
    assert_int_equal(epochs, 4);
    assert_int_equal(steps, 52 / 20);
    assert_true(losses[4] < 0.7 * losses[1]);
    assert_true(top1 > 50); /* chance is 10 */
    ctkd__json_rows_destroy(rows);

    rows = read_rows(*state, "new/run/summary.json");
    assert_string_equal(ctkd__json_rows_string(rows, 0, "status"), "done");
    check_close(ctkd__json_rows_number(rows, 0, "top1"), top1, 0, 0);
    check_close(ctkd__json_rows_number(rows, 0, "epochs"), 4, 0, 0);
    check_close(ctkd__json_rows_number(rows, 0, "steps"), 52, 0, 0);
    ctkd__json_rows_destroy(rows);

    struct ctkd__network_info info;
    struct ctkd__tensors tensors = { 0 };
    check_ok(ctkd__network_file_read(temp_path(*state, "new/run/last.safetensors"), &tensors, &info,
                                     &err),
             &err);
    assert_int_equal(info.epoch, 4);
    check_close(info.top1, top1, 1e-8, 0);
    ctkd__tensors_fini(&tensors);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void a_stopped_loop_saves_what_it_has(void **state)
{
    tiny_data_write(*state, 64, 20);
    struct ctkd__config *config = run_config(*state, "train.epochs=3");
    struct ctkd__session *session = tiny_session(config, false);
    volatile sig_atomic_t stop = 1;
    ctkd_error err = { 0 };
    assert_int_equal(run_loop(session, &stop, &err), CTKD_EINTERRUPTED);
    assert_non_null(strstr(err.message, "interrupted at epoch 1, step 0"));
    assert_int_equal(access(temp_path(*state, "new/run/last.safetensors"), F_OK), 0);
    struct ctkd__json_rows *rows = read_rows(*state, "new/run/summary.json");
    assert_string_equal(ctkd__json_rows_string(rows, 0, "status"), "interrupted");
    ctkd__json_rows_destroy(rows);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void max_steps_ends_a_run_early(void **state)
{
    tiny_data_write(*state, 64, 20);
    struct ctkd__config *config = run_config(*state, "train.epochs=9 train.max_steps=6");
    struct ctkd__session *session = tiny_session(config, false);
    ctkd_error err = { 0 };
    check_ok(run_loop(session, NULL, &err), &err);
    assert_int_equal(session->state.step, 6); /* 4 + 2 */
    struct ctkd__json_rows *rows = read_rows(*state, "new/run/log.jsonl");
    assert_int_equal(ctkd__json_rows_count(rows), 2u);
    assert_true(ctkd__json_rows_number(rows, 1, "test_top1") >= 0.0); /* evaluated, not null */
    ctkd__json_rows_destroy(rows);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

/* Everything that a run of a few steps writes to a terminal of so many columns. */
static void write_to_terminal(const char *folder, unsigned short columns, char *out, size_t bytes)
{
    struct ctkd__config *config = run_config(folder, "train.epochs=2 run.force=true");
    struct ctkd__session *session = tiny_session(config, false);
    struct ctkd__run run;
    ctkd_error err = { 0 };
    const struct winsize size = { .ws_col = columns, .ws_row = 24 };
    const int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
    FILE *terminal = fopen(ptsname(master), "w");
    assert_non_null(terminal);
    check_ok(ctkd__run_create(&run, config, &err), &err);
    const struct ctkd__loop loop = {
        .session = session, .run = &run, .command = "train", .progress = terminal
    };
    check_ok(ctkd__loop_run(&loop, &err), &err);
    ctkd__run_close(&run);
    fflush(terminal);
    const ssize_t n = read(master, out, bytes - 1);
    assert_true(n > 0);
    out[n] = '\0';
    fclose(terminal);
    close(master);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

/* A line that wraps cannot be taken back: it would leave one at each update. */
static void the_live_line_fits_the_terminal(void **state)
{
    tiny_data_write(*state, 64, 20);
    static const unsigned short widths[] = { 80, 60, 40, 20 };
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        static const char clear[] = "\r\033[K";
        char text[4096];
        size_t updates = 0;
        write_to_terminal(*state, widths[i], text, sizeof text);
        for (char *at = text; (at = strstr(at, clear)) != NULL;) {
            at += strlen(clear);
            const size_t n = strcspn(at, "\r\n");
            if (strncmp(at + n, clear, strlen(clear)) != 0)
                continue; /* the line of an epoch, which stays */
            assert_true(n < widths[i]);
            assert_memory_equal(at, "epoch ", 6);
            updates++;
        }
        assert_true(updates > 0);
    }
}

static void student_starts_from_a_file(void **state)
{
    tiny_data_write(*state, 64, 20);
    const struct ctkd__network_info info = tiny_network_info();
    char settings[512];
    tiny_network_write(temp_path(*state, "i.safetensors"), 9, &info);
    snprintf(settings, sizeof settings, "student.init=%s", temp_path(*state, "i.safetensors"));
    struct ctkd__config *drawn = tiny_config(*state, "train.seed=9");
    struct ctkd__config *read = tiny_config(*state, settings);
    struct ctkd__session *a = tiny_session(drawn, false), *b = tiny_session(read, false);
    assert_memory_equal(a->weights->values, b->weights->values,
                        a->weights->n_values * sizeof(float));
    ctkd__session_close(a);
    ctkd__session_close(b);
    ctkd_error err = { 0 };
    ctkd__config_destroy(read);
    snprintf(settings, sizeof settings, "student.init=%s student.network=resnet14",
             temp_path(*state, "i.safetensors"));
    read = tiny_config(*state, settings);
    assert_int_not_equal(ctkd__session_open(read, false, NULL, &a, &err), CTKD_OK);
    assert_non_null(strstr(err.message, "student.init: "));
    ctkd__config_destroy(drawn);
    ctkd__config_destroy(read);
}

static void a_file_for_other_classes_gives_all_but_the_last_layer(void **state)
{
    tiny_data_write(*state, 64, 20);
    struct ctkd__network_info info = tiny_network_info();
    const size_t classes = info.classes;
    info.classes += 7;
    char settings[512];
    tiny_network_write(temp_path(*state, "i.safetensors"), 9, &info);
    snprintf(settings, sizeof settings, "train.seed=3 student.init=%s",
             temp_path(*state, "i.safetensors"));
    struct ctkd__config *const same = tiny_config(*state, "train.seed=9");
    struct ctkd__config *const other = tiny_config(*state, "train.seed=3");
    struct ctkd__config *const read = tiny_config(*state, settings);
    struct ctkd__session *const a = tiny_session(same, false),
                                *const b = tiny_session(other, false),
                                *const c = tiny_session(read, false);
    const struct ctkd__graph *const graph = c->graph;
    for (int i = 0; i < graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &graph->parameters[i];
        if (p->role > CTKD__ROLE_BIAS)
            continue;
        const size_t at = c->weights->offsets[i];
        const struct ctkd__session *const from = p->node == graph->output ? b : a;
        assert_memory_equal(c->weights->values + at, from->weights->values + at,
                            ctkd__parameter_elements(p) * sizeof(float));
    }
    char said[256];
    snprintf(said, sizeof said,
             "the last layer, fc, is new: the weights are for %zu classes, not %zu", classes + 7,
             classes);
    assert_string_equal(c->note, said);
    ctkd__session_close(a);
    ctkd__session_close(b);
    ctkd__session_close(c);
    ctkd__config_destroy(same);
    ctkd__config_destroy(other);
    ctkd__config_destroy(read);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(names_tell_runs_apart),
        TEST(create_makes_parents_and_never_overwrites_a_run),
        TEST(a_run_that_begins_before_the_lock_is_not_replaced),
        TEST(what_a_killed_process_left_is_removed),
        TEST(a_file_in_the_way_is_named),
        TEST(columns_of_the_table_are_those_of_its_first_line),
        TEST(loop_learns_logs_and_saves),
        TEST(a_stopped_loop_saves_what_it_has),
        TEST(max_steps_ends_a_run_early),
        TEST(the_live_line_fits_the_terminal),
        TEST(student_starts_from_a_file),
        TEST(a_file_for_other_classes_gives_all_but_the_last_layer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
