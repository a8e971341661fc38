#include "run/loop.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/epochs.h"
#include "run/checkpoint.h"
#include "run/evaluation.h"
#include "run/live_line.h"
#include "run/notes.h"
#include "run/preflight.h"
#include "run/rank_epoch.h"
#include "run/settled.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/say.h"
#include "util/text.h"

/* State of one call of ctkd__loop_run. */
struct progress {
    const struct ctkd__loop *loop;
    struct ctkd__settled *settled; /* NULL: a signal takes effect at the end of a step */
    bool live;                     /* a line that is rewritten */
    double began, shown;           /* seconds of the clock */
    double seconds_before;         /* of the run, in earlier calls */
    uint64_t steps_done;           /* in this call */
    uint64_t images;               /* of its steps */
    double step_seconds;           /* of its steps */
    bool late;                     /* train.max_minutes nearly over */
    bool stopping;                 /* all ranks have agreed to stop after the last step */
    bool warned;                   /* about the temperature */
    bool told_full;                /* that teacher.store takes no more */
    /* The student's predictions of the test images at an evaluation that may be the last one:
       evaluation.json is written from them. */
    struct ctkd__predictions kept;
    struct ctkd__rank_epoch ranks;
    /* In seconds: of a step, a checkpoint and the end of an epoch. */
    double longest_step, longest_save, longest_end;
};

/* Whether this rank writes the files of the run; only rank 0 does. */
static bool writes(const struct progress *p)
{
    return p->loop->run != NULL;
}

/* The word on which ranks agree between two steps: the number of a signal, and these bits. The
   greatest word of all ranks counts, so a failure outranks the time limit, and that a signal. Where
   none of these is, there is a step, and the last bit tells whether any rank lacks the images of
   the one after it. */
enum {
    WORD_BLIND = 1,
    WORD_SIGNAL_AT = 1,
    WORD_SIGNAL = 0x1fe,
    WORD_LATE = 0x200,
    WORD_FAILED = 0x400
};

/* The word of this rank; for train.max_minutes the clock of rank 0 counts. */
static uint64_t own_word(const struct progress *p, bool failed)
{
    const bool late = p->late && writes(p);
    const uint64_t number = p->loop->stop ? (uint64_t)*p->loop->stop : 0;
    const uint64_t signal = number << WORD_SIGNAL_AT & WORD_SIGNAL;
    return (late ? WORD_LATE : 0) | (failed ? WORD_FAILED : 0) | signal;
}

/* Makes this rank stop after the same step as all others, whose greatest word it is. */
static void take_word(struct progress *p, uint64_t word)
{
    p->late = (word & WORD_LATE) != 0;
    p->stopping = p->late || (word & WORD_SIGNAL) != 0;
    if (p->loop->stop && !*p->loop->stop)
        *p->loop->stop = (int)((word & WORD_SIGNAL) >> WORD_SIGNAL_AT);
}

/* Whether the run is in the stage before the main one. */
static bool initial(const struct progress *p)
{
    return p->loop->session->state.stage == CTKD_STAGE_INITIAL;
}

/* Steps until train.max_steps. */
static uint64_t steps_left(const struct ctkd__session *session)
{
    const uint64_t limit = (uint64_t)session->config->train.max_steps, done = session->state.step;
    return limit == 0 ? UINT64_MAX : limit > done ? limit - done : 0;
}

/* Epochs of the present stage. */
static uint64_t epochs_of(const struct progress *p)
{
    const struct ctkd__session *session = p->loop->session;
    return initial(p) ? ctkd__epochs_of(session->config, session->config->method.initial_epochs)
                      : session->schedule.epochs;
}

/* Whether there may not be time before train.max_minutes for another step and the work that must
   follow it. Allows twice the longest so far, because the next one may be slower. */
static bool is_late(const struct progress *p)
{
    const double limit = 60 * (double)p->loop->session->config->train.max_minutes;
    const double needed = 2 * (p->longest_step + p->longest_save + p->longest_end);
    return limit > 0 && ctkd__clock_seconds() - p->loop->began + needed >= limit;
}

