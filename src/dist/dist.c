#include "dist/dist.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/error.h"
#include "util/slice.h"

enum { HOST_BYTES = 256, WHO_BYTES = HOST_BYTES + 32, VERSION_BYTES = 128 };

/* How long a rank waits for another one to report a failure that both have seen. */
enum { OTHERS_SECONDS = 2 };

/* The buffers of one channel; used only by the thread of that channel. */
struct lane {
    struct ctkd__parcel *out, *in; /* [size] */
    bool *late;                    /* [size] */
    uint64_t *words;               /* [size] */
    size_t *first;                 /* [size + 1]: 0, 1, 2, ..., for one row from each rank */
    size_t *shares;                /* [size + 1]: where the equal shares of the ranks begin */
    enum ctkd__dist_topic topic;
    struct ctkd__dist_counts counts[CTKD__TOPICS];
};

struct ctkd__dist {
    const struct ctkd__transport *def;
    void *transport;
    size_t rank, size;
    bool failed_together;
    double timeout;         /* seconds; 0: none */
    char (*who)[WHO_BYTES]; /* [size] */
    char version[VERSION_BYTES];
    struct lane lanes[CTKD__CHANNELS];
    pthread_mutex_t lock;
    ctkd_error failure; /* under lock: of the first exchange that failed, on any channel */
};

size_t ctkd__dist_rank(const struct ctkd__dist *dist)
{
    return dist ? dist->rank : 0;
}

size_t ctkd__dist_size(const struct ctkd__dist *dist)
{
    return dist ? dist->size : 1;
}

const char *ctkd__dist_who(const struct ctkd__dist *dist, size_t rank)
{
    return dist ? dist->who[rank] : "";
}

const char *ctkd__dist_version(const struct ctkd__dist *dist)
{
    return dist ? dist->version : "";
}

bool ctkd__dist_concurrent(const struct ctkd__dist *dist)
{
    return !dist || dist->def->concurrent(dist->transport);
}

void ctkd__dist_set_timeout(struct ctkd__dist *dist, double seconds)
{
    if (dist)
        dist->timeout = seconds;
}

static void add_counts(struct ctkd__dist_counts *sum, const struct ctkd__dist_counts *counts)
{
    sum->exchanges += counts->exchanges;
    sum->bytes += counts->bytes;
    sum->seconds += counts->seconds;
    sum->waited += counts->waited;
}

struct ctkd__dist_counts ctkd__dist_counts(const struct ctkd__dist *dist,
                                           enum ctkd__dist_channel channel)
{
    struct ctkd__dist_counts sum = { 0 };
    for (size_t t = 0; dist && t < CTKD__TOPICS; t++)
        add_counts(&sum, &dist->lanes[channel].counts[t]);
    return sum;
}

struct ctkd__dist_counts ctkd__dist_topic_counts(const struct ctkd__dist *dist,
                                                 enum ctkd__dist_topic topic)
{
    struct ctkd__dist_counts sum = { 0 };
    for (size_t c = 0; dist && c < CTKD__CHANNELS; c++)
        add_counts(&sum, &dist->lanes[c].counts[topic]);
    return sum;
}

enum ctkd__dist_topic ctkd__dist_set_topic(struct ctkd__dist *dist, enum ctkd__dist_channel channel,
                                           enum ctkd__dist_topic topic)
{
    if (!dist)
        return CTKD__TOPIC_OTHER;
    const enum ctkd__dist_topic before = dist->lanes[channel].topic;
    dist->lanes[channel].topic = topic;
    return before;
}

void ctkd__dist_add_wait(struct ctkd__dist *dist, enum ctkd__dist_topic topic, double seconds)
{
    if (dist)
        dist->lanes[CTKD__CHANNEL_MAIN].counts[topic].waited += seconds;
}

/* CTKD_EBACKEND with the names of the ranks that did not answer. The first rank that did answer
   reports it and ends the others while they sleep here. */
