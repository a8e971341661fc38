/*
 * The ops of the engine: kinds of nodes, what a node holds, and the functions that build them.
 *
 * Adding an op takes changes in three files: here its word, the instruction that runs it and its
 * builder; one in src/nn/ops, which defines the builder and, unless the op runs an instruction that
 * exists, that instruction (compile/instructions.h); and src/selftest/selftest_cases.c, which needs
 * a case and a function for the op's values in double. The compiler, the linker, test_ops and `ctkd
 * selftest` each name what is missing.
 *
 * Builders take the index of a node and return the index of the new one. Errors are sticky: after
 * the first one every builder returns -1 and ctkd__graph_finish gives the reason, so that a model
 * file is straight-line code.
 */
#ifndef CTKD_NN_OPS_H
#define CTKD_NN_OPS_H

#include <stdbool.h>
#include <stddef.h>

/* X(OP, name, INSTRUCTION): the name is in messages and in names of nodes. NONE: a value that no
   instruction computes. */
#define CTKD__OP_LIST(X)                                                                           \
    X(INPUT, input, INPUT)                                                                         \
    X(CONV, conv, CONV)                                                                            \
    X(BATCH_NORM, batch_norm, NORM)                                                                \
    X(RELU, relu, RELU)                                                                            \
    X(ADD, add, ADD)                                                                               \
    X(MAX_POOL, max_pool, MAX_POOL)                                                                \
    X(GLOBAL_POOL, global_pool, GLOBAL_POOL)                                                       \
    X(LINEAR, linear, LINEAR)                                                                      \
    X(SUBSAMPLE, subsample, SUBSAMPLE)                                                             \
    X(CONCAT, concat, CHANNELS)                                                                    \
    X(SLICE, slice, CHANNELS)                                                                      \
    X(SHUFFLE, shuffle, CHANNELS)                                                                  \
    X(ACTIVATE, activate, ACTIVATE)                                                                \
    X(AVERAGE_POOL, average_pool, AVERAGE)                                                         \
    X(POOL_TO, pool_to, AVERAGE)                                                                   \
    X(RESIZE, resize, AVERAGE)                                                                     \
    X(SCALE_BY, scale_by, SCALE_BY)                                                                \
    X(MULTIPLY, multiply, MULTIPLY)                                                                \
    X(TRANSPOSED_CONV, transposed_conv, TRANSPOSED_CONV)                                           \
    X(DROPOUT, dropout, DROPOUT)                                                                   \
    X(FLATTEN, flatten, FLATTEN)                                                                   \
    X(PARAMETER, parameter, NONE)                                                                  \
    X(SIDE_INPUT, side_input, INPUT)

/* X(INSTRUCTION, name): src/nn/ops defines ctkd__instruction_NAME. */
#define CTKD__INSTRUCTION_LIST(X)                                                                  \
    X(CONV, conv) /* inference: with batch norm folded, residual and ReLU */                       \
    X(NORM, norm) /* batch norm, then residual, then ReLU */                                       \
    X(ADD, add)   /* add, then ReLU */                                                             \
    X(RELU, relu)                                                                                  \
    X(MAX_POOL, max_pool)                                                                          \
    X(GLOBAL_POOL, global_pool)                                                                    \
    X(LINEAR, linear)                                                                              \
    X(SUBSAMPLE, subsample)                                                                        \
    X(INPUT, input)       /* plain images or side input, made blocked */                           \
    X(CHANNELS, channels) /* a map of channels: concat, slice, shuffle and chains of them */       \
    X(ACTIVATE, activate)                                                                          \
    X(AVERAGE, average) /* means over windows */                                                   \
    X(SCALE_BY, scale_by)                                                                          \
    X(MULTIPLY, multiply)                                                                          \
    X(TRANSPOSED_CONV, transposed_conv)                                                            \
    X(DROPOUT, dropout)                                                                            \
    X(FLATTEN, flatten)                                                                            \
    X(OUTPUT, output) /* a value that is read from outside, made plain */