static ctkd_status save_checkpoint(struct progress *p, ctkd_error *err)
{
    const double begin = ctkd__clock_seconds();
    uint64_t log_bytes;
    struct ctkd__session *session = p->loop->session;
    session->state.seconds = p->seconds_before + begin - p->began;
    if (!writes(p))
        return CTKD_OK;
    ctkd_status status = ctkd__jsonl_sync(&p->loop->run->log, &log_bytes, err);
    if (status == CTKD_OK)
        status =
            ctkd__checkpoint_save(session, p->loop->command, p->loop->run->dir, log_bytes, err);
    p->longest_save = fmax(p->longest_save, ctkd__clock_seconds() - begin);
    return status;
}

/* Time until the end at the pace so far, evaluations included, as h:mm:ss. */
static const char *eta(const struct progress *p, char *text, size_t bytes)
{
    const struct ctkd__session *session = p->loop->session;
    const struct ctkd__schedule *schedule = &session->schedule;
    uint64_t total = schedule->epochs * schedule->steps_per_epoch;
    if (session->methods.has_initial)
        total += ctkd__epochs_of(session->config, session->config->method.initial_epochs) *
                 schedule->steps_per_epoch;
    const uint64_t of_epochs = total > session->state.step ? total - session->state.step : 0;
    const uint64_t left = steps_left(session);
    const double pace =
        (ctkd__clock_seconds() - p->began) / (double)(p->steps_done ? p->steps_done : 1);
    const uint64_t s = (uint64_t)(pace * (double)(left < of_epochs ? left : of_epochs) + 0.5);
    snprintf(text, bytes, "%" PRIu64 ":%02u:%02u", s / 3600, (unsigned)(s / 60 % 60),
             (unsigned)(s % 60));
    return text;
}

static void show_step(struct progress *p, const struct ctkd__step_report *report)
{
    const struct ctkd__run_state *state = &p->loop->session->state;
    const double t = ctkd__clock_seconds();
    if (!p->live || t - p->shown < 0.2)
        return;
    p->shown = t;
    FILE *out = p->loop->progress;
    char time[32], text[256];
    const struct ctkd__live_line line = {
        .initial = initial(p),
        .epoch = state->epoch,
        .epochs = epochs_of(p),
        .step = state->epoch_step,
        .steps = p->loop->session->schedule.steps_per_epoch,
        .images_per_second = (double)state->sums.images / state->sums.seconds,
        .loss = (double)report->loss,
        .has_tau = state->temperature && !initial(p),
        .tau = (double)report->tau_mean,
        .lambda = ctkd__run_lambda(p->loop->session->config, state, report),
        .eta = eta(p, time, sizeof time),
    };
    /* Asked each time: the terminal may have been resized. */
    ctkd__live_line_text(&line, ctkd__live_line_columns(out), text, sizeof text);
    fprintf(out, "\r\033[K%s", text);
    fflush(out);
}

static void show_epoch(const struct progress *p, const struct ctkd__step_report *last,
                       const struct ctkd__scores *test)
{
    const struct ctkd__run_state *state = &p->loop->session->state;
    const struct ctkd__epoch_sums *sums = &state->sums;
    const double images = (double)sums->images;
    FILE *out = p->loop->progress;
    char time[32], text[256];
    if (!out)
        return;
    const struct ctkd__epoch_line line = {
        .initial = initial(p),
        .epoch = state->epoch,
        .epochs = epochs_of(p),
        .lr = (double)last->lr,
        .loss = sums->loss / images,
        .train_top1 = 100.0 * (double)sums->correct / images,
        .has_test = test != NULL,
        .test_top1 = test ? test->top1 : 0,
        .best_top1 = state->best_top1,
        .has_tau = state->temperature && !initial(p),
        .tau = sums->tau / images,
        .lambda = ctkd__run_lambda(p->loop->session->config, state, last),
        .images_per_second = images / sums->seconds,
        .eta = eta(p, time, sizeof time),
    };
    ctkd__epoch_line_text(&line, p->live ? ctkd__live_line_columns(out) : SIZE_MAX, text,
                          sizeof text);
    fprintf(out, "%s%s\n", p->live ? "\r\033[K" : "", text);
    fflush(out);
}

