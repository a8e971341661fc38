/*
 * Lists of names, such as those of a data set's classes. A list is kept until the process ends, and
 * equal lists are one: a description of a network may copy the pointer, and two pointers say
 * whether two lists are equal. A process has few of them, so nothing is freed.
 */
#ifndef CTKD_UTIL_NAMES_H
#define CTKD_UTIL_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/status.h"

struct ctkd__names {
    size_t count;
    const char *const *items;
    const char *text; /* one name a line, each with its line end */
    bool sorted;      /* in byte order */
};

/*
 * From text with a name in each line; a last line without an end counts, empty lines at the end do
 * not. `place` begins messages.
 *
 *   CTKD_EFORMAT  there is no name, or a name is empty, occurs twice or is not a line of UTF-8
 *   CTKD_ENOMEM
 */
ctkd_status ctkd__names_of_text(const char *place, const char *text, const struct ctkd__names **out,
                                ctkd_error *err);
/* Of a file. CTKD_EIO: cannot be read. */
ctkd_status ctkd__names_of_file(const char *path, const struct ctkd__names **out, ctkd_error *err);

/* The index of a name; the number of names if it is not in the list. */
size_t ctkd__names_find(const struct ctkd__names *names, const char *name);

#endif
