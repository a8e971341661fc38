/* Signals that end a run in an orderly way, and output that nobody reads any longer. */
#ifndef CTKD_CLI_STOP_H
#define CTKD_CLI_STOP_H

#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>

#include "ctkd/status.h"

struct ctkd__dist;

/*
 * From now on SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU ask for an orderly end; one
 * that is ignored already (nohup, a shell's background job) stays ignored. A SIGINT after a SIGINT
 * or SIGTERM ends the process at once; the others may come again: a closed terminal sends SIGHUP
 * several times, and Slurm two SIGTERMs at a time limit.
 * SIGPIPE is ignored: a run outlives the readers of its messages.
 */
void ctkd__stop_watch(void);
/* The same for SIGUSR1, SIGUSR2 and SIGXCPU alone, for the time before there is anything to save: a
   warning of a batch system that comes early must not end the process by its default action. */
void ctkd__stop_watch_warnings(void);

/* The first signal that asked for an end, or 0; a run sets it if another rank was asked. */
volatile sig_atomic_t *ctkd__stop_asked(void);

/* Posted on a signal that leaves no time: SIGINT, SIGTERM, SIGHUP. */
sem_t *ctkd__stop_now(void);

/* Ends the process for a run that another thread has saved (ctkd__loop.leave): prints the message
   and leaves with its exit status. The other ranks end too, by their launcher or, where that lets
   them wait for this one, by MPI. */
void ctkd__stop_leave(struct ctkd__dist *dist, const ctkd_error *err);

/* Exit status of a run that was saved: 128 + signal; 75 for what a batch system sends before a
   limit (SIGUSR1, SIGUSR2, SIGXCPU) and for no signal, train.max_minutes: resume later. */
int ctkd__stop_status(int signal);

/* Whether stdout is a pipe or a socket whose reader has gone. */
bool ctkd__stop_unread(void);

#endif
