/** @file each.h  Runs a body once for each index, on the caller's threads where there are any. */
#ifndef CTKD_LIB_EACH_H
#define CTKD_LIB_EACH_H

#include "ctkd/loss.h"

/**
 * Calls body(argument, i) for each i below count: through the pool, or in turn when it is NULL.
 * Bodies may run at once and in any order, so each writes places of its own; sums over i are left
 * to the caller, in a fixed order.
 */
void ctkd__each(const ctkd_pool *pool, size_t count, void (*body)(void *argument, size_t i),
                void *argument);

/** Bodies of losses whose samples need much scratch memory: each takes its samples in turn, task,
    task + CTKD__TASKS, ..., with memory of its own. Not a number of threads: nothing depends on it
    but how many can be used. */
enum { CTKD__TASKS = 16 };

/** The same for losses whose samples need none: a task takes samples from _begin(n, task) on, up to
    that of the next. */
static inline size_t ctkd__task_begin(size_t n, size_t task)
{
    return n / CTKD__TASKS * task + n % CTKD__TASKS * task / CTKD__TASKS;
}

#endif
