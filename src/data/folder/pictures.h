/*
 * Image files of a command line: files that are named, and for folders all files in and below them
 * whose names end like images', in the byte order of their names.
 */
#ifndef CTKD_DATA_PICTURES_H
#define CTKD_DATA_PICTURES_H

#include "data/folder/tree.h"

struct ctkd__pictures; /* constant after the last _add: then any number of threads may use it */

ctkd_status ctkd__pictures_create(struct ctkd__pictures **out, ctkd_error *err);
void ctkd__pictures_destroy(struct ctkd__pictures *pictures);

/* Adds a file, which need not be an image, or the images of a folder. CTKD_EIO: nothing of that
   name, or a folder that cannot be read; CTKD_ENOMEM; errors of ctkd__tree_open. */
ctkd_status ctkd__pictures_add(struct ctkd__pictures *pictures, const char *path, ctkd_error *err);

size_t ctkd__pictures_count(const struct ctkd__pictures *pictures);
/* The number of files in the folders whose names do not end like images'. */
size_t ctkd__pictures_others(const struct ctkd__pictures *pictures);

/* All bytes of file i, and what messages call it. */
ctkd_status ctkd__pictures_read(const struct ctkd__pictures *pictures, size_t i,
                                struct ctkd__tree_bytes *out, ctkd_error *err);
void ctkd__pictures_place(const struct ctkd__pictures *pictures, size_t i, char *out, size_t bytes);

#endif
