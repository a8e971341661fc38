#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "support/temp_files.h"
#include "util/cgroup.h"

/* Writes FOLDER/NAME with the folders above it. */
static void put(const char *folder, const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *at = path + strlen(folder) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(path, 0777);
        *at = '/';
    }
    temp_write(folder, name, text, strlen(text));
}

static void without_groups_there_is_no_limit(void **state)
{
    check_close(ctkd__cgroup_cpus(*state), 0, 0, 0);
    check_close(ctkd__cgroup_memory(*state), 0, 0, 0);
    put(*state, "proc/self/cgroup", "0::/\n");
    check_close(ctkd__cgroup_cpus(*state), 0, 0, 0);
}

static const char unified[] =
    "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    "31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

static void the_least_of_the_groups_above_counts(void **state)
{
    put(*state, "proc/self/mountinfo", unified);
    put(*state, "proc/self/cgroup", "0::/batch.slice/job 7/step\n");
    put(*state, "sys/fs/cgroup/batch.slice/job 7/step/cpu.max", "max 100000\n");
    check_close(ctkd__cgroup_cpus(*state), 0, 0, 0);
    put(*state, "sys/fs/cgroup/batch.slice/job 7/cpu.max", "150000 100000\n");
    check_close(ctkd__cgroup_cpus(*state), 1.5, 0, 0);
    put(*state, "sys/fs/cgroup/batch.slice/cpu.max", "800000 100000\n");
    check_close(ctkd__cgroup_cpus(*state), 1.5, 0, 0);
    put(*state, "sys/fs/cgroup/batch.slice/job 7/step/cpu.max", "25000 50000\n");
    check_close(ctkd__cgroup_cpus(*state), 0.5, 0, 0);
    put(*state, "sys/fs/cgroup/batch.slice/job 7/step/memory.max", "max\n");
    put(*state, "sys/fs/cgroup/batch.slice/job 7/memory.max", "1073741824\n");
    check_close(ctkd__cgroup_memory(*state), 0x1p30, 0, 0);
}

/* Inside a container the group is named from outside, or is the root of its own namespace. */
static void the_mounted_group_counts_where_the_own_one_is_not_seen(void **state)
{
    put(*state, "proc/self/mountinfo",
        "31 25 0:27 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    put(*state, "proc/self/cgroup", "0::/docker/ab\n");
    put(*state, "sys/fs/cgroup/cpu.max", "200000 100000\n");
    check_close(ctkd__cgroup_cpus(*state), 2, 0, 0);
    put(*state, "proc/self/cgroup", "0::/docker/ab/inner\n");
    put(*state, "sys/fs/cgroup/inner/cpu.max", "100000 100000\n");
    check_close(ctkd__cgroup_cpus(*state), 1, 0, 0);
    put(*state, "proc/self/cgroup", "0::/docker/abc\n"); /* another one, whose name begins so */
    check_close(ctkd__cgroup_cpus(*state), 2, 0, 0);
    put(*state, "proc/self/cgroup", "0::/../other\n");
    check_close(ctkd__cgroup_cpus(*state), 2, 0, 0);
    put(*state, "proc/self/mountinfo", unified);
    put(*state, "proc/self/cgroup", "0::/\n");
    check_close(ctkd__cgroup_cpus(*state), 2, 0, 0);
}

static void version_1_is_read_beside_version_2(void **state)
{
    put(*state, "proc/self/mountinfo",
        "40 25 0:30 / /sys/fs/cgroup/cpu\\040x rw - cgroup cgroup rw,cpu,cpuacct\n"
        "41 25 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "42 25 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put(*state, "proc/self/cgroup",
        "9:name=systemd:/a\n5:memory:/jobs/3\n4:cpu,cpuacct:/jobs/3\n0::/a\n");
    put(*state, "sys/fs/cgroup/cpu x/jobs/3/cpu.cfs_quota_us", "-1\n");
    put(*state, "sys/fs/cgroup/cpu x/jobs/3/cpu.cfs_period_us", "100000\n");
    check_close(ctkd__cgroup_cpus(*state), 0, 0, 0);
    put(*state, "sys/fs/cgroup/cpu x/jobs/cpu.cfs_quota_us", "350000\n");
    put(*state, "sys/fs/cgroup/cpu x/jobs/cpu.cfs_period_us", "100000\n");
    check_close(ctkd__cgroup_cpus(*state), 3.5, 0, 0);
    put(*state, "sys/fs/cgroup/unified/a/cpu.max", "300000 100000\n");
    check_close(ctkd__cgroup_cpus(*state), 3, 0, 0);
    put(*state, "sys/fs/cgroup/memory/jobs/3/memory.limit_in_bytes", "9223372036854771712\n");
    check_close(ctkd__cgroup_memory(*state), 0, 0, 0);
    put(*state, "sys/fs/cgroup/memory/memory.limit_in_bytes", "4294967296\n");
    check_close(ctkd__cgroup_memory(*state), 0x1p32, 0, 0);
}

static void nonsense_is_no_limit(void **state)
{
    put(*state, "proc/self/mountinfo", "\n31 25\n - \n31 25 0:27 / /c rw - cgroup2 cgroup2 rw\n");
    put(*state, "proc/self/cgroup", "\n0\n0:\n0::/x\n");
    static const char *const texts[] = { "", "max", "x 1", "100000", "0 100000", "100000 0" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put(*state, "c/x/cpu.max", texts[i]);
        check_close(ctkd__cgroup_cpus(*state), 0, 0, 0);
    }
}

/* What Slurm grants counts where it is less than the groups' limit. */
static void slurm_grants_what_it_says_in_a_job(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double cpus;
    } cases[] = { { "1", 1 }, { "64", 64 }, { "", 0 }, { "0", 0 }, { "-2", 0 }, { "2(x3)", 0 } };
    const double groups = ctkd__cgroup_cpus("");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double cpus = cases[i].cpus;
        setenv("SLURM_CPUS_ON_NODE", cases[i].text, 1);
        check_close(ctkd__granted_cpus(), groups, 0, 0); /* no job */
        setenv("SLURM_JOB_ID", "7", 1);
        check_close(ctkd__granted_cpus(),
                    cpus > 0 && (groups <= 0 || cpus < groups) ? cpus : groups, 0, 0);
        unsetenv("SLURM_JOB_ID");
    }
    unsetenv("SLURM_CPUS_ON_NODE");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(without_groups_there_is_no_limit),
        TEST(slurm_grants_what_it_says_in_a_job),
        TEST(the_least_of_the_groups_above_counts),
        TEST(the_mounted_group_counts_where_the_own_one_is_not_seen),
        TEST(version_1_is_read_beside_version_2),
        TEST(nonsense_is_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
