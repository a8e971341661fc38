/*
 * Computes the teacher's logits once: those of every view of every training image are kept in a
 * file (store/logit_file.h) that runs share, and only missing ones go through the network. A run
 * gives the same bits with a store as without, because the logits of an image do not depend on the
 * images that are computed with it. This is checked for each teacher when its store is opened.
 *
 * Of several ranks each looks up and computes the rows of its own images of a batch, with a file of
 * its own or one that ranks of a machine share, as processes of a sweep do. So a store may be of
 * use on some ranks only.
 */
#ifndef CTKD_TRAIN_TEACHER_STORE_H
#define CTKD_TRAIN_TEACHER_STORE_H

#include "store/logit_file.h"
#include "train/teacher.h"

struct ctkd__teacher_store_args {
    const char *folder;                      /* teacher.store */
    struct ctkd__teacher *teacher;           /* compiled; borrowed until close */
    const struct ctkd__engine *engine;       /* of the teacher's program */
    struct ctkd__loader *loader;             /* of the training images; borrowed until close */
    const struct ctkd__image_source *source; /* of the training images, when they are files */
    uint64_t seed, epochs;                   /* of the run: they determine the views of files */
    const struct ctkd__network_info *images; /* of the loader's batches */
    const char *images_digest;               /* SHA-256 of the training images */
    size_t samples;                          /* all training images of the set: ids are below it */
    size_t classes;
};

enum { CTKD__STORE_NOTE = 600 };

struct ctkd__teacher_store {
    struct ctkd__teacher *teacher;
    struct ctkd__loader *loader;
    struct ctkd__dist *dist; /* NULL: one rank */
    struct ctkd__logit_file *file;
    char path[1024];
    size_t views, classes, image; /* image: values of one */
    bool full;                    /* rows are read, but no longer added */
    char why_full[CTKD__STORE_NOTE];
    size_t share;      /* images that are claimed at once */
    uint64_t wait_ns;  /* longest wait for another process that adds no row */
    size_t in_vain;    /* waits that ended so; after CTKD__STORE_VAIN of them there are no more */
    size_t *missing;   /* [batch_max] indices of images without a row */
    size_t *mine;      /* [batch_max] those of them that this process computes */
    float *x, *logits; /* [batch_max][image], [batch_max][classes]: of missing images, packed */
    float *seals;      /* [batch_max] of the views of a batch, where rows are sealed; else NULL */
    float *row;        /* [classes + 1] a row of the file, with its seal */
};

enum {
    CTKD__STORE_VAIN = 3,
    CTKD__STORE_PROBES = 16 /* images that try a teacher: the most that a worker computes at once */
};

/* Whether teacher.store names a folder. */
bool ctkd__teacher_store_asked(const char *folder);

/*
 * Opens the file of this teacher, these images and these kernels in the folder, or creates it.
 * *out is NULL with CTKD_OK when the store cannot be used; `note` says why, or how much it holds.
 * Errors: the folder cannot be created; the teacher fails.
 */
ctkd_status ctkd__teacher_store_open(const struct ctkd__teacher_store_args *args,
                                     struct ctkd__teacher_store **out, char note[CTKD__STORE_NOTE],
                                     ctkd_error *err);
/* A store that still has no file, of `views` views of each image; `sealed` as
   ctkd__logit_shape.sealed. Reads teacher, engine, loader, images and classes of `args`. Only _open
   and a benchmark call it. */
ctkd_status ctkd__teacher_store_create(const struct ctkd__teacher_store_args *args, size_t views,
                                       bool sealed, struct ctkd__teacher_store **out,
                                       ctkd_error *err);
void ctkd__teacher_store_close(struct ctkd__teacher_store *store);

/* Counts of images; calls add to them. */
struct ctkd__teacher_store_counts {
    size_t hits, misses; /* read from the store, also after a wait; computed by the teacher */
    size_t damaged;      /* misses whose row was damaged, or whose image file has changed since */
};
void ctkd__teacher_store_count(struct ctkd__teacher_store_counts *sum,
                               const struct ctkd__teacher_store_counts *part);

/* The logits [n][classes] of the usual views of a batch, as ctkd__teacher_forward gives them: with
   several ranks, the rows of this rank. Adds
   missing rows to the file unless they are not finite or the disk is full. Waits for rows that
   another process computes at the same time, but at most wait_ns without a new one. */
ctkd_status ctkd__teacher_store_forward(struct ctkd__teacher_store *store,
                                        const struct ctkd__batch *batch, float *logits,
                                        struct ctkd__teacher_store_counts *counts, ctkd_error *err);

/* Computes every missing view of every image of the loader; for image files, the views that the
   epochs of the run draw. After each batch calls `go_on` with the number of rows visited so far and
   the number of all, and ends when it returns false. CTKD_EIO: the disk is full; CTKD_ENAN: logits
   are not finite. The rows added before an error stay. */
ctkd_status ctkd__teacher_store_fill(struct ctkd__teacher_store *store,
                                     bool (*go_on)(void *context, uint64_t rows, uint64_t all),
                                     void *context, struct ctkd__teacher_store_counts *counts,
                                     ctkd_error *err);

#endif
