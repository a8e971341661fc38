/*
 * The values of a graph's parameters: one flat block in the layout of the forward pass (blocked by
 * the kernels' block, padded with zeros), and one of running statistics. Code outside sees names
 * and row-major shapes.
 */
#ifndef CTKD_NN_WEIGHTS_H
#define CTKD_NN_WEIGHTS_H

#include <stdbool.h>

#include "nn/graph.h"
#include "util/tensors.h"

struct ctkd__weights {
    const struct ctkd__graph *graph; /* borrowed */
    size_t block;
    float *values;   /* trainable parameters; 64-byte aligned */
    size_t n_values; /* with padding; the optimiser's length */
    float *buffers;  /* running statistics */
    size_t n_buffers;
    size_t *offsets; /* of each parameter: into values, or into buffers for MEAN and VARIANCE */
    int64_t batches_tracked;
    bool is_protected; /* values and buffers are read-only memory */
};

/* Creates the weights, all zeros. `graph` is borrowed until destroy. */
ctkd_status ctkd__weights_create(const struct ctkd__graph *graph, size_t block,
                                 struct ctkd__weights **out, ctkd_error *err);
void ctkd__weights_destroy(struct ctkd__weights *weights);

/* Makes the values and the running statistics read-only memory until destroy. */
ctkd_status ctkd__weights_protect(struct ctkd__weights *weights, ctkd_error *err);

/* Draws initial values: a pure function of (seed, parameter's index, element's row-major index). */
void ctkd__weights_initialise(struct ctkd__weights *weights, uint64_t seed);

/* Copies from named tensors. Every parameter must be there with its shape (num_batches_tracked may
   be absent); a missing, unexpected or misshapen one is an error that names it. Nothing is written
   on error. */
ctkd_status ctkd__weights_import(struct ctkd__weights *weights, const struct ctkd__tensors *list,
                                 ctkd_error *err);
/* Appends all tensors of the state dict, in its order, to a list. */
ctkd_status ctkd__weights_export(const struct ctkd__weights *weights, struct ctkd__tensors *list,
                                 ctkd_error *err);
/* Converts one parameter between a flat block and row-major. */
void ctkd__weights_pack(const struct ctkd__weights *weights, int parameter, const float *plain,
                        float *flat);
void ctkd__weights_unpack(const struct ctkd__weights *weights, int parameter, const float *flat,
                          float *plain);

#endif
