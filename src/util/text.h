/* Text that comes from outside: UTF-8, and names that are nearly right. */
#ifndef CTKD_UTIL_TEXT_H
#define CTKD_UTIL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

/* Bytes of the UTF-8 character at `text` and its code; 0 when it is not one (overlong, surrogate,
 * cut). */
size_t ctkd__utf8_next(const char *text, uint32_t *code);

bool ctkd__text_is_utf8(const char *text);

/* True for UTF-8 without control characters and line breaks of any kind: one line of YAML or JSON.
 */
bool ctkd__text_is_line(const char *text);

/* Edits (insert, delete, replace) between two names; SIZE_MAX when one is longer than 63 bytes. */
size_t ctkd__edit_distance(const char *a, const char *b);
/* Whether `distance` is small enough for `name` to be a slip of the pen. */
bool ctkd__is_near(const char *name, size_t distance);

/* A comma list of finite numbers, such as the means of channels: `count` values (at most 16) become
   `out`, one value stands for all of them, and an empty text leaves `out` as it is. `key` is what
   messages call it. */
ctkd_status ctkd__text_floats(const char *key, const char *text, size_t count, float *out,
                              ctkd_error *err);

#endif
