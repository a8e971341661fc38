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

/* The last file that was used stays open. At first everything but `model` is zero. */
struct ctkd__onnx_external {
    const char *model; /* the model's path */
    char path[1024];
    int file; /* valid while path is not empty */
    uint64_t size;
    uint64_t left;                       /* bytes that may still be read */
    struct ctkd__onnx_external_id *seen; /* files that were opened */
    size_t n_seen;
};
void ctkd__onnx_external_fini(struct ctkd__onnx_external *external);

/* Takes one "key" = "value" of a tensor's external_data into a place; unknown keys are ignored.
   CTKD_EFORMAT: a value that should be a number is not. `name` is the tensor's. */
ctkd_status ctkd__onnx_place_set(struct ctkd__onnx_place *place, const char *model,
                                 const char *name, const char *key, const char *value,
                                 ctkd_error *err);

/*
 * Opens the file of a place and compares it with the bytes that the tensor needs, before room is
 * made for them. If there is a SHA-256 beside the file (io/manifest.h), it must match. CTKD_EIO: no
 * such file; CTKD_EFORMAT: a name that leads out of the model's folder, not a regular file, too
 * short, or read over and over: all tensors together take at most four times the bytes of all
 * files.
 */
ctkd_status ctkd__onnx_external_find(struct ctkd__onnx_external *external,
                                     const struct ctkd__onnx_place *place, const char *name,
                                     size_t bytes, ctkd_error *err);
/* Reads the bytes of the place that was found last. */
ctkd_status ctkd__onnx_external_read(struct ctkd__onnx_external *external,
                                     const struct ctkd__onnx_place *place, void *to, size_t bytes,
                                     ctkd_error *err);

#endif
