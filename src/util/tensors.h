/* A list of named tensors with metadata: the form in which weights cross module borders. */
#ifndef CTKD_UTIL_TENSORS_H
#define CTKD_UTIL_TENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

enum { CTKD__RANK_MAX = 8 };

/* Element types; X(name, text as in safetensors, bytes). Computations use only F32 and I64. */
#define CTKD__DTYPE_LIST(X)                                                                        \
    X(F32, "F32", 4)                                                                               \
    X(F64, "F64", 8)                                                                               \
    X(F16, "F16", 2)                                                                               \
    X(BF16, "BF16", 2)                                                                             \
    X(I64, "I64", 8)                                                                               \
    X(I32, "I32", 4)                                                                               \
    X(I16, "I16", 2)                                                                               \
    X(I8, "I8", 1)                                                                                 \
    X(U8, "U8", 1)                                                                                 \
    X(BOOL, "BOOL", 1)
enum ctkd__dtype {
#define CTKD__DTYPE_ENUM(name, text, bytes) CTKD__##name,
    CTKD__DTYPE_LIST(CTKD__DTYPE_ENUM)
#undef CTKD__DTYPE_ENUM
        CTKD__DTYPE_COUNT
};
size_t ctkd__dtype_bytes(enum ctkd__dtype type);
const char *ctkd__dtype_text(enum ctkd__dtype type);
/* The nearest float of an element, which need not be aligned. */
float ctkd__dtype_load(enum ctkd__dtype type, const void *bytes);
/* The same of `n` elements in a row. */
void ctkd__dtype_load_all(enum ctkd__dtype type, const void *bytes, size_t n, float *out);

struct ctkd__tensor {
    char *name;
    enum ctkd__dtype type;
    int rank; /* 0 is a scalar */
    int64_t shape[CTKD__RANK_MAX];
    void *data; /* row-major, contiguous, owned by the list */
    size_t bytes;
};

struct ctkd__tensors {
    struct ctkd__tensor *items;
    size_t count, capacity;
    char **keys, **values; /* metadata, in order of insertion */
    size_t n_metadata;
};

/* An empty list is all zeros; _fini frees everything and leaves it empty again. */
void ctkd__tensors_fini(struct ctkd__tensors *list);

/* Adds a tensor with zeroed memory and returns it through *out (borrowed until the next add).
   CTKD_EINVAL: rank or a dimension out of range, size overflow; CTKD_EEXIST: name taken. */
ctkd_status ctkd__tensors_add(struct ctkd__tensors *list, const char *name, enum ctkd__dtype type,
                              int rank, const int64_t *shape, struct ctkd__tensor **out,
                              ctkd_error *err);
const struct ctkd__tensor *ctkd__tensors_find(const struct ctkd__tensors *list, const char *name);
size_t ctkd__tensor_elements(const struct ctkd__tensor *tensor);
/* Converts F64, F16 and BF16 tensors to F32. */
ctkd_status ctkd__tensors_widen(struct ctkd__tensors *list, ctkd_error *err);
/* CTKD_ENAN for the first element of a float type that is NaN or infinite, also after conversion to
   float (an F64 of 1e300 cannot be used as a weight), and for a running variance (by its name)
   below 0; the message names tensor, element and value. Tensors of other types are always
   finite. */
ctkd_status ctkd__tensor_check_finite(const struct ctkd__tensor *tensor, ctkd_error *err);
/* Of all of them; the message begins with `path`. */
ctkd_status ctkd__tensors_check_finite(const char *path, const struct ctkd__tensors *list,
                                       ctkd_error *err);
/* "[16, 3, 3, 3]" into text; returns text. */
const char *ctkd__tensor_shape_text(const struct ctkd__tensor *tensor, char *text, size_t bytes);

/* Metadata; set replaces. get returns NULL when there is none. */
ctkd_status ctkd__tensors_set(struct ctkd__tensors *list, const char *key, const char *value,
                              ctkd_error *err);
const char *ctkd__tensors_get(const struct ctkd__tensors *list, const char *key);

#endif
