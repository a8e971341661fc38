#include "train/sgd.h"

#include <string.h>

enum { CHUNK = 1024 }; /* floats summed at a time: stays in the first-level cache */

static void sum_slices(const struct ctkd__sgd_group *group, size_t begin, size_t n,
                       float *restrict sum)
{
    memcpy(sum, group->gradients[0] + begin, n * sizeof *sum);
    for (size_t s = 1; s < group->n_gradients; s++) {
        const float *restrict slice = group->gradients[s] + begin;
        for (size_t i = 0; i < n; i++)
            sum[i] += slice[i];
    }
}

static void update(size_t n, float lr, float momentum, float weight_decay, bool nesterov,
                   const float *restrict g, float *restrict v, float *restrict x)
{
    const float of_d = nesterov ? 1.0f : 0.0f, of_v = nesterov ? momentum : 1.0f;
    for (size_t i = 0; i < n; i++) {
        const float d = g[i] + weight_decay * x[i];
        v[i] = momentum * v[i] + d;
        x[i] -= lr * (of_d * d + of_v * v[i]);
    }
}

void ctkd__sgd_update_range(const struct ctkd__sgd_group *group, size_t begin, size_t end)
{
    float gradient[CHUNK];
    for (size_t i = begin; i < end; i += CHUNK) {
        const size_t n = end - i < CHUNK ? end - i : CHUNK;
        sum_slices(group, i, n, gradient);
        update(n, group->lr, group->momentum, group->weight_decay, group->nesterov, gradient,
               group->velocity + i, group->values + i);
    }
}

struct job {
    const struct ctkd__sgd_group *groups;
    size_t n_groups, n_workers;
};

static void work(void *context, size_t worker)
{
    const struct job *job = context;
    for (size_t i = 0; i < job->n_groups; i++) {
        const struct ctkd__sgd_group *group = &job->groups[i];
        /* Whole chunks for each worker: no cache line is written by two. */
        const size_t chunks = (group->n + CHUNK - 1) / CHUNK;
        const size_t begin = chunks * worker / job->n_workers * CHUNK;
        const size_t end = chunks * (worker + 1) / job->n_workers * CHUNK;
        ctkd__sgd_update_range(group, begin, end < group->n ? end : group->n);
    }
}

void ctkd__sgd_update(const struct ctkd__sgd_group *groups, size_t n_groups,
                      struct ctkd__workers *workers)
{
    struct job job = { groups, n_groups, ctkd__workers_count(workers) };
    ctkd__workers_run(workers, work, &job);
}
