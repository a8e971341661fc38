#include "run/ranks.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dist/dist_compare.h"
#include "run/checkpoint.h"
#include "util/cgroup.h"
#include "util/error.h"

/* --- placement */

static void find_place(struct ctkd__rank_place *place)
{
    memset(place, 0, sizeof *place);
    FILE *const file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file) {
        if (fscanf(file, "%63s", place->boot) != 1)
            place->boot[0] = '\0';
        fclose(file);
    }
    sched_getaffinity(0, sizeof place->cpus, &place->cpus);
}

/* Restricts this process to part i of k of the cores; to a single core if there are fewer than k.
   Where a quota grants less than the cores, processes outside this run use the others, nobody knows
   which: then only the quota is divided, and the kernel finds free cores. */
static void take_share(const struct ctkd__rank_place *place, size_t i, size_t k)
{
    int cpus[CTKD__WORKERS_MAX];
    cpu_set_t own;
    const size_t cores = ctkd__cpus_physical(&place->cpus, cpus, CTKD__WORKERS_MAX);
    if (ctkd__cpus_threads(cores, ctkd__granted_cpus()) < cores) {
        ctkd__cpus_share_quota(k);
        return;
    }
    const size_t first = cores * i / k, end = cores * (i + 1) / k;
    CPU_ZERO(&own);
    CPU_SET((size_t)cpus[first], &own);
    for (size_t c = first; c < end; c++)
        CPU_SET((size_t)cpus[c], &own);
    sched_setaffinity(0, sizeof own, &own); /* if it fails, ranks only compete for cores */
}

ctkd_status ctkd__ranks_place(struct ctkd__dist *dist, ctkd_error *err)
{
    const size_t size = ctkd__dist_size(dist), rank = ctkd__dist_rank(dist);
    size_t before = 0, all = 0;
    if (size == 1)
        return CTKD_OK;
    struct ctkd__rank_place *const places = calloc(size, sizeof *places);
    if (!places)
        return ctkd__fail(err, CTKD_ENOMEM, "places of %zu ranks: out of memory", size);
    find_place(&places[rank]);
    const ctkd_status status = ctkd__dist_gather_shares(dist, size, places, sizeof *places, err);
    for (size_t r = 0; r < size && status == CTKD_OK; r++)
        if (strcmp(places[r].boot, places[rank].boot) == 0 &&
            CPU_EQUAL(&places[r].cpus, &places[rank].cpus)) {
            all++;
            before += r < rank;
        }
    if (all > 1)
        take_share(&places[rank], before, all);
    free(places);
    return status;
}

ctkd_status ctkd__ranks_places(const struct ctkd__session *session, struct ctkd__rank_place *places,
                               ctkd_error *err)
{
    struct ctkd__rank_place *const own = &places[ctkd__dist_rank(session->dist)];
    const struct ctkd__workers *const workers = session->engine.workers;
    find_place(own); /* then this thread may be pinned: */
    own->cpus = ctkd__workers_cpus(workers)->allowed;
    own->cores = ctkd__workers_cpus(workers)->cores;
    own->roams = ctkd__workers_cpus(workers)->threads < own->cores;
    own->threads = ctkd__workers_count(workers);
    own->pinned = ctkd__workers_pinned(workers);
    return ctkd__dist_gather_shares(session->dist, ctkd__dist_size(session->dist), places,
                                    sizeof *places, err);
}

size_t ctkd__ranks_shared(const struct ctkd__rank_place *places, size_t rank)
{
    for (size_t r = 0; r < rank; r++) {
        cpu_set_t both;
        CPU_AND(&both, &places[r].cpus, &places[rank].cpus);
        if (strcmp(places[r].boot, places[rank].boot) == 0 && CPU_COUNT(&both) > 0 &&
            !(places[r].roams && places[rank].roams))
            return r;
    }
    return rank;
}

/* --- comparison */

static bool may_differ(const char *item)
{
    return strcmp(item, "threads") == 0 || ctkd__key_may_differ(item, CTKD__BETWEEN_RANKS);
}

ctkd_status ctkd__ranks_compare(const struct ctkd__session *session, const char *command,
                                ctkd_error *err)
{
    struct ctkd__tensors own = { 0 };
    if (!session->dist)
        return CTKD_OK;
    ctkd_status status = ctkd__dist_describe(session->data.images.class_names, &own, err);
    if (status == CTKD_OK)
        status = ctkd__checkpoint_describe(session, command, &own, err);
    if (status == CTKD_OK)
        status = ctkd__dist_compare(session->dist, &own, may_differ, err);
    ctkd__tensors_fini(&own);
    return status;
}
