/* What is tried of each op: its cases, how it is built in them, and what it gives in double. */
#include "selftest/selftest_cases.h"

#include <math.h>
#include <string.h>

#include "ctkd/random.h"
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
    { "add, then relu", CTKD__OP_ADD, SIZE(20, 5, 5), .two = true, .kinks = true,
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
    { "dropout", CTKD__OP_DROPOUT, SIZE(20, 5, 5) },
    { "flatten", CTKD__OP_FLATTEN, SIZE(20, 5, 5) },
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

/* --- how ops are built */

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
    case CTKD__OP_DROPOUT:
        return ctkd__graph_dropout(g, x, 0.25f);
    case CTKD__OP_FLATTEN:
        return ctkd__graph_flatten(g, x);
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

/* --- what ops give in double: from their definitions, nothing of src/nn/ops is read here */

static const double *values_of(const struct ctkd__reference *r, const struct ctkd__node *node,
                               enum ctkd__role role)
{
    return node->parameters[role] < 0 ? NULL : r->parameters[node->parameters[role]];
}

static void conv(const struct ctkd__reference *r, const struct ctkd__node *in,
                 const struct ctkd__node *node, size_t n, const double *x, double *y)
{
    const double *const w = values_of(r, node, CTKD__ROLE_WEIGHT);
    const double *const b = values_of(r, node, CTKD__ROLE_BIAS);
    const size_t k = node->kernel, depth = in->c / node->groups;
    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < node->c; o++)
            for (size_t oy = 0; oy < node->h; oy++)
                for (size_t ox = 0; ox < node->w; ox++) {
                    double sum = b ? b[o] : 0;
                    const size_t first = o / (node->c / node->groups) * depth; /* of its group */
                    for (size_t c = 0; c < depth; c++)
                        for (size_t ky = 0; ky < k; ky++)
                            for (size_t kx = 0; kx < k; kx++) {
                                const size_t iy = oy * node->stride + ky - node->padding;
                                const size_t ix = ox * node->stride + kx - node->padding;
                                if (iy < in->h && ix < in->w) /* unsigned: below 0 is huge */
                                    sum += w[((o * depth + c) * k + ky) * k + kx] *
                                           x[((i * in->c + first + c) * in->h + iy) * in->w + ix];
                            }
                    y[((i * node->c + o) * node->h + oy) * node->w + ox] = sum;
                }
}

static void batch_norm(const struct ctkd__reference *r, const struct ctkd__node *node, size_t n,
                       bool training, const double *x, double *y)
{
    const size_t hw = node->h * node->w;
    for (size_t c = 0; c < node->c; c++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < n * hw; i++)
            mean += x[(i / hw * node->c + c) * hw + i % hw] / (double)(n * hw);
        for (size_t i = 0; i < n * hw; i++) {
            const double d = x[(i / hw * node->c + c) * hw + i % hw] - mean;
            variance += d * d / (double)(n * hw);
        }
        if (!training) {
            mean = values_of(r, node, CTKD__ROLE_MEAN)[c];
            variance = values_of(r, node, CTKD__ROLE_VARIANCE)[c];
        }
        for (size_t i = 0; i < n * hw; i++) {
            const size_t at = (i / hw * node->c + c) * hw + i % hw;
            y[at] =
                (x[at] - mean) / sqrt(variance + 1e-5) * values_of(r, node, CTKD__ROLE_WEIGHT)[c] +
                values_of(r, node, CTKD__ROLE_BIAS)[c];
        }
    }
}

static void max_pool(const struct ctkd__node *in, const struct ctkd__node *node, size_t n,
                     const double *x, double *y)
{
    for (size_t plane = 0; plane < n * node->c; plane++)
        for (size_t oy = 0; oy < node->h; oy++)
            for (size_t ox = 0; ox < node->w; ox++) {
                double best = -INFINITY;
                for (size_t ky = 0; ky < node->kernel; ky++)
                    for (size_t kx = 0; kx < node->kernel; kx++) {
                        const size_t iy = oy * node->stride + ky - node->padding;
                        const size_t ix = ox * node->stride + kx - node->padding;
                        if (iy < in->h && ix < in->w)
                            best = fmax(best, x[(plane * in->h + iy) * in->w + ix]);
                    }
                y[(plane * node->h + oy) * node->w + ox] = best;
            }
}

static void subsample(const struct ctkd__node *in, const struct ctkd__node *node, size_t n,
                      const double *x, double *y)
{
    const size_t before = (node->c - in->c) / 2;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < in->c; c++)
            for (size_t oy = 0; oy < node->h; oy++)
                for (size_t ox = 0; ox < node->w; ox++)
                    y[((i * node->c + c + before) * node->h + oy) * node->w + ox] =
                        x[((i * in->c + c) * in->h + oy * node->stride) * in->w +
                          ox * node->stride];
}

