/*
 * Which files of a tree are the training and the test images of which class.
 *
 *   train/CLASS/... and val/, valid/, validation/, test/ or testing/CLASS/...; for these a folder
 *   without classes and a list of labels (label_lists.h)
 *   CLASS/... alone: of each class the share `holdout` becomes test images, chosen by a hash of the
 *   name, so that files that are added later leave the others where they are
 *
 * A class is a folder; everything in folders below it belongs to it. Classes are numbered in the
 * order of their names. Here files are recognised as images by the endings of their names; when
 * they are read, their contents decide.
 */
#ifndef CTKD_DATA_LAYOUT_H
#define CTKD_DATA_LAYOUT_H

#include "data/folder/left_out.h"
#include "data/folder/tree.h"
#include "util/names.h"

enum ctkd__class_order { CTKD__CLASS_ORDER_BYTES, CTKD__CLASS_ORDER_NATURAL };

struct ctkd__layout_options {
    enum ctkd__class_order
        class_order;        /* natural: numbers in names by their value, a2 before a10 */
    const char *class_file; /* names of the classes, in the order of their labels; NULL or "": the
                               folders */
    const char *exclude;    /* file with a relative name a line, which are left out; NULL or "" */
    double holdout;         /* 0.1; between 0 and 1 */
    bool allow_empty;       /* a class without images in a part is none of the errors below */
};

/* Images of one part; ids are positions here, in the order of labels, then of names. */
struct ctkd__layout_part {
    size_t count;
    uint32_t *files; /* [count] indices in the tree */
    int32_t *labels; /* [count] */
    char sha256[65]; /* of their names within the part */
};

struct ctkd__layout {
    const struct ctkd__names *classes;
    struct ctkd__layout_part train, test;
    size_t base_bytes; /* of names in the tree: those of folders around the layout */
    bool held_out;     /* test images are a share of the training folder's */
    size_t excluded;   /* files that `exclude` lists */
    struct ctkd__left_out_list left_out;
    char not_read[208]; /* the same counted; "": none */
    char unused[80];    /* "test/": folders of classes beside the training images; "": none */
};

/*
 * The tree is not kept. Folders around those of the layout (an archive's own) do not matter: names
 * that are hashed, listed or excluded begin below them.
 *
 *   CTKD_ENOTFOUND  no folders of classes
 *   CTKD_EFORMAT  another layout, a class without images, classes of the test images that have no
 *                 training images or the other way round, a name in `exclude` that is no file's
 *   CTKD_EIO      class_file or exclude cannot be read
 */
ctkd_status ctkd__layout_find(const struct ctkd__tree *tree,
                              const struct ctkd__layout_options *options, struct ctkd__layout *out,
                              ctkd_error *err);
void ctkd__layout_fini(struct ctkd__layout *layout);

/* Whether a file's name ends like an image's, including formats that cannot be read. */
bool ctkd__is_image_name(const char *name);

#endif
