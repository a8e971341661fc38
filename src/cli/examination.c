#include "cli/examination.h"

#include "run/loop.h"
#include "util/clock.h"
#include "util/median.h"

/* How many steps are made, and for how many seconds at most; the first is not timed. */
enum { STEPS = 9 };
static const double step_seconds = 20;

/* A step and the word by which all ranks stop behind the same one, as that of a run. */
static ctkd_status try_step(struct ctkd__session *session, const struct ctkd__batch *batch,
                            size_t n, double began, struct ctkd__step_report *report, bool *last,
                            ctkd_error *err)
{
    const double factor = ctkd__schedule_factor(&session->schedule, 1, n);
    ctkd_status status = ctkd__step_run(session->step, batch, 1, factor, report, err);
    uint64_t word = n + 1 == STEPS || (n > 0 && ctkd__clock_seconds() - began >= step_seconds);
    if (status == CTKD_OK)
        status = ctkd__dist_max(session->dist, CTKD__CHANNEL_MAIN, &word, err);
    *last = word != 0;
    return status;
}

/* Steps as the run would make them, in a session that is thrown away. The report of the first one,
   the median of their times, and what ranks exchanged. */
static ctkd_status try_steps(struct ctkd__session *session, struct ctkd__examination *out,
                             ctkd_error *err)
{
    double times[STEPS];
    size_t n = 0;
    struct ctkd__batch batch, next;
    struct ctkd__step_report report;
    struct ctkd__dist_counts counts[CTKD__TOPICS];
    const double began = ctkd__clock_seconds();
    ctkd_status status = CTKD_OK;
    bool last = false;
    ctkd__rank_trial_count(session->dist, counts);
    ctkd__loader_start(session->data.train, 1, 0);
    while (!last) {
        status = ctkd__loader_next(session->data.train, &batch, err);
        if (status == CTKD_OK)
            status = ctkd__session_peek(session, &next, err);
        if (status != CTKD_OK || batch.n == 0)
            break;
        ctkd__step_expect(session->step, next);
        const double start = ctkd__clock_seconds();
        status = try_step(session, &batch, n, began, &report, &last, err);
        if (status != CTKD_OK)
            break;
        times[n] = ctkd__clock_seconds() - start;
        if (n++ == 0)
            out->first = report;
        session->state.epoch_step = n;
    }
    if (status != CTKD_OK)
        return status;
    const size_t skip = n > 1 ? 1 : 0; /* the first one also touches all memory */
    out->cost.step = ctkd__sort_median(n - skip, times + skip);
    ctkd__rank_trial_steps(session->dist, counts, n, &out->ranks);
    return CTKD_OK;
}

ctkd_status ctkd__examine(struct ctkd__session *session, struct ctkd__examination *out,
                          ctkd_error *err)
{
    struct ctkd__scores scores, dev;
    *out = (struct ctkd__examination){ .cost = { 0 } };
    ctkd_status status = CTKD_OK;
    ctkd__preflight_session(session, &out->findings);
    if (session->teacher)
        status = ctkd__session_evaluate_teacher(session, &out->teacher, err);
    if (status == CTKD_OK && session->teacher)
        status = ctkd__preflight_teacher(session, &out->teacher, &out->findings, err);
    if (status == CTKD_OK)
        status = try_steps(session, out, err);
    if (status == CTKD_OK)
        status = ctkd__rank_trial_run(session, &out->ranks, err);
    if (status != CTKD_OK)
        return status;
    for (size_t r = 0; r < out->ranks.size; r++)
        out->findings.problems += ctkd__rank_trial_crowded(&out->ranks, r);
    ctkd__preflight_balance(session, &out->first, &out->findings);
    const double start = ctkd__clock_seconds();
    status = ctkd__session_evaluate(session, &scores, &dev, NULL, err);
    out->cost.evaluation = ctkd__clock_seconds() - start;
    if (status == CTKD_OK)
        ctkd__preflight_cost(session, &out->cost, &out->findings);
    return status;
}

void ctkd__examination_fini(struct ctkd__examination *examination)
{
    ctkd__rank_trial_fini(&examination->ranks);
}
