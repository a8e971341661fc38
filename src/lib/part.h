/** @file part.h  The samples that an evaluation computes: all of a batch, or those of its part. */
#ifndef CTKD_LIB_PART_H
#define CTKD_LIB_PART_H

#include "ctkd/loss.h"

/** They are _begin to _end - 1. */
static inline size_t ctkd__part_begin(const ctkd_loss_args *a)
{
    return a->part ? a->part->first : 0;
}
static inline size_t ctkd__part_end(const ctkd_loss_args *a)
{
    return a->part ? a->part->first + a->part->count : a->n;
}

/** ctkd__each over these samples: calls body(argument, i) for each. */
void ctkd__part_each(const ctkd_loss_args *a, void (*body)(void *argument, size_t i),
                     void *argument);
/** The same for tasks (CTKD__TASKS), which take samples _begin + task, + CTKD__TASKS, ... */
void ctkd__part_tasks(const ctkd_loss_args *a, void (*body)(void *argument, size_t task),
                      void *argument);

/** terms [n, width], of which the rows of these samples are filled: fills all others. */
CTKD_NODISCARD ctkd_status ctkd__part_gather(const ctkd_loss_args *a, size_t width, double *terms);
/** terms [n], gathered and summed in the order of the samples. */
CTKD_NODISCARD ctkd_status ctkd__part_sum(const ctkd_loss_args *a, double *terms, double *sum);

#endif