static void add_report(struct ctkd__epoch_sums *sums, size_t n,
                       const struct ctkd__step_report *report, double seconds)
{
    const double images = (double)n;
    const bool first = sums->steps == 0;
    sums->steps++;
    sums->images += n;
    sums->correct += report->correct;
    sums->loss += images * (double)report->loss;
    sums->loss_ce += images * (double)report->loss_ce;
    sums->loss_kd += images * (double)report->loss_kd;
    sums->loss_method += images * (double)report->loss_method;
    for (size_t i = 0; i < CTKD__METHODS_MAX; i++)
        sums->losses[i] += images * (double)report->losses[i];
    sums->tau += images * (double)report->tau_mean;
    sums->tau_gradient += (double)report->tau_gradient;
    sums->tau_min = first ? report->tau_min : fminf(sums->tau_min, report->tau_min);
    sums->tau_max = first ? report->tau_max : fmaxf(sums->tau_max, report->tau_max);
    sums->seconds += seconds;
    ctkd__teacher_store_count(&sums->teacher, &report->teacher);
}

/* What to print before a line of its own: the control sequence that clears the live line. */
static const char *clear_line(const struct progress *p)
{
    return p->live ? "\r\033[K" : "";
}

static void note(const struct progress *p, const char *subject, const char *text)
{
    if (!writes(p))
        return;
    const struct ctkd__note problem = {
        .subject = subject, .text = text, .problem = true, .epoch = p->loop->session->state.epoch
    };
    ctkd__note(p->loop->run->dir, &problem, clear_line(p), p->loop->progress);
}

/* The first step of the main stage shows whether a term of the loss has almost no influence. */
static void watch_balance(const struct progress *p, const struct ctkd__step_report *report)
{
    const struct ctkd__run_state *state = &p->loop->session->state;
    struct ctkd__findings findings = { 0 };
    if (!writes(p) || initial(p) || state->epoch != 1 || state->epoch_step != 1)
        return;
    ctkd__preflight_balance(p->loop->session, report, &findings);
    ctkd__note_findings(p->loop->run->dir, &findings, state->epoch, clear_line(p),
                        p->loop->progress);
}

/* Notes once that the teacher store takes no more rows. */
static void watch_store(struct progress *p)
{
    const struct ctkd__teacher_store *const store = p->loop->session->store;
    if (!store || !store->full || p->told_full)
        return;
    p->told_full = true;
    note(p, "teacher.store", store->why_full);
}

static struct ctkd__training_step *step_of(const struct progress *p)
{
    return initial(p) ? p->loop->session->initial_step : p->loop->session->step;
}

/* The schedule's factor for a step of the current epoch; an initial stage has a constant rate. */
static double factor_of(const struct progress *p, uint64_t epoch_step)
{
    const struct ctkd__session *const session = p->loop->session;
    return initial(p) ? 1
                      : ctkd__schedule_factor(&session->schedule, session->state.epoch, epoch_step);
}

static ctkd_status saved_before(const struct ctkd__run_state *state, const ctkd_error *reason,
                                ctkd_error *err)
{
    return ctkd__fail(err, reason->status,
                      "%s; the run is saved at epoch %" PRIu64 ", step %" PRIu64
                      " and can be resumed",
                      reason->message, state->epoch, state->epoch_step);
}

struct settled_copy {
    const struct progress *progress;
    bool saved;
};

/* Saves the state that a copy of the session holds, with the log as it is now. */
static void save_settled(void *context, struct ctkd__session *settled)
{
    struct settled_copy *const copy = context;
    struct progress p = *copy->progress;
    struct ctkd__loop loop = *p.loop;
    loop.session = settled;
    p.loop = &loop;
    copy->saved = save_checkpoint(&p, NULL) == CTKD_OK;
}

