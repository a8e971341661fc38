#include "support/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct reference *reference_create(const struct ctkd__graph *graph, float *const *plain)
{
    struct reference *const r = calloc(1, sizeof *r);
    r->graph = graph;
    r->parameters = calloc((size_t)graph->n_parameters, sizeof *r->parameters);
    r->side_inputs = calloc((size_t)graph->n_nodes, sizeof *r->side_inputs);
    for (int i = 0; i < graph->n_parameters; i++) {
        const size_t n = ctkd__parameter_elements(&graph->parameters[i]);
        r->parameters[i] = calloc(n, sizeof(double));
        for (size_t j = 0; j < n; j++)
            r->parameters[i][j] = (double)plain[i][j];
    }
    return r;
}

void reference_destroy(struct reference *r)
{
    for (int i = 0; i < r->graph->n_parameters; i++)
        free(r->parameters[i]);
    for (int i = 0; i < r->graph->n_nodes; i++)
        free(r->side_inputs[i]);
    free(r->parameters);
    free(r->side_inputs);
    free(r);
}

static const double *of(const struct reference *r, const struct ctkd__node *node,
                        enum ctkd__role role)
{
    return node->parameters[role] < 0 ? NULL : r->parameters[node->parameters[role]];
}

static void conv(const struct reference *r, const struct ctkd__node *in,
                 const struct ctkd__node *node, size_t n, const double *x, double *y)
{
    const double *const w = of(r, node, CTKD__ROLE_WEIGHT), *const b = of(r, node, CTKD__ROLE_BIAS);
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

static void batch_norm(const struct reference *r, const struct ctkd__node *node, size_t n,
                       int training, const double *x, double *y)
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
            mean = of(r, node, CTKD__ROLE_MEAN)[c];
            variance = of(r, node, CTKD__ROLE_VARIANCE)[c];
        }
        for (size_t i = 0; i < n * hw; i++) {
            const size_t at = (i / hw * node->c + c) * hw + i % hw;
            y[at] = (x[at] - mean) / sqrt(variance + 1e-5) * of(r, node, CTKD__ROLE_WEIGHT)[c] +
                    of(r, node, CTKD__ROLE_BIAS)[c];
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

static void linear(const struct reference *r, const struct ctkd__node *in,
                   const struct ctkd__node *node, size_t n, const double *x, double *y)
{
    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < node->c; o++) {
            double sum = of(r, node, CTKD__ROLE_BIAS)[o];
            for (size_t c = 0; c < in->c; c++)
                sum += of(r, node, CTKD__ROLE_WEIGHT)[o * in->c + c] * x[i * in->c + c];
            y[i * node->c + o] = sum;
        }
}

static void transposed_conv(const struct reference *r, const struct ctkd__node *in,
                            const struct ctkd__node *node, size_t n, const double *x, double *y)
{
    const double *const w = of(r, node, CTKD__ROLE_WEIGHT), *const b = of(r, node, CTKD__ROLE_BIAS);
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

static double factor_of(const struct ctkd__graph *g, const struct ctkd__node *node, size_t i,
                        double *const *values)
{
    const size_t hw = node->h * node->w;
    const struct ctkd__node *const second = &g->nodes[node->inputs[1]];
    const double *const y = values[node->inputs[1]];
    if (node->op == CTKD__OP_SCALE_BY)
        return y[(i / hw / node->c * second->c + node->channel) * hw + i % hw];
    return second->h * second->w == hw ? y[i] : y[i / hw];
}

static void compute(const struct reference *r, const struct ctkd__node *node, size_t n,
                    int training, double *const *values, double *y)
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
        for (size_t i = 0; i < count; i++)
            y[i] = x[i] > 0 ? x[i] : 0;
        break;
    case CTKD__OP_ADD:
        for (size_t i = 0; i < count; i++)
            y[i] = x[i] + values[node->inputs[1]][i];
        break;
    case CTKD__OP_MAX_POOL:
        max_pool(in, node, n, x, y);
        break;
    case CTKD__OP_GLOBAL_POOL:
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < in->h * in->w; j++)
                y[i] += x[i * in->h * in->w + j] / (double)(in->h * in->w);
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
    case CTKD__OP_ACTIVATE:
        for (size_t i = 0; i < count; i++)
            y[i] = activated(node, x[i]);
        break;
    case CTKD__OP_AVERAGE_POOL:
    case CTKD__OP_POOL_TO:
    case CTKD__OP_RESIZE:
        average(in, node, n, x, y);
        break;
    case CTKD__OP_SCALE_BY:
    case CTKD__OP_MULTIPLY:
        for (size_t i = 0; i < count; i++)
            y[i] = x[i] * factor_of(g, node, i, values);
        break;
    case CTKD__OP_TRANSPOSED_CONV:
        transposed_conv(r, in, node, n, x, y);
        break;
    case CTKD__OP_PARAMETER:
        memcpy(y, of(r, node, CTKD__ROLE_WEIGHT), node->c * sizeof *y);
        break;
    case CTKD__OP_SIDE_INPUT:
        memcpy(y, r->side_inputs[node - g->nodes], count * sizeof *y);
        break;
    case CTKD__OP_INPUT:
    case CTKD__OP_COUNT:
        break;
    }
}

void reference_side_input(struct reference *r, int node, size_t count, const float *plain)
{
    r->side_inputs[node] = realloc(r->side_inputs[node], count * sizeof **r->side_inputs);
    for (size_t i = 0; i < count; i++)
        r->side_inputs[node][i] = (double)plain[i];
}

double **reference_values(const struct reference *r, size_t n, const float *x, int training)
{
    const struct ctkd__graph *const g = r->graph;
    double **const values = calloc((size_t)g->n_nodes, sizeof *values);
    for (int i = 0; i < g->n_nodes; i++) {
        const struct ctkd__node *const node = &g->nodes[i];
        const size_t count = n * node->c * node->h * node->w;
        values[i] = calloc(count, sizeof(double));
        if (node->op == CTKD__OP_INPUT)
            for (size_t j = 0; j < count; j++)
                values[i][j] = (double)x[j];
        compute(r, node, n, training, values, values[i]);
    }
    return values;
}

void reference_free_values(const struct reference *r, double **values)
{
    for (int i = 0; i < r->graph->n_nodes; i++)
        free(values[i]);
    free(values);
}

void reference_forward(const struct reference *r, size_t n, const float *x, int training,
                       double *logits)
{
    double **const values = reference_values(r, n, x, training);
    memcpy(logits, values[r->graph->output],
           n * r->graph->nodes[r->graph->output].c * sizeof *logits);
    reference_free_values(r, values);
}

double reference_loss(const struct reference *r, size_t n, const float *x, const float *weights)
{
    const size_t count = n * r->graph->nodes[r->graph->output].c;
    double *const logits = calloc(count, sizeof *logits), loss = 0;
    reference_forward(r, n, x, 1, logits);
    for (size_t i = 0; i < count; i++)
        loss += logits[i] * (double)weights[i];
    free(logits);
    return loss;
}
