/* The graphs that the selftest tries ops in. */
#include "selftest/selftest_cases.h"

#include "util/error.h"

#define SIZE(channels, height, width) .c = (channels), .h = (height), .w = (width)
#define CONV(channels, side, step, edge, parts, has_bias)                                          \
    .conv = { .out = (channels),                                                                   \
              .kernel = (side),                                                                    \
              .stride = (step),                                                                    \
              .padding = (edge),                                                                   \
              .groups = (parts),                                                                   \
              .bias = (has_bias) }

/* Channels fill no whole blocks where the name does not say so. */
static const struct ctkd__op_case cases[] = {
    { "relu", CTKD__OP_RELU, SIZE(20, 5, 5), .kinks = true },
    { "relu6", CTKD__OP_ACTIVATE, SIZE(20, 5, 5), .activation = CTKD__RELU6, .kinks = true },
    { "leaky_relu", CTKD__OP_ACTIVATE, SIZE(20, 5, 5), .activation = CTKD__LEAKY_RELU,
      .kinks = true },
    { "sigmoid", CTKD__OP_ACTIVATE, SIZE(20, 5, 5), .activation = CTKD__SIGMOID, .kinks = true },
    { "hard_sigmoid", CTKD__OP_ACTIVATE, SIZE(20, 5, 5), .activation = CTKD__HARD_SIGMOID,
      .kinks = true },
    { "hard_swish", CTKD__OP_ACTIVATE, SIZE(20, 5, 5), .activation = CTKD__HARD_SWISH,
      .kinks = true },
    { "add", CTKD__OP_ADD, SIZE(20, 5, 5), .two = true },
    { "add, relu behind", CTKD__OP_ADD, SIZE(20, 5, 5), .two = true, .kinks = true,
      .relu_behind = true },
    { "multiply", CTKD__OP_MULTIPLY, SIZE(20, 5, 5), .two = true },
    { "multiply by a vector", CTKD__OP_MULTIPLY, SIZE(20, 5, 5), .two = true, .vector = true },
    { "scale_by", CTKD__OP_SCALE_BY, SIZE(20, 5, 5), .two = true },
    { "concat", CTKD__OP_CONCAT, SIZE(20, 5, 5), .two = true },
    { "concat of whole blocks", CTKD__OP_CONCAT, SIZE(32, 5, 5), .two = true },
    { "slice", CTKD__OP_SLICE, SIZE(20, 5, 5) },
    { "shuffle", CTKD__OP_SHUFFLE, SIZE(20, 5, 5) },
    { "subsample", CTKD__OP_SUBSAMPLE, SIZE(20, 5, 6) },
    { "max_pool", CTKD__OP_MAX_POOL, SIZE(20, 7, 6), .kinks = true },
    { "average_pool", CTKD__OP_AVERAGE_POOL, SIZE(20, 7, 6) },
    { "average_pool, padding counted", CTKD__OP_AVERAGE_POOL, SIZE(20, 7, 6), .counted = true },
    { "global_pool", CTKD__OP_GLOBAL_POOL, SIZE(20, 5, 5) },
    { "pool_to", CTKD__OP_POOL_TO, SIZE(20, 7, 6) },
    { "resize", CTKD__OP_RESIZE, SIZE(20, 5, 6) },
    { "batch_norm", CTKD__OP_BATCH_NORM, SIZE(20, 5, 5) },
    { "batch_norm, whole blocks", CTKD__OP_BATCH_NORM, SIZE(32, 4, 4), .read_outside = true },
    { "linear", CTKD__OP_LINEAR, SIZE(20, 1, 1) },
    { "parameter", CTKD__OP_PARAMETER, SIZE(20, 2, 2), .read_outside = true },
    { "conv 3x3", CTKD__OP_CONV, SIZE(20, 7, 6), CONV(12, 3, 1, 1, 1, true) },
    { "conv 3x3, whole blocks", CTKD__OP_CONV, SIZE(32, 8, 8), CONV(16, 3, 1, 1, 1, false) },
    { "conv 3x3, added", CTKD__OP_CONV, SIZE(20, 5, 5), CONV(12, 3, 1, 1, 1, false),
      .read_outside = true },
    { "conv 3x3, stride 2", CTKD__OP_CONV, SIZE(20, 7, 6), CONV(12, 3, 2, 1, 1, false) },
    { "conv 5x5", CTKD__OP_CONV, SIZE(12, 6, 5), CONV(10, 5, 1, 2, 1, true) },
    { "conv 1x1", CTKD__OP_CONV, SIZE(20, 5, 5), CONV(12, 1, 1, 0, 1, true) },
    { "conv 1x1, added", CTKD__OP_CONV, SIZE(20, 5, 5), CONV(12, 1, 1, 0, 1, false),
      .read_outside = true },
    { "conv 1x1, vectors", CTKD__OP_CONV, SIZE(20, 1, 1), CONV(12, 1, 1, 0, 1, true) },
    { "conv 1x1, stride 2", CTKD__OP_CONV, SIZE(20, 5, 6), CONV(12, 1, 2, 0, 1, false) },
    { "conv 1x1, 3 groups", CTKD__OP_CONV, SIZE(24, 5, 5), CONV(12, 1, 1, 0, 3, false) },
    { "conv 3x3, 3 groups", CTKD__OP_CONV, SIZE(12, 5, 5), CONV(24, 3, 1, 1, 3, true) },
    { "conv 3x3, 2 groups of blocks", CTKD__OP_CONV, SIZE(32, 5, 5), CONV(32, 3, 2, 1, 2, false) },
    { "conv 3x3, depthwise", CTKD__OP_CONV, SIZE(20, 7, 6), CONV(20, 3, 1, 1, 20, true) },
    { "conv 3x3, depthwise, stride 2", CTKD__OP_CONV, SIZE(20, 7, 6),
      CONV(20, 3, 2, 1, 20, false) },
    { "conv 3x3 of images", CTKD__OP_CONV, SIZE(3, 7, 6), CONV(20, 3, 1, 1, 1, true),
      .images = true },
    { "conv 7x7 of images, stride 2", CTKD__OP_CONV, SIZE(3, 9, 8), CONV(12, 7, 2, 3, 1, false),
      .images = true },
    { "transposed_conv 4x4, stride 2", CTKD__OP_TRANSPOSED_CONV, SIZE(20, 4, 3),
      CONV(12, 4, 2, 1, 1, true) },
    { "transposed_conv 3x3, added", CTKD__OP_TRANSPOSED_CONV, SIZE(20, 5, 4),
      CONV(12, 3, 1, 1, 1, false), .read_outside = true },
    { "block of 4 convs", CTKD__OP_COUNT, SIZE(20, 7, 6), CONV(20, 3, 1, 1, 1, false) },
    { .name = NULL },
};

