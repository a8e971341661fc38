/*
 * A graph compiled for training: batch norm with batch statistics, backward for every op, all
 * memory planned once. The batch is cut into slices, by default one for each worker. Each worker
 * owns a contiguous run of them. Workers wait for each other at batch-norm statistics and at the
 * sum of gradients, which are sums over slices in a fixed order, so that the same machine, slices
 * and version give the same bits.
 */
#ifndef CTKD_NN_TRAINING_H
#define CTKD_NN_TRAINING_H

#include "dist/dist.h"
#include "nn/conv/choices.h"
#include "nn/graph.h"
#include "nn/kernels/kernels.h"
#include "nn/profile.h"
#include "nn/weights.h"
#include "nn/workers.h"
#include "util/batch_images.h"

struct ctkd__training;

/*
 * With several ranks a batch is that of all: n, images, logits, outputs, side inputs and their
 * gradients have a row for each of its images, of which a rank reads and writes those of its
 * slices. Statistics of batch norms are those of the batch; gradients are those of the own slices.
 */
struct ctkd__training_config {
    const char *name; /* of its rows in the profile ("student"); NULL: "network"; kept */
    const struct ctkd__kernels *kernels;
    struct ctkd__workers *workers;
    /* Slices of a batch; 0: one for each worker. Otherwise a multiple of the workers of all ranks;
       then no call spans two slices, and the bits do not depend on the number of workers. */
    size_t slices;
    struct ctkd__dist *dist; /* ranks, each of which has an equal run of the slices; NULL: one */
    size_t batch_max;
    const char *conv; /* "auto", or the name of an implementation to force where it applies */
    struct ctkd__choices *choices; /* recorded or to be measured; NULL: defaults */
    struct ctkd__profile *profile; /* NULL: no timing */

    /* Nodes whose values are read after forward and get a gradient before backward, beside the
       logits; copied. Each may be any node, also a parameter. */
    const int *outputs;
    size_t n_outputs;
    bool no_logits;       /* there are no logits: only the outputs are computed */
    bool input_gradients; /* ctkd__training_input_gradient is asked for */
    /* There is no backward pass and no memory for one; the weights are only read, and the running
       statistics do not change. */
    bool forward_only;
};

/* graph, weights (same block as the kernels), workers and profile are borrowed until destroy. */
ctkd_status ctkd__training_create(const struct ctkd__graph *graph, struct ctkd__weights *weights,
                                  const struct ctkd__training_config *config,
                                  struct ctkd__training **out, ctkd_error *err);
void ctkd__training_destroy(struct ctkd__training *training);

/* Prepares batches of n; create does it for batch_max. A step of a prepared size allocates nothing.
   CTKD_ERANGE: a batch norm would see a single value (one image at 1x1). */
ctkd_status ctkd__training_prepare(struct ctkd__training *training, size_t n, ctkd_error *err);

/* Sets the dropout draws of the following forward passes: pure functions of seed, major (below
   2^56; a number of the pass), number of the dropout in its graph, element and image, the first of
   which is image `first` of its batch (images below 2^19). All are 0 until this is called. */
void ctkd__training_draws(struct ctkd__training *training, uint64_t seed, uint64_t major,
                          size_t first);

/* x [n][c][h][w] -> logits [n][k]; moves the running statistics, except with forward_only. x is
   kept until backward. logits: NULL with no_logits; x: NULL for a graph without images. It may be
   called again without a backward in between. CTKD_EINVAL: a side input was not given. */
ctkd_status ctkd__training_forward(struct ctkd__training *training, size_t n, const float *x,
                                   float *logits, ctkd_error *err);
/* The same of images that may be bytes; each worker makes the values of its images where it reads
   them, in the forward and in the backward pass, in memory that activations use between. */
ctkd_status ctkd__training_forward_images(struct ctkd__training *training, size_t n,
                                          struct ctkd__batch_images x, float *logits,
                                          ctkd_error *err);
/* From now on, forward passes leave the running statistics alone and write the means and unbiased
   variances of their batch to `moments`, in the layout of the weights' buffers. NULL: as before. */
void ctkd__training_keep_moments(struct ctkd__training *training, float *moments);
/* Moves the running statistics by the moments of a forward pass, of this or another rank, to the
   bits that the pass itself would have moved them to. */
void ctkd__training_move_statistics(struct ctkd__training *training, const float *moments);
/* dlogits [n][k] of the last forward (NULL with no_logits) and the gradients of the outputs ->
   gradients of all parameters (overwritten; 0 where none arrives). Forgets what
   ctkd__training_input and ctkd__training_output_gradient were given. CTKD_EINVAL: forward_only. */
ctkd_status ctkd__training_backward(struct ctkd__training *training, const float *dlogits,
                                    ctkd_error *err);

/* Call it between forward and backward: every rank receives the rows of output `index` that other
   ranks have computed. */
ctkd_status ctkd__training_share_output(struct ctkd__training *training, size_t index,
                                        ctkd_error *err);
/* Plain [n][c][h][w] of output `index`; of a parameter [c]. Valid until the next forward. */
const float *ctkd__training_output(const struct ctkd__training *training, size_t index);
/* Gives the gradient of output `index`, in the layout of its value, borrowed until backward
   returns; NULL, or no call at all: zero. It is added to what comes from the rest of the graph. */
void ctkd__training_output_gradient(struct ctkd__training *training, size_t index,
                                    const float *plain);
/* Gives side input `node` of the next forward, [n][c][h][w], borrowed until backward returns. */
void ctkd__training_input(struct ctkd__training *training, int node, const float *plain);
/* After backward: the gradient of side input `node`, [n][c][h][w]; 0 where none arrives. NULL
   without input_gradients, and when nothing that is computed reads it. */
const float *ctkd__training_input_gradient(const struct ctkd__training *training, int node);

/* A division of the parameter block from its end, because a backward pass completes the last
   parameters first. Part p begins at begin[p], where a parameter begins, and ends where part p - 1
   begins (part 0: at the end of the block); the last part begins at 0. */
struct ctkd__training_parts {
    const size_t *begin; /* [count], descending; copied */
    size_t count;
    void (*complete)(void *context, size_t part);
    void *context;
};
/* From now on, every backward pass calls `complete` once for each part, in any worker, as soon as
   the gradients of this part and all before it are complete in all slices of this rank. Calls for
   different parts may overlap, and come in any order. CTKD_ENOMEM. */
ctkd_status ctkd__training_report_parts(struct ctkd__training *training,
                                        const struct ctkd__training_parts *parts, ctkd_error *err);

/* How many slices of a batch this rank has. */
size_t ctkd__training_slices(const struct ctkd__training *training);
/* The part of the gradient from this rank's slice `slice`: n_values floats in the layout of
   weights->values. The gradient is the sum of the parts of all slices of all ranks. */
const float *ctkd__training_gradient(const struct ctkd__training *training, size_t slice);
/* The sum over the rank's slices as named row-major tensors; for tests and tools. */
ctkd_status ctkd__training_export_gradient(const struct ctkd__training *training,
                                           struct ctkd__tensors *list, ctkd_error *err);
/* How many convolutions, counted by direction, run a library's slow reference code, and the first
   of them ("conv1, conv backward weights"; "" without one). */
size_t ctkd__training_references(const struct ctkd__training *training,
                                 char first[CTKD__REFERENCE_BYTES]);
size_t ctkd__training_bytes(const struct ctkd__training *training);

#endif
