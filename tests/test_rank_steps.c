/*
 * Training on several ranks, which are threads here, with 1 and 2 workers each: weights, running
 * statistics, velocities, the methods' memories and all that steps and evaluations report have the
 * same bits as on one rank with one worker.
 */
#include "support/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dist/dist.h"
#include "support/temp_files.h"
#include "support/thread_ranks.h"
#include "support/tiny.h"

enum { RANKS_MAX = 4, STEPS_MAX = 32, BATCH = 16, IMAGES = 2 * BATCH + 3 };

/* What a rank has after a run. */
struct outcome {
    ctkd_error err;
    struct ctkd__step_report reports[STEPS_MAX];
    size_t n_reports, expected; /* expected: batches that the teacher answered in advance */
    struct ctkd__scores scores;
    float *values; /* all that a checkpoint holds */
    size_t n_values;
};

struct job {
    const struct ctkd__config *config;
    bool distil;
    size_t ranks;
    struct outcome outcomes[RANKS_MAX];
};

static void append(struct outcome *out, const float *values, size_t n)
{
    if (n == 0)
        return;
    float *const grown = realloc(out->values, (out->n_values + n) * sizeof *grown);
    if (!grown)
        abort();
    memcpy(grown + out->n_values, values, n * sizeof *grown);
    out->values = grown;
    out->n_values += n;
}

static void keep_state(const struct ctkd__run_state *state, struct outcome *out)
{
    append(out, state->weights->values, state->weights->n_values);
    append(out, state->weights->buffers, state->weights->n_buffers);
    append(out, state->velocity, state->weights->n_values);
    append(out, state->method_state, state->n_method_state);
    if (!state->temperature)
        return;
    float *values, *gradient;
    const size_t n = ctkd_temperature_parameters(state->temperature, &values, &gradient);
    append(out, values, n);
    append(out, state->temperature_velocity, n);
    append(out, state->tau_counts, CTKD__TAU_BINS);
}

static ctkd_status run_epoch(struct ctkd__session *session, struct ctkd__training_step *step,
                             uint64_t epoch, struct outcome *out)
{
    struct ctkd__run_state *const state = &session->state;
    struct ctkd__batch batch, next;
    ctkd__loader_start(session->data.train, epoch, 0);
    ctkd_status status = ctkd__loader_next(session->data.train, &batch, &out->err);
    for (state->epoch_step = 0;; state->epoch_step++, state->step++, batch = next) {
        if (status != CTKD_OK || batch.n == 0)
            return status;
        if (session->looks_ahead) {
            status = ctkd__loader_next(session->data.train, &next, &out->err);
            if (status != CTKD_OK)
                return status;
            ctkd__step_expect(step, &next);
            out->expected += next.n > 0;
        }
        status = ctkd__step_run(step, &batch, epoch, 1, &out->reports[out->n_reports++], &out->err);
        if (status != CTKD_OK)
            return status;
        if (!session->looks_ahead)
            status = ctkd__loader_next(session->data.train, &next, &out->err);
    }
}

static ctkd_status run(struct job *job, struct ctkd__dist *dist, struct outcome *out)
{
    struct ctkd__session *session;
    ctkd_status status = ctkd__session_open(job->config, job->distil, dist, &session, &out->err);
    if (status != CTKD_OK)
        return status;
    if (session->initial_step)
        status = run_epoch(session, session->initial_step, 1, out);
    session->state.stage = CTKD_STAGE_MAIN;
    for (uint64_t epoch = 1; epoch <= 2 && status == CTKD_OK; epoch++)
        status = run_epoch(session, session->step, epoch, out);
    if (status == CTKD_OK)
        status = ctkd__session_evaluate(session, &out->scores, NULL, NULL, &out->err);
    keep_state(&session->state, out);
    ctkd__session_close(session);
    return status;
}

static void run_rank(struct ctkd__dist *dist, void *context)
{
    struct job *const job = context;
    struct outcome *const out = &job->outcomes[ctkd__dist_rank(dist)];
    if (run(job, dist, out) != CTKD_OK)
        ctkd__dist_abort(dist, 1);
}

static void free_outcomes(struct job *job)
{
    for (size_t r = 0; r < RANKS_MAX; r++)
        free(job->outcomes[r].values);
}

