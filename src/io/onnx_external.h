/* Tensors of an ONNX model that lie in other files of its folder ("external data"), as PyTorch's
 * exporter and onnx.save_model write them. */
#ifndef CTKD_IO_ONNX_EXTERNAL_H
#define CTKD_IO_ONNX_EXTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

/* Where a tensor's bytes lie: raw and little-endian, as inside a model. */
struct ctkd__onnx_place {
    const char *location; /* relative to the model's folder */
    uint64_t offset, length;
    bool has_length;
};

/* The file that was asked for last stays open. All zeros but for `model` to begin. */
struct ctkd__onnx_external {
    const char *model; /* the model's path */
    char path[1024];
    int file; /* valid while path is not empty */
    uint64_t size;
    uint64_t left;                       /* bytes that may still be asked for */
    struct ctkd__onnx_external_id *seen; /* files that were opened */
    size_t n_seen;
};
void ctkd__onnx_external_fini(struct ctkd__onnx_external *external);

/* The place that one "key" = "value" of a tensor's external_data says; unknown keys are passed
   over. CTKD_EFORMAT: not a number where one is expected. `name` is the tensor's. */
ctkd_status ctkd__onnx_place_set(struct ctkd__onnx_place *place, const char *model,
                                 const char *name, const char *key, const char *value,
                                 ctkd_error *err);

/*
 * Opens the file of a place and compares it with the bytes that the tensor needs, before room is
 * made for them. A file with a SHA-256 beside it (io/manifest.h) must have it. CTKD_EIO: no such
 * file; CTKD_EFORMAT: a name that leads out of the model's folder, not a regular file, too short,
 * or read over and over: all tensors together take at most four times the bytes of all files.
 */
ctkd_status ctkd__onnx_external_find(struct ctkd__onnx_external *external,
                                     const struct ctkd__onnx_place *place, const char *name,
                                     size_t bytes, ctkd_error *err);
/* Reads what was found last. */
ctkd_status ctkd__onnx_external_read(struct ctkd__onnx_external *external,
                                     const struct ctkd__onnx_place *place, void *to, size_t bytes,
                                     ctkd_error *err);

#endif