enum ctkd__op {
#define CTKD__OP_ENUM(op, name, instruction) CTKD__OP_##op,
    CTKD__OP_LIST(CTKD__OP_ENUM)
#undef CTKD__OP_ENUM
        CTKD__OP_COUNT
};
const char *ctkd__op_text(enum ctkd__op op);

enum ctkd__instruction_kind {
#define CTKD__INSTRUCTION_ENUM(kind, name) CTKD__INSTRUCTION_##kind,
    CTKD__INSTRUCTION_LIST(CTKD__INSTRUCTION_ENUM)
#undef CTKD__INSTRUCTION_ENUM
        CTKD__INSTRUCTION_KINDS,
    CTKD__INSTRUCTION_NONE = CTKD__INSTRUCTION_KINDS
};
/* The instruction that runs an op. */
enum ctkd__instruction_kind ctkd__op_instruction(enum ctkd__op op);

/* --- nodes */

/* Functions of the op ACTIVATE; ReLU is an op of its own. */
enum ctkd__activation {
    CTKD__RELU6,        /* min(max(x, 0), 6) */
    CTKD__LEAKY_RELU,   /* x > 0 ? x : slope x */
    CTKD__SIGMOID,      /* 1 / (1 + exp(-x)) */
    CTKD__HARD_SIGMOID, /* min(max(x / 6 + 1/2, 0), 1) */
    CTKD__HARD_SWISH    /* x hard_sigmoid(x) */
};

/* How a parameter starts. value: the bound of UNIFORM, the deviation of NORMAL, the constant. */
enum ctkd__init { CTKD__INIT_CONSTANT, CTKD__INIT_UNIFORM, CTKD__INIT_NORMAL };

/* What a parameter is to its node. STAT_* are buffers: not trained, moved by the forward pass. */
enum ctkd__role {
    CTKD__ROLE_WEIGHT,   /* conv [o, c/groups, k, k]; transposed conv [c, o, k, k]; linear [o, c];
                            batch norm and parameter [c] */
    CTKD__ROLE_BIAS,     /* [o] or [c] */
    CTKD__ROLE_MEAN,     /* batch norm running_mean [c] */
    CTKD__ROLE_VARIANCE, /* batch norm running_var [c] */
    CTKD__ROLE_COUNT
};

struct ctkd__node {
    enum ctkd__op op;
    char name[96];  /* prefix of its parameters; for others a description for profiles */
    int inputs[2];  /* -1: none */
    size_t c, h, w; /* of the output; a vector is c x 1 x 1 */
    size_t kernel, stride, padding, groups; /* convs, pools; stride: subsample; groups: shuffle */
    size_t channel; /* slice: the first; scale_by: of the gate; dropout: how many come before it */
    enum ctkd__activation activation; /* activate */
    float slope;                      /* activate */
    float rate;                       /* dropout */
    size_t behind;                    /* pools: padding below and on the right */
    bool count_padding;               /* average_pool: a window's divisor is kernel^2 */
    int parameters[CTKD__ROLE_COUNT]; /* indices, -1: none */
};

/* --- builders */

struct ctkd__graph; /* graph.h */

struct ctkd__conv_args {
    size_t out, kernel, stride, padding, groups; /* groups 0 means 1 */
    bool bias;
    enum ctkd__init init; /* of the weight; value as in struct ctkd__parameter */
    float value;
    enum ctkd__init bias_init;
    float bias_value;
};

struct ctkd__pool_args {
    size_t kernel, stride;
    size_t padding[2];  /* above and on the left; below and on the right */
    bool count_padding; /* average_pool only */
};

/* `name` is the prefix of the parameters' names ("layer1.0.conv1"). */
int ctkd__graph_input(struct ctkd__graph *graph, size_t c, size_t h, size_t w);
int ctkd__graph_conv(struct ctkd__graph *graph, int x, const char *name,
                     const struct ctkd__conv_args *args);