static ctkd_status not_heard(const struct ctkd__dist *dist, const struct lane *lane,
                             ctkd_error *err)
{
    char names[sizeof err->message] = "";
    size_t used = 0, count = 0, first = 0;
    while (first < dist->rank && lane->late[first])
        first++;
    if (first < dist->rank)
        sleep(OTHERS_SECONDS); /* ends early with a signal, such as the launcher's */
    for (size_t r = 0; r < dist->size; r++) {
        if (!lane->late[r])
            continue;
        count++;
        if (used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                     dist->who[r]);
    }
    return ctkd__fail(err, CTKD_EBACKEND, "%s did not answer within %g s (train.timeout_seconds)",
                      count ? names : "a rank", dist->timeout);
}

/* Returns the first failure of any channel if there was one: the rank that a thread would wait for
   may never come. */
static ctkd_status failed_before(struct ctkd__dist *dist, ctkd_error *err)
{
    pthread_mutex_lock(&dist->lock);
    const ctkd_error first = dist->failure;
    pthread_mutex_unlock(&dist->lock);
    return ctkd__fail_as(err, &first);
}

/* Keeps a failure, if it is the first. */
static ctkd_status keep_failure(struct ctkd__dist *dist, const ctkd_error *failure, ctkd_error *err)
{
    pthread_mutex_lock(&dist->lock);
    if (dist->failure.status == CTKD_OK)
        dist->failure = *failure;
    pthread_mutex_unlock(&dist->lock);
    return ctkd__fail_as(err, failure);
}

static ctkd_status try_exchange(struct ctkd__dist *dist, enum ctkd__dist_channel channel,
                                const struct ctkd__parcel *out, const struct ctkd__parcel *in,
                                ctkd_error *err)
{
    struct lane *const lane = &dist->lanes[channel];
    struct ctkd__dist_counts *const counts = &lane->counts[lane->topic];
    const double begin = ctkd__clock_seconds();
    for (size_t r = 0; r < dist->size; r++) {
        lane->late[r] = false;
        counts->bytes += r == dist->rank ? 0 : out[r].bytes;
    }
    const ctkd_status status =
        dist->def->exchange(dist->transport, channel, out, in, dist->timeout, lane->late, err);
    const double seconds = ctkd__clock_seconds() - begin;
    counts->exchanges++;
    counts->seconds += seconds;
    counts->waited += channel == CTKD__CHANNEL_MAIN ? seconds : 0;
    for (size_t r = 0; status != CTKD_OK && r < dist->size; r++)
        if (lane->late[r])
            return not_heard(dist, lane, err);
    return status;
}

static ctkd_status exchange(struct ctkd__dist *dist, enum ctkd__dist_channel channel,
                            const struct ctkd__parcel *out, const struct ctkd__parcel *in,
                            ctkd_error *err)
{
    ctkd_error failure = { 0 };
    const ctkd_status before = failed_before(dist, err);
    if (before != CTKD_OK || try_exchange(dist, channel, out, in, &failure) == CTKD_OK)
        return before;
    return keep_failure(dist, &failure, err);
}

ctkd_status ctkd__dist_gather(struct ctkd__dist *dist, enum ctkd__dist_channel channel, void *rows,
                              size_t row_bytes, const size_t *first, ctkd_error *err)
{
    if (!dist)
        return CTKD_OK;
    struct lane *const lane = &dist->lanes[channel];
    const size_t own = first[dist->rank], count = first[dist->rank + 1] - own;
    unsigned char *const at = rows;
    for (size_t r = 0; r < dist->size; r++) {
        lane->out[r] = (struct ctkd__parcel){ at + own * row_bytes, count * row_bytes };
        lane->in[r] = (struct ctkd__parcel){ at + first[r] * row_bytes,
                                             (first[r + 1] - first[r]) * row_bytes };
    }
    return exchange(dist, channel, lane->out, lane->in, err);
}

ctkd_status ctkd__dist_gather_shares(struct ctkd__dist *dist, size_t n, void *rows,
                                     size_t row_bytes, ctkd_error *err)
{
    if (!dist)
        return CTKD_OK;
    size_t *const first = dist->lanes[CTKD__CHANNEL_MAIN].shares;
    for (size_t r = 0; r <= dist->size; r++)
        first[r] = ctkd__slice_begin(n, dist->size, r);
    return ctkd__dist_gather(dist, CTKD__CHANNEL_MAIN, rows, row_bytes, first, err);
}

