#include "support/check.h"

#include <stdlib.h>

#include "dist/sum.h"
#include "support/summands.h"
#include "support/thread_ranks.h"

enum { SLICES = 24, N = 10007 };

static void the_tree_is_that_of_the_header(void **state)
{
    (void)state;
    enum { ALL = 2100, BEGIN = 7, SOME = 2050 }; /* more than are summed at a time */
    static float values[SLICES][ALL];
    const float *blocks[SLICES];
    float sum[SOME];
    size_t differs_from_fold = 0;
    for (size_t s = 0; s < SLICES; s++) {
        blocks[s] = values[s];
        for (size_t i = 0; i < ALL; i++)
            values[s][i] = summand(s, i);
    }
    for (size_t count = 1; count <= SLICES; count++) {
        ctkd__sum_tree(count, blocks, BEGIN, SOME, sum);
        for (size_t i = 0; i < SOME; i++) {
            const float expected = summand_tree(0, count, BEGIN + i);
            float fold = summand(0, BEGIN + i);
            for (size_t s = 1; s < count; s++)
                fold += summand(s, BEGIN + i);
            assert_memory_equal(&sum[i], &expected, sizeof expected);
            differs_from_fold += fold != expected;
        }
    }
    assert_true(differs_from_fold > 10); /* the order matters for these values */
}

struct sums {
    size_t slices, n;
    ctkd_status status[16];
    float *values[16];
};

/* What a worker or rank of some slices has: their tree. */
static void sum_of_rank(struct ctkd__dist *dist, void *context)
{
    struct sums *const sums = context;
    const size_t size = ctkd__dist_size(dist), rank = ctkd__dist_rank(dist);
    const size_t first = sums->slices * rank / size;
    const size_t count = sums->slices * (rank + 1) / size - first;
    struct ctkd__rank_sum *sum;
    float *const block = malloc((sums->n + 1) * sizeof *block);
    sums->values[rank] = block;
    sums->status[rank] = block ? ctkd__rank_sum_create(dist, N, &sum, NULL) : CTKD_ENOMEM;
    if (sums->status[rank] != CTKD_OK)
        return;
    for (int round = 0; round < 2 && sums->status[rank] == CTKD_OK; round++) {
        for (size_t i = 0; i < sums->n; i++)
            block[i] = summand_tree(first, count, i);
        sums->status[rank] = ctkd__rank_sum_run(sum, CTKD__CHANNEL_GRADIENTS, sums->n, block, NULL);
    }
    ctkd__rank_sum_destroy(sum);
}

static void check_sums(size_t ranks, size_t slices, size_t n, bool as_one)
{
    struct sums sums = { .slices = slices, .n = n };
    thread_ranks_run(ranks, sum_of_rank, &sums);
    for (size_t r = 0; r < ranks; r++) {
        assert_int_equal(sums.status[r], CTKD_OK);
        for (size_t i = 0; as_one && i < n; i++) {
            const float expected = summand_tree(0, slices, i);
            assert_memory_equal(&sums.values[r][i], &expected, sizeof expected);
        }
        assert_memory_equal(sums.values[r], sums.values[0], n * sizeof **sums.values);
    }
    for (size_t r = 0; r < ranks; r++)
        free(sums.values[r]);
}

static void the_same_power_of_two_of_slices_each_gives_the_bits_of_one_process(void **state)
{
    (void)state;
    static const size_t sizes[] = { N, 1, 3, 4096 }; /* uneven parts, and fewer floats than ranks */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t ranks = 1; ranks <= 4; ranks++)
            for (size_t each = 1; each <= 4; each *= 2)
                check_sums(ranks, ranks * each, sizes[i], true);
    check_sums(1, 8, N, true);
    check_sums(2, 8, N, true);
    check_sums(4, 8, N, true);
    check_sums(8, 8, N, true);
    check_sums(5, 20, N, true);
    check_sums(6, 24, N, true);
}

static void other_shares_give_all_ranks_the_same_sum_each_time(void **state)
{
    (void)state;
    float first[100];
    for (int round = 0; round < 3; round++) {
        struct sums sums = { .slices = 8, .n = 100 };
        thread_ranks_run(3, sum_of_rank, &sums);
        if (round == 0)
            memcpy(first, sums.values[0], sizeof first);
        for (size_t r = 0; r < 3; r++) {
            assert_int_equal(sums.status[r], CTKD_OK);
            assert_memory_equal(sums.values[r], first, sizeof first);
            free(sums.values[r]);
        }
    }
}

static void more_floats_than_there_is_memory_for_are_refused(void **state)
{
    (void)state;
    struct ctkd__rank_sum *sum;
    ctkd_error err = { 0 };
    float block[3] = { 1, 2, 3 };
    check_ok(ctkd__rank_sum_create(NULL, 2, &sum, &err), &err);
    assert_int_equal(ctkd__rank_sum_run(sum, CTKD__CHANNEL_MAIN, 3, block, &err), CTKD_EINVAL);
    assert_string_equal(err.message, "sum over ranks: found 3 floats, expected at most 2");
    check_ok(ctkd__rank_sum_run(sum, CTKD__CHANNEL_MAIN, 2, block, &err), &err);
    assert_true(block[0] == 1 && block[1] == 2);
    ctkd__rank_sum_destroy(sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_is_that_of_the_header),
        cmocka_unit_test(the_same_power_of_two_of_slices_each_gives_the_bits_of_one_process),
        cmocka_unit_test(other_shares_give_all_ranks_the_same_sum_each_time),
        cmocka_unit_test(more_floats_than_there_is_memory_for_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
