/*
 * One file of a teacher's logits: a row for every view of every sample. Many processes may have it
 * open and read and add rows at the same time. Layout of the file (doc/teacher-store.md):
 *
 *   header  4096 bytes   lines of text "key value", the last with their checksum, then zeros
 *   index   4 x rows     of each row: 0 while it is absent, else 2^31 + the lower 31 bits of the
 *                        CRC-32 of its number and its floats; written after the row
 *   rows    from the next multiple of 4096: classes x 4 bytes each, float32; where rows are sealed
 *           4 more, the CRC-32 of the view that they answer
 *
 * The file is sparse. It is read and written by system calls and never mapped, so that a full or
 * failing disk gives a status, not a signal.
 */
#ifndef CTKD_STORE_LOGIT_FILE_H
#define CTKD_STORE_LOGIT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

/* The row of a view is sample * views + view. Sealed: views are made from image files, which may
   change under the same name, so each row records the view that it was computed from. */
struct ctkd__logit_shape {
    uint64_t samples, views, classes;
    bool sealed;
};

enum { CTKD__LOGIT_HEADER = 4096 };

/* Bytes that are left free on the disk, because checkpoints of runs may be written there too. */
enum { CTKD__LOGIT_DISK_RESERVE = 256 << 20 };

struct ctkd__logit_file;

/* Bytes of the file when it has every row. 0: more than a file can have, or the shape is empty. */
uint64_t ctkd__logit_file_bytes_max(const struct ctkd__logit_shape *shape);

/* Opens the file of the store that `identity` (lines "key value") describes, or creates it; two
   processes that create it at once get the same file. CTKD_EFORMAT: the file has another identity
   (the message shows the line), or is damaged; CTKD_EIO: it cannot be written, or the disk is
   nearly full; CTKD_ERANGE: too many rows, or too long a name or identity. */
ctkd_status ctkd__logit_file_create(const char *path, const char *identity,
                                    const struct ctkd__logit_shape *shape,
                                    struct ctkd__logit_file **out, ctkd_error *err);
/* Opens an existing file, whatever its identity. CTKD_EFORMAT: it is no such file, or damaged;
   CTKD_ENOTFOUND: it does not exist, or was removed while it was opened. */
ctkd_status ctkd__logit_file_open(const char *path, struct ctkd__logit_file **out, ctkd_error *err);
/* Whether a file begins like a store of logits. */
bool ctkd__logit_file_is_one(const char *path);
void ctkd__logit_file_close(struct ctkd__logit_file *file);

struct ctkd__logit_shape ctkd__logit_file_shape(const struct ctkd__logit_file *file);
/* The value of a line of the header, cut to `bytes`; "" if there is no such line. Returns out. */
const char *ctkd__logit_file_line(const struct ctkd__logit_file *file, const char *key, char *out,
                                  size_t bytes);

/* The seal of a view: the CRC-32 of its floats, in the bits of a float. */
float ctkd__logit_seal(const float *view, size_t floats);

/* A row is [classes] logits, or [classes + 1] with the seal last. */
enum ctkd__logit_row { CTKD__ROW_ABSENT, CTKD__ROW_FOUND, CTKD__ROW_DAMAGED };
/* Reads a row into `out`, which may be overwritten whatever is found. Damaged: the row is not what
   was written, or cannot be read. */
enum ctkd__logit_row ctkd__logit_file_get(const struct ctkd__logit_file *file, uint64_t row,
                                          float *out);
/* Writes a row, then its word in the index. CTKD_EIO: the disk is full (less than
   CTKD__LOGIT_DISK_RESERVE is left), fails or is read-only; the other rows of the file stay
   intact. */
ctkd_status ctkd__logit_file_put(struct ctkd__logit_file *file, uint64_t row, const float *logits,
                                 ctkd_error *err);

/* Claims a row, so that processes that miss the same rows at the same time divide them. False:
   another process holds the claim. After true, look the row up again: another process may have
   added it meanwhile. A claim is a lock on the row's word in the index, which ends with its
   process, however that ends; nothing is written to the file. A file system without such locks
   grants every claim. */
bool ctkd__logit_file_claim(struct ctkd__logit_file *file, uint64_t row);
/* Whether another process has the file open; if not, claims are unnecessary. */
bool ctkd__logit_file_shared(const struct ctkd__logit_file *file);
/* Releases all claims made through this opened file. */
void ctkd__logit_file_release(struct ctkd__logit_file *file);

/* Counts the rows in the file and, with `verify`, reads them all and counts the damaged ones. */
struct ctkd__logit_count {
    uint64_t present, damaged;
    uint64_t first_damaged; /* its row number, if damaged is not 0 */
};
ctkd_status ctkd__logit_file_count(const struct ctkd__logit_file *file, bool verify,
                                   struct ctkd__logit_count *out, ctkd_error *err);

/* The bytes that the file occupies on the disk, and those that its file system has left. */
void ctkd__logit_file_disk(const struct ctkd__logit_file *file, uint64_t *occupied,
                           uint64_t *available);

#endif
