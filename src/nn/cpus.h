/* The CPUs that a team of threads may use. */
#ifndef CTKD_NN_CPUS_H
#define CTKD_NN_CPUS_H

#include <sched.h>
#include <stddef.h>

/* Environment variable: this process has one of so many equal parts of the quota. A sweep sets it
   for the runs that it starts side by side. */
#define CTKD__QUOTA_PARTS "CTKD_QUOTA_PARTS"

/* The CPUs of the calling thread, as they were before a living team pinned it. */
struct ctkd__cpus {
    cpu_set_t allowed;
    double quota; /* CPUs that are granted (src/util/cgroup.h), or this part of them; 0: no limit */
    size_t cores; /* physical cores among the allowed CPUs, at least 1 */
    size_t threads; /* default number of threads: cores, or the rounded quota if less */
};
void ctkd__cpus_find(struct ctkd__cpus *out);

/* From now on this process has one of so many equal parts of the quota: ranks of one machine that
   may use more CPUs than they are granted, and are therefore not bound. Before any workers. */
void ctkd__cpus_share_quota(size_t parts);

/* One CPU of every physical core among `allowed`, in order; returns how many. */
size_t ctkd__cpus_physical(const cpu_set_t *allowed, int *cpus, size_t max);

/* min(cores, quota rounded), at least 1; quota 0: no limit. */
size_t ctkd__cpus_threads(size_t cores, double quota);

/* The set as "0-3,8"; cut where `bytes` are too few. */
const char *ctkd__cpus_text(const cpu_set_t *set, char *out, size_t bytes);

#endif
