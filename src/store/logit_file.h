/*
 * One file of a teacher's answers: the logits of every view of every sample, a row each. Many
 * processes may have it open, and read and add rows at once. Map of the file
 * (doc/teacher-store.md):
 *
 *   header  4096 bytes   lines of text "key value", the last with their check sum, then zeros
 *   index   4 x rows     of each row: 0 while it is absent, else 2^31 + the lower 31 bits of the
 *                        CRC-32 of its number and its logits; written after the row
 *   rows    from the next multiple of 4096: classes x 4 bytes each, float32; where rows are sealed
 *           4 more, the CRC-32 of the view that they answer
 *
 * The file is sparse. It is read and written by calls and never mapped, so that a full disk and a
 * failing one are statuses, not signals.
 */
#ifndef CTKD_STORE_LOGIT_FILE_H
#define CTKD_STORE_LOGIT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

/* Row sample * views + view. Sealed: views are made of files, which may change under their names,
   so that each row says what it was computed from. */
struct ctkd__logit_shape {
    uint64_t samples, views, classes;
    bool sealed;
};

enum { CTKD__LOGIT_HEADER = 4096 };

/* The disk keeps so much: checkpoints of runs lie there too. */
enum { CTKD__LOGIT_DISK_RESERVE = 256 << 20 };

struct ctkd__logit_file;

/* Bytes of the file when every row is there. 0: more than a file can have, or a shape that is none.
 */
uint64_t ctkd__logit_file_bytes_max(const struct ctkd__logit_shape *shape);

/* Opens the file of the store that `identity` (lines "key value") describes, or creates it; two
   processes that create it at once have the same one. CTKD_EFORMAT: it is there with another
   identity, the line named, or damaged; CTKD_EIO: it cannot be written, or the disk is nearly full.
 */
ctkd_status ctkd__logit_file_create(const char *path, const char *identity,
                                    const struct ctkd__logit_shape *shape,
                                    struct ctkd__logit_file **out, ctkd_error *err);
/* Opens one that is there, whatever it holds. CTKD_EFORMAT: it is no such file, or damaged;
   CTKD_ENOTFOUND: it is not there, or was removed while it was opened. */
ctkd_status ctkd__logit_file_open(const char *path, struct ctkd__logit_file **out, ctkd_error *err);
/* Whether a file begins as one of them. */
bool ctkd__logit_file_is_one(const char *path);
void ctkd__logit_file_close(struct ctkd__logit_file *file);

struct ctkd__logit_shape ctkd__logit_file_shape(const struct ctkd__logit_file *file);
/* The value of a line of its header, cut where `bytes` are too few; "" without such a line. Returns
   out. */
const char *ctkd__logit_file_line(const struct ctkd__logit_file *file, const char *key, char *out,
                                  size_t bytes);

/* The seal of a view: the CRC-32 of its floats, in the bits of a float. */
float ctkd__logit_seal(const float *view, size_t floats);

/* A row is [classes] logits, or [classes + 1] with the seal last. */
enum ctkd__logit_row { CTKD__ROW_ABSENT, CTKD__ROW_FOUND, CTKD__ROW_DAMAGED };
/* Reads a row into `out`, which is overwritten whatever is found. Damaged: it is not what was
   written, or cannot be read. */
enum ctkd__logit_row ctkd__logit_file_get(const struct ctkd__logit_file *file, uint64_t row,
                                          float *out);
/* Writes a row, then its place in the index. CTKD_EIO: the disk is full (less than
   CTKD__LOGIT_DISK_RESERVE is left) or fails; what is in the file stays good. */
ctkd_status ctkd__logit_file_put(struct ctkd__logit_file *file, uint64_t row, const float *logits,
                                 ctkd_error *err);

/* Asks to be the one that computes a row, so that processes which miss the same rows at the same
   time divide them. False: another has asked and not released; a row that was absent before may be
   there now. A claim is a lock of the row's place in the index, which ends with its process,
   however that ends; the file itself shows nothing of it. A file system without such locks grants
   every claim. */
bool ctkd__logit_file_claim(struct ctkd__logit_file *file, uint64_t row);
/* Whether somebody else has the file open: who is alone need not claim. */
bool ctkd__logit_file_shared(const struct ctkd__logit_file *file);
/* Ends all claims of this opened file. */
void ctkd__logit_file_release(struct ctkd__logit_file *file);

/* Rows that are there, and (verify) those of them that are damaged: all are read. */
struct ctkd__logit_count {
    uint64_t present, damaged;
    uint64_t first_damaged; /* a row, when there is one */
};
ctkd_status ctkd__logit_file_count(const struct ctkd__logit_file *file, bool verify,
                                   struct ctkd__logit_count *out, ctkd_error *err);

/* Bytes that it occupies, and that its file system has left. */
void ctkd__logit_file_disk(const struct ctkd__logit_file *file, uint64_t *occupied,
                           uint64_t *available);

#endif
