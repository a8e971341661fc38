#include "run/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nn/cpus.h"
#include "run/arm.h"
#include "util/cpu.h"
#include "util/error.h"
#include "util/run_files.h"

/* --- what is finished */

static ctkd_status refuse_difference(void *context, const char *key, const char *found,
                                     const char *expected, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_EEXIST,
                      "%s: found a run with %s '%s', expected '%s'; remove it or choose another "
                      "--dir",
                      (const char *)context, key, found, expected);
}

ctkd_status ctkd__sweep_finished(const struct ctkd__sweep_run *run, bool *finished, ctkd_error *err)
{
    struct ctkd__arm arm;
    char log[1064];
    *finished = false;
    ctkd__run_file_path(run->dir, CTKD__RUN_LOG, log, sizeof log);
    if (access(log, F_OK) != 0)
        return CTKD_OK;
    /* Any metric would do, and every epoch line has its number. A run that is no arm is unfinished
       and will be resumed. */
    if (ctkd__arm_read(run->dir, "epoch", CTKD__ARM_LAST, &arm, NULL))
        return CTKD_OK;
    char dir[1024];
    snprintf(dir, sizeof dir, "%s", run->dir);
    const ctkd_status status =
        ctkd__arm_differences(arm.runs->config, run->config, refuse_difference, dir, err);
    *finished = status == CTKD_OK;
    ctkd__arm_free(&arm);
    return status;
}

/* --- what is under way */

static int open_mark(const char *dir, int flags)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/sweep.lock", dir);
    return open(path, O_RDWR | O_CLOEXEC | flags, 0666);
}

ctkd_status ctkd__sweep_mark(const char *dir, int *lock, ctkd_error *err)
{
    *lock = open_mark(dir, O_CREAT);
    if (*lock < 0 || flock(*lock, LOCK_SH) != 0)
        return ctkd__fail(err, CTKD_EIO, "cannot lock %s/sweep.lock: %s", dir, strerror(errno));
    return CTKD_OK;
}

bool ctkd__sweep_under_way(const char *dir)
{
    const int file = open_mark(dir, 0);
    if (file < 0)
        return false;
    const bool held = flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(file);
    return held;
}

/* --- cores */

struct slots {
    cpu_set_t cpus[CTKD__WORKERS_MAX];
    bool taken[CTKD__WORKERS_MAX];
};

static ctkd_status divide_cores(struct slots *slots, size_t jobs, ctkd_error *err)
{
    struct ctkd__cpus cpus;
    int cores[CTKD__WORKERS_MAX];
    ctkd__cpus_find(&cpus);
    const size_t count = ctkd__cpus_physical(&cpus.allowed, cores, CTKD__WORKERS_MAX);
    if (jobs == 0 || jobs > count)
        return ctkd__fail(err, CTKD_ERANGE, "--jobs: found %zu, expected 1 to %zu (cores)", jobs,
                          count);
    memset(slots, 0, sizeof *slots);
    for (size_t j = 0; j < jobs; j++)
        for (size_t i = j * count / jobs; i < (j + 1) * count / jobs; i++)
            CPU_SET((size_t)cores[i], &slots->cpus[j]);
    return CTKD_OK;
}

/* Tells the runs, by their environment, which part of a quota they have. */
static ctkd_status divide_quota(size_t jobs, ctkd_error *err)
{
    char parts[32];
    snprintf(parts, sizeof parts, "%zu", jobs);
    return setenv(CTKD__QUOTA_PARTS, parts, 1) == 0
               ? CTKD_OK
               : ctkd__fail(err, CTKD_ENOMEM, "sweep: out of memory");
}

static size_t free_slot(const struct slots *slots, size_t jobs)
{
    size_t slot = 0;
    while (slot < jobs && slots->taken[slot])
        slot++;
    return slot;
}

/* --- processes */

/* In the child process: signals act as they do on a new program. A handler of the sweep that caught
   one between fork and exec would keep it from the run for good. */
static void forget_handlers(void)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction now;
        if (sigaction(number, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            signal(number, SIG_DFL);
    }
}

