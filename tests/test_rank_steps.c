/*
 * Training on several ranks, which are threads here, with 1 and 2 workers each: weights, running
 * statistics, velocities, the methods' memories and all that steps and evaluations report have the
 * same bits as on one rank with one worker. What a method's step sends is counted.
 */
#include "support/check.h"

#include <inttypes.h>
#include <math.h>
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
    append(out, state->theta, state->n_theta);
    append(out, state->temperature_velocity, state->n_theta);
    append(out, state->tau_counts, CTKD__TAU_BINS);
}

static ctkd_status run_epoch(struct ctkd__session *session, struct ctkd__training_step *step,
                             uint64_t epoch, struct outcome *out)
{
    struct ctkd__run_state *const state = &session->state;
    struct ctkd__batch batch, next;
    ctkd__loader_start(session->data.train, epoch, 0);
    for (state->epoch_step = 0;; state->epoch_step++, state->step++) {
        ctkd_status status = ctkd__loader_next(session->data.train, &batch, &out->err);
        if (status == CTKD_OK)
            status = ctkd__session_peek(session, &next, &out->err);
        if (status != CTKD_OK || batch.n == 0)
            return status;
        ctkd__step_expect(step, next);
        out->expected += next.n > 0;
        status = ctkd__step_run(step, &batch, epoch, 1, &out->reports[out->n_reports++], &out->err);
        if (status != CTKD_OK)
            return status;
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
        "method.name=vid",   /* parameters of its own beside the networks' */
        "method.name=at,sp", /* maps that one method reads in parts and the other gathers */
        "method.name=ft method.initial_epochs=1", /* an adaptor of its own on the teacher */
        "method.name=mlkd train.batch_norm_group=8",
        "method.name=crd train.batch_norm_group=4",
        /* each rank has whole groups: 16, 16 and 3 images in groups of 4 */
        "method.name=dkd temperature.kind=instance optimizer.clip_norm=1 train.batch_norm_group=4",
        "method.name=at,pkt train.batch_norm_group=4",
        "method.name=vid train.batch_norm_group=4 train.overlap=false",
        "method.name=ab method.initial_epochs=1 train.batch_norm_group=4",
        "method.name=ft method.initial_epochs=1 train.batch_norm_group=4 data.limit=26",
    };
    const char *const folder = *state;
    char line[1024];
    compare(folder, "optimizer.lr=0.01", 4);
    compare(folder, "optimizer.lr=0.01 student.network=mobilenet_v2 data.pad_to=32 data.limit=16",
            4); /* drops out */
    compare(folder,
            "optimizer.lr=0.01 student.network=mobilenet_v2 data.pad_to=32 data.limit=16 "
            "train.batch_norm_group=4",
            4);
    compare(folder, "optimizer.lr=0.01 train.batch_norm_group=4", 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(line, sizeof line, "teacher.path=%s/teacher.safetensors optimizer.lr=0.01 %s",
                 folder, cases[i]);
        compare(folder, line, i % 2 ? 4 : 8);
    }
    assert_true(expected > 0);
}

/* --- what a step of a method sends to the only other rank beside gradients, norms and logits */

struct sent {
    const struct ctkd__config *config;
    struct counted {
        ctkd_error err;
        uint64_t bytes, exchanges;
        size_t features, channels; /* bytes of all maps of this rank's images; their channels */
    } ranks[2];
};

static void count_features(const struct ctkd__stage_reads *reads, struct counted *counted)
{
    bool taps[CTKD__READS_MAX] = { false }, outputs[CTKD__READS_MAX] = { false };
    for (size_t i = 0; i < reads->n_reads; i++) {
        const struct ctkd__read *const read = &reads->reads[i];
        bool *const seen = read->tap >= 0 ? &taps[read->tap] : &outputs[read->output];
        if (!*seen && !read->parameter) {
            counted->features += BATCH / 2 * read->c * read->h * read->w * sizeof(float);
            counted->channels += read->c;
        }
        *seen = true;
    }
}

