/*
 * The convolution: one interface, interchangeable implementations, chosen per layer and direction.
 *
 * Activations are blocked [n][C/B][h][w][B], except the network's input, which is plain
 * [n][c][h][w]. Weights are in the layout of the flat block (weights.c), C channels of a group:
 *   blocked  [O/B][C/B][k][k][B c][B o]
 *   compact  [O/B][k][k][C][B o], for plain input, depthwise convolutions (C is 1), and groups
 *            whose channels are not multiples of B on both sides: a block of outputs then crosses
 *            groups.
 */
#ifndef CTKD_NN_CONV_H
#define CTKD_NN_CONV_H

#include "nn/kernels/kernels.h"

struct ctkd__conv_shape {
    size_t c, h, w;   /* input */
    size_t o, oh, ow; /* output */
    size_t kernel, stride, padding;
    bool plain_input;
    size_t groups; /* 0 means 1 */
};

enum ctkd__conv_direction {
    CTKD__CONV_FORWARD,
    CTKD__CONV_BACKWARD_DATA,
    CTKD__CONV_BACKWARD_WEIGHTS
};

struct ctkd__choices; /* choices.h */

struct ctkd__conv_request {
    struct ctkd__conv_shape shape;
    enum ctkd__conv_direction direction;
    bool bias, residual, relu; /* FORWARD: what follows, always the same for a layer */
    bool prologue;             /* FORWARD, BACKWARD_WEIGHTS: calls come with one */
    const struct ctkd__kernels *kernels;
    size_t workers;
    size_t images;                 /* of a call, typically: what choices are made for */
    struct ctkd__choices *choices; /* recorded ones; NULL: the defaults of the shapes */
    size_t tile_block;             /* of an implementation that works in tiles; 0: its default */
};

/* One call, in one worker, on n whole images. */
struct ctkd__conv_call {
    size_t n, worker;
    const float *x;                      /* FORWARD, BACKWARD_WEIGHTS */
    const struct ctkd__affine *prologue; /* the input is relu?(scale * x + shift); or NULL */
    const float *dy;                     /* BACKWARD_DATA, BACKWARD_WEIGHTS */
    const float *weights;                /* FORWARD, BACKWARD_DATA: as packed */
    const float *bias;
    const float *base; /* added to the result: FORWARD residual, BACKWARD_DATA earlier gradient; may
                          be out */
    float *out;        /* y, dx or dw; overwritten */
    void *scratch;
};

struct ctkd__conv; /* one layer and direction; begins with struct ctkd__conv_base */

struct ctkd__conv_impl {
    const char *name;
    bool tiles; /* whether it reads tile_block */
    /* Whether FORWARD and BACKWARD_DATA give an image the same bits in any call. */
    bool by_image;
    bool (*supports)(const struct ctkd__conv_request *request);
    /* Whether it is chosen when no name is given; NULL: wherever it applies. */
    bool (*is_default)(const struct ctkd__conv_request *request);
    /* Whether a library would answer the request with its slow reference code, or not at all: taken
       only where nothing else applies, or by name. NULL: never. */
    bool (*is_reference)(const struct ctkd__conv_request *request);
    ctkd_status (*create)(const struct ctkd__conv_request *request, struct ctkd__conv **out,
                          ctkd_error *err);
    void (*destroy)(struct ctkd__conv *conv);
    /* Prepares calls with n images, which then allocate nothing. NULL: nothing needs preparing. */
    ctkd_status (*prepare)(struct ctkd__conv *conv, size_t n, ctkd_error *err);
    /* Bytes of weights in the form that calls take; 0: they take the flat layout itself. */
    size_t (*packed_bytes)(const struct ctkd__conv *conv);
    /* Packs part `part` of `parts`; different threads may pack different parts at once. */
    void (*pack)(const struct ctkd__conv *conv, const float *weights, float *packed, size_t part,
                 size_t parts);
    size_t (*scratch_bytes)(const struct ctkd__conv *conv); /* of each worker, after prepare */
    ctkd_status (*run)(const struct ctkd__conv *conv, const struct ctkd__conv_call *call);
    /* The library's name for the code that runs ("jit:avx2"), until destroy; NULL: `name` says it.
     */
    const char *(*library_code)(const struct ctkd__conv *conv);
};

struct ctkd__conv_base {
    const struct ctkd__conv_impl *impl;
    struct ctkd__conv_request request;
};

static inline const struct ctkd__conv_base *ctkd__conv_base(const struct ctkd__conv *conv)
{
    return (const struct ctkd__conv_base *)(const void *)conv;
}

/* Every implementation, the general ones last; NULL-terminated. */
const struct ctkd__conv_impl *const *ctkd__conv_list(void);

/* CTKD_ENOTFOUND unless `name` is an implementation, "auto", "" or NULL. */
ctkd_status ctkd__conv_check(const char *name, ctkd_error *err);

/* Makes a convolution with the implementation of that name, or for "auto", "" or NULL with the
   recorded choice of request->choices. Where there is none or it does not apply, the first of the
   list whose is_default accepts the request is taken, else the first that applies (reference code
   last). CTKD_ENOTFOUND: unknown name; CTKD_EUNSUPPORTED: none applies. */
ctkd_status ctkd__conv_create(const char *name, const struct ctkd__conv_request *request,
                              struct ctkd__conv **out, ctkd_error *err);
/* Whether ctkd__conv_create of the same arguments finds an implementation. */
bool ctkd__conv_supported(const char *name, const struct ctkd__conv_request *request);
void ctkd__conv_destroy(struct ctkd__conv *conv); /* NULL is allowed */
/* The code that runs, as profiles show it: "winograd", "dnnl jit:avx2". */
enum { CTKD__CONV_HOW = 40 };
void ctkd__conv_how(const struct ctkd__conv *conv, char how[CTKD__CONV_HOW]);
/* Whether that is a library's reference code, which is slow by a factor of ten to a hundred. */
bool ctkd__conv_runs_reference(const struct ctkd__conv *conv);
/* Room for the description of such a convolution: its layer's name and its direction. */
enum { CTKD__REFERENCE_BYTES = 128 };
/* impl->prepare where there is one. */
ctkd_status ctkd__conv_prepare(struct ctkd__conv *conv, size_t n, ctkd_error *err);

/* Floating-point operations (2 per multiply-add) of one image. */
double ctkd__conv_flops(const struct ctkd__conv_shape *shape);
size_t ctkd__conv_groups(const struct ctkd__conv_shape *shape); /* at least 1 */
/* Whether weights lie in the compact layout, for blocks of B channels. */
bool ctkd__conv_is_compact(const struct ctkd__conv_shape *shape, size_t block);
/* Input channels of a group as the weights have them: padded to B in the blocked layout. */
size_t ctkd__conv_weight_depth(const struct ctkd__conv_shape *shape, size_t block);
size_t ctkd__conv_weight_floats(const struct ctkd__conv_shape *shape, size_t block);

#endif
