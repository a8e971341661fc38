#include "train/normalisation_trials.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/evaluate.h"
#include "train/teacher.h"
#include "util/error.h"

/* Images that each normalisation is tried on. */
enum { SUBSET = 1000 };

static const struct {
    const char *name, *mean, *std;
    size_t channels; /* 0: any */
} known[] = {
    { "CIFAR-10", "0.4914,0.4822,0.4465", "0.247,0.2435,0.2616", 3 },
    { "CIFAR-100 (published code)", "0.5071,0.4867,0.4408", "0.2675,0.2565,0.2761", 3 },
    { "ImageNet", "0.485,0.456,0.406", "0.229,0.224,0.225", 3 },
    { "-1 to 1", "0.5", "0.5", 0 },
    { "0 to 1", "0", "1", 0 },
    { "0 to 255", "0", "0.003921569", 0 },
};

static void add(struct ctkd__trials *trials, const char *name, const char *mean, const char *std)
{
    struct ctkd__trial *const trial = &trials->items[trials->count];
    for (size_t i = 0; i < trials->count; i++)
        if (strcmp(trials->items[i].mean, mean) == 0 && strcmp(trials->items[i].std, std) == 0)
            return;
    snprintf(trial->name, sizeof trial->name, "%s", name);
    snprintf(trial->mean, sizeof trial->mean, "%s", mean);
    snprintf(trial->std, sizeof trial->std, "%s", std);
    trials->count++;
}

static void list_candidates(const struct ctkd__teacher *teacher,
                            const struct ctkd__network_info *images, struct ctkd__trials *out)
{
    char mean[CTKD__NORMALISATION_BYTES], std[CTKD__NORMALISATION_BYTES];
    const size_t channels = images->channels;
    *out = (struct ctkd__trials){ .count = 0 };
    ctkd__normalisation_list(channels, teacher->info.mean, mean, sizeof mean);
    ctkd__normalisation_list(channels, teacher->info.std, std, sizeof std);
    add(out, ctkd__source_text(teacher->normalisation_source), mean, std);
    if (teacher->normalisation_source != CTKD__SOURCE_DATA) {
        ctkd__normalisation_list(channels, images->mean, mean, sizeof mean);
        ctkd__normalisation_list(channels, images->std, std, sizeof std);
        add(out, ctkd__source_text(CTKD__SOURCE_DATA), mean, std);
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].channels == 0 || known[i].channels == channels)
            add(out, known[i].name, known[i].mean, known[i].std);
}

/* A teacher whose constants are being tried, and its own. */
struct constants_trial {
    struct ctkd__teacher *teacher;
    const struct ctkd__network_info *images;
    struct ctkd__network_info own;
    enum ctkd__source own_source;
    float *logits; /* FREE, [batch_max][classes] */
};

static void restore(const struct constants_trial *t)
{
    ctkd__teacher_restore(t->teacher, t->images, &t->own, t->own_source);
}

/* Adds the top-1 hits of every candidate on a batch. */
static ctkd_status count_hits(const struct constants_trial *t, const struct ctkd__batch *batch,
                              struct ctkd__dist *dist, const struct ctkd__trials *trials,
                              size_t *hits, ctkd_error *err)
{
    const size_t classes = t->teacher->info.classes; /* may be more than the labels have */
    ctkd_status status = CTKD_OK;
    restore(t); /* the first are its own */
    for (size_t i = 0; i < trials->count && status == CTKD_OK; i++) {
        const struct ctkd__trial *const trial = &trials->items[i];
        if (i > 0)
            status = ctkd__teacher_normalise(t->teacher, t->images, trial->mean, trial->std, err);
        if (status == CTKD_OK)
            status =
                ctkd__teacher_forward_evaluation(t->teacher, batch->n, batch->x, t->logits, err);
        if (status == CTKD_OK)
            status = ctkd__dist_gather_logits(dist, batch->n, t->logits, classes, err);
        for (size_t j = 0; j < batch->n && status == CTKD_OK; j++)
            hits[i] += ctkd__label_rank(classes, t->logits + j * classes, batch->labels[j]) == 0;
    }
    return status;
}

void ctkd__trials_choose(struct ctkd__trials *trials)
{
    const double error = 3 * 100 * sqrt(0.5 / (double)trials->n);
    trials->best = 0;
    for (size_t i = 1; i < trials->count; i++)
        if (trials->items[i].top1 > trials->items[0].top1 + error &&
            trials->items[i].top1 > trials->items[trials->best].top1)
            trials->best = i;
}

ctkd_status ctkd__normalisation_try(struct ctkd__teacher *teacher, struct ctkd__loader *loader,
                                    const struct ctkd__network_info *images,
                                    struct ctkd__dist *dist, struct ctkd__trials *out,
                                    ctkd_error *err)
{
    const size_t samples = ctkd__loader_samples(loader), batches = ctkd__loader_batches(loader);
    const size_t wanted = samples > SUBSET ? (batches * SUBSET + samples - 1) / samples : batches;
    size_t hits[CTKD__TRIALS_MAX] = { 0 };
    struct constants_trial tried = { teacher, images, teacher->info, teacher->normalisation_source,
                                     calloc(teacher->batch_max * teacher->info.classes,
                                            sizeof(float)) };
    ctkd_status status = CTKD_OK;
    if (!tried.logits)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", teacher->file);
    list_candidates(teacher, images, out);
    for (size_t k = 0; k < batches && status == CTKD_OK; k += batches / wanted) {
        struct ctkd__batch batch;
        ctkd__loader_start(loader, 1, k); /* batches between are not decoded */
        status = ctkd__loader_next(loader, &batch, err);
        if (status == CTKD_OK)
            status = count_hits(&tried, &batch, dist, out, hits, err);
        if (status == CTKD_OK)
            out->n += batch.n;
    }
    for (size_t i = 0; i < out->count; i++)
        out->items[i].top1 = 100 * (double)hits[i] / (double)(out->n ? out->n : 1);
    if (status == CTKD_OK && out->n)
        ctkd__trials_choose(out);
    restore(&tried);
    free(tried.logits);
    return status;
}

bool ctkd__normalisation_near_chance(double top1, size_t classes)
{
    const double chance = 100.0 / (double)classes;
    return top1 < fmin(2 * chance, chance + (100 - chance) / 4);
}

bool ctkd__normalisation_doubtful(double top1, size_t classes)
{
    return top1 < 50 || ctkd__normalisation_near_chance(top1, classes);
}
