#include "data/folder/file_batches.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "data/folder/read_ahead.h"
#include "data/strong_view.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/thread.h"

enum {
    SLOTS = 2,              /* batches that decoding threads prepare ahead */
    READ_AHEAD = 3,         /* batches whose files may be read ahead */
    BYTES_AHEAD = 64 << 20, /* of files in memory */
};

/* What a thread needs to make views. */
struct maker {
    struct ctkd__viewer *viewer;
    uint8_t *plane; /* [size][size] */
};

/* Views that wait for the step, as bytes. */
struct slot {
    uint8_t *views, *strong;
    size_t done;
};

/* The first image of a batch, in order, that cannot be read. */
struct failure {
    size_t position; /* SIZE_MAX: none */
    ctkd_error err;
};

struct ctkd__file_batches {
    struct ctkd__file_batches_config config;
    size_t pixels; /* of a view, all channels */
    struct ctkd__read_ahead *ahead;
    struct ctkd__team team;
    struct maker *makers; /* [team.count] */
    const uint32_t *ids;
    uint64_t epoch;
    size_t position;    /* the next one to hand out */
    uint64_t waited_ns; /* for threads that decode */

    struct maker *thread_makers; /* [config.threads] */
    pthread_t *threads;
    size_t n_threads, next_maker; /* started; makers that they have taken, under the lock */
    struct slot slots[SLOTS];
    pthread_mutex_t lock; /* guards all that follows, and the slots' counts */
    pthread_cond_t room, ready;
    struct failure failure;
    size_t count, next; /* positions; the next one to decode */
    size_t working;     /* threads that decode */
    bool stop;
};

/* --- views */

static ctkd_status maker_init(const struct ctkd__file_batches *b, struct maker *maker,
                              ctkd_error *err)
{
    const ctkd_status status = ctkd__viewer_create(&b->config.source->views, &maker->viewer, err);
    if (status != CTKD_OK)
        return status;
    maker->plane = malloc(b->pixels / 3);
    return maker->plane ? CTKD_OK : ctkd__fail(err, CTKD_ENOMEM, "image files: out of memory");
}

static void makers_free(struct maker *makers, size_t count)
{
    for (size_t i = 0; makers && i < count; i++) {
        ctkd__viewer_destroy(makers[i].viewer);
        free(makers[i].plane);
    }
    free(makers);
}

static ctkd_status makers_create(const struct ctkd__file_batches *b, size_t count,
                                 struct maker **out, ctkd_error *err)
{
    struct maker *const makers = calloc(count + 1, sizeof *makers);
    if (!makers)
        return ctkd__fail(err, CTKD_ENOMEM, "image files: out of memory");
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < count && status == CTKD_OK; i++)
        status = maker_init(b, &makers[i], err);
    if (status == CTKD_OK)
        *out = makers;
    else
        makers_free(makers, count);
    return status;
}

static void rotate_view(const struct ctkd__file_batches *b, struct maker *maker, uint64_t id,
                        uint8_t *view)
{
    const size_t size = b->config.source->views.size;
    const struct ctkd__raster image = { 3, size, size, view };
    ctkd__rotate(&image, ctkd__rotation_draw(b->config.seed, b->epoch, id, b->config.rotation),
                 maker->plane);
}

/* The strong view: operations on a random crop that is independent of the other view's. */
static ctkd_status make_strong(const struct ctkd__file_batches *b, struct maker *maker,
                               const struct ctkd__picture_file *file, uint64_t id,
                               const uint8_t *view, uint8_t *out, ctkd_error *err)
{
    static const uint64_t other_crop = 0x9e3779b97f4a7c15; /* of the seed: any constant */
    const size_t size = b->config.source->views.size;
    const struct ctkd__raster image = { 3, size, size, out };
    const struct ctkd__strong_view drawn = ctkd__strong_view_draw(b->config.seed, b->epoch, id, 0);
    if (b->config.augment) {
        const ctkd_status status = ctkd__viewer_training(
            maker->viewer, file, b->config.seed ^ other_crop, b->epoch, id, out, err);
        if (status != CTKD_OK)
            return status;
    } else {
        memcpy(out, view, b->pixels);
    }
    for (size_t i = 0; i < CTKD__STRONG_DRAWS; i++)
        ctkd__strong_apply(drawn.ops[i].op, drawn.ops[i].magnitude, &image, maker->plane);
    ctkd__strong_cutout(&drawn, &image);
    return CTKD_OK;
}

/* The view, or both, of ids[position] into bytes. */
static ctkd_status make_views(struct ctkd__file_batches *b, struct maker *maker, size_t position,
                              uint8_t *view, uint8_t *strong, ctkd_error *err)
{
    const uint64_t id = b->ids[position];
    char place[CTKD__TREE_PLACE_MAX];
    struct ctkd__tree_bytes bytes;
    ctkd_status status = ctkd__read_ahead_take(b->ahead, position, &bytes, err);
    if (status != CTKD_OK)
        return status;
    ctkd__image_source_place(b->config.source, id, place, sizeof place);
    const struct ctkd__picture_file file = { place, bytes.bytes, bytes.size };
    status = b->config.augment ? ctkd__viewer_training(maker->viewer, &file, b->config.seed,
                                                       b->epoch, id, view, err)
                               : ctkd__viewer_evaluation(maker->viewer, &file, view, err);
    if (status == CTKD_OK && b->config.augment && b->config.rotation > 0)
        rotate_view(b, maker, id, view);
    if (status == CTKD_OK && strong)
        status = make_strong(b, maker, &file, id, view, strong, err);
    ctkd__read_ahead_give(b->ahead, &bytes);
    return status;
}

