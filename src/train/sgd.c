#include "train/sgd.h"

#include <math.h>

#include "dist/sum.h"

enum { CHUNK = 1024 }; /* floats summed at a time: stays in the first-level cache */

static void add_to(const float *restrict from, size_t n, float *restrict sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += from[i];
}

void ctkd__sgd_sum(const float *const *gradients, size_t n_gradients, size_t n_tree, size_t begin,
                   size_t n, float *sum)
{
    const size_t first = n_tree ? n_tree : 1;
    for (size_t i = 0; i < n; i += CHUNK) {
        const size_t part = n - i < CHUNK ? n - i : CHUNK;
        ctkd__sum_tree(first, gradients, begin + i, part, sum + i);
        for (size_t g = first; g < n_gradients; g++)
            add_to(gradients[g] + begin + i, part, sum + i);
    }
}

static void sum_gradients(const struct ctkd__sgd_group *group, size_t begin, size_t n, float *sum)
{
    ctkd__sgd_sum(group->gradients, group->n_gradients, group->n_tree, group->first + begin, n,
                  sum);
}

static void update(size_t n, float scale, float lr, float momentum, float weight_decay,
                   bool nesterov, const float *restrict g, float *restrict v, float *restrict x)
{
    const float of_d = nesterov ? 1.0f : 0.0f, of_v = nesterov ? momentum : 1.0f;
    for (size_t i = 0; i < n; i++) {
        const float d = scale * g[i] + weight_decay * x[i];
        v[i] = momentum * v[i] + d;
        x[i] -= lr * (of_d * d + of_v * v[i]);
    }
}

void ctkd__sgd_update_range(const struct ctkd__sgd_group *group, size_t begin, size_t end)
{
    float gradient[CHUNK];
    for (size_t i = begin; i < end; i += CHUNK) {
        const size_t n = end - i < CHUNK ? end - i : CHUNK;
        sum_gradients(group, i, n, gradient);
        update(n, group->scale, group->lr, group->momentum, group->weight_decay, group->nesterov,
               gradient, group->velocity + i, group->values + i);
    }
}

struct norm_job {
    const struct ctkd__sgd_group *group;
    size_t n_workers, parts; /* parts: a multiple of the workers */
    double *sums;            /* [parts] */
};

/* Each worker gets whole chunks, so that no two write to one cache line. */
static size_t first_of(size_t n, size_t worker, size_t n_workers)
{
    const size_t at = (n + CHUNK - 1) / CHUNK * worker / n_workers * CHUNK;
    return at < n ? at : n;
}

static double sum_of_squares(const struct ctkd__sgd_group *group, size_t begin, size_t end)
{
    float gradient[CHUNK];
    double sum = 0;
    for (size_t i = begin; i < end; i += CHUNK) {
        const size_t n = end - i < CHUNK ? end - i : CHUNK;
        double lanes[8] = {
            0
        }; /* the compiler may not reorder a sum, but it may vectorise eight */
        sum_gradients(group, i, n, gradient);
        for (size_t j = 0; j < n; j++)
            lanes[j % 8] += (double)gradient[j] * (double)gradient[j];
        for (size_t j = 0; j < 8; j++)
            sum += lanes[j];
    }
    return sum;
}

static void add_squares(void *context, size_t worker)
{
    const struct norm_job *job = context;
    const size_t n = job->group->n, each = job->parts / job->n_workers;
    for (size_t i = worker * each; i < (worker + 1) * each; i++)
        job->sums[i] =
            sum_of_squares(job->group, first_of(n, i, job->parts), first_of(n, i + 1, job->parts));
}

double ctkd__sgd_norm(const struct ctkd__sgd_group *group, struct ctkd__workers *workers,
                      size_t parts, double *sums)
{
    struct norm_job job = { group, ctkd__workers_count(workers), parts, sums };
    ctkd__workers_run(workers, add_squares, &job);
    double sum = 0;
    for (size_t i = 0; i < parts; i++)
        sum += sums[i];
    return sqrt(sum);
}

struct sgd_job {
    const struct ctkd__sgd_group *groups;
    size_t n_groups, n_workers;
};

static void update_share(void *context, size_t worker)
{
    const struct sgd_job *job = context;
    for (size_t i = 0; i < job->n_groups; i++) {
        const struct ctkd__sgd_group *group = &job->groups[i];
        ctkd__sgd_update_range(group, first_of(group->n, worker, job->n_workers),
                               first_of(group->n, worker + 1, job->n_workers));
    }
}

void ctkd__sgd_update(const struct ctkd__sgd_group *groups, size_t n_groups,
                      struct ctkd__workers *workers)
{
    struct sgd_job job = { groups, n_groups, ctkd__workers_count(workers) };
    ctkd__workers_run(workers, update_share, &job);
}
