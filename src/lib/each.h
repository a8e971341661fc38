/** @file each.h  Runs a body once for each index, on the caller's threads if it lends any. */
#ifndef CTKD_LIB_EACH_H
#define CTKD_LIB_EACH_H

#include "ctkd/loss.h"

/**
 * Calls body(argument, i) for each i below count: through the pool, or in turn when it is NULL.
 * Bodies may run at once and in any order, so each must write only memory of its own. The caller
 * sums over i afterwards, in a fixed order, so that results do not depend on threads.
 */
void ctkd__each(const ctkd_pool *pool, size_t count, void (*body)(void *argument, size_t i),
                void *argument);

/** Number of tasks of a loss whose samples need much scratch memory: task i takes samples i, i +
    CTKD__TASKS, ... and has memory of its own. It bounds how many threads can be used; results do
    not depend on it. */
enum { CTKD__TASKS = 16 };

/** For losses whose samples need no scratch memory: a task takes the samples from _begin(n, task)
    up to _begin(n, task + 1). */
static inline size_t ctkd__task_begin(size_t n, size_t task)
{
    return n / CTKD__TASKS * task + n % CTKD__TASKS * task / CTKD__TASKS;
}

#endif
