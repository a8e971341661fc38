/* CIFAR-10 and CIFAR-100 in their two published forms (doc/methods.md, "CIFAR"): binary files of
   records (one or two label bytes, then the R, G and B planes) and pickled Python dicts (rows of
   pixels, lists of labels). */
#ifndef CTKD_DATA_CIFAR_H
#define CTKD_DATA_CIFAR_H

#include "data/archive.h"
#include "data/dataset.h"

enum { CTKD__CIFAR_PIXELS = 3 * 32 * 32 };

/* The kinds of labels that an image has; all of them are checked. */
struct ctkd__cifar_labels {
    size_t count; /* 1 or 2; as many bytes are in front of the pixels of a record */
    size_t used;  /* the index of the kind that is trained on */
    size_t classes[2];
    const char *kinds[2]; /* for messages */
    const char *keys[2];  /* of the pickled dict */
};
extern const struct ctkd__cifar_labels ctkd__cifar10_labels, ctkd__cifar100_fine,
    ctkd__cifar100_coarse;

/* The number of records in a file of `size` bytes: at least one, and the last one must be complete.
 * `place` begins messages. */
ctkd_status ctkd__cifar_count(const char *place, size_t size,
                              const struct ctkd__cifar_labels *labels, size_t *count,
                              ctkd_error *err);
/* Copies `count` records into images first, first + 1, ..., whose memory must be allocated, and
   checks every label. */
ctkd_status ctkd__cifar_unpack(const char *place, const uint8_t *bytes, size_t count,
                               const struct ctkd__cifar_labels *labels, struct ctkd__images *images,
                               size_t first, ctkd_error *err);

/*
 * Joins `n` files of one form into one part: fills a zeroed `images`. Each file is freed once
 * copied, so that memory holds little more than one copy. After a failure `images` may still hold
 * memory; free it with ctkd__images_free.
 */
ctkd_status ctkd__cifar_binary_join(struct ctkd__member *files, size_t n,
                                    const struct ctkd__cifar_labels *labels,
                                    struct ctkd__images *images, ctkd_error *err);
ctkd_status ctkd__cifar_python_join(struct ctkd__member *files, size_t n,
                                    const struct ctkd__cifar_labels *labels,
                                    struct ctkd__images *images, ctkd_error *err);

#endif