ctkd_status ctkd__dist_gather_logits(struct ctkd__dist *dist, size_t n, float *logits, size_t k,
                                     ctkd_error *err)
{
    const enum ctkd__dist_topic before =
        ctkd__dist_set_topic(dist, CTKD__CHANNEL_MAIN, CTKD__TOPIC_LOGITS);
    const ctkd_status status = ctkd__dist_gather_shares(dist, n, logits, k * sizeof *logits, err);
    ctkd__dist_set_topic(dist, CTKD__CHANNEL_MAIN, before);
    return status;
}

ctkd_status ctkd__dist_all_to_all(struct ctkd__dist *dist, enum ctkd__dist_channel channel,
                                  const struct ctkd__parcel *out, const struct ctkd__parcel *in,
                                  ctkd_error *err)
{
    const size_t own = ctkd__dist_rank(dist);
    if (in[own].bytes)
        memcpy(in[own].data, out[own].data, in[own].bytes);
    return dist ? exchange(dist, channel, out, in, err) : CTKD_OK;
}

ctkd_status ctkd__dist_broadcast(struct ctkd__dist *dist, enum ctkd__dist_channel channel,
                                 void *data, size_t bytes, size_t root, ctkd_error *err)
{
    if (!dist)
        return CTKD_OK;
    struct lane *const lane = &dist->lanes[channel];
    for (size_t r = 0; r < dist->size; r++) {
        lane->out[r] = (struct ctkd__parcel){ data, dist->rank == root ? bytes : 0 };
        lane->in[r] = (struct ctkd__parcel){ data, r == root ? bytes : 0 };
    }
    return exchange(dist, channel, lane->out, lane->in, err);
}

ctkd_status ctkd__dist_max(struct ctkd__dist *dist, enum ctkd__dist_channel channel, uint64_t *word,
                           ctkd_error *err)
{
    if (!dist)
        return CTKD_OK;
    struct lane *const lane = &dist->lanes[channel];
    lane->words[dist->rank] = *word;
    const ctkd_status status =
        ctkd__dist_gather(dist, channel, lane->words, sizeof *word, lane->first, err);
    for (size_t r = 0; status == CTKD_OK && r < dist->size; r++)
        *word = lane->words[r] > *word ? lane->words[r] : *word;
    return status;
}

/* The failure of the first rank that failed, preceded by its name unless all ranks failed with the
   same message. */
static ctkd_status first_failure(const struct ctkd__dist *dist, const ctkd_error *all,
                                 ctkd_error *err)
{
    size_t first = 0, same = 0;
    while (first < dist->size && all[first].status == CTKD_OK)
        first++;
    if (first == dist->size)
        return CTKD_OK;
    for (size_t r = 0; r < dist->size; r++)
        same += all[r].status != CTKD_OK && strcmp(all[r].message, all[first].message) == 0;
    if (same == dist->size)
        return ctkd__fail_as(err, &all[first]);
    return ctkd__fail(err, all[first].status, "%s: %s", dist->who[first], all[first].message);
}

ctkd_status ctkd__dist_agree(struct ctkd__dist *dist, ctkd_status status, ctkd_error *err)
{
    if (!dist)
        return status;
    uint64_t failed = status != CTKD_OK;
    ctkd_status sent = ctkd__dist_max(dist, CTKD__CHANNEL_MAIN, &failed, err);
    if (sent != CTKD_OK || !failed)
        return sent;
    ctkd_error *const all = calloc(dist->size, sizeof *all);
    if (!all) /* the others wait in vain until they are ended together with this rank */
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", dist->who[dist->rank]);
    if (status != CTKD_OK) {
        all[dist->rank].status = status;
        snprintf(all[dist->rank].message, sizeof all->message, "%s",
                 err ? err->message : ctkd_status_text(status));
    }
    sent = ctkd__dist_gather_shares(dist, dist->size, all, sizeof *all, err);
    const ctkd_status result = sent == CTKD_OK ? first_failure(dist, all, err) : sent;
    dist->failed_together = sent == CTKD_OK;
    free(all);
    return result;
}

