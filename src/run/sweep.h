/*
 * Runs many runs as child processes, several at a time, each on its own cores. A run is an ordinary
 * `ctkd train` or `distill` with --resume=auto: finished runs are skipped, killed ones resume from
 * their last checkpoint, so that a sweep that is started again ends with the same files.
 */
#ifndef CTKD_RUN_SWEEP_H
#define CTKD_RUN_SWEEP_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "config/config.h"

enum ctkd__sweep_state {
    CTKD__SWEEP_WAITING,
    CTKD__SWEEP_RUNNING,
    CTKD__SWEEP_DONE,    /* all of its epochs are in its log */
    CTKD__SWEEP_STOPPED, /* before its end: by a signal, train.max_minutes or train.max_steps */
    CTKD__SWEEP_FAILED
};

struct ctkd__sweep_run {
    const char *arm;
    int64_t seed;
    char **argv;                   /* "ctkd", "distill", CONFIG, settings; ends with NULL */
    char dir[1024], console[1064]; /* run directory; what the process writes to stderr */
    struct ctkd__config *config;   /* as the process will resolve it */

    enum ctkd__sweep_state state;
    pid_t process;
    size_t slot; /* of the cores, while it runs */
    int status;  /* of waitpid, once it has ended */
};

struct ctkd__sweep {
    struct ctkd__sweep_run *runs; /* in the order of starting */
    size_t count, jobs;
    const volatile sig_atomic_t *stop; /* not 0: a signal ends the sweep; its runs save and end */
    void (*changed)(void *context, const struct ctkd__sweep_run *run); /* it started or ended */
    void *context;
};

/* Whether the directory holds a finished run of this configuration. CTKD_EEXIST: it holds a run
   that differs in a key that changes results; the message names the key. */
ctkd_status ctkd__sweep_finished(const struct ctkd__sweep_run *run, bool *finished,
                                 ctkd_error *err);

/* Runs all that are waiting, `jobs` at a time. The allowed cores are divided among the jobs without
   overlap, and so is a quota of CPUs. CTKD_ERANGE: no jobs, or more than cores; CTKD_EINTERRUPTED:
   stopped by a signal; CTKD_EIO: a process cannot be started. On return every process has ended.
   Runs that fail are only marked. */
ctkd_status ctkd__sweep_execute(struct ctkd__sweep *sweep, ctkd_error *err);

/* Marks a folder as that of a sweep under way until *lock, a file descriptor, is closed or the
   process ends. Several sweeps may share a folder. CTKD_EIO. */
ctkd_status ctkd__sweep_mark(const char *dir, int *lock, ctkd_error *err);
/* Whether a process runs a sweep in this folder: more runs may begin there. */
bool ctkd__sweep_under_way(const char *dir);

#endif
