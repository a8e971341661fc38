#include "train/gradient_sum.h"

#include <math.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "train/sgd.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/slice.h"
#include "util/thread.h"

enum {
    BUCKET_BYTES = 1 << 20,
    PIECE = 1 << 16 /* floats of an exchange, 256 kB: 2 ms at 1 Gbit/s */
};

struct ctkd__gradient_sum {
    struct ctkd__gradient_sum_config config;
    struct ctkd__rank_sum *ranks;
    const float **slices; /* [n_slices] of this rank */
    size_t n_slices, n;
    float *values; /* [n] */

    /* Of a sum that overlaps; n_buckets is 0 in any other. */
    size_t n_buckets;
    size_t *begin; /* [n_buckets] as ctkd__training_parts.begin */
    double *ready; /* [n_buckets] when each was complete in this pass */
    double *lead;  /* [n_buckets] sums over the passes: how long before _finish */
    double passes;
    bool expected;     /* whether this pass, or the next one, is summed */
    sem_t complete;    /* buckets that are complete and not yet summed */
    sem_t done;        /* passes that are summed */
    ctkd_error failed; /* the thread's, before it posts `done` */
    atomic_bool ends;
    bool has_thread;
    pthread_t thread;
};

/* --- buckets */

/* Cuts the parameter block into buckets, from its end. begin: [parameters + 1]. Returns how
   many. */
static size_t cut(const struct ctkd__gradient_sum_config *config, size_t *begin)
{
    const struct ctkd__weights *const weights = config->weights;
    const struct ctkd__graph *const graph = weights->graph;
    const size_t least = config->bucket_bytes ? config->bucket_bytes : BUCKET_BYTES;
    size_t count = 0, end = weights->n_values;
    for (int i = graph->n_parameters - 1; i >= 0; i--) {
        if (graph->parameters[i].role > CTKD__ROLE_BIAS)
            continue; /* running statistics are in another block */
        const size_t offset = weights->offsets[i];
        if (offset == 0 || (end - offset) * sizeof(float) >= least)
            begin[count++] = end = offset;
    }
    return count;
}

static size_t bucket_end(const struct ctkd__gradient_sum *sum, size_t bucket)
{
    return bucket ? sum->begin[bucket - 1] : sum->n;
}

/* --- the thread */

/* A clock that stands still while the main thread waits for other ranks: on a slow link the sums of
   batch norms wait behind the gradients, which hides nothing of these. In a worker or the main
   thread: none of them is past a batch norm while the main thread exchanges. */
static double computed(const struct ctkd__gradient_sum *sum)
{
    return ctkd__clock_seconds() - ctkd__dist_counts(sum->config.dist, CTKD__CHANNEL_MAIN).waited;
}

/* In a worker, or in the main thread where there is no pass. The thread may take the post of a
   later bucket for that of an earlier one: then the earlier one is complete too. */
static void bucket_complete(void *context, size_t bucket)
{
    struct ctkd__gradient_sum *const sum = context;
    if (!sum->expected)
        return;
    sum->ready[bucket] = computed(sum);
    sem_post(&sum->complete);
}

/* What this rank adds, floats begin to end - 1. */
static void make(struct ctkd__gradient_sum *sum, size_t begin, size_t end)
{
    const struct ctkd__gradient_sum_config *const config = &sum->config;
    const size_t n_values = config->weights->n_values;
    const size_t own = end < n_values ? end : n_values; /* where the parameters among them end */
    if (begin < own)
        ctkd__sgd_sum(sum->slices, sum->n_slices, sum->n_slices, begin, own - begin,
                      sum->values + begin);
    if (config->merge)
        config->merge(config->context, begin, end - begin, sum->values + begin);
}

/* In pieces: on a slow link an exchange of the main thread stands behind the piece under way. */
static void sum_bucket(struct ctkd__gradient_sum *sum, size_t bucket)
{
    const size_t begin = sum->begin[bucket], end = bucket_end(sum, bucket);
    make(sum, begin, end);
    for (size_t at = begin; at < end && sum->failed.status == CTKD_OK; at += PIECE)
        (void)ctkd__rank_sum_run(sum->ranks, CTKD__CHANNEL_GRADIENTS,
                                 end - at < PIECE ? end - at : PIECE, sum->values + at,
                                 &sum->failed);
}

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0) /* a signal has interrupted it */
        ;
}

static void *run_thread(void *argument)
{
    struct ctkd__gradient_sum *const sum = argument;
    ctkd__workers_join_beside(sum->config.workers);
    for (size_t bucket = 0;;) {
        wait_for(&sum->complete);
        if (atomic_load(&sum->ends))
            return NULL;
        if (sum->failed.status == CTKD_OK)
            sum_bucket(sum, bucket);
        bucket = (bucket + 1) % sum->n_buckets;
        if (bucket == 0)
            sem_post(&sum->done);
    }
}

static ctkd_status start_thread(struct ctkd__gradient_sum *sum, ctkd_error *err)
{
    const struct ctkd__training_parts parts = { sum->begin, sum->n_buckets, bucket_complete, sum };
    const ctkd_status status = ctkd__training_report_parts(sum->config.training, &parts, err);
    if (status != CTKD_OK)
        return status;
    /* Here, and not in the thread: an initial stage and the main one have a thread each. */
    ctkd__dist_set_topic(sum->config.dist, CTKD__CHANNEL_GRADIENTS, CTKD__TOPIC_GRADIENTS);
    sum->has_thread = ctkd__thread_start(&sum->thread, run_thread, sum) == 0;
    return sum->has_thread ? CTKD_OK
                           : ctkd__fail(err, CTKD_EBACKEND,
                                        "cannot start the thread that sums gradients over ranks");
}

