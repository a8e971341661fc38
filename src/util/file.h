/* Files that are complete or absent. */
#ifndef CTKD_UTIL_FILE_H
#define CTKD_UTIL_FILE_H

#include <stddef.h>
#include <stdio.h>

#include "ctkd/status.h"

/* Opens a temporary file beside `path` for writing; commit flushes, syncs, closes and renames it to
   `path`; abandon closes and removes it. Every write error (a full disk) surfaces at commit. A link
   stays one: what it leads to is written. "-" is standard output; that, and what is there and no
   file (a device, a pipe), is written as it comes, without a temporary file. */
struct ctkd__new_file {
    FILE *stream;
    char path[1024], temporary[1040]; /* temporary: "" without one */
};
ctkd_status ctkd__new_file_open(struct ctkd__new_file *file, const char *path, ctkd_error *err);
ctkd_status ctkd__new_file_commit(struct ctkd__new_file *file, ctkd_error *err);
void ctkd__new_file_abandon(struct ctkd__new_file *file);

/* Creates a folder and those above it that are missing. */
ctkd_status ctkd__folders_create(const char *path, ctkd_error *err);

/* Makes a rename to `path` durable: syncs its folder. -1 with errno on failure. */
int ctkd__folder_sync(const char *path);

/* The whole of a file, NUL-terminated, freed by the caller; refuses more than `limit` bytes. */
ctkd_status ctkd__file_read(const char *path, size_t limit, char **text, size_t *bytes,
                            ctkd_error *err);

#endif
