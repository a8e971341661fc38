/*
 * The files under a path, by name: of a folder, or of a .zip or .tar that is read in place. The
 * same names have the same indices whether a folder or an archive holds them: files are ordered by
 * the bytes of their names, part by part ("a/z" before "a-b/a").
 */
#ifndef CTKD_DATA_TREE_H
#define CTKD_DATA_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

enum { CTKD__TREE_PLACE_MAX = 8192 }; /* of a path and a name */

/* The bytes of a file and a zero behind them, freed by ctkd__tree_bytes_free. */
struct ctkd__tree_bytes {
    uint8_t *bytes;
    size_t size;
};
void ctkd__tree_bytes_free(struct ctkd__tree_bytes *bytes);

/* Read only after open: any number of threads may use it. */
struct ctkd__tree;

/* An archive in a folder whose files appear below `folder` instead: "ILSVRC2012_img_val.tar" below
   "val". */
struct ctkd__tree_mount {
    const char *archive, *folder;
};

/*
 * Names that begin with a dot are left out, with all that is below them (and __MACOSX); links in a
 * folder are followed. A .tar in a .tar is the folder of its name. `mounts` ends with an archive
 * NULL; NULL: none.
 *
 *   CTKD_EIO      cannot be read: the message names the file or the folder
 *   CTKD_EFORMAT  a damaged archive; a link that leads back to a folder above it
 *   CTKD_ENOMEM
 */
ctkd_status ctkd__tree_open(const char *path, const struct ctkd__tree_mount *mounts,
                            struct ctkd__tree **out, ctkd_error *err);
void ctkd__tree_close(struct ctkd__tree *tree);

const char *ctkd__tree_path(const struct ctkd__tree *tree); /* as given to open */
size_t ctkd__tree_count(const struct ctkd__tree *tree);
/* Relative to the path: "train/ants/1.jpg". Until close. */
const char *ctkd__tree_name(const struct ctkd__tree *tree, size_t i);
/* Folders, in the same order; those that are empty too, where an archive says so. */
size_t ctkd__tree_folders(const struct ctkd__tree *tree);
const char *ctkd__tree_folder(const struct ctkd__tree *tree, size_t i);
/* The index of a file name; the number of files if there is none. */
size_t ctkd__tree_find(const struct ctkd__tree *tree, const char *name);
/* Files first to *end - 1 have names that begin with `prefix` and a slash ("": all). */
size_t ctkd__tree_below(const struct ctkd__tree *tree, const char *prefix, size_t *end);

/* Whether file i is a file of the disk, and not in an archive. */
bool ctkd__tree_is_on_disk(const struct ctkd__tree *tree, size_t i);
/* Reads all bytes of file i. CTKD_ERANGE: it has more than `limit`, and nothing is read. */
ctkd_status ctkd__tree_read(const struct ctkd__tree *tree, size_t i, size_t limit,
                            struct ctkd__tree_bytes *out, ctkd_error *err);
/* What messages call file i: "PATH/train/ants/1.jpg", "PATH.zip: train/ants/1.jpg". */
void ctkd__tree_place(const struct ctkd__tree *tree, size_t i, char *out, size_t bytes);

#endif
