/*
 * What image files cost a step: steps with one fixed batch of bytes, and with batches that are read
 * and decoded, in alternation.
 *     bench_files ROUNDS KEY=VALUE...      as for `ctkd train`, or with teacher.path `ctkd distill`
 * Each round has 4 steps of each kind. Prints the medians, how long a step waits for files or
 * threads, and the time of an evaluation's batches without a network.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/arguments.h"
#include "train/session.h"
#include "util/clock.h"
#include "util/median.h"

enum { STEPS = 4, ROUNDS_MAX = 101 };

/* The next batch; starts a new epoch when one has ended. */
static ctkd_status next(struct ctkd__loader *loader, uint64_t *epoch, struct ctkd__batch *batch,
                        ctkd_error *err)
{
    ctkd_status status = ctkd__loader_next(loader, batch, err);
    if (status == CTKD_OK && batch->n == 0) {
        ctkd__loader_start(loader, ++*epoch, 0);
        status = ctkd__loader_next(loader, batch, err);
    }
    return status;
}

/* Seconds of a step with batch `fixed`, or with a new batch each (NULL); *loading: of getting the
   batch. */
static ctkd_status run_steps(struct ctkd__session *session, uint64_t *epoch,
                             const struct ctkd__batch *fixed, double *seconds, double *loading,
                             ctkd_error *err)
{
    struct ctkd__step_report report;
    ctkd_status status = CTKD_OK;
    const double begin = ctkd__clock_seconds();
    *loading = 0;
    for (int i = 0; i < STEPS && status == CTKD_OK; i++) {
        struct ctkd__batch batch;
        const double start = ctkd__clock_seconds();
        if (!fixed)
            status = next(session->data.train, epoch, &batch, err);
        *loading += ctkd__clock_seconds() - start;
        if (status == CTKD_OK)
            status = ctkd__step_run(session->step, fixed ? fixed : &batch, 1, 0, &report, err);
    }
    *seconds = (ctkd__clock_seconds() - begin) / STEPS;
    *loading /= STEPS;
    return status;
}

/* A copy of a batch that outlives the next one. */
static bool copy_batch(const struct ctkd__session *session, const struct ctkd__batch *batch,
                       struct ctkd__batch *out)
{
    const struct ctkd__network_info *const info = &session->data.images;
    const size_t n = batch->n * info->channels * info->height * info->width;
    uint8_t *const x = malloc(n);
    int32_t *const labels = malloc(batch->n * sizeof *labels);
    uint64_t *const ids = malloc(batch->n * sizeof *ids);
    if (!x || !labels || !ids)
        return false;
    memcpy(x, batch->x.bytes, n);
    for (size_t i = 0; i < batch->n; i++) {
        labels[i] = batch->labels[i];
        ids[i] = batch->ids[i];
    }
    *out = (struct ctkd__batch){
        .n = batch->n, .x = { NULL, x, batch->x.tables }, .labels = labels, .ids = ids
    };
    return true;
}

static ctkd_status measure(struct ctkd__session *session, int rounds, ctkd_error *err)
{
    double fixed[ROUNDS_MAX], files[ROUNDS_MAX], loading[ROUNDS_MAX], none;
    struct ctkd__batch batch, kept;
    uint64_t epoch = 1;
    ctkd__loader_start(session->data.train, epoch, 0);
    ctkd_status status = next(session->data.train, &epoch, &batch, err);
    if (status != CTKD_OK || !copy_batch(session, &batch, &kept))
        return status;
    status = run_steps(session, &epoch, NULL, &none, &none, err); /* warms up */
    const uint64_t waited = ctkd__loader_waited_ns(session->data.train);
    for (int r = 0; r < rounds && status == CTKD_OK; r++) {
        status = run_steps(session, &epoch, &kept, &fixed[r], &none, err);
        if (status == CTKD_OK)
            status = run_steps(session, &epoch, NULL, &files[r], &loading[r], err);
    }
    if (status != CTKD_OK)
        return status;
    const double step_waited =
        1e-9 * (double)(ctkd__loader_waited_ns(session->data.train) - waited) / (rounds * STEPS);
    const double one = ctkd__sort_median((size_t)rounds, fixed);
    const double step = ctkd__sort_median((size_t)rounds, files);
    const double decoding = ctkd__sort_median((size_t)rounds, loading);
    printf("step, one batch        %9.2f ms\n", 1e3 * one);
    printf("step, files            %9.2f ms (%.3f times)\n", 1e3 * step, step / one);
    printf("  decoding and views   %9.2f ms (%.2f %%)\n", 1e3 * decoding, 100 * decoding / step);
    printf("  waiting for files    %9.2f ms (%.2f %%)\n", 1e3 * step_waited,
           100 * step_waited / step);
    return CTKD_OK;
}

/* The evaluation's batches without a network. */
static ctkd_status measure_evaluation(struct ctkd__session *session, ctkd_error *err)
{
    struct ctkd__batch batch = { .n = 1 };
    ctkd_status status = CTKD_OK;
    const double begin = ctkd__clock_seconds();
    ctkd__loader_start(session->data.test, 1, 0);
    while (status == CTKD_OK && batch.n)
        status = ctkd__loader_next(session->data.test, &batch, err);
    printf("evaluation's batches   %9.2f ms an image\n",
           1e3 * (ctkd__clock_seconds() - begin) /
               (double)ctkd__loader_samples(session->data.test));
    return status;
}

int main(int argc, char **argv)
{
    const int rounds = argc > 1 ? atoi(argv[1]) : 0;
    struct ctkd__config *config;
    struct ctkd__session *session = NULL;
    ctkd_error err = { 0 };
    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_files ROUNDS KEY=VALUE...\n");
        return 2;
    }
    ctkd_status status = ctkd__config_create(&config, &err);
    if (status == CTKD_OK)
        status = ctkd__arguments_apply(argc - 2, argv + 2, config, &err);
    if (status == CTKD_OK)
        status = ctkd__session_open(config, config->teacher.path[0], NULL, &session, &err);
    if (status == CTKD_OK)
        status = measure(session, rounds, &err);
    if (status == CTKD_OK)
        status = measure_evaluation(session, &err);
    if (status != CTKD_OK)
        fprintf(stderr, "%s\n", err.message);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
    return status != CTKD_OK;
}