/* In the child process: starts this program on the cores of its slot; it ends if the sweep dies. */
static void become_run(const struct ctkd__sweep_run *run, const cpu_set_t *cpus, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    /* Ctrl-C in a terminal must reach only the sweep, which passes it on: a run that gets a second
       signal ends without saving. */
    setpgid(0, 0);
    const int console = open(run->console, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (getppid() != parent || console < 0 || nothing < 0 || dup2(nothing, 0) < 0 ||
        dup2(nothing, 1) < 0 || dup2(console, 2) < 0 ||
        sched_setaffinity(0, sizeof *cpus, cpus) != 0)
        _exit(126);
    execv("/proc/self/exe", run->argv);
    _exit(127);
}

static ctkd_status start(struct ctkd__sweep *sweep, struct ctkd__sweep_run *run,
                         struct slots *slots, ctkd_error *err)
{
    const pid_t parent = getpid();
    sigset_t all, before;
    sigfillset(&all);
    run->slot = free_slot(slots, sweep->jobs);
    sigprocmask(SIG_BLOCK, &all, &before);
    run->process = fork();
    const int why = errno;
    if (run->process == 0)
        forget_handlers();
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (run->process < 0)
        return ctkd__fail(err, CTKD_EIO, "%s: cannot start a process: %s", run->dir, strerror(why));
    if (run->process == 0)
        become_run(run, &slots->cpus[run->slot], parent);
    slots->taken[run->slot] = true;
    run->state = CTKD__SWEEP_RUNNING;
    sweep->changed(sweep->context, run);
    return CTKD_OK;
}

static enum ctkd__sweep_state state_of(const struct ctkd__sweep_run *run)
{
    bool finished = false;
    if (WIFEXITED(run->status) && WEXITSTATUS(run->status) == 0)
        return ctkd__sweep_finished(run, &finished, NULL) == CTKD_OK && finished
                   ? CTKD__SWEEP_DONE
                   : CTKD__SWEEP_STOPPED; /* train.max_steps ends a run early */
    /* A signal may end a run before it has begun, or again while it saves. */
    const int code =
        WIFEXITED(run->status) ? WEXITSTATUS(run->status) : 128 + WTERMSIG(run->status);
    const bool stopped =
        code == 75 || code == 128 + SIGHUP || code == 128 + SIGINT || code == 128 + SIGTERM;
    return stopped ? CTKD__SWEEP_STOPPED : CTKD__SWEEP_FAILED;
}

/* Marks the runs whose processes have ended; returns how many still run. */
static size_t collect(struct ctkd__sweep *sweep, struct slots *slots)
{
    size_t running = 0;
    for (size_t i = 0; i < sweep->count; i++) {
        struct ctkd__sweep_run *const run = &sweep->runs[i];
        if (run->state != CTKD__SWEEP_RUNNING)
            continue;
        if (waitpid(run->process, &run->status, WNOHANG) != run->process) {
            running++;
            continue;
        }
        slots->taken[run->slot] = false;
        run->state = state_of(run);
        sweep->changed(sweep->context, run);
    }
    return running;
}

static void tell_all(const struct ctkd__sweep *sweep, int signal)
{
    for (size_t i = 0; i < sweep->count; i++)
        if (sweep->runs[i].state == CTKD__SWEEP_RUNNING)
            kill(sweep->runs[i].process, signal);
}

ctkd_status ctkd__sweep_execute(struct ctkd__sweep *sweep, ctkd_error *err)
{
    const struct timespec moment = { .tv_nsec = 50000000 };
    struct slots *const slots = malloc(sizeof *slots);
    if (!slots)
        return ctkd__fail(err, CTKD_ENOMEM, "sweep: out of memory");
    ctkd_status status = divide_cores(slots, sweep->jobs, err);
    if (status == CTKD_OK)
        status = divide_quota(sweep->jobs, err);
    bool told = false;
    for (size_t next = 0, running = 0; running > 0 || (!status && next < sweep->count);) {
        if (!status && *sweep->stop)
            status = ctkd__fail(err, CTKD_EINTERRUPTED, "sweep: stopped by a signal");
        while (!status && next < sweep->count && free_slot(slots, sweep->jobs) < sweep->jobs) {
            if (sweep->runs[next].state == CTKD__SWEEP_WAITING)
                status = start(sweep, &sweep->runs[next], slots, err);
            next++;
        }
        if (status && !told)
            tell_all(sweep, SIGTERM); /* runs save and end */
        told = told || status;
        running = collect(sweep, slots);
        if (running > 0)
            nanosleep(&moment, NULL);
    }
    unsetenv(CTKD__QUOTA_PARTS);
    free(slots);
    return status;
}
