/* How good a network is on a data set. */
#ifndef CTKD_TRAIN_EVALUATE_H
#define CTKD_TRAIN_EVALUATE_H

#include "data/loader.h"
#include "dist/dist.h"

struct ctkd__scores {
    size_t n;
    double top1, top5; /* percent */
    double loss;       /* mean cross-entropy, nats */
};

/* Logits and labels of all evaluated images, in order. All zeros: none yet. */
struct ctkd__predictions {
    size_t n, classes;
    size_t room;     /* images that the arrays can take */
    float *logits;   /* [n][classes] */
    int32_t *labels; /* [n] */
};
void ctkd__predictions_free(struct ctkd__predictions *predictions);

/* x [n][c][h][w] -> logits [n][k] */
typedef ctkd_status (*ctkd__forward)(void *context, size_t n, const float *x, float *logits,
                                     ctkd_error *err);

/* Classes that come before the label's: greater logits, and equal ones of a lower index. A NaN in
   the row puts the label last (k): a broken network is never right. */
size_t ctkd__label_rank(size_t k, const float *logits, int32_t label);

/* Runs one epoch of the loader in order. `logits` is room for the loader's batch. `kept` takes the
   predictions, also those before an error; NULL: they are not kept. CTKD_ENAN: a logit is not
   finite. With several ranks `forward` and the loader have the rows of this one alone; every rank
   gets the scores and predictions of all images. dist: NULL, or all ranks call it. */
ctkd_status ctkd__evaluate(struct ctkd__loader *loader, size_t classes, ctkd__forward forward,
                           void *context, struct ctkd__dist *dist, float *logits,
                           struct ctkd__scores *scores, struct ctkd__predictions *kept,
                           ctkd_error *err);

#endif
