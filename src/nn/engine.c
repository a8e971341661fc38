#include "nn/engine.h"

#include <stdlib.h>

#include "util/error.h"

/* Puts the name of the setting that is refused before its message. */
static ctkd_status name_setting(const struct ctkd__engine_config *config, const char *setting,
                                ctkd_status status, ctkd_error *err)
{
    if (status == CTKD_OK)
        return status;
    return ctkd__fail_within(err, status, "%s%s", config->keys ? config->keys : "", setting);
}

static ctkd_status open_kernels(const struct ctkd__engine_config *config,
                                struct ctkd__engine *engine, ctkd_error *err)
{
    const ctkd_status status = ctkd__kernels_select(config->isa, &engine->kernels, err);
    /* An unknown cap is a mistake in the environment, so the message must not name the setting
       "isa". */
    return ctkd__cpu_cap_known() ? name_setting(config, "isa", status, err) : status;
}

static ctkd_status open_profile(const struct ctkd__engine_config *config,
                                struct ctkd__engine *engine, ctkd_error *err)
{
    if (!config->profile)
        return CTKD_OK;
    const ctkd_status status =
        ctkd__profile_create(ctkd__workers_count(engine->workers), &engine->profile);
    if (status != CTKD_OK)
        ctkd__fail(err, status, "%s", ctkd_status_text(status));
    return name_setting(config, "profile", status, err);
}

static ctkd_status open_choices(const struct ctkd__engine_config *config,
                                struct ctkd__engine *engine, ctkd_error *err)
{
    const bool recorded = config->choices && config->choices[0];
    if (!recorded && !config->measure)
        return CTKD_OK;
    engine->choices = calloc(1, sizeof *engine->choices);
    if (!engine->choices)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    engine->choices->measure = config->measure;
    if (!recorded)
        return CTKD_OK;
    return name_setting(config, "choices",
                        ctkd__choices_read(config->choices, engine->choices, err), err);
}

/* The number of threads of the rank that has most: the same number on all ranks. */
static ctkd_status most_threads(const struct ctkd__engine *engine, size_t *threads, ctkd_error *err)
{
    uint64_t most = ctkd__workers_count(engine->workers);
    const ctkd_status status = ctkd__dist_max(engine->dist, CTKD__CHANNEL_MAIN, &most, err);
    *threads = (size_t)most;
    return status;
}

/* Each thread owns as many slices as the others of its rank, each rank that shares a pass as many
   as the others. */
static ctkd_status open_slices(const struct ctkd__engine_config *config,
                               struct ctkd__engine *engine, ctkd_error *err)
{
    const char *const keys = config->keys ? config->keys : "";
    const size_t threads = ctkd__workers_count(engine->workers);
    size_t most;
    engine->dist = config->dist;
    engine->pass_dist = config->alone ? NULL : config->dist;
    const size_t ranks = ctkd__dist_size(engine->pass_dist);
    const ctkd_status status = most_threads(engine, &most, err);
    if (status != CTKD_OK)
        return status;
    engine->slices =
        config->slices || ctkd__dist_size(config->dist) == 1 ? config->slices : ranks * most;
    if (engine->slices % (ranks * threads) == 0)
        return CTKD_OK;
    if (ranks == 1)
        return ctkd__fail(err, CTKD_EINVAL,
                          "%sslices: found %zu slices for %zu thread%s, expected a multiple of "
                          "them (or another %sthreads)",
                          keys, engine->slices, threads, threads == 1 ? "" : "s", keys);
    return ctkd__fail(err, CTKD_EINVAL,
                      "%sslices: found %zu slices for %zu ranks, of which one has %zu thread%s, "
                      "expected a multiple of their product (or another %sthreads)",
                      keys, engine->slices, ranks, threads, threads == 1 ? "" : "s", keys);
}

ctkd_status ctkd__engine_open(const struct ctkd__engine_config *config, struct ctkd__engine *out,
                              ctkd_error *err)
{
    *out = (struct ctkd__engine){ .conv = config->conv ? config->conv : "auto" };
    ctkd_status status = open_kernels(config, out, err);
    if (status == CTKD_OK)
        status = name_setting(config, "conv", ctkd__conv_check(out->conv, err), err);
    if (status == CTKD_OK)
        status = name_setting(config, "threads",
                              ctkd__workers_create(config->threads, &out->workers, err), err);
    if (status == CTKD_OK)
        status = open_slices(config, out, err);
    if (status == CTKD_OK)
        out->cpus = *ctkd__workers_cpus(out->workers);
    if (status == CTKD_OK)
        status = open_profile(config, out, err);
    if (status == CTKD_OK)
        status = open_choices(config, out, err);
    if (status != CTKD_OK)
        ctkd__engine_close(out);
    return status;
}

void ctkd__engine_close(struct ctkd__engine *engine)
{
    if (engine->choices)
        ctkd__choices_fini(engine->choices);
    free(engine->choices);
    ctkd__profile_destroy(engine->profile);
    ctkd__workers_destroy(engine->workers);
    *engine = (struct ctkd__engine){ 0 };
}

struct ctkd__inference_config ctkd__engine_inference(const struct ctkd__engine *engine,
                                                     const char *name)
{
    /* Every rank has some of the slices; no bit of an answer depends on how many there are. */
    const size_t shares = engine->pass_dist ? 1 : ctkd__dist_size(engine->dist);
    return (struct ctkd__inference_config){ .name = name,
                                            .kernels = engine->kernels,
                                            .workers = engine->workers,
                                            .slices = engine->slices * shares,
                                            .dist = engine->dist,
                                            .conv = engine->conv,
                                            .choices = engine->choices,
                                            .profile = engine->profile };
}

struct ctkd__training_config ctkd__engine_training(const struct ctkd__engine *engine,
                                                   const char *name, size_t batch_max)
{
    return (struct ctkd__training_config){ .name = name,
                                           .kernels = engine->kernels,
                                           .workers = engine->workers,
                                           .slices = engine->slices,
                                           .dist = engine->pass_dist,
                                           .batch_max = batch_max,
                                           .conv = engine->conv,
                                           .choices = engine->choices,
                                           .profile = engine->profile };
}
