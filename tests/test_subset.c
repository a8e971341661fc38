#include "data/subset.h"

#include "support/check.h"

static void every_order_of_a_shuffle_is_equally_likely(void **state)
{
    (void)state;
    enum { ROUNDS = 24000 };
    size_t counts[256] = { 0 };
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        uint32_t items[4] = { 0, 1, 2, 3 };
        ctkd__shuffle(3, round, items, 4);
        counts[items[0] << 6 | items[1] << 4 | items[2] << 2 | items[3]]++;
    }
    size_t orders = 0;
    for (size_t i = 0; i < 256; i++) {
        orders += counts[i] > 0;
        if (counts[i] > 0)
            check_close(counts[i], ROUNDS / 24, 0, 5 * 31); /* five standard deviations */
    }
    assert_int_equal(orders, 24);
}

static void a_choice_ascends_and_depends_on_the_seed(void **state)
{
    (void)state;
    int32_t labels[100];
    for (int32_t i = 0; i < 100; i++)
        labels[i] = i % 3;
    uint32_t ids[30], others[30];
    assert_int_equal(ctkd__subset_choose(labels, 100, 30, 1, ids), CTKD_OK);
    assert_int_equal(ctkd__subset_choose(labels, 100, 30, 2, others), CTKD_OK);
    size_t same = 0;
    for (size_t i = 0; i < 30; i++) {
        assert_true(i == 0 || ids[i - 1] < ids[i]);
        assert_in_range(ids[i], 0, 99);
        for (size_t j = 0; j < 30; j++)
            same += ids[i] == others[j];
    }
    assert_in_range(same, 0, 20); /* nine are expected by chance */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_order_of_a_shuffle_is_equally_likely),
        cmocka_unit_test(a_choice_ascends_and_depends_on_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