/* A rank has died, or does not answer, in the middle of a step: saves the state before the step. */
static ctkd_status without_rank(struct progress *p, ctkd_status status, ctkd_error *err)
{
    const struct ctkd__run_state *const state = &p->loop->session->state;
    const ctkd_error reason = err ? *err : (ctkd_error){ .status = status };
    struct settled_copy copy = { .progress = p };
    if (!writes(p))
        return status;
    ctkd__settled_use(p->settled, save_settled, &copy);
    return copy.saved ? saved_before(state, &reason, err) : status;
}

static ctkd_status run_step(struct progress *p, const struct ctkd__batch *batch,
                            struct ctkd__step_report *report, ctkd_error *err)
{
    struct ctkd__session *session = p->loop->session;
    struct ctkd__run_state *state = &session->state;
    const int64_t log_every = session->config->train.log_every;
    const double begin = ctkd__clock_seconds();
    const double factor = factor_of(p, state->epoch_step);
    ctkd__settled_release(p->settled);
    ctkd_status status = ctkd__step_gradients(step_of(p), batch, state->epoch, factor, report, err);
    ctkd__settled_hold(p->settled);
    if (status == CTKD_EBACKEND && session->dist)
        return without_rank(p, status, err);
    if (status != CTKD_OK)
        return status;
    ctkd__step_update(step_of(p), batch->n, factor);
    const double seconds = ctkd__clock_seconds() - begin;
    state->epoch_step++;
    state->step++;
    add_report(&state->sums, batch->n, report, seconds);
    watch_balance(p, report);
    watch_store(p);
    p->longest_step = fmax(p->longest_step, seconds);
    p->steps_done++;
    p->images += batch->n;
    p->step_seconds += seconds;
    if (writes(p) && log_every && state->step % (uint64_t)log_every == 0)
        status = ctkd__run_log_step(p->loop->run, state, &session->methods, report, err);
    const int64_t every = session->config->train.checkpoint_every;
    if (status == CTKD_OK && every && state->step % (uint64_t)every == 0 &&
        state->epoch_step < session->schedule.steps_per_epoch)
        status = save_checkpoint(p, err);
    show_step(p, report);
    return status;
}

/* Images of the next step, or of an evaluation, cannot be read: nothing of what was learned is
   lost. */
static ctkd_status without_images(struct progress *p, ctkd_status status, ctkd_error *err)
{
    const ctkd_error reason = err ? *err : (ctkd_error){ .status = status };
    if (save_checkpoint(p, NULL) != CTKD_OK)
        return status;
    return saved_before(&p->loop->session->state, &reason, err);
}

/* The images of the next step, and how long they took; those of the one after it, too, if the next
   one can use them. */
static ctkd_status fetch(struct ctkd__session *session, struct ctkd__loading *loading,
                         struct ctkd__batch *batch, struct ctkd__batch *after, ctkd_error *err)
{
    const uint64_t waited = ctkd__loader_waited_ns(session->data.train);
    const double begin = ctkd__clock_seconds();
    *after = (struct ctkd__batch){ 0 };
    const ctkd_status status = ctkd__loader_next(session->data.train, batch, err);
    if (status != CTKD_OK || batch->n == 0)
        return status;
    if (steps_left(session) > 1)
        (void)!ctkd__session_peek(session, after, NULL); /* a failure is that of the step to come */
    loading->batches++;
    loading->seconds += ctkd__clock_seconds() - begin;
    loading->waited_ns += ctkd__loader_waited_ns(session->data.train) - waited;
    return CTKD_OK;
}

/* The images of the next step; batch->n is 0 at the end of the epoch. Sets p->stopping if the ranks
   agree to stop before the step. */
