#include "train/resize_trials.h"

#include <math.h>
#include <stdlib.h>

#include "train/teacher.h"
#include "util/error.h"

/* The size of torchvision's V2 weights for views of `side`, as 232 is for 224. */
static size_t other_resize(size_t side)
{
    return (side * 232 + 112) / 224;
}

static bool may_differ(const struct ctkd__evaluator *evaluator, const struct ctkd__teacher *network)
{
    const struct ctkd__network_info *const images = &evaluator->data.images;
    return evaluator->data.dataset->test.source && evaluator->config->data.resize == 0 &&
           network->own_resize == 0 && images->resize &&
           other_resize(images->height) != images->resize;
}

/* Opens the images once more, resized to another size; the evaluator has these until close_resized,
   also on an error. */
static ctkd_status open_resized(struct ctkd__evaluator *evaluator, struct ctkd__data *first,
                                ctkd_error *err)
{
    struct ctkd__config config = *evaluator->config; /* its keys are only read while data open */
    *first = evaluator->data;
    config.data.resize = (int64_t)other_resize(first->images.height);
    const ctkd_status status = ctkd__data_open(&config, 0, evaluator->dist, &evaluator->data, err);
    return status == CTKD_OK ? ctkd__data_use_engine(&evaluator->data, &evaluator->engine, err)
                             : status;
}

static void close_resized(struct ctkd__evaluator *evaluator, const struct ctkd__data *first)
{
    ctkd__data_close(&evaluator->data);
    evaluator->data = *first;
}

/* Evaluates the network with images that are resized to another size. */
static ctkd_status run_resized(struct ctkd__evaluator *evaluator, struct ctkd__teacher *network,
                               struct ctkd__evaluation *found, struct ctkd__predictions *kept,
                               ctkd_error *err)
{
    struct ctkd__data first;
    ctkd_status status = open_resized(evaluator, &first, err);
    if (status == CTKD_OK)
        status = ctkd__evaluator_run(evaluator, network, found, kept, err);
    close_resized(evaluator, &first);
    return status;
}

ctkd_status ctkd__resize_try_normalisations(struct ctkd__evaluator *evaluator,
                                            struct ctkd__teacher *network, struct ctkd__trials *out,
                                            ctkd_error *err)
{
    struct ctkd__trials other;
    struct ctkd__data first;
    const size_t resizes[] = { evaluator->data.images.resize,
                               other_resize(evaluator->data.images.height) };
    ctkd_status status = ctkd__evaluator_try_normalisations(evaluator, network, out, err);
    if (status != CTKD_OK || !may_differ(evaluator, network))
        return status;
    status = open_resized(evaluator, &first, err);
    if (status == CTKD_OK)
        status = ctkd__evaluator_try_normalisations(evaluator, network, &other, err);
    close_resized(evaluator, &first);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < out->count; i++) {
        const bool better = other.items[i].top1 > out->items[i].top1;
        out->items[i].top1 = better ? other.items[i].top1 : out->items[i].top1;
        out->items[i].resize = resizes[better];
    }
    if (out->n)
        ctkd__trials_choose(out);
    return CTKD_OK;
}

static bool is_right(const struct ctkd__predictions *predictions, size_t i)
{
    const size_t k = predictions->classes;
    return ctkd__label_rank(k, predictions->logits + i * k, predictions->labels[i]) == 0;
}

/* Both have the same images in the same order. */
static void compare(const struct ctkd__predictions *first, const struct ctkd__predictions *second,
                    struct ctkd__resize_trials *out)
{
    for (size_t i = 0; i < first->n; i++) {
        const bool before = is_right(first, i), after = is_right(second, i);
        out->gained += after && !before;
        out->lost += before && !after;
    }
    const double gain = (double)out->gained - (double)out->lost;
    out->best = gain > 3 * sqrt((double)(out->gained + out->lost));
}

ctkd_status ctkd__resize_try(struct ctkd__evaluator *evaluator, struct ctkd__teacher *network,
                             struct ctkd__evaluation *found, struct ctkd__resize_trials *out,
                             ctkd_error *err)
{
    struct ctkd__predictions first = { 0 }, second = { 0 };
    struct ctkd__evaluation other;
    const size_t resize = other_resize(evaluator->data.images.height);
    *out = (struct ctkd__resize_trials){ 0 };
    if (!may_differ(evaluator, network))
        return ctkd__evaluator_run(evaluator, network, found, NULL, err);
    ctkd_status status = ctkd__evaluator_run(evaluator, network, found, &first, err);
    if (status == CTKD_OK)
        status = run_resized(evaluator, network, &other, &second, err);
    if (status == CTKD_OK) {
        out->count = CTKD__RESIZES;
        out->items[0].resize = evaluator->data.images.resize;
        out->items[0].scores = found->scores;
        out->items[1].resize = resize;
        out->items[1].scores = other.scores;
        compare(&first, &second, out);
        if (out->best)
            *found = other;
    }
    ctkd__predictions_free(&first);
    ctkd__predictions_free(&second);
    return status;
}
