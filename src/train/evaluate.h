/* The accuracy and cross-entropy of a network on a data set. */
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
    size_t room;     /* images that the arrays have room for */
    float *logits;   /* [n][classes] */
    int32_t *labels; /* [n] */
};
void ctkd__predictions_free(struct ctkd__predictions *predictions);

/* x [n][c][h][w] -> logits [n][k] */
typedef ctkd_status (*ctkd__forward)(void *context, size_t n, struct ctkd__batch_images x,
                                     float *logits, ctkd_error *err);

/* How many classes rank before the label: those with a greater logit, and those with an equal one
   and a lower index. A NaN in the row gives k, so that a broken network is never right. */
size_t ctkd__label_rank(size_t k, const float *logits, int32_t label);

/* Runs one epoch of the loader in order. `logits` has room for one of its batches,
   [batch][classes]. `kept`, if not NULL, gains the predictions, including those made before an
   error; the caller frees it. dist: NULL, or all ranks call this together: the loader and `forward`
   then fill only the rows of this rank, and every rank gets the scores and predictions of all
   images. CTKD_ENAN: a logit is not finite. CTKD_EINVAL: there are no images. On an error `scores`
   is unchanged. */
ctkd_status ctkd__evaluate(struct ctkd__loader *loader, size_t classes, ctkd__forward forward,
                           void *context, struct ctkd__dist *dist, float *logits,
                           struct ctkd__scores *scores, struct ctkd__predictions *kept,
                           ctkd_error *err);

#endif
