#include "run/settled.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"
#include "util/thread.h"

struct ctkd__settled {
    const struct ctkd__session *session;
    pthread_mutex_t lock;
    pthread_t thread;
    sem_t *now;
    atomic_bool ended;
    void (*save)(void *context, struct ctkd__session *settled);
    void *context;
    /* Copies from when the state was last released. */
    float *buffers, *tau_counts;
    int64_t batches_tracked;
};

void ctkd__settled_use(const struct ctkd__settled *settled,
                       void (*fn)(void *context, struct ctkd__session *settled), void *context)
{
    if (!settled)
        return;
    /* The session with the copies in place of what has changed since. */
    struct ctkd__session copy = *settled->session;
    struct ctkd__weights weights = *copy.weights;
    weights.buffers = settled->buffers;
    weights.batches_tracked = settled->batches_tracked;
    copy.weights = &weights;
    copy.state.weights = &weights;
    copy.state.tau_counts = settled->tau_counts;
    fn(context, &copy);
}

static void *wait_for_signal(void *argument)
{
    struct ctkd__settled *const settled = argument;
    while (sem_wait(settled->now) != 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&settled->lock);
    if (!settled->ended)
        ctkd__settled_use(settled, settled->save, settled->context);
    pthread_mutex_unlock(&settled->lock);
    return NULL;
}

static void release_memory(struct ctkd__settled *settled)
{
    pthread_mutex_destroy(&settled->lock);
    free(settled->buffers);
    free(settled->tau_counts);
    free(settled);
}

ctkd_status ctkd__settled_begin(const struct ctkd__session *session, sem_t *now,
                                void (*save)(void *context, struct ctkd__session *settled),
                                void *context, struct ctkd__settled **out, ctkd_error *err)
{
    *out = NULL;
    if (!now || session->state.n_method_state)
        return CTKD_OK;
    struct ctkd__settled *const settled = calloc(1, sizeof *settled);
    if (!settled)
        return ctkd__fail(err, CTKD_ENOMEM, "a copy of the running statistics: out of memory");
    *settled =
        (struct ctkd__settled){ .session = session, .now = now, .save = save, .context = context };
    pthread_mutex_init(&settled->lock, NULL);
    settled->buffers = malloc((session->weights->n_buffers + 1) * sizeof *settled->buffers);
    settled->tau_counts = malloc(CTKD__TAU_BINS * sizeof *settled->tau_counts);
    ctkd_status status = settled->buffers && settled->tau_counts ? CTKD_OK : CTKD_ENOMEM;
    pthread_mutex_lock(&settled->lock);
    if (status == CTKD_OK && ctkd__thread_start(&settled->thread, wait_for_signal, settled) != 0)
        status = CTKD_EBACKEND;
    if (status == CTKD_OK) {
        *out = settled;
        return CTKD_OK;
    }
    pthread_mutex_unlock(&settled->lock);
    release_memory(settled);
    return status == CTKD_ENOMEM
               ? ctkd__fail(err, status, "a copy of the running statistics: out of memory")
               : ctkd__fail(err, status, "cannot start the thread that saves the run on a signal");
}

void ctkd__settled_end(struct ctkd__settled *settled)
{
    if (!settled)
        return;
    settled->ended = true;
    pthread_mutex_unlock(&settled->lock);
    sem_post(settled->now);
    pthread_join(settled->thread, NULL);
    release_memory(settled);
}

void ctkd__settled_release(struct ctkd__settled *settled)
{
    if (!settled)
        return;
    const struct ctkd__weights *const weights = settled->session->weights;
    memcpy(settled->buffers, weights->buffers, weights->n_buffers * sizeof *settled->buffers);
    memcpy(settled->tau_counts, settled->session->state.tau_counts,
           CTKD__TAU_BINS * sizeof *settled->tau_counts);
    settled->batches_tracked = weights->batches_tracked;
    pthread_mutex_unlock(&settled->lock);
}

void ctkd__settled_hold(struct ctkd__settled *settled)
{
    if (settled)
        pthread_mutex_lock(&settled->lock);
}
