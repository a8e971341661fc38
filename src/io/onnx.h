/* ONNX models as plain lists: nodes, initialisers, inputs, outputs. weights/exchange.h gives the
   nodes their meaning. */
#ifndef CTKD_IO_ONNX_H
#define CTKD_IO_ONNX_H

#include <stdbool.h>

#include "util/tensors.h"

/* The kinds of attributes that are read, with ONNX's numbers. For any other kind only its number is
   kept. */
enum ctkd__onnx_kind {
    CTKD__ONNX_FLOAT = 1,
    CTKD__ONNX_INT = 2,
    CTKD__ONNX_STRING = 3,
    CTKD__ONNX_TENSOR = 4, /* kept when it is one integer: i, count 1 */
    CTKD__ONNX_FLOATS = 6,
    CTKD__ONNX_INTS = 7,
};

struct ctkd__onnx_attribute {
    const char *name;
    enum ctkd__onnx_kind kind;
    float f;
    int64_t i;
    const char *s;
    const int64_t *ints;
    const float *floats;
    size_t count; /* of ints or floats */
};

struct ctkd__onnx_node {
    const char *op, *name;
    const char **inputs, **outputs; /* "": left out */
    size_t n_inputs, n_outputs;
    struct ctkd__onnx_attribute *attributes;
    size_t n_attributes;
};

/* Element types, with ONNX's numbers, of what goes in and out and what Cast makes. */
enum ctkd__onnx_type {
    CTKD__ONNX_TYPE_FLOAT = 1,
    CTKD__ONNX_TYPE_UINT8 = 2,
    CTKD__ONNX_TYPE_INT32 = 6,
    CTKD__ONNX_TYPE_INT64 = 7,
    CTKD__ONNX_TYPE_FLOAT16 = 10,
    CTKD__ONNX_TYPE_DOUBLE = 11,
    CTKD__ONNX_TYPE_BFLOAT16 = 16,
};

struct ctkd__onnx_value {
    const char *name;
    int type;                      /* 0: the file does not say */
    int rank;                      /* -1: the file does not say */
    int64_t shape[CTKD__RANK_MAX]; /* -1: any */
};

/* All zeros is an empty model. The model owns its texts and arrays until fini. */
struct ctkd__onnx_model {
    int64_t opset;
    struct ctkd__onnx_node *nodes; /* in order of computation */
    size_t n_nodes;
    struct ctkd__onnx_value *inputs, *outputs;
    size_t n_inputs, n_outputs;
    struct ctkd__tensors initialisers; /* with the values of Constant nodes, and the metadata */
    void *blocks;                      /* owned memory, chained */
    ctkd_status status;                /* sticky: of the first call below that failed */
};
void ctkd__onnx_fini(struct ctkd__onnx_model *model);

/*
 * Reads a model into an empty one, with the weights files beside it (io/onnx_external.h). Constant
 * nodes become initialisers. CTKD_EFORMAT: not ONNX, damaged, older than opset 9, an operator of
 * another domain. Memory stays within a few times the sizes of all files.
 */
ctkd_status ctkd__onnx_read(const char *path, struct ctkd__onnx_model *out, ctkd_error *err);
/* The same from memory, without files beside it; `name` begins messages. */
ctkd_status ctkd__onnx_read_bytes(const char *name, const void *bytes, size_t size,
                                  struct ctkd__onnx_model *out, ctkd_error *err);

/* Whether a file is an ONNX model, whatever the order of its fields: it consists of fields that a
   model may have, and one of them is a graph. False for a file that cannot be read. */
bool ctkd__onnx_is_model(const char *path);

/* Writes the complete file or leaves the old one. A negative dimension is written as a free batch
   size. Fails with the model's sticky status when building it failed. */
ctkd_status ctkd__onnx_write(const char *path, const struct ctkd__onnx_model *model,
                             ctkd_error *err);

/* Functions that build a model from an empty one. They copy their arguments; after a failure they
   do nothing and return NULL. */
struct ctkd__onnx_node *ctkd__onnx_add(struct ctkd__onnx_model *model, const char *op,
                                       const char *name, size_t n_inputs, const char *const *inputs,
                                       const char *output);
void ctkd__onnx_set_int(struct ctkd__onnx_model *model, const char *name, int64_t value);
void ctkd__onnx_set_ints(struct ctkd__onnx_model *model, const char *name, size_t count,
                         const int64_t *values);
void ctkd__onnx_set_float(struct ctkd__onnx_model *model, const char *name, float value);
void ctkd__onnx_add_input(struct ctkd__onnx_model *model, const char *name, int rank,
                          const int64_t *shape);
void ctkd__onnx_add_output(struct ctkd__onnx_model *model, const char *name, int rank,
                           const int64_t *shape);

/* Zeroed memory that belongs to the model and is freed by fini; for the reader of a model. */
void *ctkd__onnx_allocate(struct ctkd__onnx_model *model, size_t count, size_t size);
void *ctkd__onnx_copy(struct ctkd__onnx_model *model, const void *items, size_t count, size_t size);
const char *ctkd__onnx_text(struct ctkd__onnx_model *model, const char *text);

/* NULL when the node has no such attribute. */
const struct ctkd__onnx_attribute *ctkd__onnx_attribute(const struct ctkd__onnx_node *node,
                                                        const char *name);

#endif
