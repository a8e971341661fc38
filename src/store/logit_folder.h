/* The files of a store: all in the folder teacher.store. */
#ifndef CTKD_STORE_LOGIT_FOLDER_H
#define CTKD_STORE_LOGIT_FOLDER_H

#include <time.h>

#include "store/logit_file.h"

struct ctkd__logit_entry {
    char path[1024];
    uint64_t occupied; /* bytes on the disk */
    time_t used;       /* last opened by a run */
    bool leftover;     /* of a process that died while it created a file */
};

struct ctkd__logit_folder {
    struct ctkd__logit_entry *entries; /* by name */
    size_t count;
};

/* Lists the files of the folder `path`; if `path` is a file, that is the only entry. CTKD_EIO: it
   cannot be read. The caller frees *out, also after an error. */
ctkd_status ctkd__logit_folder_read(const char *path, struct ctkd__logit_folder *out,
                                    ctkd_error *err);
void ctkd__logit_folder_free(struct ctkd__logit_folder *folder);

/* Removes leftovers, then the least recently used files until the others occupy at most `bytes`.
   Files that a process has open stay, and so do files that are no stores. Calls `tell` for each
   file that was removed or, because it is in use, was not. CTKD_EFORMAT: `path` is a file but no
   store. */
ctkd_status ctkd__logit_folder_prune(const char *path, uint64_t bytes,
                                     void (*tell)(const struct ctkd__logit_entry *entry,
                                                  bool in_use),
                                     ctkd_error *err);

/* "3.27 GB", "1.4 MB", "12 kB". Returns out. */
const char *ctkd__logit_size_text(uint64_t bytes, char *out, size_t n);

#endif
