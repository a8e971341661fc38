/*
 * A graph compiled for inference: batch norm folded into convolutions, bias, residual and ReLU
 * fused, activations freed by liveness. Workers claim chunks of images; an image's result does not
 * depend on which worker or chunk it was in.
 */
#ifndef CTKD_NN_INFERENCE_H
#define CTKD_NN_INFERENCE_H

#include "dist/dist.h"
#include "nn/conv/choices.h"
#include "nn/graph.h"
#include "nn/kernels/kernels.h"
#include "nn/profile.h"
#include "nn/weights.h"
#include "nn/workers.h"
#include "util/batch_images.h"

struct ctkd__inference;

struct ctkd__inference_config {
    const char *name; /* of its rows in the profile ("teacher"); NULL: "network"; kept */
    const struct ctkd__kernels *kernels;
    struct ctkd__workers *workers;
    size_t chunk; /* images per pass of a worker; 0: chosen by the network */
    /* No pass has images of two slices (util/slice.h). 0: no slices, and a small n is divided into
       as many passes as there are workers. */
    size_t slices;
    struct ctkd__dist *dist; /* ranks, each of which has an equal run of the slices; NULL: one */
    const char *conv;
    struct ctkd__choices *choices; /* recorded or to be measured; NULL: defaults */
    struct ctkd__profile *profile;

    const int *outputs; /* nodes whose values are read besides the logits; copied */
    size_t n_outputs;
    bool no_logits; /* only the outputs are computed */
};

ctkd_status ctkd__inference_create(const struct ctkd__graph *graph,
                                   const struct ctkd__inference_config *config,
                                   struct ctkd__inference **out, ctkd_error *err);
void ctkd__inference_destroy(struct ctkd__inference *inference);

/* Folds and packs the present weights into memory of its own. Call it again after they change. */
ctkd_status ctkd__inference_load(struct ctkd__inference *inference,
                                 const struct ctkd__weights *weights, ctkd_error *err);

/* Makes the folded weights read-only memory until the next load. */
ctkd_status ctkd__inference_protect(struct ctkd__inference *inference, ctkd_error *err);

/* As _run below, but this rank computes all n images, which are its own. */
ctkd_status ctkd__inference_run_here(struct ctkd__inference *inference, size_t n,
                                     struct ctkd__batch_images x, float *logits, ctkd_error *err);
/* x [n][c][h][w] -> logits [n][k], any n >= 1. Outputs are not written. With several ranks only the
   rows of this rank's slices are read and written, as in training.h. */
ctkd_status ctkd__inference_run(struct ctkd__inference *inference, size_t n, const float *x,
                                float *logits, ctkd_error *err);

/* The same, and output i -> outputs[i], plain [n][c][h][w]. logits may be NULL with no_logits. */
ctkd_status ctkd__inference_run_outputs(struct ctkd__inference *inference, size_t n, const float *x,
                                        float *logits, float *const *outputs, ctkd_error *err);

/* The same of images that may be bytes, whose values are made chunk by chunk. outputs: NULL for
   none. */
ctkd_status ctkd__inference_run_images(struct ctkd__inference *inference, size_t n,
                                       struct ctkd__batch_images x, float *logits,
                                       float *const *outputs, ctkd_error *err);

/* Prepares runs of n images; ctkd__inference_run does this itself when it must. */
ctkd_status ctkd__inference_prepare(struct ctkd__inference *inference, size_t n, ctkd_error *err);
/* As ctkd__training_references, for the sizes of calls so far. */
size_t ctkd__inference_references(const struct ctkd__inference *inference,
                                  char first[CTKD__REFERENCE_BYTES]);
size_t ctkd__inference_bytes(const struct ctkd__inference *inference);

#endif
