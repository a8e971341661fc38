/* Which of the usual normalisations fits a network best, found by trying them. */
#ifndef CTKD_TRAIN_NORMALISATION_TRIALS_H
#define CTKD_TRAIN_NORMALISATION_TRIALS_H

#include "data/loader.h"
#include "dist/dist.h"
#include "weights/network_file.h"
#include "weights/normalisation.h"

enum { CTKD__TRIALS_MAX = 9 };

struct ctkd__teacher;

/* A normalisation and how well a network does with it. */
struct ctkd__trial {
    char name[40];
    char mean[CTKD__NORMALISATION_BYTES],
        std[CTKD__NORMALISATION_BYTES]; /* as teacher.mean and .std */
    double top1;                        /* percent */
    size_t resize; /* with which that was, where several were tried (train/resize_trials.h); or 0 */
};

/* The normalisations that were tried, the teacher's own first. */
struct ctkd__trials {
    struct ctkd__trial items[CTKD__TRIALS_MAX];
    size_t count, best; /* best: 0 unless another one is better than the teacher's own by more than
                           three standard errors of the difference */
    size_t n;           /* images that each was tried on */
};

/*
 * Tries the teacher's own constants, those of the data set, and the usual ones (CIFAR, ImageNet, -1
 * to 1, 0 to 1, 0 to 255) on about 1000 images, in batches spread evenly over the loader's, each of
 * which is read once. The teacher has its own constants again afterwards, also on an error.
 * `images` describes the loader's images. dist: NULL, or all ranks call it.
 */
ctkd_status ctkd__normalisation_try(struct ctkd__teacher *teacher, struct ctkd__loader *loader,
                                    const struct ctkd__network_info *images,
                                    struct ctkd__dist *dist, struct ctkd__trials *out,
                                    ctkd_error *err);

/* Sets `best` from the top1 of the items and n, which is above 0. */
void ctkd__trials_choose(struct ctkd__trials *trials);

/* Whether a top-1 (percent) is hardly better than guessing: below twice chance or, with few
   classes, below a quarter of the way from chance to 100. */
bool ctkd__normalisation_near_chance(double top1, size_t classes);
/* Whether a top-1 (percent) is low enough to ask whether the normalisation is the right one. */
bool ctkd__normalisation_doubtful(double top1, size_t classes);

#endif
