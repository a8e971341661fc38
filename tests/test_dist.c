#include "support/check.h"

#include <stdio.h>
#include <unistd.h>

#include "dist/dist.h"
#include "support/thread_ranks.h"
#include "util/error.h"

enum { RANKS = 4, ROWS = 11 };

struct found {
    ctkd_status status[RANKS];
    ctkd_error err[RANKS];
    double rows[RANKS][ROWS][3];
    uint64_t words[RANKS];
    char text[RANKS][64];
    char who[RANKS][64];
    struct ctkd__dist_counts counts[RANKS];
    int failing; /* how many ranks have something to report */
    bool same;   /* all with the same message */
};

static void gather(struct ctkd__dist *dist, void *context)
{
    static const size_t first[RANKS + 1] = { 0, 3, 3, 10, ROWS }; /* rank 1 has none */
    struct found *const found = context;
    const size_t rank = ctkd__dist_rank(dist);
    for (size_t i = first[rank]; i < first[rank + 1]; i++)
        for (size_t j = 0; j < 3; j++)
            found->rows[rank][i][j] = (double)(10 * i + j);
    found->status[rank] = ctkd__dist_gather(dist, CTKD__CHANNEL_MAIN, found->rows[rank],
                                            sizeof **found->rows, first, &found->err[rank]);
    snprintf(found->who[rank], sizeof *found->who, "%s", ctkd__dist_who(dist, RANKS - 1 - rank));
    found->counts[rank] = ctkd__dist_counts(dist, CTKD__CHANNEL_MAIN);
}

static void all_ranks_have_all_rows(void **state)
{
    (void)state;
    struct found found = { 0 };
    char host[48], who[64];
    assert_int_equal(gethostname(host, sizeof host), 0);
    thread_ranks_run(RANKS, gather, &found);
    for (size_t r = 0; r < RANKS; r++) {
        check_ok(found.status[r], &found.err[r]);
        for (size_t i = 0; i < ROWS; i++)
            for (size_t j = 0; j < 3; j++)
                assert_true(found.rows[r][i][j] == (double)(10 * i + j));
        snprintf(who, sizeof who, "rank %zu on %s", RANKS - 1 - r, host);
        assert_string_equal(found.who[r], who);
        assert_int_equal(found.counts[r].exchanges, 2); /* the names, and the rows */
    }
    assert_int_equal(found.counts[0].bytes - found.counts[1].bytes, 3 * 3 * 3 * sizeof(double));
}

static void tell(struct ctkd__dist *dist, void *context)
{
    struct found *const found = context;
    const size_t rank = ctkd__dist_rank(dist);
    snprintf(found->text[rank], sizeof *found->text, "from %zu", rank);
    found->words[rank] = 7 * rank % 5;
    ctkd_status status = ctkd__dist_broadcast(dist, CTKD__CHANNEL_MAIN, found->text[rank],
                                              sizeof *found->text, 2, &found->err[rank]);
    if (status == CTKD_OK)
        status =
            ctkd__dist_max(dist, CTKD__CHANNEL_GRADIENTS, &found->words[rank], &found->err[rank]);
    found->status[rank] = status;
}

static void one_rank_tells_all_and_the_greatest_word_is_known_to_all(void **state)
{
    (void)state;
    struct found found = { 0 };
    thread_ranks_run(RANKS, tell, &found);
    for (size_t r = 0; r < RANKS; r++) {
        check_ok(found.status[r], &found.err[r]);
        assert_string_equal(found.text[r], "from 2");
        assert_int_equal(found.words[r], 4); /* 0, 2, 4, 1 */
    }
}

static void agree(struct ctkd__dist *dist, void *context)
{
    struct found *const found = context;
    const size_t rank = ctkd__dist_rank(dist);
    ctkd_status own = CTKD_OK;
    if ((int)rank >= RANKS - found->failing)
        own =
            ctkd__fail(&found->err[rank], CTKD_EFORMAT, "file %zu is torn", found->same ? 0 : rank);
    found->status[rank] = ctkd__dist_agree(dist, own, &found->err[rank]);
}

static void what_fails_on_one_rank_fails_on_all_with_its_name(void **state)
{
    (void)state;
    char host[48], expected[512];
    assert_int_equal(gethostname(host, sizeof host), 0);
    for (int failing = 0; failing <= RANKS; failing++)
        for (int same = 0; same <= 1; same++) {
            struct found found = { .failing = failing, .same = same };
            thread_ranks_run(RANKS, agree, &found);
            const int first = RANKS - failing;
            if (same && failing == RANKS)
                snprintf(expected, sizeof expected, "file 0 is torn");
            else
                snprintf(expected, sizeof expected, "rank %d on %s: file %d is torn", first, host,
                         same ? 0 : first);
            for (size_t r = 0; r < RANKS; r++) {
                assert_int_equal(found.status[r], failing ? CTKD_EFORMAT : CTKD_OK);
                assert_string_equal(found.err[r].message, failing ? expected : "");
            }
        }
}

