/*
 * A teacher that is asked once: its logits of every view of every training image are kept in a file
 * (store/logit_file.h) that runs share, and only what is not there goes through the network. A run
 * has the same bits with a store as without: the answer to an image does not depend on the images
 * that are computed with it, which is checked for each teacher when its store is opened.
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
    uint64_t seed, epochs;                   /* of the run: what views of files are drawn by */
    const struct ctkd__network_info *images; /* of the loader's batches */
    const char *images_digest;               /* SHA-256 of the training images */
    size_t samples;                          /* of the data set's part: ids are below */
    size_t classes;
};

enum { CTKD__STORE_NOTE = 600 };

struct ctkd__teacher_store {
    struct ctkd__teacher *teacher;
    struct ctkd__loader *loader;
    struct ctkd__logit_file *file;
    char path[1024];
    size_t views, classes, image; /* image: values of one */
    bool full;                    /* rows are read, but no longer added */
    char why_full[CTKD__STORE_NOTE];
    size_t share;      /* images that are claimed at once */
    uint64_t wait_ns;  /* longest wait for another process without an answer from it */
    size_t in_vain;    /* waits that ended without one; at CTKD__STORE_VAIN there are no more */
    size_t *missing;   /* [batch_max] */
    size_t *mine;      /* [batch_max] of the missing: claimed */
    float *x, *logits; /* [batch_max][image], [batch_max][classes]: what is missing, packed */
    float *seals;      /* [batch_max] of the views of a batch, where rows are sealed; else NULL */
    float *row;        /* of the file */
};

enum { CTKD__STORE_VAIN = 3 };

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
void ctkd__teacher_store_close(struct ctkd__teacher_store *store);

/* Images of one call. */
struct ctkd__teacher_store_counts {
    size_t hits, misses; /* from the store, also those that were waited for; through the teacher */
    size_t damaged;      /* of the misses: rows that were there, but not as they were written, or of
                            another image than the file has now */
};

/* The logits of the usual views of a batch, as ctkd__teacher_forward gives them. Adds what was
   missing, unless it is not finite or the disk is full. What another process computes at the same
   time is waited for, at most wait_ns. */
ctkd_status ctkd__teacher_store_forward(struct ctkd__teacher_store *store,
                                        const struct ctkd__batch *batch, float *logits,
                                        struct ctkd__teacher_store_counts *counts, ctkd_error *err);

/* Computes every view of every image of the loader that is not there; of files those that the
   epochs of the run draw. `go_on` hears after each batch how many rows of all were looked at, and ends the
   work with false. CTKD_EIO: the disk is full; what was added stays. */
ctkd_status ctkd__teacher_store_fill(struct ctkd__teacher_store *store,
                                     bool (*go_on)(void *context, uint64_t rows, uint64_t all),
                                     void *context, struct ctkd__teacher_store_counts *counts,
                                     ctkd_error *err);

#endif
