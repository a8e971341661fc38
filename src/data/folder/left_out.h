/* Files that are not read although their owner may take them for images of the data set. */
#ifndef CTKD_DATA_LEFT_OUT_H
#define CTKD_DATA_LEFT_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ctkd__left_out {
    uint32_t file;   /* index in the tree */
    const char *why; /* "GIF" and other formats that are not read, or one of those below */
};
extern const char ctkd__no_ending[]; /* in the folder of a class, its name has no dot */
extern const char ctkd__no_class[];  /* an image beside the folders of the classes */

struct ctkd__left_out_list {
    struct ctkd__left_out *items; /* freed by the caller */
    size_t count, room;
};

/* `why` is kept. False: out of memory. */
bool ctkd__left_out_add(struct ctkd__left_out_list *list, size_t file, const char *why);

/* Writes "1 GIF, 2 files without an ending"; "" for none. */
void ctkd__left_out_text(const struct ctkd__left_out_list *list, char *out, size_t bytes);

#endif
