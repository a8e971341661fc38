#include "train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctkd/loss.h"
#include "util/error.h"

size_t ctkd__label_rank(size_t k, const float *logits, int32_t label)
{
    const float own = logits[label];
    size_t rank = 0;
    for (size_t j = 0; j < k; j++) {
        if (isnan(logits[j]))
            return k;
        rank += logits[j] > own || (logits[j] == own && j < (size_t)label);
    }
    return rank;
}

static ctkd_status check_logits(size_t n, size_t k, const float *logits, size_t first,
                                ctkd_error *err)
{
    for (size_t i = 0; i < n * k; i++)
        if (!isfinite(logits[i]))
            return ctkd__fail(err, CTKD_ENAN,
                              "evaluation: logit %zu of image %zu is %g, expected a finite one",
                              i % k, first + i / k, (double)logits[i]);
    return CTKD_OK;
}

void ctkd__predictions_free(struct ctkd__predictions *predictions)
{
    free(predictions->logits);
    free(predictions->labels);
    *predictions = (struct ctkd__predictions){ 0 };
}

/* Makes room for n images; grows to at least double, so that batches append in linear time. */
static ctkd_status make_room(struct ctkd__predictions *kept, size_t n, size_t classes,
                             ctkd_error *err)
{
    if (n <= kept->room)
        return CTKD_OK;
    const size_t room = n > 2 * kept->room ? n : 2 * kept->room;
    float *const logits = realloc(kept->logits, room * classes * sizeof *logits);
    if (logits)
        kept->logits = logits;
    int32_t *const labels = realloc(kept->labels, room * sizeof *labels);
    if (labels)
        kept->labels = labels;
    if (!logits || !labels)
        return ctkd__fail(err, CTKD_ENOMEM, "evaluation: out of memory");
    kept->room = room;
    return CTKD_OK;
}

static ctkd_status keep_predictions(struct ctkd__predictions *kept, const struct ctkd__batch *batch,
                                    size_t classes, const float *logits, ctkd_error *err)
{
    const ctkd_status status = make_room(kept, kept->n + batch->n, classes, err);
    if (status != CTKD_OK)
        return status;
    memcpy(kept->logits + kept->n * classes, logits, batch->n * classes * sizeof *logits);
    memcpy(kept->labels + kept->n, batch->labels, batch->n * sizeof *batch->labels);
    kept->n += batch->n;
    kept->classes = classes;
    return CTKD_OK;
}

ctkd_status ctkd__evaluate(struct ctkd__loader *loader, size_t classes, ctkd__forward forward,
                           void *context, struct ctkd__dist *dist, float *logits,
                           struct ctkd__scores *scores, struct ctkd__predictions *kept,
                           ctkd_error *err)
{
    struct ctkd__batch batch;
    size_t n = 0, top1 = 0, top5 = 0;
    double loss = 0;
    ctkd__loader_start(loader, 1, 0);
    for (;;) {
        ctkd_status status = ctkd__loader_next(loader, &batch, err);
        if (status == CTKD_OK && batch.n == 0)
            break;
        if (status == CTKD_OK)
            status = forward(context, batch.n, batch.x, logits, err);
        if (status == CTKD_OK)
            status = ctkd__dist_gather_logits(dist, batch.n, logits, classes, err);
        if (status != CTKD_OK)
            return status;
        status = check_logits(batch.n, classes, logits, n, err);
        if (status == CTKD_OK && kept)
            status = keep_predictions(kept, &batch, classes, logits, err);
        if (status != CTKD_OK)
            return status;
        float mean = 0;
        status = ctkd_cross_entropy(batch.n, classes, logits, batch.labels, &mean, NULL);
        if (status != CTKD_OK && status != CTKD_ENAN)
            return ctkd__fail(err, status, "evaluation: cross-entropy: %s",
                              ctkd_status_text(status));
        if (status == CTKD_ENAN || !isfinite(mean))
            return ctkd__fail(err, CTKD_ENAN,
                              "evaluation: logits of images %zu to %zu are not finite", n,
                              n + batch.n - 1);
        for (size_t i = 0; i < batch.n; i++) {
            const size_t rank = ctkd__label_rank(classes, logits + i * classes, batch.labels[i]);
            top1 += rank < 1;
            top5 += rank < 5;
        }
        loss += (double)mean * (double)batch.n;
        n += batch.n;
    }
    if (n == 0)
        return ctkd__fail(err, CTKD_EINVAL, "evaluation: the data set has no test images");
    *scores = (struct ctkd__scores){ .n = n,
                                     .top1 = 100.0 * (double)top1 / (double)n,
                                     .top5 = 100.0 * (double)top5 / (double)n,
                                     .loss = loss / (double)n };
    return CTKD_OK;
}
