/* Records of the CIFAR binary files: one or two label bytes, then the R, G and B planes.
 * METHODS 5.1. */
#ifndef CTKD_DATA_CIFAR_H
#define CTKD_DATA_CIFAR_H

#include "data/dataset.h"

enum { CTKD__CIFAR_PIXELS = 3 * 32 * 32 };

struct ctkd__cifar_labels {
    size_t bytes; /* labels in front of the pixels; the last one is used */
    size_t classes[2];
};
extern const struct ctkd__cifar_labels ctkd__cifar10_labels, ctkd__cifar100_labels;

/* The number of records in a file of `size` bytes: at least one and no fraction. `place` begins
 * messages. */
ctkd_status ctkd__cifar_count(const char *place, size_t size,
                              const struct ctkd__cifar_labels *labels, size_t *count,
                              ctkd_error *err);
/* Copies `count` records into images first, first + 1, ..., whose memory is there, and checks every
 * label. */
ctkd_status ctkd__cifar_unpack(const char *place, const uint8_t *bytes, size_t count,
                               const struct ctkd__cifar_labels *labels, struct ctkd__images *images,
                               size_t first, ctkd_error *err);

#endif