bool ctkd__dist_failed_together(const struct ctkd__dist *dist)
{
    return dist && dist->failed_together;
}

static ctkd_status open_lane(struct lane *lane, size_t size)
{
    lane->out = calloc(size, sizeof *lane->out);
    lane->in = calloc(size, sizeof *lane->in);
    lane->late = calloc(size, sizeof *lane->late);
    lane->words = calloc(size, sizeof *lane->words);
    lane->first = calloc(size + 1, sizeof *lane->first);
    lane->shares = calloc(size + 1, sizeof *lane->shares);
    if (!lane->out || !lane->in || !lane->late || !lane->words || !lane->first || !lane->shares)
        return CTKD_ENOMEM;
    for (size_t r = 0; r <= size; r++)
        lane->first[r] = r;
    return CTKD_OK;
}

/* Learns the host names of all ranks. */
static ctkd_status learn_names(struct ctkd__dist *dist, ctkd_error *err)
{
    char host[HOST_BYTES];
    if (gethostname(host, sizeof host) != 0)
        snprintf(host, sizeof host, "a host without a name");
    host[sizeof host - 1] = '\0';
    for (size_t r = 0; r < dist->size; r++)
        snprintf(dist->who[r], sizeof *dist->who, "rank %zu", r); /* until they are known */
    snprintf(dist->who[dist->rank], sizeof *dist->who, "rank %zu on %s", dist->rank, host);
    return ctkd__dist_gather_shares(dist, dist->size, dist->who, sizeof *dist->who, err);
}

static ctkd_status allocate(struct ctkd__dist *dist, ctkd_error *err)
{
    dist->who = calloc(dist->size, sizeof *dist->who);
    ctkd_status status = dist->who ? CTKD_OK : CTKD_ENOMEM;
    for (int i = 0; i < CTKD__CHANNELS && status == CTKD_OK; i++)
        status = open_lane(&dist->lanes[i], dist->size);
    return status == CTKD_OK ? CTKD_OK
                             : ctkd__fail(err, status, "%zu ranks: out of memory", dist->size);
}

static void release(struct ctkd__dist *dist, bool together)
{
    if (!dist)
        return;
    if (dist->transport)
        dist->def->close(dist->transport, together);
    for (int i = 0; i < CTKD__CHANNELS; i++) {
        struct lane *const lane = &dist->lanes[i];
        free(lane->out);
        free(lane->in);
        free(lane->late);
        free(lane->words);
        free(lane->first);
        free(lane->shares);
    }
    pthread_mutex_destroy(&dist->lock);
    free(dist->who);
    free(dist);
}

ctkd_status ctkd__dist_open(const struct ctkd__transport *transport, struct ctkd__dist **out,
                            ctkd_error *err)
{
    *out = NULL;
    struct ctkd__dist *const dist = calloc(1, sizeof *dist);
    if (!dist)
        return ctkd__fail(err, CTKD_ENOMEM, "ranks: out of memory");
    dist->def = transport;
    pthread_mutex_init(&dist->lock, NULL);
    ctkd_status status = transport->open(&dist->transport, err);
    if (status == CTKD_OK) {
        dist->rank = transport->rank(dist->transport);
        dist->size = transport->size(dist->transport);
        snprintf(dist->version, sizeof dist->version, "%s", transport->version(dist->transport));
        status = allocate(dist, err);
    }
    if (status == CTKD_OK)
        status = learn_names(dist, err);
    if (status == CTKD_OK)
        *out = dist;
    else
        release(dist, false);
    return status;
}

void ctkd__dist_close(struct ctkd__dist *dist)
{
    release(dist, true);
}

void ctkd__dist_abort(struct ctkd__dist *dist, int status)
{
    if (dist)
        dist->def->abort(dist->transport, status);
}