/* --- create, destroy */

static bool allocate(struct ctkd__gradient_sum *sum)
{
    const struct ctkd__gradient_sum_config *const config = &sum->config;
    const size_t parameters = (size_t)config->weights->graph->n_parameters + 1;
    sum->slices = calloc(sum->n_slices, sizeof *sum->slices);
    sum->values = calloc(sum->n, sizeof *sum->values);
    sum->begin = calloc(parameters, sizeof *sum->begin);
    sum->ready = calloc(parameters, sizeof *sum->ready);
    sum->lead = calloc(parameters, sizeof *sum->lead);
    if (!sum->slices || !sum->values || !sum->begin || !sum->ready || !sum->lead)
        return false;
    for (size_t s = 0; s < sum->n_slices; s++)
        sum->slices[s] = ctkd__training_gradient(config->training, s);
    if (config->overlap && ctkd__dist_concurrent(config->dist))
        sum->n_buckets = cut(config, sum->begin);
    return true;
}

ctkd_status ctkd__gradient_sum_create(const struct ctkd__gradient_sum_config *config,
                                      struct ctkd__gradient_sum **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__gradient_sum *const sum = calloc(1, sizeof *sum);
    if (!sum)
        return ctkd__fail(err, CTKD_ENOMEM, "training step: out of memory");
    sum->config = *config;
    sum->n = config->weights->n_values + config->behind;
    sum->expected = !config->merge;
    sum->n_slices = ctkd__training_slices(config->training);
    sem_init(&sum->complete, 0, 0);
    sem_init(&sum->done, 0, 0);
    ctkd_status status =
        allocate(sum) ? CTKD_OK : ctkd__fail(err, CTKD_ENOMEM, "training step: out of memory");
    if (status == CTKD_OK)
        status =
            ctkd__rank_sum_create(config->dist, sum->n_buckets ? PIECE : sum->n, &sum->ranks, err);
    if (status == CTKD_OK && sum->n_buckets)
        status = start_thread(sum, err);
    if (status != CTKD_OK) {
        ctkd__gradient_sum_destroy(sum);
        return status;
    }
    *out = sum;
    return CTKD_OK;
}

void ctkd__gradient_sum_destroy(struct ctkd__gradient_sum *sum)
{
    if (!sum)
        return;
    if (sum->has_thread) {
        atomic_store(&sum->ends, true);
        sem_post(&sum->complete);
        pthread_join(sum->thread, NULL);
    }
    sem_destroy(&sum->complete);
    sem_destroy(&sum->done);
    ctkd__rank_sum_destroy(sum->ranks);
    free(sum->slices);
    free(sum->values);
    free(sum->begin);
    free(sum->ready);
    free(sum->lead);
    free(sum);
}

/* --- a pass */

void ctkd__gradient_sum_expect(struct ctkd__gradient_sum *sum, bool passes)
{
    sum->expected = true;
    for (size_t b = 0; b < sum->n_buckets && !passes; b++)
        bucket_complete(sum, b);
}

static void make_part(void *context, size_t worker)
{
    struct ctkd__gradient_sum *const sum = context;
    const size_t workers = ctkd__workers_count(sum->config.workers);
    make(sum, ctkd__slice_begin(sum->n, workers, worker),
         ctkd__slice_begin(sum->n, workers, worker + 1));
}

static ctkd_status sum_all(struct ctkd__gradient_sum *sum, ctkd_error *err)
{
    struct ctkd__dist *const dist = sum->config.dist;
    ctkd__workers_run(sum->config.workers, make_part, sum);
    const enum ctkd__dist_topic before =
        ctkd__dist_set_topic(dist, CTKD__CHANNEL_MAIN, CTKD__TOPIC_GRADIENTS);
    const ctkd_status status =
        ctkd__rank_sum_run(sum->ranks, CTKD__CHANNEL_MAIN, sum->n, sum->values, err);
    ctkd__dist_set_topic(dist, CTKD__CHANNEL_MAIN, before);
    return status;
}

ctkd_status ctkd__gradient_sum_finish(struct ctkd__gradient_sum *sum, ctkd_error *err)
{
    sum->expected = !sum->config.merge;
    if (sum->n_buckets == 0)
        return sum_all(sum, err);
    const double begin = ctkd__clock_seconds(), now = computed(sum);
    wait_for(&sum->done);
    ctkd__dist_add_wait(sum->config.dist, CTKD__TOPIC_GRADIENTS, ctkd__clock_seconds() - begin);
    for (size_t b = 0; b < sum->n_buckets; b++)
        sum->lead[b] += now - sum->ready[b];
    sum->passes++;
    return ctkd__fail_as(err, &sum->failed);
}

const float *ctkd__gradient_sum_values(const struct ctkd__gradient_sum *sum)
{
    return sum->values;
}

size_t ctkd__gradient_sum_buckets(const struct ctkd__gradient_sum *sum)
{
    return sum->n_buckets;
}

double ctkd__gradient_sum_exposed(const struct ctkd__gradient_sum *sum, double seconds)
{
    double now = -INFINITY; /* when the thread is free, counted from the call of _finish */
    for (size_t b = 0; b < sum->n_buckets; b++) {
        const double share = (double)(bucket_end(sum, b) - sum->begin[b]) / (double)sum->n;
        now = fmax(now, -sum->lead[b] / fmax(sum->passes, 1)) + share * seconds;
    }
    return sum->n_buckets ? fmax(now, 0) : seconds;
}