static void note_failure(struct ctkd__file_batches *b, size_t position, const ctkd_error *err)
{
    if (position < b->failure.position)
        b->failure = (struct failure){ position, *err };
}

/* --- by the team */

struct batch_job {
    struct ctkd__file_batches *batches;
    size_t n;
    const size_t *rows;
    uint8_t *x, *strong;
    atomic_size_t next;
};

static void decode_share(void *argument, size_t worker)
{
    struct batch_job *const job = argument;
    struct ctkd__file_batches *const b = job->batches;
    struct maker *const maker = &b->makers[worker];
    ctkd_error err;
    for (size_t i; (i = atomic_fetch_add(&job->next, 1)) < job->n;) {
        const size_t at = job->rows[i] * b->pixels;
        const ctkd_status status = make_views(b, maker, b->position + i, job->x + at,
                                              job->strong ? job->strong + at : NULL, &err);
        if (status != CTKD_OK) { /* go on: an earlier image may fail too */
            atomic_store(&job->next, job->n);
            pthread_mutex_lock(&b->lock);
            note_failure(b, b->position + i, &err);
            pthread_mutex_unlock(&b->lock);
            return;
        }
    }
}

/* --- ahead of time */

/* Whether a thread may decode another image; under the lock. */
static bool can_decode(const struct ctkd__file_batches *b)
{
    return b->next < b->count && b->next / b->config.batch < b->position / b->config.batch + SLOTS;
}

