/*
 * Image data sets: pixels in memory as published, or files that are read when they are needed;
 * labels, and the constants that normalise them.
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

#include "data/folder/layout.h"
#include "data/source.h"

enum { CTKD__CHANNELS_MAX = 4 };

/* One part (training or test) of a data set. */
struct ctkd__images {
    size_t count, channels, height, width;
    uint8_t *pixels; /* [count][channels][height][width]; NULL: in files */
    int32_t *labels; /* [count], 0..classes-1 */
    const struct ctkd__image_source
        *source; /* of images in files, else NULL; height, width: of views */
};

/* Which labels of a data set with two kinds are used. */
enum ctkd__labels { CTKD__LABELS_FINE, CTKD__LABELS_COARSE };

/* How training images of a data set of files are varied. */
enum ctkd__file_view {
    CTKD__FILE_VIEW_AUTO, /* crop_flip where all images have one size of at most 96 pixels */
    CTKD__FILE_VIEW_RESIZED_CROP,
    /* In memory: each image is decoded once as for evaluation, then padded, cropped and flipped as
       for CIFAR. */
    CTKD__FILE_VIEW_CROP_FLIP
};

/* What the keys data.* say of opening one. Strings are borrowed; NULL is "". */
struct ctkd__dataset_options {
    enum ctkd__labels labels;
    size_t classes; /* 0: as published; for a user's own set, as the labels say */
    /* The rest is of data sets of files. */
    struct ctkd__layout_options layout;
    enum ctkd__file_view view;
    size_t size, resize; /* 0: 224, or the images' own; size / 0.875 */
    double crop_area[2]; /* smallest and largest share of the area, 0.08 and 1 */
    uint64_t pixels_max;
    bool upright; /* images are turned as their EXIF says */
    bool roi;     /* only the parts that views need are decoded; true */
};
struct ctkd__dataset_options ctkd__dataset_options_defaults(void);

/* What a data set of files holds open. */
struct ctkd__folder {
    struct ctkd__tree *tree;
    struct ctkd__layout layout; /* labels are those of images */
    struct ctkd__image_source train, test;
    bool as_they_are; /* images are in memory in their own size */
};

struct ctkd__dataset {
    char name[64]; /* of the format: "cifar100" */
    size_t classes;
    const struct ctkd__names *class_names; /* NULL: not known */
    struct ctkd__dataset_options options;
    struct ctkd__folder *folder; /* NULL: not of files */
    char note[512];              /* what was found but is not used; "": nothing */
    bool classes_open;           /* classes is the largest label + 1; a network may have more */
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
    size_t classes_max; /* limit for a user's own set; 0: always as published */
    bool in_files;      /* image files of any size: classes, sizes and counts above are 0 */
    bool photographs;   /* published networks have other forms for them */
    const struct ctkd__tree_mount *mounts; /* of these, archives in PATH that are folders of it */
    float mean[CTKD__CHANNELS_MAX], std[CTKD__CHANNELS_MAX];
    /* Fills train and test of a zeroed data set (name, options and constants are already set; so is
       classes, but for 0 where classes_max is above 0: then the labels say). */
    ctkd_status (*load)(const struct ctkd__dataset_def *def, const char *path,
                        struct ctkd__dataset *dataset, ctkd_error *err);
};
const struct ctkd__dataset_def *const *ctkd__dataset_list(void); /* NULL-terminated */
/* The length of NAME in NAME or NAME:PATH. */
size_t ctkd__dataset_name_length(const char *spec);
/* The data set that NAME or NAME:PATH names; NULL: none. */
const struct ctkd__dataset_def *ctkd__dataset_find(const char *spec);

/* Opens NAME or NAME:PATH and checks every label. options NULL: the defaults. *out is NULL on
   failure. Errors name the file, the field, what was found and what was expected; an unknown NAME
   offers the nearest one. CTKD_EINVAL: coarse labels of a data set that has only one kind, or
   another number of classes than a published set has. */
ctkd_status ctkd__dataset_open(const char *spec, const struct ctkd__dataset_options *options,
                               struct ctkd__dataset **out, ctkd_error *err);
void ctkd__dataset_close(struct ctkd__dataset *dataset);

#endif
