/* Files that are complete or absent. */
#ifndef CTKD_UTIL_FILE_H
#define CTKD_UTIL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "ctkd/status.h"

/* Opens a temporary file beside `path` for writing; commit flushes, syncs, closes and renames it to
   `path`; abandon closes and removes it. Every write error (a full disk) surfaces at commit. If
   path is a link, the file that it leads to is replaced and the link stays. "-" is standard output.
   It, and an existing device or pipe, is written directly, without a temporary file. */
struct ctkd__new_file {
    FILE *stream;
    char path[1024], temporary[1040]; /* temporary: "" without one */
};
ctkd_status ctkd__new_file_open(struct ctkd__new_file *file, const char *path, ctkd_error *err);
ctkd_status ctkd__new_file_commit(struct ctkd__new_file *file, ctkd_error *err);
void ctkd__new_file_abandon(struct ctkd__new_file *file);

/* Creates a temporary file beside `path` for writing and writes its name to `name`: `path`, this
   process and a number. No other process gets the same file, also not one of another machine that
   has the folder by a network file system and the same process number. -1 with errno. */
int ctkd__temporary_open(const char *path, char *name, size_t bytes);
/* Whether `name` is that of a temporary file for a file called `of`. A process that is killed
   leaves it behind. */
bool ctkd__is_temporary(const char *name, const char *of);

/* Whether `path` is a folder, or a link to one. */
bool ctkd__is_folder(const char *path);
/* Whether two paths lead to the same file or folder, which exists. */
bool ctkd__is_same_file(const char *a, const char *b);
/* Creates a folder and those above it that are missing. */
ctkd_status ctkd__folders_create(const char *path, ctkd_error *err);

/* Makes a rename to `path` durable: syncs its folder. -1 with errno on failure. */
int ctkd__folder_sync(const char *path);

/* Reads a whole file; *text is NUL-terminated and freed by the caller. CTKD_EFORMAT: it has more
   than `limit` bytes. */
ctkd_status ctkd__file_read(const char *path, size_t limit, char **text, size_t *bytes,
                            ctkd_error *err);

#endif
