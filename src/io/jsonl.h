/* JSON for logs and summaries: objects of plain values, one per line. */
#ifndef CTKD_IO_JSONL_H
#define CTKD_IO_JSONL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctkd/status.h"

/* A writer. Open it on a log file, or fill `stream` alone to write objects to any stream. */
struct ctkd__jsonl {
    FILE *stream;
    char path[1024]; /* for messages; "" for a stream */
    bool any;        /* the object (between items: the list) has a member */
};

/* Creates a log, or continues one after removing a last line that a crash cut off. */
ctkd_status ctkd__jsonl_open(struct ctkd__jsonl *log, const char *path, bool append,
                             ctkd_error *err);
/* Makes what was written durable; *bytes: the length of the log. */
ctkd_status ctkd__jsonl_sync(struct ctkd__jsonl *log, uint64_t *bytes, ctkd_error *err);
/* Closes the file; safe on a writer that is all zeros or closed. */
void ctkd__jsonl_close(struct ctkd__jsonl *log);

/* One object: begin, members, end. Numbers are written as %.9g, NaN and infinity as null. Text that
   is not UTF-8 is written with U+FFFD for each wrong byte. */
void ctkd__jsonl_begin(struct ctkd__jsonl *log);
void ctkd__jsonl_number(struct ctkd__jsonl *log, const char *key, double value);
void ctkd__jsonl_integer(struct ctkd__jsonl *log, const char *key, int64_t value);
void ctkd__jsonl_boolean(struct ctkd__jsonl *log, const char *key, bool value);
void ctkd__jsonl_string(struct ctkd__jsonl *log, const char *key, const char *value);
/* Members that are lists of plain values. */
void ctkd__jsonl_numbers(struct ctkd__jsonl *log, const char *key, const float *values, size_t n);
void ctkd__jsonl_integers(struct ctkd__jsonl *log, const char *key, const int64_t *values,
                          size_t n);
void ctkd__jsonl_strings(struct ctkd__jsonl *log, const char *key, const char *const *values,
                         size_t n);
/* A member that is an object: begin, its members, end. */
void ctkd__jsonl_object_begin(struct ctkd__jsonl *log, const char *key);
void ctkd__jsonl_object_end(struct ctkd__jsonl *log);
/* A member that is a list of objects: list begin, for each object item begin, members, item end,
   and list end. */
void ctkd__jsonl_list_begin(struct ctkd__jsonl *log, const char *key);
void ctkd__jsonl_item_begin(struct ctkd__jsonl *log);
void ctkd__jsonl_item_end(struct ctkd__jsonl *log);
void ctkd__jsonl_list_end(struct ctkd__jsonl *log);
/* Ends the line and flushes it; any write of the object that failed surfaces here as CTKD_EIO. */
ctkd_status ctkd__jsonl_end(struct ctkd__jsonl *log, ctkd_error *err);

/* The objects of a log, in order. A last line without its newline, which is still being written, is
   ignored. */
struct ctkd__json_rows;
ctkd_status ctkd__jsonl_read(const char *path, struct ctkd__json_rows **out, ctkd_error *err);
/* The same, but only the lines of epochs: lines of steps, of which there may be many, are skipped
   without being parsed. */
ctkd_status ctkd__jsonl_read_epochs(const char *path, struct ctkd__json_rows **out,
                                    ctkd_error *err);
/* As _read, from `text` of n bytes; `path` is the name in messages. */
ctkd_status ctkd__jsonl_parse(const char *path, const char *text, size_t n,
                              struct ctkd__json_rows **out, ctkd_error *err);
void ctkd__json_rows_destroy(struct ctkd__json_rows *rows);
size_t ctkd__json_rows_count(const struct ctkd__json_rows *rows);
/* Whether a row of a run's log is an epoch of the main stage: epochs of an initial stage are
   counted separately. */
bool ctkd__json_rows_is_epoch(const struct ctkd__json_rows *rows, size_t row);
/* A member of a row: NaN or NULL when it is absent, null or of another type. A boolean is 0 or 1.
 */
double ctkd__json_rows_number(const struct ctkd__json_rows *rows, size_t row, const char *key);
const char *ctkd__json_rows_string(const struct ctkd__json_rows *rows, size_t row, const char *key);
/* The key of a row's member number `at`, in the order in which they are written; NULL behind the
   last. */
const char *ctkd__json_rows_key(const struct ctkd__json_rows *rows, size_t row, size_t at);

#endif
