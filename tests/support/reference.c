#include "support/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct reference *reference_create(const struct ctkd__graph *graph, float *const *plain)
{
    struct reference *const r = calloc(1, sizeof *r);
    r->graph = graph;
    r->parameters = calloc((size_t)graph->n_parameters, sizeof *r->parameters);
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
    free(r->parameters);
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
    const size_t k = node->kernel;
    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < node->c; o++)
            for (size_t oy = 0; oy < node->h; oy++)
                for (size_t ox = 0; ox < node->w; ox++) {
                    double sum = b ? b[o] : 0;
                    for (size_t c = 0; c < in->c; c++)
                        for (size_t ky = 0; ky < k; ky++)
                            for (size_t kx = 0; kx < k; kx++) {
                                const size_t iy = oy * node->stride + ky - node->padding;
                                const size_t ix = ox * node->stride + kx - node->padding;
                                if (iy < in->h && ix < in->w) /* unsigned: below 0 is huge */
                                    sum += w[((o * in->c + c) * k + ky) * k + kx] *
                                           x[((i * in->c + c) * in->h + iy) * in->w + ix];
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
    case CTKD__OP_INPUT:
    case CTKD__OP_COUNT:
        break;
    }
}

void reference_forward(const struct reference *r, size_t n, const float *x, int training,
                       double *logits)
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
    memcpy(logits, values[g->output], n * g->nodes[g->output].c * sizeof *logits);
    for (int i = 0; i < g->n_nodes; i++)
        free(values[i]);
    free(values);
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

double reference_slope(struct reference *r, int p, size_t i, size_t n, const float *x,
                       const float *weights)
{
    double *const value = &r->parameters[p][i], old = *value, h = 1e-6 * (1 + fabs(old));
    *value = old + h;
    const double up = reference_loss(r, n, x, weights);
    *value = old - h;
    const double down = reference_loss(r, n, x, weights);
    *value = old;
    return (up - down) / (2 * h);
}
