/*
 * Many runs as child processes, some at a time, each on cores of its own. A run is an ordinary
 * `ctkd train` or `distill` with --resume=auto: finished ones are skipped, killed ones resume from
 * their last checkpoint, and a sweep that is started again ends with the same files.
 */
#ifndef CTKD_RUN_SWEEP_H
#define CTKD_RUN_SWEEP_H

#include <signal.h>
#include <sys/types.h>

#include "config/config.h"

enum ctkd__sweep_state {
    CTKD__SWEEP_WAITING,
    CTKD__SWEEP_RUNNING,
    CTKD__SWEEP_DONE,    /* all of its epochs are in its log */
    CTKD__SWEEP_STOPPED, /* saved before its end: a signal, a limit of time */
    CTKD__SWEEP_FAILED
};

struct ctkd__sweep_run {
    const char *arm;
    int64_t seed;
    char **argv;                   /* "distill", CONFIG, settings; ends with NULL */
    char dir[1024], console[1064]; /* run directory; what the process writes to stderr */
    struct ctkd__config *config;   /* as the process will resolve it */

    enum ctkd__sweep_state state;
    pid_t process;
    size_t slot; /* of the cores, while it runs */
    int status;  /* as waitpid has it, once it ended */
};

struct ctkd__sweep {
    struct ctkd__sweep_run *runs; /* in the order of starting */
    size_t count, jobs;
    const volatile sig_atomic_t *stop; /* a signal that ends the sweep; its runs save and end too */
    void (*changed)(void *context, const struct ctkd__sweep_run *run); /* started or ended */
    void *context;
};

/* Whether the directory holds a finished run of this configuration. CTKD_EEXIST: a run that differs
   in a key that changes results, which is named. A directory without a run is not finished. */
ctkd_status ctkd__sweep_finished(const struct ctkd__sweep_run *run, bool *finished,
                                 ctkd_error *err);

/* Runs all that are waiting. The allowed cores are divided among the jobs without overlap.
   CTKD_ERANGE: more jobs than cores; CTKD_EINTERRUPTED: stopped by a signal, every process has
   ended; CTKD_EIO: a process cannot be started. Runs that fail are only marked. */
ctkd_status ctkd__sweep_execute(struct ctkd__sweep *sweep, ctkd_error *err);

#endif
