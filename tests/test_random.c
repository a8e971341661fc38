#include "ctkd/random.h"
#include "lib/math/philox.h"
#include "support/check.h"

static void philox_gives_the_published_known_answers(void **state)
{
    (void)state;
    /* Salmon et al. 2011, Random123 distribution, kat_vectors: philox4x32 10 */
    const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        ctkd__philox4x32(cases[i].counter, cases[i].key, out);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

static void every_coordinate_of_a_draw_has_its_place_in_the_block(void **state)
{
    (void)state;
    const uint32_t key[2] = { 0x55667788, 0x11223344 };
    const uint32_t counter[4] = { 0xaabbccdd, 0x01020304, 0xcafef00d,
                                  0x00123456 | (uint32_t)CTKD_RANDOM_AUGMENT << 24 };
    uint32_t expected[4], out[4];
    ctkd__philox4x32(counter, key, expected);
    ctkd_random_u32x4(UINT64_C(0x1122334455667788), CTKD_RANDOM_AUGMENT, UINT64_C(0x123456cafef00d),
                      UINT64_C(0x01020304aabbccdd), out);
    assert_memory_equal(out, expected, sizeof out);
}

static void purposes_seeds_and_indices_give_different_draws(void **state)
{
    (void)state;
    uint32_t draws[5][4];
    ctkd_random_u32x4(1, CTKD_RANDOM_INIT, 2, 3, draws[0]);
    ctkd_random_u32x4(2, CTKD_RANDOM_INIT, 2, 3, draws[1]);
    ctkd_random_u32x4(1, CTKD_RANDOM_LOSS, 2, 3, draws[2]);
    ctkd_random_u32x4(1, CTKD_RANDOM_INIT, 3, 2, draws[3]);
    ctkd_random_u32x4(1, CTKD_RANDOM_INIT, 2, 3 + (UINT64_C(1) << 32), draws[4]);
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(draws[i], draws[j], sizeof draws[i]);
}

static void uniform_draws_fill_the_unit_interval(void **state)
{
    (void)state;
    const size_t n = 200000;
    double sum = 0, squares = 0;
    float low = 1, high = 0;
    for (size_t i = 0; i < n; i++) {
        const float u = ctkd_random_uniform(42, CTKD_RANDOM_TEST, 0, i);
        assert_true(u >= 0 && u < 1);
        low = fminf(low, u);
        high = fmaxf(high, u);
        sum += (double)u;
        squares += (double)u * (double)u;
    }
    check_close(sum / (double)n, 0.5, 0, 4 * 0.2887 / sqrt((double)n));
    check_close(squares / (double)n, 1.0 / 3, 0, 3e-3);
    assert_true(low < 1e-4f && high > 1 - 1e-4f);
}

static void normal_draws_have_unit_variance_and_no_skew(void **state)
{
    (void)state;
    const size_t n = 200000;
    double moments[5] = { 0 };
    for (size_t i = 0; i < n; i++) {
        const double x = (double)ctkd_random_normal(42, CTKD_RANDOM_TEST, 0, i);
        double power = 1;
        for (size_t m = 0; m < 5; m++, power *= x)
            moments[m] += power / (double)n;
    }
    check_close(moments[1], 0, 0, 0.01);
    check_close(moments[2], 1, 0, 0.015);
    check_close(moments[3], 0, 0, 0.04);
    check_close(moments[4], 3, 0, 0.1);
}

static void bounded_draws_are_even(void **state)
{
    (void)state;
    const uint32_t bound = 7;
    size_t counts[7] = { 0 };
    for (size_t i = 0; i < 70000; i++) {
        const uint32_t draw = ctkd_random_below(9, CTKD_RANDOM_TEST, 1, i, bound);
        assert_true(draw < bound);
        counts[draw]++;
    }
    for (size_t i = 0; i < bound; i++)
        check_close(counts[i], 10000, 0, 400);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(ctkd_random_below(9, CTKD_RANDOM_TEST, 1, i, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_known_answers),
        cmocka_unit_test(every_coordinate_of_a_draw_has_its_place_in_the_block),
        cmocka_unit_test(purposes_seeds_and_indices_give_different_draws),
        cmocka_unit_test(uniform_draws_fill_the_unit_interval),
        cmocka_unit_test(normal_draws_have_unit_variance_and_no_skew),
        cmocka_unit_test(bounded_draws_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
