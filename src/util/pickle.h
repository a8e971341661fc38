/*
 * A reader of Python pickles (protocols 2 to 5) that executes nothing: it builds a tree of plain
 * values. A class or function is a name, a call or an instance an opaque object with its arguments.
 * The tree may share nodes and have cycles: bound every walk over it.
 */
#ifndef CTKD_UTIL_PICKLE_H
#define CTKD_UTIL_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

enum ctkd__pickle_kind {
    CTKD__PICKLE_NONE,
    CTKD__PICKLE_BOOL,
    CTKD__PICKLE_INT, /* one beyond 64 bits is BYTES, little-endian */
    CTKD__PICKLE_FLOAT,
    CTKD__PICKLE_STRING, /* text[0, length), not NUL-terminated, not checked; Python 2's bytes */
    CTKD__PICKLE_BYTES,
    CTKD__PICKLE_TUPLE,
    CTKD__PICKLE_LIST,      /* and sets */
    CTKD__PICKLE_DICT,      /* items are key, value, key, value, ... */
    CTKD__PICKLE_GLOBAL,    /* text is the module, name the class or function */
    CTKD__PICKLE_OBJECT,    /* callable(args); items as of a DICT when it was filled like one */
    CTKD__PICKLE_PERSISTENT /* args is the id */
};

struct ctkd__pickle_value {
    enum ctkd__pickle_kind kind;
    int64_t integer;
    double number;
    const char *text, *name; /* into the bytes that were read, or owned by the pickle */
    size_t length, name_length;
    struct ctkd__pickle_value **items;
    size_t count, capacity;
    struct ctkd__pickle_value *callable, *args; /* never NULL in an OBJECT */
    struct ctkd__pickle_value *attributes;      /* of an OBJECT, from BUILD; NULL without */
};

/* Owns the values of any number of pickles; all zeros at first. */
struct ctkd__pickle {
    struct ctkd__pickle_block *blocks;
    struct ctkd__pickle_bytes *bytes;
    struct ctkd__pickle_value **persistent; /* every PERSISTENT value, in order of appearance */
    size_t n_persistent, persistent_capacity;
    size_t pushes; /* values ever on the stack, of all pickles */
};
void ctkd__pickle_fini(struct ctkd__pickle *pickle);

/* Reads one pickle from the start of `bytes`, which must outlive the values; *used says where it
   ended. `name` begins messages. Texts are not copied, and more than two million values (of all
   pickles that `pickle` owns) are refused, so that memory is at most some hundred times `size` and
   at most 400 MiB. */
ctkd_status ctkd__pickle_read(struct ctkd__pickle *pickle, const char *name, const char *bytes,
                              size_t size, size_t *used, const struct ctkd__pickle_value **out,
                              ctkd_error *err);

/* A value as a message shows it: "5", "'train'", "a list of 3", "torch.FloatStorage"; of a
   container only the number of items. Returns text. */
enum { CTKD__PICKLE_TEXT = 128 };
const char *ctkd__pickle_text(const struct ctkd__pickle_value *v, char text[CTKD__PICKLE_TEXT]);

/* Comparisons; they are false for NULL. */
bool ctkd__pickle_is_string(const struct ctkd__pickle_value *v, const char *text);
bool ctkd__pickle_is_global(const struct ctkd__pickle_value *v, const char *module,
                            const char *name);

#endif