static ctkd_status next_images(struct progress *p, struct ctkd__batch *batch, ctkd_error *err)
{
    struct ctkd__session *const session = p->loop->session;
    struct ctkd__loading loading = session->state.loading;
    struct ctkd__batch after;
    ctkd_error own = { 0 };
    ctkd__settled_release(p->settled);
    const ctkd_status status = fetch(session, &loading, batch, &after, &own);
    uint64_t word = own_word(p, status != CTKD_OK) | (after.n ? 0 : WORD_BLIND);
    ctkd_status agreed = ctkd__dist_max(session->dist, CTKD__CHANNEL_MAIN, &word, err);
    ctkd__settled_hold(p->settled);
    session->state.loading = loading;
    if (agreed != CTKD_OK)
        return without_rank(p, agreed, err);
    take_word(p, word);
    ctkd__step_expect(step_of(p), word & WORD_BLIND ? (struct ctkd__batch){ 0 } : after);
    if (word >= WORD_FAILED)
        agreed = ctkd__dist_agree(session->dist, status, &own);
    if (agreed == CTKD_OK)
        return CTKD_OK;
    return without_images(p, ctkd__fail(err, agreed, "%s", own.message), err);
}

/* Runs steps until the epoch ends, the run is stopped, or train.max_steps is reached. */
static ctkd_status run_steps(struct progress *p, struct ctkd__step_report *last, ctkd_error *err)
{
    struct ctkd__session *session = p->loop->session;
    struct ctkd__batch batch;
    /* The views of an initial stage must not repeat the draws of the main stage. */
    const uint64_t views = session->state.epoch + (initial(p) ? (uint64_t)1 << 32 : 0);
    ctkd__loader_start(session->data.train, views, session->state.epoch_step);
    while (steps_left(session)) {
        ctkd_status status = next_images(p, &batch, err);
        if (status != CTKD_OK || batch.n == 0 || p->stopping)
            return status;
        status = run_step(p, &batch, last, err);
        if (status != CTKD_OK)
            return status;
        p->late = is_late(p);
    }
    return CTKD_OK;
}

/* Saves the weights, with the epoch and the top-1 if it is known. */
static ctkd_status save(const struct progress *p, enum ctkd__run_file file, uint64_t epoch,
                        const struct ctkd__scores *test, ctkd_error *err)
{
    const struct ctkd__session *session = p->loop->session;
    struct ctkd__network_info info = session->info;
    info.epoch = epoch;
    info.has_top1 = test != NULL;
    info.top1 = test ? test->top1 : 0;
    const struct ctkd__weights student = ctkd__session_student(session);
    return writes(p) ? ctkd__run_save(p->loop->run, file, &student, &info, err) : CTKD_OK;
}

/* Notes once that a learnable temperature is stuck at an end of its range or has collapsed. */
static void watch_temperature(struct progress *p)
{
    const struct ctkd__run_state *state = &p->loop->session->state;
    const struct ctkd__config *config = p->loop->session->config;
    char text[320];
    if (p->warned || !state->temperature || initial(p) ||
        ctkd__methods_temperature_kind(config) == CTKD_TEMPERATURE_FIXED)
        return;
    const float low = config->temperature.tau_min, span = config->temperature.tau_span;
    const float near = 0.01f * span;
    const bool at_low = state->sums.tau_max < low + near;
    const bool at_high = state->sums.tau_min > low + span - near;
    const float spread = state->sums.tau_max - state->sums.tau_min;
    const bool collapsed =
        config->temperature.kind == CTKD_TEMPERATURE_INSTANCE && spread < 1e-3f * span;
    if (!at_low && !at_high && !collapsed)
        return;
    p->warned = true;
    if (collapsed && !at_low && !at_high)
        snprintf(text, sizeof text,
                 "every sample had the same tau (%.4g) during epoch %" PRIu64
                 ": the per-sample temperature has collapsed to a single value; change its start "
                 "with temperature.set_bias or .from_logits",
                 (double)state->sums.tau_min, state->epoch);
    else
        snprintf(text, sizeof text,
                 "tau stayed at its %s end (%.3g to %.3g, of %g to %g) during epoch %" PRIu64
                 ", where it can no longer adapt; change temperature.lr, .tau_min, .tau_span or "
                 ".lambda_max",
                 at_low ? "lower" : "upper", (double)state->sums.tau_min,
                 (double)state->sums.tau_max, (double)low, (double)(low + span), state->epoch);
    note(p, "temperature", text);
}

