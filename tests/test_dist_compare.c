#include "dist/dist_compare.h"

#include <string.h>

#include "support/check.h"
#include "support/thread_ranks.h"
#include "util/tensors.h"

enum { RANKS = 3, ITEMS = 4 };

struct job {
    const char *item, *changed; /* what the last rank has in its place; changed NULL: nothing */
    bool (*may_differ)(const char *item);
    size_t items; /* of each rank */
    ctkd_status status[RANKS];
    ctkd_error err[RANKS];
};

static const char *const names[ITEMS] = { "kernels", "train.seed", "empty", "long" };
static const char *const values[ITEMS] = { "avx2", "1", "",
                                           "a value that is longer than those of the others" };

static void compare(struct ctkd__dist *dist, void *context)
{
    struct job *const job = context;
    const size_t rank = ctkd__dist_rank(dist);
    struct ctkd__tensors own = { 0 };
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < job->items && status == CTKD_OK; i++) {
        const bool other = rank == RANKS - 1 && job->item && strcmp(job->item, names[i]) == 0;
        if (!other || job->changed)
            status = ctkd__tensors_set(&own, names[i], other ? job->changed : values[i],
                                       &job->err[rank]);
    }
    job->status[rank] = status;
    if (status == CTKD_OK)
        job->status[rank] = ctkd__dist_compare(dist, &own, job->may_differ, &job->err[rank]);
    ctkd__tensors_fini(&own);
}

static void expect_all(const struct job *job, ctkd_status status, const char *message)
{
    for (size_t r = 0; r < RANKS; r++) {
        const char *const behind_host = strchr(job->err[r].message, ':');
        assert_int_equal(job->status[r], status);
        assert_string_equal(behind_host ? behind_host : "", message);
        if (status != CTKD_OK)
            assert_int_equal(strncmp(job->err[r].message, "rank 2 on ", strlen("rank 2 on ")), 0);
    }
}

static void equal_lists_and_empty_ones_agree(void **state)
{
    (void)state;
    for (size_t items = 0; items <= ITEMS; items++) {
        struct job job = { .items = items };
        thread_ranks_run(RANKS, compare, &job);
        expect_all(&job, CTKD_OK, "");
    }
}

static void all_ranks_name_the_rank_the_item_and_both_values(void **state)
{
    (void)state;
    static const struct {
        const char *item, *changed, *message;
    } cases[] = {
        { "kernels", "avx512", ": kernels: found 'avx512', expected 'avx2' as on rank 0" },
        { "train.seed", NULL, ": train.seed: found '(nothing)', expected '1' as on rank 0" },
        { "empty", "text", ": empty: found 'text', expected '' as on rank 0" },
        { "long", "",
          ": long: found '', expected 'a value that is longer than those of the others' as on rank "
          "0" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job job = { .item = cases[i].item, .changed = cases[i].changed, .items = ITEMS };
        thread_ranks_run(RANKS, compare, &job);
        expect_all(&job, CTKD_EINVAL, cases[i].message);
    }
}

static bool is_seed(const char *item)
{
    return strcmp(item, "train.seed") == 0;
}

static void what_may_differ_is_not_compared(void **state)
{
    (void)state;
    struct job job = { "train.seed", "2", is_seed, .items = ITEMS };
    thread_ranks_run(RANKS, compare, &job);
    expect_all(&job, CTKD_OK, "");
    job = (struct job){ "kernels", "avx512", is_seed, .items = ITEMS };
    thread_ranks_run(RANKS, compare, &job);
    expect_all(&job, CTKD_EINVAL, ": kernels: found 'avx512', expected 'avx2' as on rank 0");
}

static void one_process_has_nothing_to_compare(void **state)
{
    (void)state;
    const struct ctkd__tensors none = { 0 };
    assert_int_equal(ctkd__dist_compare(NULL, &none, NULL, NULL), CTKD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_lists_and_empty_ones_agree),
        cmocka_unit_test(all_ranks_name_the_rank_the_item_and_both_values),
        cmocka_unit_test(what_may_differ_is_not_compared),
        cmocka_unit_test(one_process_has_nothing_to_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