static void two_of_four_are_silent(struct ctkd__dist *dist, void *context)
{
    struct found *const found = context;
    const size_t rank = ctkd__dist_rank(dist);
    if (rank == 1 || rank == 3)
        return;
    ctkd__dist_set_timeout(dist, 1);
    found->status[rank] =
        ctkd__dist_max(dist, CTKD__CHANNEL_MAIN, &found->words[rank], &found->err[rank]);
}

static void ranks_that_do_not_answer_are_named(void **state)
{
    (void)state;
    struct found found = { 0 };
    char host[48], expected[512];
    assert_int_equal(gethostname(host, sizeof host), 0);
    snprintf(expected, sizeof expected,
             "rank 1 on %s, rank 3 on %s did not answer within 1 s (train.timeout_seconds)", host,
             host);
    thread_ranks_run(RANKS, two_of_four_are_silent, &found);
    assert_int_equal(found.status[0], CTKD_EBACKEND);
    assert_string_equal(found.err[0].message, expected);
    assert_int_equal(found.status[2], CTKD_EBACKEND);
    assert_string_equal(found.err[2].message, expected);
}

static void one_of_two_channels_fails(struct ctkd__dist *dist, void *context)
{
    struct found *const found = context;
    const size_t rank = ctkd__dist_rank(dist);
    if (rank == 3)
        return;
    ctkd__dist_set_timeout(dist, 1);
    (void)ctkd__dist_max(dist, CTKD__CHANNEL_GRADIENTS, &found->words[rank], NULL);
    ctkd__dist_set_timeout(dist, 0); /* the next exchange would wait for ever */
    found->status[rank] =
        ctkd__dist_max(dist, CTKD__CHANNEL_MAIN, &found->words[rank], &found->err[rank]);
    found->counts[rank] = ctkd__dist_counts(dist, CTKD__CHANNEL_GRADIENTS);
}

static void after_a_failure_all_exchanges_fail_with_its_message(void **state)
{
    (void)state;
    struct found found = { 0 };
    char host[48], expected[512];
    assert_int_equal(gethostname(host, sizeof host), 0);
    snprintf(expected, sizeof expected,
             "rank 3 on %s did not answer within 1 s (train.timeout_seconds)", host);
    thread_ranks_run(RANKS, one_of_two_channels_fails, &found);
    for (size_t r = 0; r < RANKS - 1; r++) {
        assert_int_equal(found.status[r], CTKD_EBACKEND);
        assert_string_equal(found.err[r].message, expected);
        /* The main thread has not waited for what another thread exchanged. */
        assert_true(found.counts[r].seconds >= 1 && found.counts[r].waited == 0);
    }
}

static void one_rank_ends(struct ctkd__dist *dist, void *context)
{
    struct found *const found = context;
    const size_t rank = ctkd__dist_rank(dist);
    ctkd_status *const status = &found->status[rank];
    uint64_t *const word = &found->words[rank];
    *status = ctkd__dist_max(dist, CTKD__CHANNEL_MAIN, word, &found->err[rank]); /* all are open */
    if (rank == 2)
        ctkd__dist_abort(dist, 1);
    else if (*status == CTKD_OK)
        *status = ctkd__dist_max(dist, CTKD__CHANNEL_MAIN, word, &found->err[rank]);
}

static void a_rank_that_ends_lets_nobody_wait(void **state)
{
    (void)state;
    struct found found = { 0 };
    thread_ranks_run(RANKS, one_rank_ends, &found);
    for (size_t r = 0; r < RANKS; r++) {
        assert_int_equal(found.status[r], r == 2 ? CTKD_OK : CTKD_EBACKEND);
        assert_string_equal(found.err[r].message, r == 2 ? "" : "a rank has ended");
    }
}

static void one_process_needs_no_ranks(void **state)
{
    (void)state;
    const size_t first[] = { 0, 2 };
    float rows[2] = { 1, 2 };
    uint64_t word = 3;
    ctkd_error err = { .message = "as it was" };
    assert_int_equal(ctkd__dist_rank(NULL), 0);
    assert_int_equal(ctkd__dist_size(NULL), 1);
    assert_string_equal(ctkd__dist_who(NULL, 0), "");
    check_ok(ctkd__dist_gather(NULL, CTKD__CHANNEL_MAIN, rows, sizeof *rows, first, &err), &err);
    check_ok(ctkd__dist_max(NULL, CTKD__CHANNEL_MAIN, &word, &err), &err);
    check_ok(ctkd__dist_broadcast(NULL, CTKD__CHANNEL_MAIN, rows, sizeof rows, 0, &err), &err);
    assert_int_equal(ctkd__dist_agree(NULL, CTKD_EIO, &err), CTKD_EIO);
    assert_string_equal(err.message, "as it was");
    assert_true(rows[0] == 1 && rows[1] == 2 && word == 3);
    ctkd__dist_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ranks_have_all_rows),
        cmocka_unit_test(one_rank_tells_all_and_the_greatest_word_is_known_to_all),
        cmocka_unit_test(what_fails_on_one_rank_fails_on_all_with_its_name),
        cmocka_unit_test(ranks_that_do_not_answer_are_named),
        cmocka_unit_test(after_a_failure_all_exchanges_fail_with_its_message),
        cmocka_unit_test(a_rank_that_ends_lets_nobody_wait),
        cmocka_unit_test(one_process_needs_no_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