static ctkd_status count_step(const struct sent *sent, struct ctkd__dist *dist,
                              struct counted *counted)
{
    struct ctkd__session *session;
    ctkd_status status = ctkd__session_open(sent->config, true, dist, &session, &counted->err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__step_report report;
    struct ctkd__batch batch;
    const bool initial = session->initial_step;
    session->state.stage = initial ? CTKD_STAGE_INITIAL : CTKD_STAGE_MAIN;
    count_features(initial ? &session->adaptors->initial : &session->adaptors->main, counted);
    ctkd__loader_start(session->data.train, 1, 0);
    status = ctkd__loader_next(session->data.train, &batch, &counted->err);
    const struct ctkd__dist_counts before = ctkd__dist_topic_counts(dist, CTKD__TOPIC_OTHER);
    if (status == CTKD_OK)
        status = ctkd__step_run(initial ? session->initial_step : session->step, &batch, 1, 1,
                                &report, &counted->err);
    const struct ctkd__dist_counts after = ctkd__dist_topic_counts(dist, CTKD__TOPIC_OTHER);
    counted->bytes = after.bytes - before.bytes;
    counted->exchanges = after.exchanges - before.exchanges;
    ctkd__session_close(session);
    return status;
}

static void count_rank(struct ctkd__dist *dist, void *context)
{
    struct sent *const sent = context;
    if (count_step(sent, dist, &sent->ranks[ctkd__dist_rank(dist)]) != CTKD_OK)
        ctkd__dist_abort(dist, 1);
}

static void check_sent(const ctkd_loss_def *def, const struct counted *counted)
{
    if (counted->err.status != CTKD_OK)
        fail_msg("%s: %s", def->name, counted->err.message);
    if (!(def->properties & CTKD_BY_PARTS)) {
        assert_int_equal(counted->bytes, counted->features);
        return;
    }
    assert_int_equal(counted->exchanges, 1);
    const size_t most = BATCH / 2 * counted->channels * sizeof(double);
    if (counted->bytes == 0 || counted->bytes > most || counted->bytes >= counted->features)
        fail_msg("%s: a step sent %" PRIu64 " bytes, expected at most a double for each of %zu "
                 "channels and image, and less than the features, %zu bytes",
                 def->name, counted->bytes, counted->channels, counted->features);
}

static void losses_that_are_sums_keep_their_features_local(void **state)
{
    size_t local = 0, gathered = 0;
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++) {
        if (!((*def)->needs & CTKD_NEEDS_MAPS))
            continue;
        char line[1024];
        snprintf(line, sizeof line,
                 "teacher.path=%s/teacher.safetensors train.slices=2 train.threads=1 "
                 "method.name=%s%s",
                 (const char *)*state, (*def)->name,
                 (*def)->stages & CTKD_STAGE_INITIAL ? " method.initial_epochs=1" : "");
        struct ctkd__config *const config = tiny_small_config(*state, line);
        struct sent sent = { .config = config };
        thread_ranks_run(2, count_rank, &sent);
        check_sent(*def, &sent.ranks[0]);
        check_sent(*def, &sent.ranks[1]);
        ctkd__config_destroy(config);
        *((*def)->properties & CTKD_BY_PARTS ? &local : &gathered) += 1;
    }
    assert_true(local >= 10 && gathered >= 6); /* at, vid, ...; pkt, sp, ... */
}

/* --- ranks that have whole batch-norm groups */

struct whole {
    const struct ctkd__config *config;
    size_t damaged; /* an image of the last rank that is not a number; 0: none */
    struct seen {
        ctkd_error err;
        ctkd_status status;                                    /* of the step */
        uint64_t exchanges[CTKD__TOPICS], bytes[CTKD__TOPICS]; /* of the step */
        size_t floats, trained; /* of running statistics; of the gradient, with the temperature */
    } ranks[2];
};

