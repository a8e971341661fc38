/* Whole members of a folder or of a tar archive, read in place; nothing is ever unpacked to disk.
 */
#ifndef CTKD_DATA_ARCHIVE_H
#define CTKD_DATA_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

enum { CTKD__PLACE_MAX = 400 }; /* longer paths are cut, in messages only */

/* One wanted file. The caller sets name, also and limit, the rest is filled. */
struct ctkd__member {
    const char *name;        /* base name, without .gz */
    const char *const *also; /* other names that it is known by, NULL-terminated; NULL: none */
    size_t limit;            /* most bytes that it may have */
    uint8_t *bytes;          /* freed by ctkd__members_free */
    size_t size;
    char place[CTKD__PLACE_MAX]; /* where it was found, for messages */
};

/*
 * Reads all members. `path` is
 *   - an archive: .tar, .tar.gz or .tar.xz (known by content); members are found by base name at
 *     any depth. It is read to its end, so that a damaged or cut archive is noticed; a member that
 *     occurs twice is an error;
 *   - a folder that holds one of the files, plain or as NAME.gz (plain wins; of several names the
 *     first): then it must hold all. The message of a missing file names a file with a similar
 *     name where there is one;
 *   - a folder that holds one of `places` (NULL-terminated relative paths, published sub-folders
 *     and archives, first wins): the same with that.
 * On failure everything is freed.
 *
 *   CTKD_EIO        cannot be read
 *   CTKD_ENOTFOUND  a member or all are missing
 *   CTKD_EFORMAT    damaged, duplicate, or longer than its limit
 */
ctkd_status ctkd__archive_read(const char *path, const char *const *places,
                               struct ctkd__member *members, size_t count, ctkd_error *err);
void ctkd__members_free(struct ctkd__member *members, size_t count);

/* Which of NULL-terminated `names` ctkd__archive_read would find: in a folder the first of the
   names, in an archive the one whose member comes first; reading stops there. Returns the number of
   names if it would find none or `path` cannot be read. */
size_t ctkd__archive_which(const char *path, const char *const *places, const char *const *names);

#endif
