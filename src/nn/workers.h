/* A fixed team of threads that run the same function and wait for each other at barriers. */
#ifndef CTKD_NN_WORKERS_H
#define CTKD_NN_WORKERS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

#include "ctkd/status.h"
#include "util/cpu.h"

struct ctkd__cpus; /* cpus.h */
struct ctkd__workers;

/*
 * count 0: as many as ctkd__cpus_find says; at most CTKD__WORKERS_MAX. The caller's thread is
 * worker 0. A team with as many threads as there are cores has each pinned to a core of its own; a
 * smaller one may share the machine with other teams, so its placement is left to the scheduler.
 * Denormals are flushed to zero in every worker; oneDNN is told to use one thread in each.
 *
 * The caller's CPUs, its floating-point mode and its OpenMP threads are those of the team until the
 * last living team that this thread made is destroyed, by this thread; then they are as they were
 * before the first.
 */
ctkd_status ctkd__workers_create(size_t count, struct ctkd__workers **out, ctkd_error *err);
void ctkd__workers_destroy(struct ctkd__workers *workers);
size_t ctkd__workers_count(const struct ctkd__workers *workers);
/* The CPUs of its maker, as they were before a living team pinned it; until destroy. */
const struct ctkd__cpus *ctkd__workers_cpus(const struct ctkd__workers *workers);
/* Whether each worker is tied to a core. */
bool ctkd__workers_pinned(const struct ctkd__workers *workers);

/* The CPUs of the calling thread as they were before a living team pinned it. */
void ctkd__workers_allowed(cpu_set_t *out);

/* Makes the calling thread, which is beside the team, compute as a worker does: denormals are zero.
   It may use all CPUs of the team's maker, wherever its own maker was pinned. */
void ctkd__workers_join_beside(const struct ctkd__workers *workers);

/* Runs fn(context, worker) in every worker and returns when all are done. */
void ctkd__workers_run(struct ctkd__workers *workers, void (*fn)(void *context, size_t worker),
                       void *context);
/* To be called by every worker inside fn: waits for all. It spins, then yields, then sleeps; a team
   with more threads than cores sleeps almost at once. */
void ctkd__workers_barrier(struct ctkd__workers *workers);

#endif
