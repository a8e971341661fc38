/*
 * What training and inference programs share: the instructions of a graph with their extents, maps,
 * convolutions and buffers, and the workers' memory and runs.
 */
#ifndef CTKD_NN_LOWERING_H
#define CTKD_NN_LOWERING_H

#include "nn/arena.h"
#include "nn/compile/maps.h"
#include "nn/compile/program.h"
#include "nn/conv/choices.h"
#include "nn/conv/conv.h"
#include "nn/profile.h"
#include "nn/workers.h"

enum { CTKD__NO_BUFFER = -1 };

struct ctkd__instruction_def; /* instructions.h */

/* A gradient that an instruction writes: out = base + contribution; base may be none or out itself.
 */
struct ctkd__gradient {
    int out, base;
};

/* An instruction as a program runs it. */
struct ctkd__lowered {
    struct ctkd__instruction instruction;
    const struct ctkd__instruction_def *def;
    const struct ctkd__node *node;                 /* the instruction's */
    const struct ctkd__node *in;                   /* of its input; of an INPUT its output */
    const struct ctkd__node *out;                  /* of its output; of an OUTPUT its input */
    size_t in_blocks, in_hw, out_blocks, out_hw;   /* extents, blocked */
    size_t in_floats, out_floats, residual_floats; /* of an image, blocked */
    bool is_logits;

    /* Buffers of the workers' arenas. x is CTKD__NO_BUFFER for images that are read as they are. */
    int x, residual, y;
    /* Of instructions that read the images: where bytes become floats, forward and backward; a
       program's images may also come as floats, and are then read where they are. */
    int images[2];

    /* CONV: an implementation per direction, those that the program needs. TRANSPOSED_CONV: of the
       convolution that it transposes, whose output is its input. */
    struct ctkd__conv *conv[3];
    const struct ctkd__lowered *prologue; /* the NORM that this conv applies while it reads x */
    bool virtual_output;                  /* NORM: only as a prologue, y is never stored */

    struct ctkd__channel_plan channels, dchannels[2]; /* CHANNELS: forward, towards each operand */
    struct ctkd__windows windows;                     /* AVERAGE */

    int rows[5]; /* of the profile: forward, backward (data), backward weights; packing for the
                    first two */

    /* --- training only */

    bool has_backward;                    /* a gradient reaches it and is needed for training */
    int index;                            /* MAX_POOL: buffer of the winners, a byte each */
    int dy, masked;                       /* gradient of y; NORM, ADD: behind the ReLU's mask */
    struct ctkd__gradient dx, dr;         /* of the input and of the residual */
    double *forward_sums, *backward_sums; /* NORM: [slices][2 C] */
    float *coefficients;                  /* NORM: [workers][7 C] */

    /* --- inference only */

    float *weights; /* packed; or of LINEAR */
    float *bias;    /* convs, LINEAR; NORM: shift */
    float *scale;   /* NORM */
    size_t weights_bytes;
};

struct ctkd__lowering {
    /* Set before ctkd__lowering_create. */
    const struct ctkd__graph *graph;
    const struct ctkd__kernels *kernels;
    struct ctkd__workers *workers;
    const char *conv;
    struct ctkd__choices *choices;
    struct ctkd__profile *profile;
    const char *program_name; /* "training": begins messages */
    const char *profile_name; /* the group of its rows */
    bool inference;           /* batch norms are folded, residuals and ReLUs go into convolutions */
    bool forward_only;        /* no convolution is asked for gradients */
    bool no_logits;
    size_t images;      /* of a worker at most: what memory is planned for */
    size_t call_images; /* of a call typically: what convolutions are chosen for */

    struct ctkd__program program;
    struct ctkd__lowered *ops; /* [program.count] */
    int *value_op;             /* [nodes] which of them writes a node's value; -1 */
    struct ctkd__arena plan;
    char **arenas, **scratch; /* [workers] */
    size_t scratch_bytes;     /* of each */
    ctkd_status *statuses;    /* [workers] of the present run */
};

/* Checks that a program of the graph with these outputs computes something and that each output is
   a node. */
ctkd_status ctkd__lowering_check(const struct ctkd__lowering *lowering, const int *outputs,
                                 size_t n_outputs, ctkd_error *err);
/* Makes the program and its instructions, without their convolutions, buffers and profile rows.
   CTKD_ENOMEM. */
ctkd_status ctkd__lowering_create(struct ctkd__lowering *lowering, const int *outputs,
                                  size_t n_outputs);
/* Allocates the memory of the workers; call ctkd__arena_plan before. CTKD_ENOMEM. */
ctkd_status ctkd__lowering_allocate(struct ctkd__lowering *lowering);
void ctkd__lowering_fini(struct ctkd__lowering *lowering);

size_t ctkd__lowering_workers(const struct ctkd__lowering *lowering);
/* Of all workers. */
size_t ctkd__lowering_bytes(const struct ctkd__lowering *lowering);

/* --- values */

/* The buffer that holds a node's value; CTKD__NO_BUFFER for the images and for no value (-1). */
int ctkd__lowering_value_buffer(const struct ctkd__lowering *lowering, int value);
/* Bytes of an image in op->images; 0: it reads no images. */
size_t ctkd__lowered_image_bytes(const struct ctkd__lowered *op);
/* Sets x and residual; returns whether y needs a buffer. It needs none for logits, which the caller
   owns, unless an instruction reads them again, and for outputs, which have their own memory. */
bool ctkd__lowering_place_operands(const struct ctkd__lowering *lowering, struct ctkd__lowered *op);

/* --- convolutions */

bool ctkd__lowered_is_conv(const struct ctkd__lowered *op);
/* The request for a direction of a CONV, or of the convolution that a TRANSPOSED_CONV
   transposes. */
struct ctkd__conv_request ctkd__lowering_conv_request(const struct ctkd__lowering *lowering,
                                                      const struct ctkd__lowered *op,
                                                      enum ctkd__conv_direction direction,
                                                      bool prologue);
/* Makes op->conv[direction]. */
ctkd_status ctkd__lowering_create_conv(const struct ctkd__lowering *lowering,
                                       struct ctkd__lowered *op,
                                       enum ctkd__conv_direction direction, ctkd_error *err);
/* Prepares calls with n images. */
ctkd_status ctkd__lowering_prepare(struct ctkd__lowering *lowering, size_t n, ctkd_error *err);
/* Tells the profile which code runs; call it after preparing, because a library cannot name it
   before. */
void ctkd__lowering_name_code(const struct ctkd__lowering *lowering);
/* Grows the scratch memory to what the prepared convolutions need, and to at least `least` bytes.
   CTKD_ENOMEM. */
ctkd_status ctkd__lowering_grow_scratch(struct ctkd__lowering *lowering, size_t least);
/* How many convolutions, by direction, run reference code; the first's layer and direction. */
size_t ctkd__lowering_references(const struct ctkd__lowering *lowering,
                                 char first[CTKD__REFERENCE_BYTES]);
/* "conv forward", "conv backward data", "conv backward weights". */
const char *ctkd__conv_direction_text(enum ctkd__conv_direction direction);

/* --- runs */

/* Runs fn in all workers; fails if it has set the status of any worker. */
ctkd_status ctkd__lowering_run(struct ctkd__lowering *lowering,
                               void (*fn)(void *context, size_t worker), void *context,
                               ctkd_error *err);

#endif