static void linear(const struct ctkd__reference *r, const struct ctkd__node *in,
                   const struct ctkd__node *node, size_t n, const double *x, double *y)
{
    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < node->c; o++) {
            double sum = values_of(r, node, CTKD__ROLE_BIAS)[o];
            for (size_t c = 0; c < in->c; c++)
                sum += values_of(r, node, CTKD__ROLE_WEIGHT)[o * in->c + c] * x[i * in->c + c];
            y[i * node->c + o] = sum;
        }
}

static void transposed_conv(const struct ctkd__reference *r, const struct ctkd__node *in,
                            const struct ctkd__node *node, size_t n, const double *x, double *y)
{
    const double *const w = values_of(r, node, CTKD__ROLE_WEIGHT);
    const double *const b = values_of(r, node, CTKD__ROLE_BIAS);
    const size_t k = node->kernel, hw = node->h * node->w;
    for (size_t i = 0; i < n * node->c * hw; i++)
        y[i] = b ? b[i / hw % node->c] : 0;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < in->c; c++)
            for (size_t p = 0; p < in->h * in->w; p++)
                for (size_t o = 0; o < node->c; o++)
                    for (size_t tap = 0; tap < k * k; tap++) {
                        const size_t oy = p / in->w * node->stride + tap / k - node->padding;
                        const size_t ox = p % in->w * node->stride + tap % k - node->padding;
                        if (oy < node->h && ox < node->w)
                            y[((i * node->c + o) * node->h + oy) * node->w + ox] +=
                                w[(c * node->c + o) * k * k + tap] *
                                x[(i * in->c + c) * in->h * in->w + p];
                    }
}

/* Which pixels of `in` an output pixel is the mean of, along one side. */
static void window_of(const struct ctkd__node *node, size_t at, size_t in, size_t out,
                      size_t *begin, size_t *end)
{
    if (node->op == CTKD__OP_AVERAGE_POOL) {
        *begin = at * node->stride < node->padding ? 0 : at * node->stride - node->padding;
        *end = at * node->stride + node->kernel - node->padding;
    } else {
        *begin = (size_t)floor((double)(at * in) / (double)out);
        *end = node->op == CTKD__OP_RESIZE ? *begin + 1
                                           : (size_t)ceil((double)((at + 1) * in) / (double)out);
    }
    *end = *end < in ? *end : in;
}

static void average(const struct ctkd__node *in, const struct ctkd__node *node, size_t n,
                    const double *x, double *y)
{
    for (size_t i = 0; i < n * node->c * node->h * node->w; i++) {
        const size_t plane = i / (node->h * node->w);
        size_t y0, y1, x0, x1;
        window_of(node, i / node->w % node->h, in->h, node->h, &y0, &y1);
        window_of(node, i % node->w, in->w, node->w, &x0, &x1);
        double sum = 0;
        for (size_t iy = y0; iy < y1; iy++)
            for (size_t ix = x0; ix < x1; ix++)
                sum += x[(plane * in->h + iy) * in->w + ix];
        y[i] = sum /
               (double)(node->count_padding ? node->kernel * node->kernel : (y1 - y0) * (x1 - x0));
    }
}

static double activated(const struct ctkd__node *node, double x)
{
    const double gate = fmin(fmax(x / 6 + 0.5, 0), 1);
    switch (node->activation) {
    case CTKD__RELU6:
        return fmin(fmax(x, 0), 6);
    case CTKD__LEAKY_RELU:
        return x > 0 ? x : (double)node->slope * x;
    case CTKD__SIGMOID:
        return 1 / (1 + exp(-x));
    case CTKD__HARD_SIGMOID:
        return gate;
    case CTKD__HARD_SWISH:
        return x * gate;
    }
    return NAN;
}

/* Channel c of concat, slice and shuffle: from which operand (1: the second), which channel. */
static int source_of(const struct ctkd__node *node, size_t first, size_t c, size_t *from)
{
    *from = node->op == CTKD__OP_SLICE ? c + node->channel : c;
    if (node->op == CTKD__OP_SHUFFLE) { /* output [c / g][g], input [g][c / g] */
        const size_t g = node->groups;
        *from = c % g * (node->c / g) + c / g;
    } else if (node->op == CTKD__OP_CONCAT && c >= first) {
        *from = c - first;
        return 1;
    }
    return 0;
}

