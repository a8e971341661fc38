#include "support/thread_ranks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctkd/version.h"
#include "support/check.h"
#include "util/error.h"

enum { RANKS_MAX = 16 };

/* What one rank has for another; data is NULL unless something is there. */
struct mail {
    struct ctkd__parcel parcel;
    bool there;
};

struct world {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t size;
    bool ended;                                             /* a rank has aborted */
    struct mail mail[CTKD__CHANNELS][RANKS_MAX][RANKS_MAX]; /* [from][to] */
};

struct seat {
    struct world *world;
    size_t rank;
    void (*fn)(struct ctkd__dist *dist, void *context);
    void *context;
};

static _Thread_local struct seat *own_seat;

static ctkd_status seat_open(void **out, ctkd_error *err)
{
    *out = own_seat;
    return own_seat ? CTKD_OK : ctkd__fail(err, CTKD_EBACKEND, "a thread that is no rank");
}

static size_t seat_rank(const void *seat)
{
    return ((const struct seat *)seat)->rank;
}

static size_t seat_size(const void *seat)
{
    return ((const struct seat *)seat)->world->size;
}

static const char *seat_version(const void *seat)
{
    (void)seat;
    return "threads of one process";
}

bool thread_ranks_concurrent = true;

static bool seat_concurrent(const void *seat)
{
    (void)seat;
    return thread_ranks_concurrent;
}

/* Waits until the mail is there, or has been taken; false: too late, or a rank has ended. */
static bool wait_for(struct world *world, const struct mail *mail, bool there,
                     const struct timespec *until)
{
    int result = 0;
    while (mail->there != there && !world->ended && result == 0)
        result = until ? pthread_cond_timedwait(&world->changed, &world->lock, until)
                       : pthread_cond_wait(&world->changed, &world->lock);
    return mail->there == there;
}

static struct timespec from_now(double seconds)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    const long long ns = (long long)at.tv_nsec + (long long)(seconds * 1e9);
    return (struct timespec){ .tv_sec = at.tv_sec + (time_t)(ns / 1000000000),
                              .tv_nsec = (long)(ns % 1000000000) };
}

static ctkd_status take(struct mail *mail, const struct ctkd__parcel *in, size_t from,
                        ctkd_error *err)
{
    if (mail->parcel.bytes != in->bytes)
        return ctkd__fail(err, CTKD_EBACKEND, "found %zu bytes from rank %zu, expected %zu",
                          mail->parcel.bytes, from, in->bytes);
    if (in->bytes)
        memcpy(in->data, mail->parcel.data, in->bytes);
    mail->there = false;
    return CTKD_OK;
}

static ctkd_status exchange_locked(struct seat *seat, struct mail (*mail)[RANKS_MAX],
                                   const struct ctkd__parcel *out, const struct ctkd__parcel *in,
                                   const struct timespec *until, bool *late, ctkd_error *err)
{
    struct world *const world = seat->world;
    const size_t own = seat->rank;
    bool all = true, silent = false;
    for (size_t r = 0; r < world->size; r++)
        if (r != own)
            mail[own][r] = (struct mail){ out[r], true };
    pthread_cond_broadcast(&world->changed);
    for (size_t r = 0; r < world->size; r++) {
        if (r == own)
            continue;
        const bool heard = wait_for(world, &mail[r][own], true, until);
        late[r] = !heard && !world->ended;
        silent = silent || late[r];
        all = all && heard;
        const ctkd_status status = heard ? take(&mail[r][own], &in[r], r, err) : CTKD_OK;
        if (status != CTKD_OK)
            return status;
    }
    pthread_cond_broadcast(&world->changed);
    for (size_t r = 0; r < world->size; r++) { /* what was sent is the sender's until it is taken */
        if (r == own || wait_for(world, &mail[own][r], false, until))
            continue;
        late[r] = late[r] || (!silent && !world->ended); /* else it waits for them too */
        if (world->ended)
            mail[own][r].there = false; /* its data may be freed from here on */
        all = false;
    }
    return all ? CTKD_OK : ctkd__fail(err, CTKD_EBACKEND, "a rank has ended");
}

static ctkd_status seat_exchange(void *transport, enum ctkd__dist_channel channel,
                                 const struct ctkd__parcel *out, const struct ctkd__parcel *in,
                                 double seconds, bool *late, ctkd_error *err)
{
    struct seat *const seat = transport;
    const struct timespec until = from_now(seconds);
    pthread_mutex_lock(&seat->world->lock);
    const ctkd_status status = exchange_locked(seat, seat->world->mail[channel], out, in,
                                               seconds > 0 ? &until : NULL, late, err);
    pthread_mutex_unlock(&seat->world->lock);
    return status;
}

static void seat_abort(void *transport, int status)
{
    struct seat *const seat = transport;
    (void)status;
    pthread_mutex_lock(&seat->world->lock);
    seat->world->ended = true;
    pthread_cond_broadcast(&seat->world->changed);
    pthread_mutex_unlock(&seat->world->lock);
}

static void seat_close(void *transport, bool together)
{
    if (!together)
        seat_abort(transport, 1);
}

static const struct ctkd__transport threads = { .name = "threads",
                                                .made_for = CTKD_VERSION_STRING,
                                                .open = seat_open,
                                                .rank = seat_rank,
                                                .size = seat_size,
                                                .version = seat_version,
                                                .concurrent = seat_concurrent,
                                                .exchange = seat_exchange,
                                                .abort = seat_abort,
                                                .close = seat_close };

static void *run_rank(void *argument)
{
    own_seat = argument;
    struct ctkd__dist *dist;
    if (ctkd__dist_open(&threads, &dist, NULL) == CTKD_OK) {
        own_seat->fn(dist, own_seat->context);
        ctkd__dist_close(dist);
    }
    return NULL;
}

void thread_ranks_run(size_t ranks, void (*fn)(struct ctkd__dist *dist, void *context),
                      void *context)
{
    struct world *const world = calloc(1, sizeof *world);
    struct seat seats[RANKS_MAX];
    pthread_t running[RANKS_MAX];
    assert_non_null(world);
    assert_in_range(ranks, 1, RANKS_MAX);
    world->size = ranks;
    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->changed, NULL);
    for (size_t r = 0; r < ranks; r++) {
        seats[r] = (struct seat){ world, r, fn, context };
        assert_int_equal(pthread_create(&running[r], NULL, run_rank, &seats[r]), 0);
    }
    for (size_t r = 0; r < ranks; r++)
        assert_int_equal(pthread_join(running[r], NULL), 0);
    pthread_cond_destroy(&world->changed);
    pthread_mutex_destroy(&world->lock);
    free(world);
}
