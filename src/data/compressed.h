/* The bytes of a file that may be compressed with gzip or xz (known by its contents). Every sum
 * that the container carries is compared: libarchive 3.6 does not compare those of gzip, so zlib
 * reads these.
 */
#ifndef CTKD_DATA_COMPRESSED_H
#define CTKD_DATA_COMPRESSED_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/status.h"

struct ctkd__compressed;

/* `path` is kept until close and begins every message. CTKD_EIO: cannot be opened or read. *out is
   NULL on failure. */
ctkd_status ctkd__compressed_open(const char *path, struct ctkd__compressed **out, ctkd_error *err);
void ctkd__compressed_close(struct ctkd__compressed *file); /* takes NULL */

/* false: the bytes are those of the file itself. */
bool ctkd__compressed_is(const struct ctkd__compressed *file);

/*
 * The next `size` bytes, unpacked; *got is fewer only at the end, and 0 behind it. The checksum
 * comes after the data, so do not trust the bytes before the end was reached with CTKD_OK.
 * CTKD_EFORMAT: damaged, cut off, or followed by something else than zeros; every further call
 * fails the same way. CTKD_EIO: cannot be read. CTKD_ENOMEM.
 */
ctkd_status ctkd__compressed_read(struct ctkd__compressed *file, void *out, size_t size,
                                  size_t *got, ctkd_error *err);
/* Reads the rest, so that every sum was compared. */
ctkd_status ctkd__compressed_finish(struct ctkd__compressed *file, ctkd_error *err);

#endif
