/* The sum of gradients over ranks beside the backward pass: whatever the buckets, its bits are
   those of the sum behind it. */
#include "train/gradient_sum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/temp_files.h"
#include "support/thread_ranks.h"
#include "support/tiny.h"

enum { RANKS = 2, PASSES = 3, IMAGES = 40, BEHIND = 3 };

struct job {
    const struct ctkd__config *config;
    size_t bytes; /* of a bucket */
    bool leaves;  /* rank 1 sums nothing, and ends the ranks */
    bool merges;  /* the sum is of what `merge` makes of some passes */
    size_t n_values;
    size_t buckets; /* found */
    size_t different[RANKS], compared[RANKS];
    double exposed[RANKS][2]; /* if the sum took no time, and if it took 1000 s */
    ctkd_status status[RANKS];
    ctkd_error err[RANKS];
};

static ctkd_status run_pass(struct ctkd__session *session, ctkd_error *err)
{
    struct ctkd__batch batch;
    ctkd_status status = ctkd__loader_next(session->data.train, &batch, err);
    const size_t k = session->info.classes;
    float *const logits = status == CTKD_OK ? calloc(batch.n * k, sizeof *logits) : NULL;
    if (!logits)
        return status == CTKD_OK ? CTKD_ENOMEM : status;
    status = ctkd__training_forward_images(session->training, batch.n, batch.x, logits, err);
    if (status == CTKD_OK) /* any gradient will do */
        status = ctkd__training_backward(session->training, logits, err);
    free(logits);
    return status;
}

static void merge(void *context, size_t begin, size_t n, float *part)
{
    const struct job *const job = context;
    for (size_t i = 0; i < n; i++)
        part[i] = begin + i < job->n_values ? 0.5f * part[i] + 1 : (float)(begin + i);
}

/* With `merge`: a pass that is not summed before the first one that is, and then a sum without one
   (of the gradient that is still there). */
static ctkd_status run_passes(struct ctkd__session *session, const struct job *job, int pass,
                              struct ctkd__gradient_sum *beside, struct ctkd__gradient_sum *behind,
                              ctkd_error *err)
{
    if (!job->merges)
        return run_pass(session, err);
    const ctkd_status status = pass == 0 ? run_pass(session, err) : CTKD_OK;
    ctkd__gradient_sum_expect(beside, pass == 0);
    ctkd__gradient_sum_expect(behind, pass == 0);
    return status == CTKD_OK && pass == 0 ? run_pass(session, err) : status;
}

/* Floats behind the parameters: the same of each rank, and so twice their value. */
static void check_behind(struct job *job, size_t rank, const float *values)
{
    for (size_t i = job->n_values; i < job->n_values + BEHIND; i++)
        job->different[rank] += values[i] != RANKS * (float)i;
}

static ctkd_status compare(struct ctkd__session *session, struct job *job, ctkd_error *err)
{
    const size_t rank = ctkd__dist_rank(session->dist);
    struct ctkd__gradient_sum *beside = NULL, *behind = NULL;
    struct ctkd__gradient_sum_config config = { .dist = session->dist,
                                                .workers = session->engine.workers,
                                                .training = session->training,
                                                .weights = session->weights,
                                                .bucket_bytes = job->bytes,
                                                .merge = job->merges ? merge : NULL,
                                                .context = job,
                                                .behind = job->merges ? BEHIND : 0 };
    ctkd_status status = ctkd__gradient_sum_create(&config, &behind, err);
    config.overlap = true;
    if (status == CTKD_OK)
        status = ctkd__gradient_sum_create(&config, &beside, err);
    if (rank == 0)
        job->buckets = ctkd__gradient_sum_buckets(beside);
    for (int pass = 0; pass < (job->merges ? 2 : PASSES) && status == CTKD_OK; pass++) {
        status = run_passes(session, job, pass, beside, behind, err);
        if (status == CTKD_OK)
            status = ctkd__gradient_sum_finish(beside, err);
        if (status == CTKD_OK)
            status = ctkd__gradient_sum_finish(behind, err);
        const float *const a = ctkd__gradient_sum_values(beside), *const b =
                                                                      ctkd__gradient_sum_values(
                                                                          behind);
        for (size_t i = 0; i < session->weights->n_values; i++) {
            job->different[rank] += memcmp(&a[i], &b[i], sizeof *a) != 0;
            job->compared[rank] += b[i] != 0;
        }
        if (job->merges)
            check_behind(job, rank, a);
    }
    job->exposed[rank][0] = ctkd__gradient_sum_exposed(beside, 0);
    job->exposed[rank][1] = ctkd__gradient_sum_exposed(beside, 1000);
    ctkd__gradient_sum_destroy(beside);
    ctkd__gradient_sum_destroy(behind);
    return status;
}

