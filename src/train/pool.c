#include "train/pool.h"

#include <stdatomic.h>

struct pool_job {
    atomic_size_t next;
    size_t count;
    void (*body)(void *argument, size_t i);
    void *argument;
};

static void claim(void *context, size_t worker)
{
    (void)worker;
    struct pool_job *const job = context;
    for (;;) {
        const size_t i = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        if (i >= job->count)
            return;
        job->body(job->argument, i);
    }
}

static void run(void *context, size_t count, void (*body)(void *argument, size_t i), void *argument)
{
    struct pool_job job = { .count = count, .body = body, .argument = argument };
    ctkd__workers_run(context, claim, &job);
}

ctkd_pool ctkd__pool(struct ctkd__workers *workers)
{
    return (ctkd_pool){ workers, run };
}