/* Whether the last evaluation is the best so far: on the validation part where there is one. */
static bool is_best(const struct ctkd__run_state *state)
{
    return state->dev.n ? state->dev.top1 > state->best_dev_top1
                        : state->test.top1 > state->best_top1;
}

/* Whether train.patience has run out, which only an evaluation can show: with train.eval_every it
   may be over between two of them. It depends only on the state, so that resuming a run that ended
   this way trains no further. */
static bool out_of_patience(const struct progress *p)
{
    const struct ctkd__run_state *const state = &p->loop->session->state;
    const uint64_t patience = (uint64_t)p->loop->session->config->train.patience;
    return patience && !initial(p) && state->best_epoch && state->epoch_step == 0 &&
           state->evaluated && state->epoch > state->best_epoch + patience;
}

/* Whether the run may end with this epoch, so that its predictions must be kept. */
static bool may_end(const struct progress *p)
{
    const struct ctkd__session *const session = p->loop->session;
    const uint64_t epoch = session->state.epoch, best = session->state.best_epoch;
    const uint64_t patience = (uint64_t)session->config->train.patience;
    return epoch == session->schedule.epochs || steps_left(session) == 0 ||
           (patience && best && epoch >= best + patience);
}

/* Whether train.eval_every evaluates the current epoch. */
static bool planned(const struct progress *p)
{
    const struct ctkd__session *session = p->loop->session;
    const uint64_t every = (uint64_t)session->config->train.eval_every;
    return session->state.epoch % every == 0 || session->state.epoch == session->schedule.epochs;
}

/* Learns how long the epoch's steps have waited, from all ranks. */
static ctkd_status gather_times(struct progress *p, ctkd_error *err)
{
    ctkd__settled_release(p->settled);
    const ctkd_status status = ctkd__rank_epoch_end(p->loop->session, &p->ranks, err);
    ctkd__settled_hold(p->settled);
    return status == CTKD_OK ? status : without_images(p, status, err);
}

/* Ends an epoch: evaluates if it is due, saves the weights and writes the log line. */
static ctkd_status end_epoch(struct progress *p, const struct ctkd__step_report *last,
                             ctkd_error *err)
{
    struct ctkd__session *session = p->loop->session;
    struct ctkd__run_state *state = &session->state;
    const bool due = !initial(p) && (planned(p) || steps_left(session) == 0);
    /* An epoch that train.max_steps cut short must not count as the best: a run resumed with more
       steps never evaluates that point. */
    const bool counts = (planned(p) && state->epoch_step == session->schedule.steps_per_epoch) ||
                        state->best_epoch == 0;
    const struct ctkd__scores *test = NULL;
    ctkd_status status = CTKD_OK;
    const double begin = ctkd__clock_seconds();
    status = gather_times(p, err);
    if (status != CTKD_OK)
        return status;
    if (due) {
        struct ctkd__scores on_test = state->test, on_dev = state->dev;
        ctkd__predictions_free(&p->kept);
        ctkd__settled_release(p->settled);
        status =
            ctkd__session_evaluate(session, &on_test, &on_dev, may_end(p) ? &p->kept : NULL, err);
        ctkd__settled_hold(p->settled);
        if (status != CTKD_OK) {
            ctkd__fail_within(err, status, "epoch %" PRIu64, state->epoch);
            return status == CTKD_ENAN ? status : without_images(p, status, err);
        }
        state->test = on_test;
        state->dev = on_dev;
        test = &state->test;
    }
    state->evaluated = due;
    if (due && counts && is_best(state)) {
        state->best_top1 = state->test.top1;
        state->best_dev_top1 = state->dev.n ? state->dev.top1 : -1;
        state->best_epoch = state->epoch;
        status = save(p, CTKD__RUN_BEST, state->epoch, test, err);
    }
    if (status == CTKD_OK)
        status = save(p, CTKD__RUN_LAST, state->epoch, test, err);
    state->seconds = p->seconds_before + ctkd__clock_seconds() - p->began;
    if (status == CTKD_OK && writes(p))
        status = ctkd__run_log_epoch(p->loop->run, state, &session->methods, last, test, err);
    if (status == CTKD_OK)
        show_epoch(p, last, test);
    if (status == CTKD_OK)
        watch_temperature(p);
    p->longest_end = fmax(p->longest_end, ctkd__clock_seconds() - begin);
    return status;
}