static ctkd_status leave(struct ctkd__session *session, ctkd_error *err)
{
    const ctkd_status status = run_pass(session, err);
    ctkd__dist_abort(session->dist, 1);
    return status;
}

/* The session's own step does not overlap (train.overlap=false): it would ask for the same
   reports. */
static void run_rank(struct ctkd__dist *dist, void *context)
{
    struct job *const job = context;
    const size_t rank = ctkd__dist_rank(dist);
    struct ctkd__session *session;
    ctkd_status status = ctkd__session_open(job->config, false, dist, &session, &job->err[rank]);
    if (status == CTKD_OK) {
        ctkd__loader_start(session->data.train, 1, 0);
        status = job->leaves && rank == 1 ? leave(session, &job->err[rank])
                                          : compare(session, job, &job->err[rank]);
        ctkd__session_close(session);
    }
    job->status[rank] = status;
    if (status != CTKD_OK)
        ctkd__dist_abort(dist, 1);
}

static size_t count_parameters(const struct ctkd__config *config, size_t *n_values)
{
    struct ctkd__session *session;
    ctkd_error err = { 0 };
    size_t count = 0;
    check_ok(ctkd__session_open(config, false, NULL, &session, &err), &err);
    for (int i = 0; i < session->network->n_parameters; i++)
        count += session->network->parameters[i].role <= CTKD__ROLE_BIAS;
    *n_values = session->weights->n_values;
    ctkd__session_close(session);
    return count;
}

static void no_bucket_changes_a_bit(void **state)
{
    static const struct {
        size_t threads, slices, bytes;
        bool merges;
    } cases[] = { { 1, 2, 1, false }, { 2, 8, 1, false },    { 1, 8, 20000, false },
                  { 2, 4, 0, false }, { 1, 2, 20000, true }, { 2, 8, 1, true } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[128];
        snprintf(line, sizeof line, "train.overlap=false train.threads=%zu train.slices=%zu",
                 cases[i].threads, cases[i].slices);
        struct ctkd__config *const config = tiny_small_config(*state, line);
        struct job job = { .config = config, .bytes = cases[i].bytes, .merges = cases[i].merges };
        const size_t parameters = count_parameters(config, &job.n_values);
        thread_ranks_run(RANKS, run_rank, &job);
        for (size_t r = 0; r < RANKS; r++) {
            check_ok(job.status[r], &job.err[r]);
            assert_int_equal(job.different[r], 0);
            assert_true(job.compared[r] > 1000);
            assert_true(job.exposed[r][0] == 0);
            assert_true(job.exposed[r][1] > 900 && job.exposed[r][1] <= 1000);
        }
        if (cases[i].bytes == 1)
            assert_int_equal(job.buckets, parameters);
        else if (cases[i].bytes == 0)
            assert_int_equal(job.buckets, 1); /* the network has less than 1 MB */
        else
            assert_in_range(job.buckets, 3, parameters / 2);
        ctkd__config_destroy(config);
    }
}

static void one_thread_at_a_time_sums_behind_the_pass(void **state)
{
    struct ctkd__config *const config =
        tiny_small_config(*state, "train.overlap=false train.threads=1 train.slices=2");
    struct job job = { .config = config, .bytes = 1 };
    thread_ranks_concurrent = false;
    thread_ranks_run(RANKS, run_rank, &job);
    thread_ranks_concurrent = true;
    for (size_t r = 0; r < RANKS; r++) {
        check_ok(job.status[r], &job.err[r]);
        assert_int_equal(job.different[r], 0);
        assert_true(job.exposed[r][0] == 0 && job.exposed[r][1] == 1000);
    }
    assert_int_equal(job.buckets, 0);
    ctkd__config_destroy(config);
}

static void a_rank_that_ends_fails_the_sum(void **state)
{
    struct ctkd__config *const config =
        tiny_small_config(*state, "train.overlap=false train.threads=1 train.slices=2");
    struct job job = { .config = config, .bytes = 1, .leaves = true };
    thread_ranks_run(RANKS, run_rank, &job);
    check_ok(job.status[1], &job.err[1]);
    assert_int_equal(job.status[0], CTKD_EBACKEND);
    assert_string_equal(job.err[0].message, "a rank has ended");
    ctkd__config_destroy(config);
}

static int prepare(void **state)
{
    if (temp_folder_make(state) != 0)
        return -1;
    tiny_data_write(*state, IMAGES, 21);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_bucket_changes_a_bit),
        cmocka_unit_test(one_thread_at_a_time_sums_behind_the_pass),
        cmocka_unit_test(a_rank_that_ends_fails_the_sum),
    };
    return cmocka_run_group_tests(tests, prepare, temp_folder_remove);
}
