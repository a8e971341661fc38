/* Recognises what a file really is when it is not what its name says: a Git LFS pointer, a web
   page, an archive, ... */
#ifndef CTKD_UTIL_FILE_KIND_H
#define CTKD_UTIL_FILE_KIND_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/status.h"

enum { CTKD__FILE_KIND_BYTES = 512 }; /* what ctkd__file_kind looks at */

/*
 * By the first `n` bytes of a file (all of them, or at least CTKD__FILE_KIND_BYTES): a noun phrase
 * with what to do where that helps, such as "a Git LFS pointer (`git lfs pull` fetches the file)";
 * NULL when nothing is recognised. Formats that ctkd can read elsewhere are named too: only the
 * caller knows which one it expected.
 */
const char *ctkd__file_kind(const void *bytes, size_t n);

/* Recognises only files that stand in for another one of any kind: an LFS or annex pointer, a web
   page. NULL for anything else, including an ordinary image. */
const char *ctkd__file_stand_in(const void *bytes, size_t n);

/* Whether the bytes that ctkd__file_kind looks at have no control characters, as in any text
   file. */
bool ctkd__file_is_text(const void *bytes, size_t n);

/* CTKD_EFORMAT with "PATH: this is KIND, expected EXPECTED", or the first bytes where the kind is
   not known. */
ctkd_status ctkd__file_kind_fail(const char *path, const void *bytes, size_t n,
                                 const char *expected, ctkd_error *err);

/* CTKD_EIO when `path` is neither a regular file nor a folder: a pipe cannot be read twice, and
   opening one may wait for ever. If `path` does not exist, that is CTKD_EIO too. */
ctkd_status ctkd__file_check_regular(const char *path, ctkd_error *err);

/* The first bytes of a regular file; *n says how many there are. */
ctkd_status ctkd__file_first_bytes(const char *path, unsigned char out[CTKD__FILE_KIND_BYTES],
                                   size_t *n, ctkd_error *err);

#endif
