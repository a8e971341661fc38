/* A fixed team of pinned threads that run the same function and meet at barriers. */
#ifndef CTKD_NN_WORKERS_H
#define CTKD_NN_WORKERS_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/status.h"

struct ctkd__workers;

/* count 0: the physical cores that this process may use. The caller's thread is worker 0. Denormals
   are flushed to zero in every worker; oneDNN is told to use one thread in each. The caller is
   pinned until destroy: a second team that it makes meanwhile finds one core, so give that a count
   or make the larger one first. Destroyed in the opposite order. */
ctkd_status ctkd__workers_create(size_t count, struct ctkd__workers **out, ctkd_error *err);
void ctkd__workers_destroy(struct ctkd__workers *workers);
size_t ctkd__workers_count(const struct ctkd__workers *workers);

/* Runs fn(context, worker) in every worker and returns when all are done. */
void ctkd__workers_run(struct ctkd__workers *workers, void (*fn)(void *context, size_t worker),
                       void *context);
/* Called by every worker inside fn: waits for all. Spins, then yields. */
void ctkd__workers_meet(struct ctkd__workers *workers);

#endif
