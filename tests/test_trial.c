#include "support/check.h"

#include "dist/trial.h"
#include "support/thread_ranks.h"

enum { RANKS = 3, FLOATS = 999 };

struct found {
    ctkd_status status[RANKS];
    ctkd_error err[RANKS];
    struct ctkd__dist_trial word[RANKS], sum[RANKS];
    struct ctkd__dist_counts logits[RANKS], others[RANKS];
};

static void measure(struct ctkd__dist *dist, void *context)
{
    struct found *const found = context;
    const size_t rank = ctkd__dist_rank(dist);
    ctkd_error *const err = &found->err[rank];
    found->status[rank] = ctkd__dist_try_word(dist, &found->word[rank], err);
    if (found->status[rank] == CTKD_OK)
        found->status[rank] = ctkd__dist_try_sum(dist, FLOATS, &found->sum[rank], err);
}

static void a_trial_tells_what_an_exchange_sends_and_how_long_it_takes(void **state)
{
    (void)state;
    struct found found = { 0 };
    thread_ranks_run(RANKS, measure, &found);
    for (size_t r = 0; r < RANKS; r++) {
        check_ok(found.status[r], &found.err[r]);
        assert_int_equal(found.word[r].bytes, 4);
        check_close(found.word[r].sent, 4 * (RANKS - 1), 0, 0);
        assert_int_equal(found.sum[r].bytes, 4 * FLOATS);
        /* 2 (R - 1) / R of the block */
        check_close(found.sum[r].sent, 4.0 * FLOATS * 2 * (RANKS - 1) / RANKS, 0, 0);
        assert_true(found.word[r].seconds > 0 && found.word[r].seconds < 1);
        assert_true(found.sum[r].seconds > 0 && found.sum[r].seconds < 1);
        assert_in_range(found.sum[r].repeated, 1, 5);
    }
}

static void count(struct ctkd__dist *dist, void *context)
{
    struct found *const found = context;
    const size_t rank = ctkd__dist_rank(dist);
    float logits[RANKS][10] = { { 0 } };
    uint64_t word = 1;
    found->others[rank] = ctkd__dist_topic_counts(dist, CTKD__TOPIC_OTHER);
    found->status[rank] = ctkd__dist_gather_logits(dist, RANKS, *logits, 10, &found->err[rank]);
    if (found->status[rank] == CTKD_OK)
        found->status[rank] =
            ctkd__dist_max(dist, CTKD__CHANNEL_GRADIENTS, &word, &found->err[rank]);
    const struct ctkd__dist_counts others = ctkd__dist_topic_counts(dist, CTKD__TOPIC_OTHER);
    found->others[rank].exchanges = others.exchanges - found->others[rank].exchanges;
    found->others[rank].bytes = others.bytes - found->others[rank].bytes;
    found->logits[rank] = ctkd__dist_topic_counts(dist, CTKD__TOPIC_LOGITS);
}

static void exchanges_are_counted_by_what_they_are_for(void **state)
{
    (void)state;
    struct found found = { 0 };
    thread_ranks_run(RANKS, count, &found);
    for (size_t r = 0; r < RANKS; r++) {
        check_ok(found.status[r], &found.err[r]);
        assert_int_equal(found.logits[r].exchanges, 1);
        assert_int_equal(found.logits[r].bytes, 10 * sizeof(float) * (RANKS - 1));
        assert_int_equal(found.others[r].exchanges, 1);
        assert_int_equal(found.others[r].bytes, sizeof(uint64_t) * (RANKS - 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trial_tells_what_an_exchange_sends_and_how_long_it_takes),
        cmocka_unit_test(exchanges_are_counted_by_what_they_are_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
