/* Helpers for input text, which may be invalid UTF-8 or nearly right names, and for lines of output
   on a terminal. */
#ifndef CTKD_UTIL_TEXT_H
#define CTKD_UTIL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctkd/status.h"

/* Bytes of the UTF-8 character at `text` and its code; 0 when it is not one (overlong, surrogate,
 * cut). */
size_t ctkd__utf8_next(const char *text, uint32_t *code);

/* The most bytes, up to `most`, of a text that end where a character ends; all of a short text. For
   "%.*s" of text that is shown in part. */
int ctkd__text_cut(const char *text, size_t most);
/* Writes a text as one line of UTF-8: a byte that is part of no character, such as those of a file
   name in Latin-1 or of a character that was cut, and a control character become \xE9 or the like.
   A line of more than `bytes` - 1 is cut. 4 * length + 1 bytes are enough. */
void ctkd__text_line(const char *text, char *out, size_t bytes);

/* Appends to a text with room for `bytes`, where it is cut. *used: the length of all that has been
   appended; `bytes` or more: it was cut. */
void ctkd__text_append(char *text, size_t bytes, size_t *used, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The characters of a text, which are the columns of a terminal for most scripts. */
size_t ctkd__text_columns(const char *text);
/* Writes at most `width` characters of a text, and blanks up to that width. */
void ctkd__text_cell(const char *text, size_t width, FILE *out);

bool ctkd__text_ends(const char *text, const char *end);
/* The part of a path after its last slash; points into the path. */
const char *ctkd__base_name(const char *path);
/* The last part of a path without the slashes behind it: "b" of "a/b/". Cut to `bytes` - 1. */
void ctkd__last_part(const char *path, char *out, size_t bytes);

bool ctkd__text_is_utf8(const char *text);

/* True for UTF-8 without control characters and line breaks of any kind: one line of YAML or JSON.
 */
bool ctkd__text_is_line(const char *text);

/* A word of a command line as a shell reads it: in single quotes where it needs them. It is cut if
   `bytes` are too few; 4 * length + 3 bytes are enough. Returns out. */
const char *ctkd__text_shell(const char *word, char *out, size_t bytes);

/* Edits (insert, delete, replace) between two names; SIZE_MAX when one is longer than 63 bytes. */
size_t ctkd__edit_distance(const char *a, const char *b);
/* Whether `distance` is small enough to be a typing error in `name`. */
bool ctkd__is_near(const char *name, size_t distance);

/* A comma list of finite numbers, such as the means of channels: `count` values (at most 16) become
   `out`, one value stands for all of them, and an empty text leaves `out` as it is. `key` is what
   messages call it. */
ctkd_status ctkd__text_floats(const char *key, const char *text, size_t count, float *out,
                              ctkd_error *err);

/* Writes the words of `text` in lines of at most 80 characters that begin at column `indent`, and a
   line break. `column` is where the output stands: after a heading that ends before `indent` the
   text begins on the same line. A word that is longer than a line is not broken. */
void ctkd__text_wrap(const char *text, size_t indent, size_t column, FILE *out);

#endif