static void check_same(const struct outcome *a, const struct outcome *b, const char *what)
{
    if (b->err.status != CTKD_OK)
        fail_msg("%s: %s", what, b->err.message);
    assert_int_equal(a->n_reports, b->n_reports);
    for (size_t i = 0; i < a->n_reports; i++)
        if (memcmp(&a->reports[i], &b->reports[i], sizeof *a->reports) != 0)
            fail_msg("%s: step %zu reports a loss of %.9g, expected %.9g and all else the same",
                     what, i + 1, (double)b->reports[i].loss, (double)a->reports[i].loss);
    assert_int_equal(a->n_values, b->n_values);
    for (size_t i = 0; i < a->n_values; i++)
        if (memcmp(&a->values[i], &b->values[i], sizeof *a->values) != 0)
            fail_msg("%s: value %zu of %zu is %.9g, expected %.9g", what, i, a->n_values,
                     (double)b->values[i], (double)a->values[i]);
    assert_memory_equal(&a->scores, &b->scores, sizeof a->scores);
}

static size_t expected; /* of all runs */

static void compare(const char *folder, const char *settings, size_t slices)
{
    static const struct {
        size_t ranks, threads;
    } placements[] = { { 1, 1 }, { 1, 2 }, { 2, 1 }, { 2, 2 }, { 4, 1 } };
    static struct job first;
    memset(&first, 0, sizeof first);
    for (size_t p = 0; p < sizeof placements / sizeof *placements; p++) {
        static struct job job;
        char line[1024], what[256];
        memset(&job, 0, sizeof job);
        snprintf(line, sizeof line, "%s train.slices=%zu train.threads=%zu", settings, slices,
                 placements[p].threads);
        snprintf(what, sizeof what, "%s: %zu ranks of %zu threads", settings, placements[p].ranks,
                 placements[p].threads);
        struct ctkd__config *const config = tiny_small_config(folder, line);
        job.config = config;
        job.distil = config->teacher.path[0] != '\0';
        job.ranks = placements[p].ranks;
        if (p == 0) {
            ctkd_error *const err = &first.outcomes[0].err;
            first.config = config;
            first.distil = job.distil;
            if (run(&first, NULL, &first.outcomes[0]) != CTKD_OK)
                fail_msg("%s: %s", what, err->message);
        } else if (job.ranks == 1) {
            (void)run(&job, NULL, &job.outcomes[0]);
        } else {
            thread_ranks_run(job.ranks, run_rank, &job);
        }
        for (size_t r = 0; r < job.ranks && p > 0; r++)
            expected += job.outcomes[r].expected;
        for (size_t r = 0; r < job.ranks && p > 0; r++)
            check_same(&first.outcomes[0], &job.outcomes[r], what);
        free_outcomes(&job);
        ctkd__config_destroy(config);
    }
    free_outcomes(&first);
}

static void same_bits(void **state)
{
    static const char *const cases[] = {
        "method.name=dkd temperature.kind=instance optimizer.clip_norm=1",
        "method.name=mlkd",
        "method.name=pkt",
        "method.name=crd",
        "method.name=ofd",
        "method.name=reviewkd data.limit=34",
        "method.name=ab method.initial_epochs=1",
        "method.name=vid", /* parameters of its own beside the networks' */
        "method.name=mlkd train.batch_norm_group=8",
    };
    const char *const folder = *state;
    char line[1024];
    compare(folder, "optimizer.lr=0.01", 4);
    compare(folder, "optimizer.lr=0.01 student.network=mobilenet_v2 data.pad_to=32 data.limit=16",
            4); /* drops out */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(line, sizeof line, "teacher.path=%s/teacher.safetensors optimizer.lr=0.01 %s",
                 folder, cases[i]);
        compare(folder, line, i % 2 ? 4 : 8);
    }
    assert_true(expected > 0);
}

static int prepare(void **state)
{
    if (temp_folder_make(state) != 0)
        return -1;
    const struct ctkd__network_info info = tiny_network_info();
    tiny_data_write(*state, IMAGES, 21);
    tiny_network_write(temp_path(*state, "teacher.safetensors"), 5, &info);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(same_bits) };
    return cmocka_run_group_tests(tests, prepare, temp_folder_remove);
}
