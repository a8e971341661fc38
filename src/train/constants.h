/*
 * Normalisations x = (pixel - mean) / deviation of pixels of 0 to 1: what constants say of the
 * pixels that a network takes, and which of the usual ones fit a network best.
 */
#ifndef CTKD_TRAIN_CONSTANTS_H
#define CTKD_TRAIN_CONSTANTS_H

#include "data/loader.h"
#include "train/network_file.h"

/* Room for a comma list of each channel's number. */
enum { CTKD__CONSTANTS_BYTES = 96, CTKD__CONSTANTS_MAX = 9 };

/* Whether images of pixels between `low` and `high` can have these constants in all channels: a
   mean between them, a deviation above 0 and at most their distance (a model that subtracts a mean
   only has the deviation 1). */
bool ctkd__constants_fit(size_t channels, const float *mean, const float *std, double low,
                         double high);

/* Of which pixels constants are: of 0 to 1, of 0 to 255, of neither. */
enum ctkd__pixels { CTKD__PIXELS_UNIT, CTKD__PIXELS_BYTES, CTKD__PIXELS_UNKNOWN };

/*
 * Constants that pixels of 0 to 1 cannot have, but bytes can (some mean or deviation is at least
 * 16), become those of the same images with pixels of 0 to 1; `note` says what was found and taken.
 * Others that pixels of 0 to 1 do not have stay as they are, and note says that. Otherwise note is
 * "" and nothing changes.
 */
enum ctkd__pixels ctkd__constants_question(size_t channels, float *mean, float *std, char *note,
                                           size_t bytes);

struct ctkd__teacher;

/* A normalisation and how well a network does with it. */
struct ctkd__trial {
    char name[40];
    char mean[CTKD__CONSTANTS_BYTES], std[CTKD__CONSTANTS_BYTES]; /* as teacher.mean and .std */
    double top1;                                                  /* percent */
};

/* Those that were tried, the teacher's own first. */
struct ctkd__trials {
    struct ctkd__trial items[CTKD__CONSTANTS_MAX];
    size_t count, best; /* best: 0 unless another one is better by more than chance, three standard
                           errors of both */
    size_t n;           /* images */
};

/*
 * Tries the teacher's own constants, those of the data set, and the usual ones (CIFAR, ImageNet, -1
 * to 1, 0 to 1, 0 to 255) on some 1000 images, in batches that are spread over the loader's. The
 * teacher has its own constants again afterwards. `images` describes the loader's.
 */
ctkd_status ctkd__constants_try(struct ctkd__teacher *teacher, struct ctkd__loader *loader,
                                const struct ctkd__network_info *images, struct ctkd__trials *out,
                                ctkd_error *err);

/* Whether a top-1 (percent) is hardly better than guessing: below twice chance or, of few classes,
   a quarter of the way from chance to 100. */
bool ctkd__constants_near_chance(double top1, size_t classes);
/* Whether a top-1 (percent) is low enough to ask whether the normalisation is the right one. */
bool ctkd__constants_doubtful(double top1, size_t classes);

#endif
