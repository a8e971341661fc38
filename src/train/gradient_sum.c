#include "train/gradient_sum.h"

#include <stdlib.h>

#include "train/sgd.h"
#include "util/error.h"
#include "util/slice.h"

struct ctkd__gradient_sum {
    struct ctkd__dist *dist;
    struct ctkd__workers *workers;
    struct ctkd__rank_sum *ranks;
    const float **slices; /* [n_slices] of this rank */
    size_t n_slices, n;
    float *values; /* [n] */
};

ctkd_status ctkd__gradient_sum_create(struct ctkd__dist *dist, struct ctkd__workers *workers,
                                      const struct ctkd__training *training, size_t n,
                                      struct ctkd__gradient_sum **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__gradient_sum *const sum = calloc(1, sizeof *sum);
    if (!sum)
        return ctkd__fail(err, CTKD_ENOMEM, "training step: out of memory");
    sum->dist = dist;
    sum->workers = workers;
    sum->n = n;
    sum->n_slices = ctkd__training_slices(training);
    sum->slices = calloc(sum->n_slices, sizeof *sum->slices);
    sum->values = calloc(n, sizeof *sum->values);
    ctkd_status status = sum->slices && sum->values
                             ? ctkd__rank_sum_create(dist, n, &sum->ranks, err)
                             : ctkd__fail(err, CTKD_ENOMEM, "training step: out of memory");
    if (status != CTKD_OK) {
        ctkd__gradient_sum_destroy(sum);
        return status;
    }
    for (size_t s = 0; s < sum->n_slices; s++)
        sum->slices[s] = ctkd__training_gradient(training, s);
    *out = sum;
    return CTKD_OK;
}

void ctkd__gradient_sum_destroy(struct ctkd__gradient_sum *sum)
{
    if (!sum)
        return;
    ctkd__rank_sum_destroy(sum->ranks);
    free(sum->slices);
    free(sum->values);
    free(sum);
}

static void add_slices(void *context, size_t worker)
{
    struct ctkd__gradient_sum *const sum = context;
    const size_t workers = ctkd__workers_count(sum->workers);
    const size_t begin = ctkd__slice_begin(sum->n, workers, worker);
    const size_t end = ctkd__slice_begin(sum->n, workers, worker + 1);
    ctkd__sgd_sum(sum->slices, sum->n_slices, sum->n_slices, begin, end - begin,
                  sum->values + begin);
}

ctkd_status ctkd__gradient_sum_run(struct ctkd__gradient_sum *sum, ctkd_error *err)
{
    ctkd__workers_run(sum->workers, add_slices, sum);
    const enum ctkd__dist_topic before =
        ctkd__dist_set_topic(sum->dist, CTKD__CHANNEL_MAIN, CTKD__TOPIC_GRADIENTS);
    const ctkd_status status =
        ctkd__rank_sum_run(sum->ranks, CTKD__CHANNEL_MAIN, sum->n, sum->values, err);
    ctkd__dist_set_topic(sum->dist, CTKD__CHANNEL_MAIN, before);
    return status;
}

const float *ctkd__gradient_sum_values(const struct ctkd__gradient_sum *sum)
{
    return sum->values;
}
