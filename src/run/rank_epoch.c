#include "run/rank_epoch.h"

#include <math.h>
#include <stdlib.h>

#include "util/error.h"

/* Of one rank, sums over the epoch's steps. Bytes that ranks exchange. */
struct times {
    double data, wait;                /* seconds, as in struct ctkd__loading */
    double exchanges, exposed, bytes; /* seconds, seconds, bytes */
};

void ctkd__rank_epoch_begin(const struct ctkd__dist *dist, struct ctkd__rank_epoch *epoch)
{
    for (int c = 0; c < CTKD__CHANNELS; c++)
        epoch->before[c] = ctkd__dist_counts(dist, (enum ctkd__dist_channel)c);
}

static struct times own_times(const struct ctkd__session *session,
                              const struct ctkd__rank_epoch *epoch)
{
    struct times own = { .data = session->state.loading.seconds,
                         .wait = 1e-9 * (double)session->state.loading.waited_ns };
    for (int c = 0; c < CTKD__CHANNELS; c++) {
        const struct ctkd__dist_counts *const before = &epoch->before[c];
        const struct ctkd__dist_counts now =
            ctkd__dist_counts(session->dist, (enum ctkd__dist_channel)c);
        own.exchanges += now.seconds - before->seconds;
        own.exposed += now.waited - before->waited;
        own.bytes += (double)(now.bytes - before->bytes);
    }
    return own;
}

static void summarise(const struct times *all, size_t ranks, double steps,
                      struct ctkd__run_state *state)
{
    struct times least = all[0], most = all[0];
    for (size_t r = 1; r < ranks; r++) {
        least.exchanges = fmin(least.exchanges, all[r].exchanges);
        least.exposed = fmin(least.exposed, all[r].exposed);
        most.data = fmax(most.data, all[r].data);
        most.wait = fmax(most.wait, all[r].wait);
        most.exposed = fmax(most.exposed, all[r].exposed);
        most.bytes = fmax(most.bytes, all[r].bytes);
    }
    state->loading.seconds = most.data;
    state->loading.waited_ns = (uint64_t)(1e9 * most.wait);
    state->ranks.exchanges = least.exchanges / steps;
    state->ranks.exposed = least.exposed / steps;
    state->ranks.waited = most.exposed / steps;
    state->ranks.bytes = most.bytes / steps;
}

ctkd_status ctkd__rank_epoch_end(struct ctkd__session *session,
                                 const struct ctkd__rank_epoch *epoch, ctkd_error *err)
{
    struct ctkd__run_state *const state = &session->state;
    const size_t ranks = ctkd__dist_size(session->dist);
    const size_t threads = ctkd__workers_count(session->engine.workers);
    state->ranks = (struct ctkd__epoch_ranks){
        .count = ranks,
        .threads = threads,
        .slices = session->engine.slices ? session->engine.slices : threads,
        .norm_images = ctkd__config_pass(session->config),
        .exchanges = (double)NAN,
        .exposed = (double)NAN,
        .waited = (double)NAN,
        .bytes = (double)NAN,
    };
    if (ranks == 1 || state->loading.batches == 0)
        return CTKD_OK;
    struct times *const all = calloc(ranks, sizeof *all);
    if (!all)
        return ctkd__fail(err, CTKD_ENOMEM, "times of %zu ranks: out of memory", ranks);
    all[ctkd__dist_rank(session->dist)] = own_times(session, epoch);
    const ctkd_status status =
        ctkd__dist_gather_shares(session->dist, ranks, all, sizeof *all, err);
    if (status == CTKD_OK)
        summarise(all, ranks, (double)state->loading.batches, state);
    free(all);
    return status;
}
