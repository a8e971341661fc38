#include "data/folder/read_ahead.h"

#include <pthread.h>
#include <stdlib.h>

#include "util/clock.h"
#include "util/error.h"
#include "util/thread.h"

enum entry_state { EMPTY, READING, READY, FAILED };

struct entry {
    enum entry_state state;
    struct ctkd__tree_bytes file;
};

struct ctkd__read_ahead {
    const struct ctkd__image_source *source;
    struct ctkd__read_ahead_config config;
    struct entry *entries; /* [window]; position p has entry p % window */
    pthread_t *threads;
    size_t n_threads;

    pthread_mutex_t lock; /* guards all that follows, and the entries */
    pthread_cond_t room, ready;
    const uint32_t *ids;
    size_t count, next; /* positions; the next one to read */
    size_t reading;     /* threads that read */
    size_t bytes;       /* read and not given back */
    uint64_t waited_ns;
    bool stop;
};

/* Whether a thread may read the next file; under the lock. If nothing is in memory, one file may be
   read however long it is. */
static bool can_read(const struct ctkd__read_ahead *ahead)
{
    return ahead->next < ahead->count &&
           ahead->entries[ahead->next % ahead->config.window].state == EMPTY &&
           (ahead->bytes < ahead->config.bytes_max || ahead->bytes == 0);
}

static void *read_files(void *argument)
{
    struct ctkd__read_ahead *const ahead = argument;
    pthread_mutex_lock(&ahead->lock);
    while (!ahead->stop) {
        if (!can_read(ahead)) {
            pthread_cond_wait(&ahead->room, &ahead->lock);
            continue;
        }
        const size_t position = ahead->next++;
        struct entry *const entry = &ahead->entries[position % ahead->config.window];
        const uint32_t id = ahead->ids[position];
        entry->state = READING;
        ahead->reading++;
        pthread_mutex_unlock(&ahead->lock);
        struct ctkd__tree_bytes file;
        /* A file that failed is read again by the thread that takes it, which reports the
           reason. */
        const ctkd_status status = ctkd__image_source_read(ahead->source, id, &file, NULL);
        pthread_mutex_lock(&ahead->lock);
        ahead->reading--;
        entry->file = file;
        entry->state = status == CTKD_OK ? READY : FAILED;
        ahead->bytes += file.size;
        pthread_cond_broadcast(&ahead->ready);
    }
    pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

ctkd_status ctkd__read_ahead_create(const struct ctkd__image_source *source,
                                    const struct ctkd__read_ahead_config *config,
                                    struct ctkd__read_ahead **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__read_ahead *const ahead = calloc(1, sizeof *ahead);
    if (!ahead)
        return ctkd__fail(err, CTKD_ENOMEM, "image files: out of memory");
    ahead->source = source;
    ahead->config = *config;
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->room, NULL);
    pthread_cond_init(&ahead->ready, NULL);
    ahead->entries = calloc(config->window, sizeof *ahead->entries);
    ahead->threads = calloc(config->threads, sizeof *ahead->threads);
    ctkd_status status = ahead->entries && ahead->threads
                             ? CTKD_OK
                             : ctkd__fail(err, CTKD_ENOMEM, "image files: out of memory");
    while (status == CTKD_OK && ahead->n_threads < config->threads) {
        const int result = ctkd__thread_start(&ahead->threads[ahead->n_threads], read_files, ahead);
        if (result != 0)
            status = ctkd__fail(err, CTKD_EBACKEND,
                                "data.readers: cannot start thread %zu of %zu (error %d)",
                                ahead->n_threads + 1, config->threads, result);
        else
            ahead->n_threads++;
    }
    if (status == CTKD_OK)
        *out = ahead;
    else
        ctkd__read_ahead_destroy(ahead);
    return status;
}

/* Ends the reading of the present order and frees what was read; under the lock. */
static void forget(struct ctkd__read_ahead *ahead)
{
    ahead->next = ahead->count = 0;
    while (ahead->reading)
        pthread_cond_wait(&ahead->ready, &ahead->lock);
    for (size_t i = 0; ahead->entries && i < ahead->config.window; i++) {
        ctkd__tree_bytes_free(&ahead->entries[i].file);
        ahead->entries[i].state = EMPTY;
    }
    ahead->bytes = 0;
}

void ctkd__read_ahead_destroy(struct ctkd__read_ahead *ahead)
{
    if (!ahead)
        return;
    pthread_mutex_lock(&ahead->lock);
    ahead->stop = true;
    forget(ahead);
    pthread_cond_broadcast(&ahead->room);
    pthread_mutex_unlock(&ahead->lock);
    for (size_t i = 0; i < ahead->n_threads; i++)
        pthread_join(ahead->threads[i], NULL);
    pthread_cond_destroy(&ahead->ready);
    pthread_cond_destroy(&ahead->room);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead->threads);
    free(ahead->entries);
    free(ahead);
}

void ctkd__read_ahead_start(struct ctkd__read_ahead *ahead, const uint32_t *ids, size_t count,
                            size_t first)
{
    pthread_mutex_lock(&ahead->lock);
    forget(ahead);
    ahead->ids = ids;
    ahead->count = count;
    ahead->next = first;
    pthread_cond_broadcast(&ahead->room);
    pthread_mutex_unlock(&ahead->lock);
}

ctkd_status ctkd__read_ahead_take(struct ctkd__read_ahead *ahead, size_t position,
                                  struct ctkd__tree_bytes *out, ctkd_error *err)
{
    struct entry *const entry = &ahead->entries[position % ahead->config.window];
    pthread_mutex_lock(&ahead->lock);
    if (position >= ahead->next || entry->state == READING) {
        const uint64_t begin = ctkd__clock_ns();
        while (position >= ahead->next || entry->state == READING)
            pthread_cond_wait(&ahead->ready, &ahead->lock);
        ahead->waited_ns += ctkd__clock_ns() - begin;
    }
    const bool failed = entry->state == FAILED;
    const uint32_t id = ahead->ids[position];
    *out = entry->file;
    entry->file = (struct ctkd__tree_bytes){ 0 };
    entry->state = EMPTY;
    pthread_cond_signal(&ahead->room);
    pthread_mutex_unlock(&ahead->lock);
    if (!failed)
        return CTKD_OK;
    const ctkd_status status = ctkd__image_source_read(ahead->source, id, out, err);
    if (status == CTKD_OK) { /* it can be read now: count it like the others */
        pthread_mutex_lock(&ahead->lock);
        ahead->bytes += out->size;
        pthread_mutex_unlock(&ahead->lock);
    }
    return status;
}

void ctkd__read_ahead_give(struct ctkd__read_ahead *ahead, struct ctkd__tree_bytes *bytes)
{
    pthread_mutex_lock(&ahead->lock);
    ahead->bytes -= bytes->size;
    pthread_cond_signal(&ahead->room);
    pthread_mutex_unlock(&ahead->lock);
    ctkd__tree_bytes_free(bytes);
}

uint64_t ctkd__read_ahead_waited_ns(struct ctkd__read_ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    const uint64_t waited = ahead->waited_ns;
    pthread_mutex_unlock(&ahead->lock);
    return waited;
}