const struct ctkd__op_case *ctkd__selftest_cases(void)
{
    return cases;
}

/* What is fused: a batch norm that the next convolution applies while it reads, a sum and a ReLU in
   a batch norm's step; for inference batch norms in the weights of convolutions. */
static int build_block(struct ctkd__graph *g, const struct ctkd__op_case *tested, int x)
{
    const struct ctkd__conv_args pointwise = { .out = tested->conv.out, .kernel = 1, .stride = 1 };
    int y = ctkd__graph_batch_norm(g, ctkd__graph_conv(g, x, "a", &tested->conv), "na");
    y = ctkd__graph_batch_norm(g, ctkd__graph_conv(g, ctkd__graph_relu(g, y), "b", &pointwise),
                               "nb");
    const int shortcut = ctkd__graph_batch_norm(g, ctkd__graph_conv(g, x, "c", &pointwise), "nc");
    y = ctkd__graph_relu(g, ctkd__graph_add(g, y, shortcut));
    return ctkd__graph_relu(
        g, ctkd__graph_batch_norm(g, ctkd__graph_conv(g, y, "d", &tested->conv), "nd"));
}

/* The op of a case on its sources. Without a default: a new op is missing here. */
static int build_op(struct ctkd__graph *g, const struct ctkd__op_case *tested, int x, int y)
{
    switch (tested->op) {
    case CTKD__OP_INPUT: /* are the sources */
    case CTKD__OP_SIDE_INPUT:
        break;
    case CTKD__OP_CONV:
        return ctkd__graph_conv(g, x, "conv", &tested->conv);
    case CTKD__OP_BATCH_NORM:
        return ctkd__graph_batch_norm(g, x, "norm");
    case CTKD__OP_RELU:
        return ctkd__graph_relu(g, x);
    case CTKD__OP_ADD:
        return ctkd__graph_add(g, x, y);
    case CTKD__OP_MAX_POOL:
        return ctkd__graph_max_pool(g, x, &(struct ctkd__pool_args){ 3, 2, { 1, 1 }, false });
    case CTKD__OP_GLOBAL_POOL:
        return ctkd__graph_global_pool(g, x);
    case CTKD__OP_LINEAR:
        return ctkd__graph_linear(g, x, "linear", 11, CTKD__INIT_CONSTANT, 0, CTKD__INIT_CONSTANT,
                                  0);
    case CTKD__OP_SUBSAMPLE:
        return ctkd__graph_subsample(g, x, tested->c + 10, 2);
    case CTKD__OP_CONCAT:
        return ctkd__graph_concat(g, x, y);
    case CTKD__OP_SLICE:
        return ctkd__graph_slice(g, x, 3, tested->c - 5);
    case CTKD__OP_SHUFFLE:
        return ctkd__graph_shuffle(g, x, 4);
    case CTKD__OP_ACTIVATE:
        return ctkd__graph_activate(g, x, tested->activation, 0.1f);
    case CTKD__OP_AVERAGE_POOL:
        return ctkd__graph_average_pool(
            g, x, &(struct ctkd__pool_args){ 3, 2, { 1, 1 }, tested->counted });
    case CTKD__OP_POOL_TO:
        return ctkd__graph_pool_to(g, x, tested->h - 2, tested->w / 2);
    case CTKD__OP_RESIZE: /* larger one way, smaller the other */
        return ctkd__graph_resize(g, x, 2 * tested->h - 1, tested->w - 1);
    case CTKD__OP_SCALE_BY:
        return ctkd__graph_scale_by(g, x, y, tested->c - 2);
    case CTKD__OP_MULTIPLY:
        return ctkd__graph_multiply(g, x, tested->vector ? ctkd__graph_global_pool(g, y) : y);
    case CTKD__OP_TRANSPOSED_CONV:
        return ctkd__graph_transposed_conv(g, x, "conv", &tested->conv);
    case CTKD__OP_PARAMETER:
        return ctkd__graph_parameter(g, "parameter", tested->c, 0);
    case CTKD__OP_COUNT:
        return build_block(g, tested, x);
    }
    return -1;
}