static ctkd_status finish(const struct progress *p, bool interrupted, ctkd_error *err)
{
    const struct ctkd__loop *loop = p->loop;
    const struct ctkd__session *session = loop->session;
    const struct ctkd__summary summary = {
        .command = loop->command,
        .status = interrupted ? "interrupted" : "done",
        .config = session->config,
        .student = &session->info,
        .teacher = session->teacher ? &session->teacher->info : NULL,
        .teacher_scores = loop->teacher_scores,
        .methods = &session->methods,
        .test = session->state.evaluated ? &session->state.test : NULL,
        .state = &session->state,
        .images_per_second = (double)p->images / p->step_seconds,
        .parameters = ctkd__graph_trainable(session->graph),
        .ranks = ctkd__dist_size(session->dist),
        .threads = ctkd__workers_count(session->engine.workers),
        .isa = session->engine.kernels->name,
    };
    return writes(p) ? ctkd__run_summarise(loop->run, &summary, err) : CTKD_OK;
}

/* Saves everything in the middle of an epoch; returns CTKD_EINTERRUPTED with how to resume. */
static ctkd_status interrupt(struct progress *p, ctkd_error *err)
{
    const struct ctkd__loop *loop = p->loop;
    struct ctkd__run_state *state = &loop->session->state;
    char path[CTKD__RUN_PATH_BYTES], word[4 * sizeof path];
    ctkd__run_file_path(writes(p) ? loop->run->dir : "", CTKD__RUN_CONFIG, path, sizeof path);
    ctkd_status status = save_checkpoint(p, err);
    state->evaluated = false; /* the weights have moved since */
    if (status == CTKD_OK)
        status = save(p, CTKD__RUN_LAST, state->epoch - 1, NULL, err);
    if (status == CTKD_OK)
        status = finish(p, true, err);
    if (status != CTKD_OK)
        return status;
    return ctkd__fail(err, CTKD_EINTERRUPTED,
                      "%s at epoch %" PRIu64 ", step %" PRIu64 "; resume with: ctkd %s %s --resume",
                      p->late ? "train.max_minutes reached" : "interrupted", state->epoch,
                      state->epoch_step, loop->command, ctkd__text_shell(path, word, sizeof word));
}

/* Moves to the next epoch, or to the first of the main stage, which begins with zero velocities. */
static void next_epoch(struct progress *p)
{
    struct ctkd__run_state *state = &p->loop->session->state;
    const bool last = initial(p) && state->epoch == epochs_of(p);
    state->epoch = last ? 1 : state->epoch + 1;
    state->epoch_step = 0;
    state->sums = (struct ctkd__epoch_sums){ 0 };
    state->loading = (struct ctkd__loading){ 0 };
    memset(state->tau_counts, 0, CTKD__TAU_BINS * sizeof *state->tau_counts);
    if (!last)
        return;
    state->stage = CTKD_STAGE_MAIN;
    memset(state->velocity, 0, state->weights->n_values * sizeof *state->velocity);
}

