/* Which of the usual sizes, to which images are resized before their centre is cropped, fits a
   network best, found by trying them. */
#ifndef CTKD_TRAIN_RESIZE_TRIALS_H
#define CTKD_TRAIN_RESIZE_TRIALS_H

#include "train/evaluator.h"

enum { CTKD__RESIZES = 2 };

/* The shorter sides that were tried, first that of the evaluator's images. */
struct ctkd__resize_trials {
    struct {
        size_t resize;
        struct ctkd__scores scores;
    } items[CTKD__RESIZES];
    size_t count; /* 0: nothing says that another size may be better, or images are not resized */
    size_t gained, lost; /* images that only the second size, and only the first, has right */
    size_t best; /* 0 unless gained exceeds lost by more than three standard deviations of their
                    difference, sqrt(gained + lost) */
};

/*
 * Tries the known normalisations (train/normalisation_trials.h) and, where ctkd__resize_try tries
 * two sizes, each normalisation with both: with the wrong size the right one may look no better
 * than others. An item's top1 is that with the better size, its `resize`. One rank.
 */
ctkd_status ctkd__resize_try_normalisations(struct ctkd__evaluator *evaluator,
                                            struct ctkd__teacher *network, struct ctkd__trials *out,
                                            ctkd_error *err);

/*
 * Evaluates a network on all test images and, where data.resize is 0, the images are files and the
 * network's file does not say its size, once more with the other size of torchvision's weights: for
 * views of 224 those are 256 (V1) and 232 (V2), for others in proportion. *found is the evaluation
 * with the best of them. Errors as ctkd__evaluator_run and ctkd__data_open. One rank.
 */
ctkd_status ctkd__resize_try(struct ctkd__evaluator *evaluator, struct ctkd__teacher *network,
                             struct ctkd__evaluation *found, struct ctkd__resize_trials *out,
                             ctkd_error *err);

#endif