static ctkd_status count_whole(const struct whole *whole, struct ctkd__dist *dist,
                               struct seen *seen)
{
    struct ctkd__session *session;
    const ctkd_status status = ctkd__session_open(whole->config, true, dist, &session, &seen->err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__step_report report;
    struct ctkd__batch batch;
    struct ctkd__dist_counts before[CTKD__TOPICS];
    ctkd__loader_start(session->data.train, 1, 0);
    seen->status = ctkd__loader_next(session->data.train, &batch, &seen->err);
    const size_t image = session->info.channels * session->info.height * session->info.width;
    if (whole->damaged && ctkd__dist_rank(dist) == 1)
        ((float *)(uintptr_t)batch.x.values)[whole->damaged * image] = NAN;
    for (int t = 0; t < CTKD__TOPICS; t++)
        before[t] = ctkd__dist_topic_counts(dist, (enum ctkd__dist_topic)t);
    if (seen->status == CTKD_OK)
        seen->status = ctkd__step_run(session->step, &batch, 1, 1, &report, &seen->err);
    for (int t = 0; t < CTKD__TOPICS; t++) {
        const struct ctkd__dist_counts now =
            ctkd__dist_topic_counts(dist, (enum ctkd__dist_topic)t);
        seen->exchanges[t] = now.exchanges - before[t].exchanges;
        seen->bytes[t] = now.bytes - before[t].bytes;
    }
    seen->floats = session->weights->n_buffers;
    seen->trained = session->weights->n_values + session->state.n_theta;
    ctkd__session_close(session);
    return CTKD_OK;
}

static void count_whole_rank(struct ctkd__dist *dist, void *context)
{
    struct whole *const whole = context;
    if (count_whole(whole, dist, &whole->ranks[ctkd__dist_rank(dist)]) != CTKD_OK)
        ctkd__dist_abort(dist, 1);
}

static void run_whole(const char *folder, size_t damaged, struct whole *whole)
{
    char line[1024];
    snprintf(line, sizeof line,
             "teacher.path=%s/teacher.safetensors train.slices=2 train.threads=1 "
             "train.batch_norm_group=4 method.name=at temperature.kind=instance",
             folder);
    struct ctkd__config *const config = tiny_small_config(folder, line);
    *whole = (struct whole){ .config = config, .damaged = damaged };
    thread_ranks_run(2, count_whole_rank, whole);
    ctkd__config_destroy(config);
}

/* A step has four groups, two of each rank. */
static void ranks_with_whole_groups_exchange_once_in_a_step(void **state)
{
    struct whole whole;
    run_whole(*state, 0, &whole);
    for (size_t r = 0; r < 2; r++) {
        const struct seen *const seen = &whole.ranks[r];
        check_ok(seen->status, &seen->err);
        /* one half to the other rank, and the sum of one half */
        assert_int_equal(seen->bytes[CTKD__TOPIC_GRADIENTS], seen->trained * sizeof(float));
        assert_int_equal(seen->exchanges[CTKD__TOPIC_NORMS], 1);
        assert_int_equal(seen->bytes[CTKD__TOPIC_NORMS], 2 * seen->floats * sizeof(float));
        assert_int_equal(seen->exchanges[CTKD__TOPIC_LOGITS], 0);
        /* whether all have succeeded, the reports, the temperatures */
        assert_int_equal(seen->exchanges[CTKD__TOPIC_OTHER], 3);
    }
}

static void a_failure_in_one_rank_s_group_is_that_of_all(void **state)
{
    static const size_t damaged[] = { BATCH / 2,
                                      BATCH - 1 }; /* of its first and of its last group */
    struct whole whole;
    for (size_t i = 0; i < 2; i++) {
        run_whole(*state, damaged[i], &whole);
        for (size_t r = 0; r < 2; r++) {
            assert_int_equal(whole.ranks[r].status, CTKD_ENAN);
            assert_non_null(strstr(whole.ranks[r].err.message, "rank 1 on "));
            assert_non_null(strstr(whole.ranks[r].err.message, "epoch 1, step 1"));
        }
    }
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits),
        cmocka_unit_test(losses_that_are_sums_keep_their_features_local),
        cmocka_unit_test(ranks_with_whole_groups_exchange_once_in_a_step),
        cmocka_unit_test(a_failure_in_one_rank_s_group_is_that_of_all),
    };
    return cmocka_run_group_tests(tests, prepare, temp_folder_remove);
}
