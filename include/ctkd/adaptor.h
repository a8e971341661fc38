/**
 * @file adaptor.h  How a distillation method declares which features it reads and which small
 * trainable networks (regressors, embeddings, connectors) it puts on them.
 *
 * A method's `plan` (ctkd/loss.h) calls the functions of a ctkd_builder; the trainer implements
 * them on its own layers: ctkd does so in src/train/adaptors.c, any other framework in its own
 * terms. The trainer runs the adaptors forward, hands the maps to the loss, and propagates the
 * loss's gradients back. Adaptors are trained with the student and saved with the run, but they are
 * not part of the exported student.
 *
 * Values are handles >= 0 of maps [n, c, h, w] (a vector has h = w = 1); a handle belongs to the
 * method whose `plan` made it and ends with that call.
 *
 * Errors are sticky. The first one sets `status` and `message`; from then on every function that
 * returns a handle returns -1, the others do nothing, `size` gives zeros, and none overwrites
 * status or message. So `plan` may pass handles on without checking them, and returns
 * builder->status at its end; it must check before it loops over sizes or divides by them. Every
 * function accepts the handle -1 and does nothing with it; passing any other number that the
 * builder did not return is a bug in the method.
 *
 * Threads: a builder belongs to the trainer. Only the thread that called `plan` uses it, and only
 * during that call. Names, messages and ctkd_conv are copied or used during the call; a method
 * frees nothing.
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

/**
 * Initial values of weights (doc/methods.md, "Initial values"); fan_in = c kernel^2, for a
 * transposed convolution out kernel^2. Biases are drawn from U(-1/sqrt(fan_in), 1/sqrt(fan_in)) in
 * every case.
 */
typedef enum ctkd_start {
    CTKD_START_DEFAULT,        /**< U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the frameworks' default */
    CTKD_START_HE_OUT,         /**< N(0, 2/(kernel^2 out)) */
    CTKD_START_KAIMING_UNIFORM /**< U(-sqrt(3/fan_in), sqrt(3/fan_in)) */
} ctkd_start;

typedef enum ctkd_activation {
    CTKD_RELU,       /**< max(x, 0) */
    CTKD_LEAKY_RELU, /**< x, or slope x where x < 0 */
    CTKD_SIGMOID     /**< 1/(1 + exp(-x)) */
} ctkd_activation;

/** A convolution; kernel 1 on a vector is a linear layer. */
typedef struct ctkd_conv {
    size_t out;     /**< channels of the output, >= 1 */
    size_t kernel;  /**< side of the window in pixels, >= 1 */
    size_t stride;  /**< >= 1, in both directions */
    size_t padding; /**< zeros on all four sides, < kernel */
    bool bias;      /**< one value for each channel of the output */
    ctkd_start start;
} ctkd_conv;

typedef struct ctkd_builder ctkd_builder;
struct ctkd_builder {
    size_t struct_size; /**< sizeof(ctkd_builder), or 0: as in 0.1.0 (ctkd/loss.h) */
    void *context;      /**< the trainer's; methods leave it alone */
    ctkd_status status; /**< CTKD_OK until the first error */
    char message[256];  /**< the reason when status is not CTKD_OK; NUL-terminated, may be empty */

    /** Number of features of a network: 0 is the stem, count - 2 the last map, count - 1 the pooled
        vector (doc/methods.md, "Taps"). It may be called after an error too. */
    size_t (*taps)(ctkd_builder *b, ctkd_side side);
    /**
     * Feature `index`; below 0 from the end: -1 the pooled vector, -2 the last map.
     * @param pre  true: its value before the ReLU. That of a teacher then comes with the weights of
     *             the batch norm before it, if there is one (ctkd_map.norm_weight).
     * @return a map [n, c, h, w], the same handle or another one for the same feature; CTKD_ESHAPE:
     *         there is no such feature, or it has no value before a ReLU
     */
    int (*tap)(ctkd_builder *b, ctkd_side side, int index, bool pre);
    /** Whether a teacher's tap comes with the weights of a batch norm (`tap`); false for any other
        value and after an error. */
    bool (*has_norm)(ctkd_builder *b, int x);
    /** Channels, height and width of a value; zeros after an error. */
    void (*size)(ctkd_builder *b, int x, size_t *c, size_t *h, size_t *w);

    /*
     * Layers. x is [n, c, h, w]; each returns a new value of the shape that it states, or -1. Sizes
     * that do not fit give CTKD_ESHAPE, arguments out of range CTKD_EINVAL, and a failed allocation
     * CTKD_ENOMEM. `name` names the layer's parameters in checkpoints: unique within the method
     * ("regressor.0"), at most 60 bytes.
     */

    /** Convolution with zero padding: [n, out, (h + 2 padding - kernel)/stride + 1, likewise w]. */
    int (*conv)(ctkd_builder *b, int x, const char *name, const ctkd_conv *conv);
    /** Transposed convolution: [n, out, (h - 1) stride - 2 padding + kernel, likewise w]. */
    int (*transposed_conv)(ctkd_builder *b, int x, const char *name, const ctkd_conv *conv);
    /** Batch norm over n, h and w with the statistics of the batch, initially with weight 1 and
        bias 0; the shape of x. */
    int (*batch_norm)(ctkd_builder *b, int x, const char *name);
    /** The shape of x. `slope` is finite and read by CTKD_LEAKY_RELU alone. */
    int (*activate)(ctkd_builder *b, int x, ctkd_activation kind, float slope);
    /** x + y, both of one shape. */
    int (*add)(ctkd_builder *b, int x, int y);
    /** Channels of x, then of y, both of one height and width: [n, c_x + c_y, h, w]. */
    int (*concat)(ctkd_builder *b, int x, int y);
    /** Adaptive average (doc/methods.md, "Layers and their gradients"): [n, c, h, w] with the h and
        w of the arguments; x itself when it has this size. */
    int (*pool_to)(ctkd_builder *b, int x, size_t h, size_t w);
    /** Nearest pixel (the same section): as pool_to. */
    int (*resize)(ctkd_builder *b, int x, size_t h, size_t w);
    /** x times channel `channel` of gate [n, c', h, w], at every channel of x; the shape of x. */
    int (*scale_by)(ctkd_builder *b, int x, int gate, size_t channel);
    /** A trainable vector [count] whose entries all start at `value`; eval reads it as a map of
        c = count without n. Layers do not take it. */
    int (*parameter)(ctkd_builder *b, const char *name, size_t count, float value);

    /** Layers and parameters made after this call are trained in these CTKD_STAGE_* only; those
        made before the first call are trained in every stage. */
    void (*train_in)(ctkd_builder *b, unsigned stages);
    /**
     * The next map that eval gets in these stages: maps come in the order of the calls.
     * @param x         any value; the trainer owns the memory that eval sees, until eval returns
     * @param gradient  true: eval writes dx, [n, c, h, w] as x; false: dx is NULL and no gradient
     *                  flows back.
     */
    void (*read)(ctkd_builder *b, int x, unsigned stages, bool gradient);
    /** Reports an error of the method: sets status CTKD_ESHAPE and message, formatted as by printf
        and cut to its size, unless there is an error already; returns -1. */
    int (*refuse)(ctkd_builder *b, const char *format, ...);

    /** The teacher's batch norms use the statistics of each batch, as in training, instead of their
        running statistics, for its features and its logits. A run has one teacher, so all its
        losses see this one. The teacher's own statistics and weights do not change. */
    void (*batch_statistics)(ctkd_builder *b);
};

#ifdef __cplusplus
}
#endif
#endif
