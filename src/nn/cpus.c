#include "nn/cpus.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "nn/conv/dnnl_threads.h"
#include "nn/workers.h"
#include "util/cgroup.h"

static size_t quota_parts = 1; /* one for the process, as the ranks of a machine are */

/* Parts that were made of the quota before this process began; 1 if nothing says so. */
static double parts_before(void)
{
    const char *const text = getenv(CTKD__QUOTA_PARTS);
    const long parts = text ? strtol(text, NULL, 10) : 1;
    return parts > 1 ? (double)parts : 1;
}

void ctkd__cpus_share_quota(size_t parts)
{
    quota_parts = parts;
}

size_t ctkd__cpus_physical(const cpu_set_t *allowed, int *cpus, size_t max)
{
    size_t count = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && count < max; cpu++) {
        if (!CPU_ISSET((size_t)cpu, allowed))
            continue;
        char path[96];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
                 cpu);
        FILE *const file = fopen(path, "re");
        int first = cpu;
        if (file) {
            if (fscanf(file, "%d", &first) != 1)
                first = cpu;
            fclose(file);
        }
        /* A sibling of an earlier allowed CPU shares its core. */
        if (first == cpu || !CPU_ISSET((size_t)first, allowed))
            cpus[count++] = cpu;
    }
    return count;
}

size_t ctkd__cpus_threads(size_t cores, double quota)
{
    const double granted = fmax(round(quota), 1);
    if (quota > 0 && granted < (double)cores)
        return (size_t)granted;
    return cores ? cores : 1;
}

void ctkd__cpus_find(struct ctkd__cpus *out)
{
    int cpus[CTKD__WORKERS_MAX];
    ctkd__workers_allowed(&out->allowed);
    const size_t places = ctkd__dnnl_cpus(cpus, CTKD__WORKERS_MAX);
    for (size_t i = 0; i < places; i++)
        CPU_SET((size_t)cpus[i], &out->allowed);
    const size_t cores = ctkd__cpus_physical(&out->allowed, cpus, CTKD__WORKERS_MAX);
    out->cores = cores ? cores : 1;
    out->quota = ctkd__granted_cpus() / ((double)quota_parts * parts_before());
    out->threads = ctkd__cpus_threads(out->cores, out->quota);
}

const char *ctkd__cpus_text(const cpu_set_t *set, char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int cpu = 0; cpu < CPU_SETSIZE && used < bytes; cpu++) {
        if (!CPU_ISSET((size_t)cpu, set))
            continue;
        int last = cpu;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET((size_t)last + 1, set))
            last++;
        used += (size_t)snprintf(out + used, bytes - used, "%s%d", used ? "," : "", cpu);
        if (last > cpu && used < bytes)
            used += (size_t)snprintf(out + used, bytes - used, "-%d", last);
        cpu = last;
    }
    return out;
}
