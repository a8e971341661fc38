#include "run/rank_trial.h"

#include <math.h>
#include <stdlib.h>

#include "util/error.h"

static const size_t small_bytes = 1000000, large_bytes = 47000000;

void ctkd__rank_trial_count(const struct ctkd__dist *dist, struct ctkd__dist_counts *counts)
{
    for (int t = 0; t < CTKD__TOPICS; t++)
        counts[t] = ctkd__dist_topic_counts(dist, (enum ctkd__dist_topic)t);
}

void ctkd__rank_trial_steps(const struct ctkd__dist *dist, const struct ctkd__dist_counts *before,
                            size_t steps, struct ctkd__rank_trial *trial)
{
    struct ctkd__dist_counts now[CTKD__TOPICS];
    ctkd__rank_trial_count(dist, now);
    for (int t = 0; t < CTKD__TOPICS && steps; t++)
        trial->topics[t] = (struct ctkd__topic_cost){
            .exchanges = (double)(now[t].exchanges - before[t].exchanges) / (double)steps,
            .bytes = (double)(now[t].bytes - before[t].bytes) / (double)steps,
            .waited = (now[t].waited - before[t].waited) / (double)steps,
        };
}

double ctkd__rank_trial_bandwidth(const struct ctkd__dist_trial *trial)
{
    return trial->sent / fmax(trial->seconds, 1e-9);
}

/* A step makes several sums of gradients if its batch has two views or groups. */
static void predict_gradients(const struct ctkd__session *session, struct ctkd__rank_trial *trial)
{
    const struct ctkd__dist_trial *const own = &trial->trials[CTKD__TRIAL_OWN];
    struct ctkd__topic_cost *const cost = &trial->topics[CTKD__TOPIC_GRADIENTS];
    const double sums = cost->bytes / fmax(own->sent, 1);
    cost->predicted = sums * own->seconds;
    cost->exposed = sums * ctkd__step_exposed(session->step, own->seconds);
}

static void predict(const struct ctkd__session *session, struct ctkd__rank_trial *trial)
{
    const double latency = trial->trials[CTKD__TRIAL_WORD].seconds;
    const double bandwidth = ctkd__rank_trial_bandwidth(&trial->trials[CTKD__TRIAL_SMALL]);
    for (int t = 0; t < CTKD__TOPICS; t++) {
        struct ctkd__topic_cost *const cost = &trial->topics[t];
        if (t == CTKD__TOPIC_GRADIENTS)
            predict_gradients(session, trial);
        else
            cost->predicted = cost->exposed = latency * cost->exchanges + cost->bytes / bandwidth;
        trial->predicted += cost->predicted;
        trial->exposed += cost->exposed;
        trial->waited += cost->waited;
    }
}

ctkd_status ctkd__rank_trial_run(const struct ctkd__session *session,
                                 struct ctkd__rank_trial *trial, ctkd_error *err)
{
    struct ctkd__dist *const dist = session->dist;
    const size_t floats[CTKD__TRIALS] = {
        [CTKD__TRIAL_SMALL] = small_bytes / sizeof(float),
        [CTKD__TRIAL_LARGE] = large_bytes / sizeof(float),
        [CTKD__TRIAL_OWN] = session->weights->n_values,
    };
    if (!dist)
        return CTKD_OK;
    trial->size = ctkd__dist_size(dist);
    trial->buckets = ctkd__step_buckets(session->step);
    trial->concurrent = ctkd__dist_concurrent(dist);
    trial->whole_groups = !session->engine.pass_dist;
    trial->places = calloc(trial->size, sizeof *trial->places);
    if (!trial->places)
        return ctkd__fail(err, CTKD_ENOMEM, "places of %zu ranks: out of memory", trial->size);
    ctkd_status status = ctkd__ranks_places(session, trial->places, err);
    if (status == CTKD_OK)
        status = ctkd__dist_try_word(dist, &trial->trials[CTKD__TRIAL_WORD], err);
    for (int i = CTKD__TRIAL_SMALL; status == CTKD_OK && i < CTKD__TRIALS; i++)
        status = ctkd__dist_try_sum(dist, floats[i], &trial->trials[i], err);
    if (status == CTKD_OK)
        predict(session, trial);
    return status;
}

void ctkd__rank_trial_fini(struct ctkd__rank_trial *trial)
{
    free(trial->places);
    trial->places = NULL;
}

bool ctkd__rank_trial_crowded(const struct ctkd__rank_trial *trial, size_t rank)
{
    const struct ctkd__rank_place *const place = &trial->places[rank];
    return place->threads > place->cores || ctkd__ranks_shared(trial->places, rank) < rank;
}
