/* What a sweep does with the processes of its runs. The linker puts __wrap_execv in place of
   execv. */
#include "run/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nn/cpus.h"
#include "support/check.h"
#include "support/temp_files.h"
#include "util/clock.h"

enum { RUN_SECONDS = 20, FAR_LESS = 10 };

static volatile sig_atomic_t asked;

static void ask(int number)
{
    asked = number;
}

int __real_execv(const char *path, char *const argv[]);
int __wrap_execv(const char *path, char *const argv[]);

/* A process that gets no core for a while. */
int __wrap_execv(const char *path, char *const argv[])
{
    struct timespec left = { .tv_nsec = 300000000 };
    while (nanosleep(&left, &left) != 0)
        ;
    return __real_execv(path, argv);
}

/* Ends a run as soon as its process is there. */
static void stop_at_once(void *context, const struct ctkd__sweep_run *run)
{
    if (run->state == CTKD__SWEEP_RUNNING)
        assert_int_equal(kill(run->process, *(const int *)context), 0);
}

static void a_signal_before_the_run_has_begun_ends_it(void **state)
{
    static const struct {
        int signal;
        enum ctkd__sweep_state state;
    } cases[] = { { SIGTERM, CTKD__SWEEP_STOPPED }, { SIGKILL, CTKD__SWEEP_FAILED } };
    const struct sigaction action = { .sa_handler = ask, .sa_flags = SA_RESTART };
    assert_int_equal(sigaction(SIGTERM, &action, NULL), 0); /* as `ctkd sweep` does */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *argv[] = { (char[]){ "ctkd" }, (char[]){ "sleep" }, NULL };
        int signal = cases[i].signal;
        struct ctkd__sweep_run run = { .arm = "arm", .argv = argv };
        struct ctkd__sweep sweep = { .runs = &run,
                                     .count = 1,
                                     .jobs = 1,
                                     .stop = &asked,
                                     .changed = stop_at_once,
                                     .context = &signal };
        ctkd_error err = { 0 };
        snprintf(run.dir, sizeof run.dir, "%s", temp_path(*state, "run"));
        snprintf(run.console, sizeof run.console, "%s.console", run.dir);
        const double began = ctkd__clock_seconds();
        check_ok(ctkd__sweep_execute(&sweep, &err), &err);
        assert_int_equal(run.state, cases[i].state);
        assert_true(ctkd__clock_seconds() - began < FAR_LESS);
    }
    assert_int_equal(asked, 0);
}

static void nothing(void *context, const struct ctkd__sweep_run *run)
{
    (void)context;
    (void)run;
}

/* Runs side by side get no more threads together than one would get. The run checks its part. */
static void a_quota_is_divided_among_the_runs(void **state)
{
    struct ctkd__cpus cpus;
    ctkd__cpus_find(&cpus);
    setenv("SLURM_JOB_ID", "7", 1);
    setenv("SLURM_CPUS_ON_NODE", "1", 1);
    for (size_t jobs = 1; jobs <= 2 && jobs <= cpus.cores; jobs++) {
        char parts[8];
        char *argv[] = { (char[]){ "ctkd" }, (char[]){ "quota" }, parts, NULL };
        struct ctkd__sweep_run run = { .arm = "arm", .argv = argv };
        struct ctkd__sweep sweep = {
            .runs = &run, .count = 1, .jobs = jobs, .stop = &asked, .changed = nothing
        };
        ctkd_error err = { 0 };
        snprintf(parts, sizeof parts, "%zu", jobs);
        snprintf(run.dir, sizeof run.dir, "%s", temp_path(*state, "run"));
        snprintf(run.console, sizeof run.console, "%s.console", run.dir);
        check_ok(ctkd__sweep_execute(&sweep, &err), &err);
        assert_int_equal(run.state, CTKD__SWEEP_STOPPED);
    }
    ctkd__cpus_find(&cpus);
    assert_true(cpus.quota > 0.5); /* the caller still has all of it */
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_CPUS_ON_NODE");
}

/* This program as a run: 75 if it has at most its part of one CPU. */
static int check_part(const char *parts)
{
    struct ctkd__cpus cpus;
    ctkd__cpus_find(&cpus);
    return cpus.quota > 0 && cpus.quota <= 1 / strtod(parts, NULL) ? 75 : 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_quota_is_divided_among_the_runs, temp_folder_make,
                                        temp_folder_remove),
        cmocka_unit_test_setup_teardown(a_signal_before_the_run_has_begun_ends_it, temp_folder_make,
                                        temp_folder_remove),
    };
    if (argc == 2 && strcmp(argv[1], "sleep") == 0) { /* this program as a run */
        sleep(RUN_SECONDS);
        return 75;
    }
    if (argc == 3 && strcmp(argv[1], "quota") == 0)
        return check_part(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
