#include "dist/launch.h"

#include <stdlib.h>
#include <string.h>

#include "support/check.h"

static const char *const variables[] = { "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE",
                                         "SLURM_NODEID", "SLURM_GTIDS" };
enum { VARIABLES = sizeof variables / sizeof *variables };

static void set(const char *const values[VARIABLES])
{
    for (size_t i = 0; i < VARIABLES; i++)
        if (values[i])
            setenv(variables[i], values[i], 1);
        else
            unsetenv(variables[i]);
}

/* What Slurm 22.05 sets in each of these. */
static void only_a_task_of_the_step_is_one_of_several(void **state)
{
    (void)state;
    static const struct {
        const char *values[VARIABLES];
        size_t count;
    } cases[] = {
        { { NULL, NULL, NULL, NULL }, 0 },
        { { NULL, NULL, "0", "0" }, 0 },   /* a batch script */
        { { "1", "1", "0", "0" }, 1 },     /* srun -n1 */
        { { "2", "2", "0", "0,1" }, 2 },   /* srun -n2 on one machine, and what its tasks start */
        { { "2", "1(x2)", "0", "0" }, 2 }, /* on two */
        { { "2", "1(x2)", "1", "1" }, 2 }, /* the other one of them */
        { { "5", "3,2", "0", "0,1,2" }, 5 },
        { { "5", "3,2", "1", "3,4" }, 5 },
        { { "5", "3,2", "1", "3" }, 5 },  /* not the first machine: no batch script */
        { { "3", NULL, NULL, NULL }, 3 }, /* whatever else has set it */
        { { "3", NULL, "0", "0" }, 3 },
        { { "2", "2", "0", "0" }, 0 },     /* a batch script from inside srun -n2 */
        { { "8", "4(x2)", "0", "0" }, 0 }, /* from inside a step on two machines */
        { { "4", "1,3", "0", "0" }, 4 },   /* not to be told from a task of that step */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t count = cases[i].count;
        struct ctkd__dist *dist;
        ctkd_error err = { 0 };
        set(cases[i].values);
        assert_int_equal(ctkd__launch_count(), count);
        assert_int_equal(ctkd__launch_lets_wait(), count > 1);
        assert_int_equal(ctkd__launch_open(false, &dist, &err),
                         count > 1 ? CTKD_EBACKEND : CTKD_OK);
        assert_null(dist);
        if (count > 1) {
            assert_string_equal(ctkd__launch_variable(), "SLURM_STEP_NUM_TASKS");
            assert_non_null(strstr(err.message, "without MPI"));
            assert_non_null(strstr(err.message, "; if this is meant to be one process inside their "
                                                "step, unset SLURM_STEP_NUM_TASKS"));
        }
    }
    set(cases[0].values);
    assert_null(ctkd__launch_variable());
}

int main(void)
{
    static const char *const others[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK",
                                          "MPI_LOCALNRANKS" };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_task_of_the_step_is_one_of_several),
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        unsetenv(others[i]); /* of the caller */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
