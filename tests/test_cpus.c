#include "support/check.h"

#include <sched.h>
#include <stdlib.h>

#include "nn/cpus.h"
#include "nn/workers.h"

static void the_quota_rounds_and_never_asks_for_more_than_the_cores(void **state)
{
    (void)state;
    static const struct {
        size_t cores;
        double quota;
        size_t threads;
    } cases[] = { { 8, 0, 8 },   { 8, 0.2, 1 }, { 8, 1.4, 1 }, { 8, 1.5, 2 },
                  { 8, 7.6, 8 }, { 8, 64, 8 },  { 1, 3, 1 },   { 0, 0, 1 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(ctkd__cpus_threads(cases[i].cores, cases[i].quota), cases[i].threads);
}

static void a_set_of_cpus_is_written_in_ranges(void **state)
{
    (void)state;
    char text[64];
    cpu_set_t set;
    CPU_ZERO(&set);
    assert_string_equal(ctkd__cpus_text(&set, text, sizeof text), "");
    CPU_SET(3, &set);
    assert_string_equal(ctkd__cpus_text(&set, text, sizeof text), "3");
    for (size_t cpu = 4; cpu < 8; cpu++)
        CPU_SET(cpu, &set);
    CPU_SET(0, &set);
    CPU_SET(CPU_SETSIZE - 1, &set);
    assert_string_equal(ctkd__cpus_text(&set, text, sizeof text), "0,3-7,1023");
    char little[4];
    assert_string_equal(ctkd__cpus_text(&set, little, sizeof little), "0,3");
}

static void what_is_found_is_what_the_thread_may_use(void **state)
{
    (void)state;
    struct ctkd__cpus cpus;
    cpu_set_t own;
    assert_int_equal(sched_getaffinity(0, sizeof own, &own), 0);
    ctkd__cpus_find(&cpus);
    assert_true(CPU_EQUAL(&cpus.allowed, &own));
    assert_in_range(cpus.cores, 1, (size_t)CPU_COUNT(&own));
    assert_in_range(cpus.threads, 1, cpus.cores);
}

static void a_quota_is_divided_and_a_part_still_gives_a_thread(void **state)
{
    (void)state;
    struct ctkd__cpus before, cpus;
    ctkd__cpus_find(&before);
    setenv("SLURM_JOB_ID", "7", 1);
    setenv("SLURM_CPUS_ON_NODE", "1", 1);
    for (size_t parts = 1; parts <= 2; parts++) {
        ctkd__cpus_share_quota(parts);
        ctkd__cpus_find(&cpus);
        assert_true(cpus.quota > 0 && cpus.quota <= 1.0 / (double)parts);
        assert_int_equal(cpus.threads, 1);
        assert_int_equal(cpus.cores, before.cores);
        assert_true(CPU_EQUAL(&cpus.allowed, &before.allowed));
    }
    ctkd__cpus_share_quota(1);
    ctkd__cpus_find(&cpus);
    const double quota = cpus.quota;
    static const struct {
        const char *text; /* of the environment */
        double parts;
    } cases[] = { { "4", 4 }, { "1", 1 }, { "", 1 }, { "0", 1 }, { "-2", 1 }, { "all", 1 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv(CTKD__QUOTA_PARTS, cases[i].text, 1);
        ctkd__cpus_find(&cpus);
        check_close(cpus.quota, quota / cases[i].parts, 1e-12, 0);
    }
    unsetenv(CTKD__QUOTA_PARTS);
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_CPUS_ON_NODE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_quota_rounds_and_never_asks_for_more_than_the_cores),
        cmocka_unit_test(a_set_of_cpus_is_written_in_ranges),
        cmocka_unit_test(a_quota_is_divided_and_a_part_still_gives_a_thread),
        cmocka_unit_test(what_is_found_is_what_the_thread_may_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
