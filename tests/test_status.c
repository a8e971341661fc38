#include "support/check.h"

static void every_status_has_its_own_text(void **state)
{
    (void)state;
    const ctkd_status all[] = {
#define STATUS_VALUE(name, value, text) CTKD_##name,
        CTKD_STATUS_LIST(STATUS_VALUE)
#undef STATUS_VALUE
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_true(i == 0 ? all[i] == 0 : all[i] < 0);
        assert_true(strlen(ctkd_status_text(all[i])) > 0);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(all[i], all[j]);
            assert_string_not_equal(ctkd_status_text(all[i]), ctkd_status_text(all[j]));
        }
    }
    assert_string_equal(ctkd_status_text(CTKD_EFORMAT), "malformed file");
}

static void a_value_outside_the_list_is_unknown(void **state)
{
    (void)state;
    assert_string_equal(ctkd_status_text((ctkd_status)1), "unknown status");
    assert_string_equal(ctkd_status_text((ctkd_status)-1000), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_own_text),
        cmocka_unit_test(a_value_outside_the_list_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