ctkd_status ctkd__selftest_build(const struct ctkd__op_case *tested, bool inference,
                                 struct ctkd__built_case *out, ctkd_error *err)
{
    *out = (struct ctkd__built_case){ .n_outputs = 1 };
    if (ctkd__graph_create(&out->graph) != CTKD_OK)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    struct ctkd__graph *const g = out->graph;
    const size_t channels = tested->images ? tested->c : 2 * tested->c;
    const int images =
        tested->images || inference ? ctkd__graph_input(g, channels, tested->h, tested->w) : -1;
    for (size_t i = 0; i < 2; i++) {
        const char name[] = { 'x', (char)('0' + i), 0 };
        if (i == 1 && !tested->two)
            out->sources[i] = out->sources[0];
        else if (tested->images)
            out->sources[i] = images;
        else if (inference)
            out->sources[i] = ctkd__graph_slice(g, images, i * tested->c, tested->c);
        else
            out->sources[i] = ctkd__graph_side_input(g, name, tested->c, tested->h, tested->w);
    }
    out->outputs[0] = build_op(g, tested, out->sources[0], out->sources[1]);
    if (tested->relu_behind)
        out->outputs[0] = ctkd__graph_relu(g, out->outputs[0]);
    ctkd__graph_tap(g, "y", out->outputs[0]);
    if (tested->read_outside && !inference) {
        out->outputs[out->n_outputs++] = out->sources[0];
        ctkd__graph_tap(g, "x", out->sources[0]);
    }
    return ctkd__graph_finish(g, -1, err);
}
