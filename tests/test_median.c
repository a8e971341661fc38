#include "util/median.h"

#include "support/check.h"

static void the_middle_value_is_found_and_the_values_are_sorted(void **state)
{
    (void)state;
    double odd[] = { 3, -1, 1e9 }, even[] = { 4, 2, 3, 1 }, one[] = { 7 };
    assert_true(ctkd__sort_median(3, odd) == 3);
    assert_true(odd[0] == -1 && odd[2] == 1e9);
    assert_true(ctkd__sort_median(4, even) == 3); /* the upper of the two */
    assert_true(ctkd__sort_median(1, one) == 7);
    ctkd__sort_doubles(0, one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_middle_value_is_found_and_the_values_are_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
