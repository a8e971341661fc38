#include "lib/part.h"

#include "lib/each.h"
#include "lib/pairs.h"

struct part_loop {
    size_t begin;
    void (*body)(void *argument, size_t i);
    void *argument;
};

static void run_sample(void *argument, size_t i)
{
    const struct part_loop *const loop = argument;
    loop->body(loop->argument, loop->begin + i);
}

static size_t count_of(const ctkd_loss_args *a)
{
    return ctkd__part_end(a) - ctkd__part_begin(a);
}

void ctkd__part_each(const ctkd_loss_args *a, void (*body)(void *argument, size_t i),
                     void *argument)
{
    struct part_loop loop = { ctkd__part_begin(a), body, argument };
    ctkd__each(a->pool, count_of(a), run_sample, &loop);
}

void ctkd__part_tasks(const ctkd_loss_args *a, void (*body)(void *argument, size_t task),
                      void *argument)
{
    const size_t count = count_of(a);
    ctkd__each(a->pool, count < CTKD__TASKS ? count : CTKD__TASKS, body, argument);
}

ctkd_status ctkd__part_gather(const ctkd_loss_args *a, size_t width, double *terms)
{
    return a->part ? a->part->gather(a->part->context, width, terms) : CTKD_OK;
}

ctkd_status ctkd__part_sum(const ctkd_loss_args *a, double *terms, double *sum)
{
    const ctkd_status status = ctkd__part_gather(a, 1, terms);
    if (status == CTKD_OK)
        *sum = ctkd__sum(a->n, terms, 1);
    return status;
}
