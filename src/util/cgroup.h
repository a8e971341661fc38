/* What a container or a batch system grants this process. */
#ifndef CTKD_UTIL_CGROUP_H
#define CTKD_UTIL_CGROUP_H

#include <stddef.h>

/*
 * The least limit over the group of this process and all groups above it that can be seen, of
 * version 2 and of version 1; the groups are found through <root>/proc/self/cgroup and
 * <root>/proc/self/mountinfo. 0: no limit. `root` is "" except in tests, which have a tree of their
 * own.
 *   cpus    CPU time per wall-clock time: quota / period of cpu.max, or of cpu.cfs_quota_us memory
 *   bytes: memory.max, or memory.limit_in_bytes
 */
double ctkd__cgroup_cpus(const char *root);
double ctkd__cgroup_memory(const char *root);

/* CPUs that the container or the batch system grants to the processes of this job on this machine:
   the least of the control groups' limit and Slurm's SLURM_CPUS_ON_NODE, which a cluster without
   control groups and binding (TaskPlugin=task/none) does not enforce. 0: no limit. */
double ctkd__granted_cpus(void);

/* Bytes of memory that this process may use: the machine's, or the limit of its groups if that is
   less. */
double ctkd__memory_limit(void);

/* The most bytes of memory that this process has held at once; 0: unknown. */
size_t ctkd__memory_peak(void);

#endif