static void *decode_ahead(void *argument)
{
    struct ctkd__file_batches *const b = argument;
    pthread_mutex_lock(&b->lock);
    struct maker *const maker = &b->thread_makers[b->next_maker++];
    while (!b->stop) {
        if (!can_decode(b)) {
            pthread_cond_wait(&b->room, &b->lock);
            continue;
        }
        const size_t position = b->next++, at = position % b->config.batch * b->pixels;
        struct slot *const slot = &b->slots[position / b->config.batch % SLOTS];
        ctkd_error err;
        b->working++;
        pthread_mutex_unlock(&b->lock);
        const ctkd_status status = make_views(b, maker, position, slot->views + at,
                                              slot->strong ? slot->strong + at : NULL, &err);
        pthread_mutex_lock(&b->lock);
        b->working--;
        slot->done++;
        if (status != CTKD_OK)
            note_failure(b, position, &err);
        pthread_cond_broadcast(&b->ready);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

static void copy_share(void *argument, size_t worker)
{
    (void)worker;
    struct batch_job *const job = argument;
    const struct ctkd__file_batches *const b = job->batches;
    const struct slot *const slot = &b->slots[b->position / b->config.batch % SLOTS];
    for (size_t i; (i = atomic_fetch_add(&job->next, 1)) < job->n;) {
        const size_t from = i * b->pixels, to = job->rows[i] * b->pixels;
        memcpy(job->x + to, slot->views + from, b->pixels);
        if (job->strong)
            memcpy(job->strong + to, slot->strong + from, b->pixels);
    }
}

static void wait_for_threads(struct ctkd__file_batches *b, size_t n)
{
    struct slot *const slot = &b->slots[b->position / b->config.batch % SLOTS];
    pthread_mutex_lock(&b->lock);
    if (slot->done < n) {
        const uint64_t begin = ctkd__clock_ns();
        while (slot->done < n)
            pthread_cond_wait(&b->ready, &b->lock);
        b->waited_ns += ctkd__clock_ns() - begin;
    }
    pthread_mutex_unlock(&b->lock);
}

/* --- */

static void run_alone(void *context, void (*fn)(void *argument, size_t worker), void *argument)
{
    (void)context;
    fn(argument, 0);
}

ctkd_status ctkd__file_batches_use_team(struct ctkd__file_batches *b, const struct ctkd__team *team,
                                        ctkd_error *err)
{
    struct maker *makers = NULL;
    const ctkd_status status =
        b->config.threads ? CTKD_OK : makers_create(b, team->count, &makers, err);
    if (status != CTKD_OK)
        return status;
    makers_free(b->makers, b->team.count);
    b->makers = makers;
    b->team = *team;
    return CTKD_OK;
}

static ctkd_status start_threads(struct ctkd__file_batches *b, ctkd_error *err)
{
    const size_t bytes = b->config.batch * b->pixels;
    ctkd_status status = makers_create(b, b->config.threads, &b->thread_makers, err);
    if (status != CTKD_OK)
        return status;
    b->threads = calloc(b->config.threads, sizeof *b->threads);
    bool complete = b->threads != NULL;
    for (size_t i = 0; i < SLOTS; i++) {
        b->slots[i].views = malloc(bytes);
        b->slots[i].strong = b->config.strong ? malloc(bytes) : NULL;
        complete = complete && b->slots[i].views && (b->slots[i].strong || !b->config.strong);
    }
    if (!complete)
        return ctkd__fail(err, CTKD_ENOMEM, "image files: out of memory for %d batches of %zu",
                          SLOTS, b->config.batch);
    while (b->n_threads < b->config.threads &&
           ctkd__thread_start(&b->threads[b->n_threads], decode_ahead, b) == 0)
        b->n_threads++;
    return b->n_threads == b->config.threads
               ? CTKD_OK
               : ctkd__fail(err, CTKD_EBACKEND, "data.threads: cannot start thread %zu",
                            b->n_threads + 1);
}

ctkd_status ctkd__file_batches_create(const struct ctkd__file_batches_config *config,
                                      struct ctkd__file_batches **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__file_batches *const b = calloc(1, sizeof *b);
    if (!b)
        return ctkd__fail(err, CTKD_ENOMEM, "image files: out of memory");
    b->config = *config;
    b->pixels = 3 * config->source->views.size * config->source->views.size;
    b->failure.position = SIZE_MAX;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->room, NULL);
    pthread_cond_init(&b->ready, NULL);
    const struct ctkd__read_ahead_config ahead = { .threads = config->readers,
                                                   .window = READ_AHEAD * config->batch,
                                                   .bytes_max = BYTES_AHEAD };
    const struct ctkd__team alone = { NULL, 1, run_alone };
    ctkd_status status = ctkd__read_ahead_create(config->source, &ahead, &b->ahead, err);
    if (status == CTKD_OK)
        status = ctkd__file_batches_use_team(b, &alone, err);
    if (status == CTKD_OK && config->threads)
        status = start_threads(b, err);
    if (status == CTKD_OK)
        *out = b;
    else
        ctkd__file_batches_destroy(b);
    return status;
}

/* Stops the threads' work on the present order; under the lock. */
static void quiet(struct ctkd__file_batches *b)
{
    b->count = b->next = 0;
    while (b->working)
        pthread_cond_wait(&b->ready, &b->lock);
    for (size_t i = 0; i < SLOTS; i++)
        b->slots[i].done = 0;
}

void ctkd__file_batches_destroy(struct ctkd__file_batches *b)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    quiet(b);
    b->stop = true;
    pthread_cond_broadcast(&b->room);
    pthread_mutex_unlock(&b->lock);
    for (size_t i = 0; i < b->n_threads; i++)
        pthread_join(b->threads[i], NULL);
    ctkd__read_ahead_destroy(b->ahead);
    makers_free(b->thread_makers, b->config.threads);
    makers_free(b->makers, b->team.count);
    for (size_t i = 0; i < SLOTS; i++) {
        free(b->slots[i].views);
        free(b->slots[i].strong);
    }
    pthread_cond_destroy(&b->ready);
    pthread_cond_destroy(&b->room);
    pthread_mutex_destroy(&b->lock);
    free(b->threads);
    free(b);
}

void ctkd__file_batches_start(struct ctkd__file_batches *b, uint64_t epoch, const uint32_t *ids,
                              size_t count, size_t first)
{
    pthread_mutex_lock(&b->lock);
    quiet(b);
    ctkd__read_ahead_start(b->ahead, ids, count, first);
    b->ids = ids;
    b->epoch = epoch;
    b->failure.position = SIZE_MAX;
    b->position = b->next = first;
    b->count = count;
    pthread_cond_broadcast(&b->room);
    pthread_mutex_unlock(&b->lock);
}

ctkd_status ctkd__file_batches_fill(struct ctkd__file_batches *b, size_t n, const size_t *rows,
                                    uint8_t *x, uint8_t *strong, ctkd_error *err)
{
    struct batch_job job = { .batches = b, .n = n, .rows = rows, .x = x, .strong = strong };
    if (b->config.threads)
        wait_for_threads(b, n);
    pthread_mutex_lock(&b->lock);
    bool failed = b->failure.position < b->position + n;
    pthread_mutex_unlock(&b->lock);
    if (!failed)
        b->team.run(b->team.context, b->config.threads ? copy_share : decode_share, &job);
    pthread_mutex_lock(&b->lock);
    failed = b->failure.position < b->position + n;
    const struct failure failure = b->failure;
    if (!failed) {
        b->slots[b->position / b->config.batch % SLOTS].done = 0;
        b->position += n;
        pthread_cond_broadcast(&b->room);
    }
    pthread_mutex_unlock(&b->lock);
    return failed ? ctkd__fail_as(err, &failure.err) : CTKD_OK;
}

uint64_t ctkd__file_batches_waited_ns(struct ctkd__file_batches *b)
{
    return b->config.threads ? b->waited_ns : ctkd__read_ahead_waited_ns(b->ahead) / b->team.count;
}