static void move_channels(const struct ctkd__graph *g, const struct ctkd__node *node, size_t n,
                          double *const *values, double *y)
{
    const size_t hw = node->h * node->w;
    for (size_t i = 0; i < n * node->c * hw; i++) {
        size_t from;
        const int input =
            node->inputs[source_of(node, g->nodes[node->inputs[0]].c, i / hw % node->c, &from)];
        y[i] = values[input][(i / hw / node->c * g->nodes[input].c + from) * hw + i % hw];
    }
}

/* Element i of the batch, by the draws of a program that was given none. */
static double dropped(const struct ctkd__node *node, size_t i, double x)
{
    const size_t each = node->c * node->h * node->w, e = i % each;
    uint32_t words[4];
    ctkd_random_u32x4(0, CTKD_RANDOM_DROPOUT, 0,
                      ((uint64_t)node->channel << 48) + ((uint64_t)(i / each) << 29) + e / 4,
                      words);
    return (double)words[e % 4] / 4294967296.0 < (double)node->rate ? 0
                                                                    : x / (1 - (double)node->rate);
}

/* Element i of an op of elements. */
static double element_of(const struct ctkd__graph *g, const struct ctkd__node *node, size_t i,
                         bool training, double *const *values)
{
    const double x = values[node->inputs[0]][i];
    if (node->op == CTKD__OP_DROPOUT)
        return training ? dropped(node, i, x) : x;
    if (node->op == CTKD__OP_FLATTEN)
        return x;
    if (node->op == CTKD__OP_RELU)
        return x > 0 ? x : 0;
    if (node->op == CTKD__OP_ACTIVATE)
        return activated(node, x);
    const double *const y = values[node->inputs[1]];
    if (node->op == CTKD__OP_ADD)
        return x + y[i];
    const size_t hw = node->h * node->w;
    const struct ctkd__node *const second = &g->nodes[node->inputs[1]];
    if (node->op == CTKD__OP_SCALE_BY)
        return x * y[(i / hw / node->c * second->c + node->channel) * hw + i % hw];
    return x * (second->h * second->w == hw ? y[i] : y[i / hw]);
}

static void global_pool(const struct ctkd__node *in, size_t count, const double *x, double *y)
{
    const size_t hw = in->h * in->w;
    for (size_t i = 0; i < count * hw; i++)
        y[i / hw] += x[i] / (double)hw;
}

void ctkd__selftest_compute(const struct ctkd__reference *r, const struct ctkd__node *node,
                            size_t n, bool training, double *const *values, double *y)
{
    const struct ctkd__graph *const g = r->graph;
    const struct ctkd__node *const in = node->inputs[0] >= 0 ? &g->nodes[node->inputs[0]] : node;
    const double *const x = node->inputs[0] >= 0 ? values[node->inputs[0]] : NULL;
    const size_t count = n * node->c * node->h * node->w;
    switch (node->op) {
    case CTKD__OP_CONV:
        conv(r, in, node, n, x, y);
        break;
    case CTKD__OP_BATCH_NORM:
        batch_norm(r, node, n, training, x, y);
        break;
    case CTKD__OP_RELU:
    case CTKD__OP_ADD:
    case CTKD__OP_ACTIVATE:
    case CTKD__OP_SCALE_BY:
    case CTKD__OP_MULTIPLY:
    case CTKD__OP_DROPOUT:
    case CTKD__OP_FLATTEN:
        for (size_t i = 0; i < count; i++)
            y[i] = element_of(g, node, i, training, values);
        break;
    case CTKD__OP_MAX_POOL:
        max_pool(in, node, n, x, y);
        break;
    case CTKD__OP_GLOBAL_POOL:
        global_pool(in, count, x, y);
        break;
    case CTKD__OP_LINEAR:
        linear(r, in, node, n, x, y);
        break;
    case CTKD__OP_SUBSAMPLE:
        subsample(in, node, n, x, y);
        break;
    case CTKD__OP_CONCAT:
    case CTKD__OP_SLICE:
    case CTKD__OP_SHUFFLE:
        move_channels(g, node, n, values, y);
        break;
    case CTKD__OP_AVERAGE_POOL:
    case CTKD__OP_POOL_TO:
    case CTKD__OP_RESIZE:
        average(in, node, n, x, y);
        break;
    case CTKD__OP_TRANSPOSED_CONV:
        transposed_conv(r, in, node, n, x, y);
        break;
    case CTKD__OP_PARAMETER:
        memcpy(y, values_of(r, node, CTKD__ROLE_WEIGHT), node->c * sizeof *y);
        break;
    case CTKD__OP_SIDE_INPUT:
        memcpy(y, r->side_inputs[node - g->nodes], count * sizeof *y);
        break;
    case CTKD__OP_INPUT:
    case CTKD__OP_COUNT:
        break;
    }
}