int ctkd__graph_batch_norm(struct ctkd__graph *graph, int x,
                           const char *name); /* weight 1, bias 0 */
int ctkd__graph_relu(struct ctkd__graph *graph, int x);
int ctkd__graph_add(struct ctkd__graph *graph, int a, int b);
/* Largest value of each window; padding does not count. */
int ctkd__graph_max_pool(struct ctkd__graph *graph, int x, const struct ctkd__pool_args *args);
int ctkd__graph_global_pool(struct ctkd__graph *graph, int x); /* mean over h and w */
/* weight [out, c]; x must be a vector (c x 1 x 1). */
int ctkd__graph_linear(struct ctkd__graph *graph, int x, const char *name, size_t out,
                       enum ctkd__init weight_init, float weight_value, enum ctkd__init bias_init,
                       float bias_value);
/* Option-A shortcut (He et al. 2016): every `stride`-th pixel, channels zero-padded to `out`, half
   of the zeros ((out - c) / 2) before and the rest behind. */
int ctkd__graph_subsample(struct ctkd__graph *graph, int x, size_t out, size_t stride);
/* Channels of a, then of b; same h and w. */
int ctkd__graph_concat(struct ctkd__graph *graph, int a, int b);
/* Channels first .. first + count - 1. */
int ctkd__graph_slice(struct ctkd__graph *graph, int x, size_t first, size_t count);
/* Channels seen as [groups][c / groups], transposed (Zhang et al. 2018, ShuffleNet, sec. 3.1). */
int ctkd__graph_shuffle(struct ctkd__graph *graph, int x, size_t groups);
/* slope: LEAKY_RELU only. */
int ctkd__graph_activate(struct ctkd__graph *graph, int x, enum ctkd__activation kind, float slope);
/* Mean over windows; divided by kernel^2 (count_padding) or by the pixels inside the image. */
int ctkd__graph_average_pool(struct ctkd__graph *graph, int x, const struct ctkd__pool_args *args);
/* Adaptive average pool (doc/methods.md, "Layers and their gradients"); x itself when it has this
   size. */
int ctkd__graph_pool_to(struct ctkd__graph *graph, int x, size_t h, size_t w);
/* Nearest pixel (the same section); x itself when it has this size. */
int ctkd__graph_resize(struct ctkd__graph *graph, int x, size_t h, size_t w);
/* Every channel of x times channel `channel` of gate; same h and w. */
int ctkd__graph_scale_by(struct ctkd__graph *graph, int x, int gate, size_t channel);
/* Elementwise; y has x's shape or is c x 1 x 1 (squeeze and excitation). */
int ctkd__graph_multiply(struct ctkd__graph *graph, int x, int y);
/* Transposed convolution, weight [c, out, k, k], without groups; the output's side is
   (side - 1) stride - 2 padding + kernel. */
int ctkd__graph_transposed_conv(struct ctkd__graph *graph, int x, const char *name,
                                const struct ctkd__conv_args *args);
/* Training: each value is 0 with probability rate (0 <= rate < 1) and times 1 / (1 - rate)
   otherwise (Srivastava et al. 2014), by the draws of ctkd__training_draws. Inference: x. */
int ctkd__graph_dropout(struct ctkd__graph *graph, int x, float rate);
/* (c h w) x 1 x 1 in the order of c, h, w; x itself when it is a vector. */
int ctkd__graph_flatten(struct ctkd__graph *graph, int x);
/* A trainable vector called `name`, without a batch: count x 1 x 1. Only outputs of a training
   program read it. */
int ctkd__graph_parameter(struct ctkd__graph *graph, const char *name, size_t count, float value);
/* A value that is given from outside at each step (ctkd__training_input). */
int ctkd__graph_side_input(struct ctkd__graph *graph, const char *name, size_t c, size_t h,
                           size_t w);

#endif
