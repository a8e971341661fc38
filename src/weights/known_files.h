/* Widely used published weights, recognised by their contents. */
#ifndef CTKD_WEIGHTS_KNOWN_FILES_H
#define CTKD_WEIGHTS_KNOWN_FILES_H

#include <stddef.h>

struct ctkd__known_file {
    const char *sha256; /* its first 8 digits, which torchvision puts into the file's name */
    const char *network, *weights;
    double top1, top5; /* published, percent, of ImageNet's validation images */
    int resize;        /* of the shorter side, before the central 224x224 are cut out */
};

/* The size of the smallest of these files: smaller files need not be looked up. */
extern const size_t ctkd__known_file_bytes_min;

/* By a text that begins with the first 8 digits; NULL: unknown. */
const struct ctkd__known_file *ctkd__known_file_find(const char *sha256);

/* Writes what is known as a note: "these are torchvision's weights ...". */
void ctkd__known_file_text(const struct ctkd__known_file *file, char *out, size_t bytes);

#endif
