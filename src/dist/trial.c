#include "dist/trial.h"

#include <stdlib.h>

#include "dist/sum.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/median.h"

enum { TIMES = 6, WORDS = 100 };
static const double seconds_max = 2;

/* What is repeated: the sum of a block or, without one, gathers of a word in a row. One of these
   alone may find the words of the others already there. */
struct trial {
    struct ctkd__dist *dist;
    struct ctkd__rank_sum *sum;
    float *block;
    size_t n;
    float *words; /* [size] */
};

static ctkd_status exchange_once(const struct trial *t, ctkd_error *err)
{
    if (t->sum)
        return ctkd__rank_sum_run(t->sum, CTKD__CHANNEL_MAIN, t->n, t->block, err);
    ctkd_status status = CTKD_OK;
    for (int i = 0; status == CTKD_OK && i < WORDS; i++)
        status = ctkd__dist_gather_shares(t->dist, ctkd__dist_size(t->dist), t->words,
                                          sizeof *t->words, err);
    return status;
}

/* Rank 0's clock would not do to stop: all must stop behind the same exchange. The word that they
   share is also the barrier from which each exchange begins. */
static ctkd_status repeat(const struct trial *t, struct ctkd__dist_trial *out, ctkd_error *err)
{
    const double exchanges = t->sum ? 1 : WORDS;
    double times[TIMES];
    size_t n = 0;
    uint64_t late = 0;
    const double began = ctkd__clock_seconds();
    while (n < TIMES) {
        late = n > 0 && ctkd__clock_seconds() - began > seconds_max;
        ctkd_status status = ctkd__dist_max(t->dist, CTKD__CHANNEL_MAIN, &late, err);
        if (status != CTKD_OK)
            return status;
        if (late)
            break;
        const uint64_t before = ctkd__dist_counts(t->dist, CTKD__CHANNEL_MAIN).bytes;
        const double start = ctkd__clock_seconds();
        status = exchange_once(t, err);
        if (status != CTKD_OK)
            return status;
        times[n++] = (ctkd__clock_seconds() - start) / exchanges;
        out->sent =
            (double)(ctkd__dist_counts(t->dist, CTKD__CHANNEL_MAIN).bytes - before) / exchanges;
    }
    const size_t skip = n > 1 ? 1 : 0; /* the first one also touches memory and opens connections */
    out->seconds = ctkd__sort_median(n - skip, times + skip);
    out->repeated = n - skip;
    return CTKD_OK;
}

ctkd_status ctkd__dist_try_word(struct ctkd__dist *dist, struct ctkd__dist_trial *out,
                                ctkd_error *err)
{
    const struct trial trial = { .dist = dist,
                                 .words = calloc(ctkd__dist_size(dist), sizeof(float)) };
    *out = (struct ctkd__dist_trial){ .bytes = sizeof *trial.words };
    const ctkd_status status =
        trial.words ? repeat(&trial, out, err)
                    : ctkd__fail(err, CTKD_ENOMEM, "trial of an exchange: out of memory");
    free(trial.words);
    return status;
}

ctkd_status ctkd__dist_try_sum(struct ctkd__dist *dist, size_t n, struct ctkd__dist_trial *out,
                               ctkd_error *err)
{
    struct trial trial = { .dist = dist, .n = n, .block = malloc(n * sizeof(float)) };
    *out = (struct ctkd__dist_trial){ .bytes = n * sizeof(float) };
    ctkd_status status = trial.block ? ctkd__rank_sum_create(dist, n, &trial.sum, err)
                                     : ctkd__fail(err, CTKD_ENOMEM,
                                                  "trial of an exchange of %zu bytes: out of "
                                                  "memory",
                                                  out->bytes);
    for (size_t i = 0; status == CTKD_OK && i < n; i++)
        trial.block[i] = 1; /* memory that nobody has written is faster to read */
    if (status == CTKD_OK)
        status = repeat(&trial, out, err);
    ctkd__rank_sum_destroy(trial.sum);
    free(trial.block);
    return status;
}
