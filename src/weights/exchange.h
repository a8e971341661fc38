/* Networks to and from ONNX. */
#ifndef CTKD_WEIGHTS_EXCHANGE_H
#define CTKD_WEIGHTS_EXCHANGE_H

#include "io/onnx.h"
#include "nn/graph.h"
#include "weights/format.h"
#include "weights/network_file.h"

/* Opset 13, any batch size: images [n, c, h, w] (pixels when normalised inside) -> logits [n, k].
   Initialisers have the names of the state dict, in its order. `out` must be empty. */
ctkd_status ctkd__onnx_export(const struct ctkd__export_args *args, struct ctkd__onnx_model *out,
                              ctkd_error *err);

/* The first says whether a model leaves the channels, height or width of its images open; the
   second fills in open sizes (0 leaves a size open). */
bool ctkd__onnx_is_free(const struct ctkd__onnx_model *model);
void ctkd__onnx_take_size(struct ctkd__onnx_model *model, size_t channels, size_t height,
                          size_t width);

/*
 * Imports a classifier that consists of the operators of onnx_operators.c: its graph, its
 * parameters, and what the model says about its input: sizes, classes, a normalisation at its
 * beginning (for pixels / 255). Softmax at the end is dropped. Operators that are not listed are
 * errors that name the node. Half precision becomes float, Casts to it change nothing; a model of
 * bytes has images of 0 to 255. `model` gets its half-precision tensors widened, and no size of its
 * images may be free any more. *graph is NULL on failure.
 */
ctkd_status ctkd__onnx_import(const char *file, struct ctkd__onnx_model *model,
                              struct ctkd__graph **graph, struct ctkd__tensors *tensors,
                              struct ctkd__network_info *info, ctkd_error *err);

#endif
