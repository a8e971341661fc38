/**
 * @file adaptor.h  How a distillation method says which features it reads, and which small
 * trainable networks (regressors, embeddings, connectors) it puts on them.
 *
 * A method's `plan` (ctkd/loss.h) calls the functions of a ctkd_builder; the trainer implements
 * them on its own layers: ctkd does so in src/train/adaptors.c, any other framework in its own
 * terms. The trainer runs the adaptors forward, hands what was read to the loss, and sends the
 * loss's gradients back. Adaptors are trained with the student, saved with the run, and no part of
 * the student that leaves it.
 *
 * Values are handles >= 0. Errors are sticky: after the first one every function returns -1 and
 * does nothing, and `plan` returns builder->status at its end; it need not look before.
 */
#ifndef CTKD_ADAPTOR_H
#define CTKD_ADAPTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ctkd_side { CTKD_STUDENT, CTKD_TEACHER } ctkd_side;

/** How weights start (METHODS 4.11): U(-1/sqrt(fan_in), +) for weight and bias, the frameworks'
    default; N(0, 2/(k k out)); U(-sqrt(3/fan_in), +). Biases of the latter two start as the first.
 */
typedef enum ctkd_start {
    CTKD_START_DEFAULT,
    CTKD_START_HE_OUT,
    CTKD_START_KAIMING_UNIFORM
} ctkd_start;

typedef enum ctkd_activation {
    CTKD_RELU,
    CTKD_LEAKY_RELU, /**< x or slope x */
    CTKD_SIGMOID
} ctkd_activation;

/** A convolution; kernel 1 on a vector is a linear layer. */
typedef struct ctkd_conv {
    size_t out, kernel, stride, padding;
    bool bias;
    ctkd_start start;
} ctkd_conv;

typedef struct ctkd_builder ctkd_builder;
struct ctkd_builder {
    size_t struct_size; /**< sizeof(ctkd_builder), or 0: as in 0.1.0 (ctkd/loss.h) */
    void *context;      /**< the trainer's */
    ctkd_status status;
    char message[256]; /**< why, when status is not CTKD_OK */

    /** Features that a network has: 0 is the stem, count - 2 the last map, count - 1 the pooled
        vector (METHODS 4.10). */
    size_t (*taps)(ctkd_builder *b, ctkd_side side);
    /**
     * Feature `index`; below 0 from the end: -1 the pooled vector, -2 the last map.
     * @param pre  its form before the ReLU. A teacher's then comes with the weights of the batch
     * norm before it where there is one (ctkd_map.norm_weight). CTKD_ESHAPE: no such form.
     */
    int (*tap)(ctkd_builder *b, ctkd_side side, int index, bool pre);
    /** Whether a teacher's tap comes with the weights of a batch norm (`tap`). */
    bool (*has_norm)(ctkd_builder *b, int x);
    /** Channels, height and width of a value. */
    void (*size)(ctkd_builder *b, int x, size_t *c, size_t *h, size_t *w);

    /** `name` is unique within the method ("regressor.0"). */
    int (*conv)(ctkd_builder *b, int x, const char *name, const ctkd_conv *conv);
    /** Transposed: the output's side is (side - 1) stride - 2 padding + kernel. */
    int (*transposed_conv)(ctkd_builder *b, int x, const char *name, const ctkd_conv *conv);
    int (*batch_norm)(ctkd_builder *b, int x, const char *name);
    int (*activate)(ctkd_builder *b, int x, ctkd_activation kind, float slope);
    int (*add)(ctkd_builder *b, int x, int y);
    int (*concat)(ctkd_builder *b, int x, int y); /**< channels of x, then of y */
    int (*pool_to)(ctkd_builder *b, int x, size_t h,
                   size_t w); /**< adaptive average; also x itself */
    int (*resize)(ctkd_builder *b, int x, size_t h, size_t w); /**< nearest; also x itself */
    /** x times channel `channel` of gate (same h and w), at every channel of x. */
    int (*scale_by)(ctkd_builder *b, int x, int gate, size_t channel);
    /** A trainable vector of `count` values that all start at `value`; read as a map of c = count.
     */
    int (*parameter)(ctkd_builder *b, const char *name, size_t count, float value);

    /** Layers and parameters made from here on are trained in these CTKD_STAGE_* only; before the
        first call: in every stage. */
    void (*train_in)(ctkd_builder *b, unsigned stages);
    /**
     * The next map that eval gets in these stages.
     * @param gradient  eval writes its dx. Without, dx is NULL and nothing flows back.
     */
    void (*read)(ctkd_builder *b, int x, unsigned stages, bool gradient);
    /** Sets status CTKD_ESHAPE and message; returns -1. */
    int (*refuse)(ctkd_builder *b, const char *format, ...);

    /** The teacher's batch norms use the statistics of each batch, as in training, in place of its
        running ones, for its features and its logits. There is one teacher: all losses of a run
        see this one. Nothing of the teacher changes. */
    void (*batch_statistics)(ctkd_builder *b);
};

#ifdef __cplusplus
}
#endif
#endif