/* Runs the current epoch to its end, to train.max_steps, or until the run is stopped. */
static ctkd_status run_epoch(struct progress *p, ctkd_error *err)
{
    struct ctkd__session *session = p->loop->session;
    struct ctkd__run_state *state = &session->state;
    struct ctkd__step_report last; /* of the last step, even if an earlier call made it */
    ctkd_status status =
        ctkd__step_begin(step_of(p), state->epoch,
                         factor_of(p, state->epoch_step - (state->epoch_step > 0)), &last, err);
    ctkd__rank_epoch_begin(session->dist, &p->ranks);
    if (status == CTKD_OK)
        status = run_steps(p, &last, err);
    const bool whole = state->epoch_step == session->schedule.steps_per_epoch;
    if (status == CTKD_OK && p->stopping && !whole)
        return interrupt(p, err);
    /* Where train.max_steps ends the run, within an epoch or where no evaluation is planned, a run
       with more steps resumes from before the end, which it does not have. */
    const bool as_planned = whole && (initial(p) || planned(p) || steps_left(session) > 0);
    if (status == CTKD_OK && !as_planned)
        status = save_checkpoint(p, err);
    if (status == CTKD_OK)
        status = end_epoch(p, &last, err);
    if (status != CTKD_OK)
        return status;
    next_epoch(p);
    return as_planned ? save_checkpoint(p, err) : CTKD_OK;
}

/* Runs in a thread of its own while the next step is being computed; saves the copy `settled`. */
static void save_now(void *context, struct ctkd__session *settled)
{
    struct progress p = *(const struct progress *)context;
    struct ctkd__loop loop = *p.loop;
    ctkd_error err = { 0 };
    loop.session = settled;
    p.loop = &loop;
    if (p.live)
        fputc('\n', loop.progress);
    interrupt(&p, &err);
    loop.leave(settled->dist, &err);
}

/* Whether `out` is a terminal that can rewrite a line; "dumb" ones (editors) cannot. */
static bool can_rewrite(FILE *out)
{
    const char *const kind = getenv("TERM");
    return isatty(fileno(out)) && !(kind && strcmp(kind, "dumb") == 0);
}

static ctkd_status run_epochs(struct progress *p, ctkd_error *err)
{
    const struct ctkd__loop *const loop = p->loop;
    struct ctkd__session *session = loop->session;
    struct ctkd__run_state *state = &session->state;
    ctkd_status status = ctkd__settled_begin(session, loop->now, save_now, p, &p->settled, err);
    if (status == CTKD_OK && !loop->resumed)
        status = save_checkpoint(p, err);
    /* A run that train.max_steps has cut short ends its epoch again: its checkpoint is
       from before the end, whose log line, evaluation and weights are those of the last step. */
    while (status == CTKD_OK && state->epoch <= epochs_of(p) &&
           (steps_left(session) || state->epoch_step > 0) && !out_of_patience(p)) {
        status = run_epoch(p, err);
        p->late = p->late || is_late(p);
    }
    ctkd__settled_end(p->settled);
    if (status != CTKD_OK) {
        if (p->live)
            fputc('\n', loop->progress);
        return status;
    }
    if (loop->progress && steps_left(session) && out_of_patience(p) && state->epoch <= epochs_of(p))
        ctkd__say(loop->progress,
                  "stopped after epoch %" PRIu64 ": no better top-1 on the validation part than "
                  "%.2f %% of epoch %" PRIu64 " for %" PRIu64 " epochs (train.patience)",
                  state->epoch - 1, state->best_dev_top1, state->best_epoch,
                  state->epoch - 1 - state->best_epoch);
    if (session->engine.profile && loop->progress)
        ctkd__profile_print(session->engine.profile, p->steps_done, loop->progress);
    return finish(p, false, err);
}

ctkd_status ctkd__loop_run(const struct ctkd__loop *loop, ctkd_error *err)
{
    struct progress p = { .loop = loop,
                          .live = loop->progress && can_rewrite(loop->progress),
                          .began = ctkd__clock_seconds(),
                          .seconds_before = loop->session->state.seconds };
    ctkd_status status = run_epochs(&p, err);
    if (status == CTKD_OK)
        status = ctkd__run_evaluate(loop->run, loop->session, &p.kept, err);
    ctkd__predictions_free(&p.kept);
    return status;
}
