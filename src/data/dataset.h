/*
 * Image data sets in memory: bytes as published, labels, and the constants that normalise them.
 *
 * A data set is named NAME or NAME:PATH (fashion-mnist, mnist:DIR, cifar10:cifar-10-binary.tar.gz,
 * ...); PATH is a folder that holds the published files (or the published archive), or the archive
 * itself, read in place.
 */
#ifndef CTKD_DATA_DATASET_H
#define CTKD_DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

enum { CTKD__CHANNELS_MAX = 4 };

/* One part (training or test) of a data set. */
struct ctkd__images {
    size_t count, channels, height, width;
    uint8_t *pixels; /* [count][channels][height][width] */
    int32_t *labels; /* [count], 0..classes-1 */
};

/* Which labels of a data set with two kinds are used. */
enum ctkd__labels { CTKD__LABELS_FINE, CTKD__LABELS_COARSE };

struct ctkd__dataset {
    char name[64]; /* of the format: "cifar100" */
    size_t classes;
    bool classes_open; /* classes is the largest label + 1: a network may know more */
    enum ctkd__labels kind_of_labels;
    struct ctkd__images train, test;
    float mean[CTKD__CHANNELS_MAX], std[CTKD__CHANNELS_MAX]; /* published, after /255 */
};

/* One format; the list is src/data/list.h. */
struct ctkd__dataset_def {
    const char *name;
    const char *title;
    const char *source;
    const char *files;        /* what PATH holds, one line for help */
    const char *default_path; /* where a package puts it, or NULL */
    size_t classes, channels, height, width, n_train, n_test; /* of the published set */
    size_t coarse_classes;                                    /* 0: there is one kind of labels */
    size_t classes_max; /* most that a set of one's own may have; 0: always as published */
    float mean[CTKD__CHANNELS_MAX], std[CTKD__CHANNELS_MAX];
    /* Fills train and test of a zeroed data set (name, kind of labels and constants are already
       set; so is classes, but for 0 where classes_max is above 0: then the labels say). */
    ctkd_status (*load)(const struct ctkd__dataset_def *def, const char *path,
                        struct ctkd__dataset *dataset, ctkd_error *err);
};
const struct ctkd__dataset_def *const *ctkd__dataset_list(void); /* NULL-terminated */
const struct ctkd__dataset_def *ctkd__dataset_find(const char *name);

/* Opens NAME or NAME:PATH and checks every label. classes: how many there are, 0: as published, or
   in a format for sets of one's own the largest label + 1. *out is NULL on failure. Errors name the
   file, the field, what was found and what was expected; an unknown NAME offers the nearest one.
   Coarse labels of a data set that has one kind only, and other classes than a published set has,
   are CTKD_EINVAL. */
ctkd_status ctkd__dataset_open(const char *spec, enum ctkd__labels labels, size_t classes,
                               struct ctkd__dataset **out, ctkd_error *err);
void ctkd__dataset_close(struct ctkd__dataset *dataset);

#endif
