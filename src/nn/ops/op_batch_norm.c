/* Batch norm: with the batch's statistics in training, which all workers sum up together, with
   running ones in inference. */
#include <math.h>

#include "nn/compile/training_internal.h"
#include "nn/graph_build.h"

static const double epsilon = CTKD__BATCH_NORM_EPSILON;
static const float momentum = 0.1f;

int ctkd__graph_batch_norm(struct ctkd__graph *graph, int x, const char *name)
{
    if (!ctkd__build_usable(graph, x, name))
        return -1;
    const size_t shape[4] = { graph->nodes[x].c, graph->nodes[x].h, graph->nodes[x].w };
    const int y = ctkd__build_node(graph, CTKD__OP_BATCH_NORM, name, x, -1, shape);
    ctkd__build_parameter(graph, CTKD__ROLE_WEIGHT, ".weight", 1, shape, CTKD__INIT_CONSTANT, 1);
    ctkd__build_parameter(graph, CTKD__ROLE_BIAS, ".bias", 1, shape, CTKD__INIT_CONSTANT, 0);
    ctkd__build_parameter(graph, CTKD__ROLE_MEAN, ".running_mean", 1, shape, CTKD__INIT_CONSTANT,
                          0);
    ctkd__build_parameter(graph, CTKD__ROLE_VARIANCE, ".running_var", 1, shape, CTKD__INIT_CONSTANT,
                          1);
    return graph->status ? -1 : y;
}

/* --- training */

/* The coefficients of a NORM, each [C] of a worker's own. */
struct norm_coefficients {
    float *mean, *rstd, *scale, *shift, *a, *b, *c;
};

static struct norm_coefficients coefficients_of(const struct ctkd__training *training,
                                                const struct ctkd__lowered *op, size_t worker)
{
    const size_t c = op->in_blocks * training->lowering.kernels->block;
    float *const p = op->coefficients + worker * 7 * c;
    return (struct norm_coefficients){ p,         p + c,     p + 2 * c, p + 3 * c,
                                       p + 4 * c, p + 5 * c, p + 6 * c };
}

struct ctkd__affine ctkd__norm_batch_affine(const struct ctkd__training *training,
                                            const struct ctkd__lowered *op, size_t worker)
{
    const struct norm_coefficients k = coefficients_of(training, op, worker);
    return (struct ctkd__affine){ k.scale, k.shift, op->instruction.relu };
}

/* Values of a channel in a slice. */
static double slice_values(const struct ctkd__worker_view *v, size_t slice)
{
    const size_t n = v->training->n, slices = v->training->slices;
    return (double)(ctkd__slice_begin(n, slices, slice + 1) - ctkd__slice_begin(n, slices, slice)) *
           (double)v->op->in_hw;
}

/* Mean and variance of a channel over all slices (Chan et al. 1979), in their order. */
static void merge_moments(const struct ctkd__worker_view *v, size_t c, size_t channels,
                          double *mean, double *variance)
{
    const size_t slices = v->training->slices;
    const double total = (double)v->training->n * (double)v->op->in_hw;
    double sum = 0, deviations = 0;
    for (size_t s = 0; s < slices; s++)
        sum += slice_values(v, s) * v->op->forward_sums[s * 2 * channels + c];
    *mean = sum / total;
    for (size_t s = 0; s < slices; s++) {
        const double *const sums = v->op->forward_sums + s * 2 * channels;
        const double shift = sums[c] - *mean;
        deviations += sums[channels + c] + slice_values(v, s) * shift * shift;
    }
    *variance = deviations / total;
}

static void move(float *running, float value)
{
    *running = (1 - momentum) * *running + momentum * value;
}

/* Moves the running statistics of a channel by those of the batch, or keeps these for later. */
static void move_statistics(const struct ctkd__worker_view *v, size_t c, double mean,
                            double variance)
{
    const double count = (double)v->training->n * (double)v->op->in_hw;
    const double unbiased = count > 1 ? variance * count / (count - 1) : variance;
    float *const moments = v->training->moments;
    float *const block = moments ? moments : v->training->weights->buffers;
    float *const of_mean = ctkd__view_part(v, CTKD__ROLE_MEAN, block) + c;
    float *const of_variance = ctkd__view_part(v, CTKD__ROLE_VARIANCE, block) + c;
    if (moments) {
        *of_mean = (float)mean;
        *of_variance = (float)unbiased;
        return;
    }
    move(of_mean, (float)mean);
    move(of_variance, (float)unbiased);
}

void ctkd__training_move_statistics(struct ctkd__training *training, const float *moments)
{
    struct ctkd__weights *const weights = training->weights;
    for (int i = 0; i < training->lowering.program.count; i++) {
        const struct ctkd__node *const node = training->lowering.ops[i].node;
        if (training->lowering.ops[i].instruction.kind != CTKD__INSTRUCTION_NORM)
            continue;
        const size_t mean = weights->offsets[node->parameters[CTKD__ROLE_MEAN]];
        const size_t variance = weights->offsets[node->parameters[CTKD__ROLE_VARIANCE]];
        for (size_t c = 0; c < node->c; c++) {
            move(weights->buffers + mean + c, moments[mean + c]);
            move(weights->buffers + variance + c, moments[variance + c]);
        }
    }
    weights->batches_tracked++;
}

static void slice_moments(const struct ctkd__worker_view *v, size_t channels)
{
    double *const sums = v->op->forward_sums + v->slice * 2 * channels;
    v->kernels->moments(ctkd__view_in_extent(v), ctkd__view_x(v), sums, sums + channels);
}

/* Once the statistics are known, values are independent: one call for all slices. */
static void norm_forward(const struct ctkd__worker_view *v)
{
    const struct ctkd__lowered *const op = v->op;
    const size_t channels = op->in_blocks * v->lowering->kernels->block;
    for (size_t s = 0; s < ctkd__worker_slices(v->training); s++) {
        const struct ctkd__worker_view slice = ctkd__view_of_slice(v, s);
        slice_moments(&slice, channels);
    }
    ctkd__view_share_sums(v, op->forward_sums, 2 * channels * sizeof *op->forward_sums);
    const struct norm_coefficients k = coefficients_of(v->training, op, v->worker);
    const float *const weight = ctkd__view_parameter(v, CTKD__ROLE_WEIGHT);
    const float *const bias = ctkd__view_parameter(v, CTKD__ROLE_BIAS);
    for (size_t c = 0; c < op->node->c; c++) { /* padding channels keep coefficients of 0 */
        double mean, variance;
        merge_moments(v, c, channels, &mean, &variance);
        if (v->worker == 0 && !v->training->config.forward_only)
            move_statistics(v, c, mean, variance);
        const double rstd = 1.0 / sqrt(variance + epsilon);
        k.mean[c] = (float)mean;
        k.rstd[c] = (float)rstd;
        k.scale[c] = (float)((double)weight[c] * rstd);
        k.shift[c] = (float)((double)bias[c] - mean * (double)weight[c] * rstd);
    }
    const struct ctkd__affine affine = ctkd__norm_batch_affine(v->training, op, v->worker);
    if (!op->virtual_output)
        v->kernels->affine(ctkd__view_in_extent(v), ctkd__view_x(v), &affine,
                           ctkd__view_residual(v), ctkd__view_y(v));
}

/*
 * dx = scale (g - mean(g) - xh mean(g xh)), xh = (x - mean) rstd, as a g + b x + c per channel.
 */
static void norm_backward_coefficients(const struct ctkd__worker_view *v,
                                       const struct norm_coefficients *k, size_t channels)
{
    const double count = (double)v->training->n * (double)v->op->in_hw;
    for (size_t c = 0; c < v->op->node->c; c++) {
        double sum_g = 0, sum_gx = 0;
        for (size_t s = 0; s < v->training->slices; s++) {
            sum_g += v->op->backward_sums[s * 2 * channels + c];
            sum_gx += v->op->backward_sums[s * 2 * channels + channels + c];
        }
        const double scale = (double)k->scale[c], rstd = (double)k->rstd[c];
        const double slope = -scale * rstd * rstd * sum_gx / count;
        k->a[c] = (float)scale;
        k->b[c] = (float)slope;
        k->c[c] = (float)(-scale * sum_g / count - slope * (double)k->mean[c]);
    }
}

/* Whether the ReLU is after a sum with a residual: then y has its mask, and g is shared with the
   residual. */
static bool masks_sum(const struct ctkd__lowered *op)
{
    return op->instruction.residual >= 0;
}

/* The sums of a slice, and its gradients of weight and bias. */
static void slice_backward_sums(const struct ctkd__worker_view *v,
                                const struct norm_coefficients *k, size_t channels)
{
    const struct ctkd__lowered *const op = v->op;
    const struct ctkd__affine affine = ctkd__norm_batch_affine(v->training, op, v->worker);
    const bool stored = masks_sum(op), store = stored && op->instruction.relu;
    double *const sums = op->backward_sums + v->slice * 2 * channels;
    v->kernels->norm_backward_sums(ctkd__view_in_extent(v), ctkd__view_x(v), &affine,
                                   stored ? ctkd__view_y(v) : NULL, ctkd__view_dy(v), k->mean,
                                   store ? ctkd__view_buffer(v, op->masked) : NULL, sums,
                                   sums + channels);
    float *const dweight = ctkd__view_gradient(v, CTKD__ROLE_WEIGHT);
    float *const dbias = ctkd__view_gradient(v, CTKD__ROLE_BIAS);
    for (size_t c = 0; c < op->node->c; c++) {
        dweight[c] = (float)(sums[channels + c] * (double)k->rstd[c]);
        dbias[c] = (float)sums[c];
    }
}

static void norm_backward(const struct ctkd__worker_view *v)
{
    const struct ctkd__lowered *const op = v->op;
    const size_t channels = op->in_blocks * v->lowering->kernels->block;
    const struct norm_coefficients k = coefficients_of(v->training, op, v->worker);
    const struct ctkd__affine affine = ctkd__norm_batch_affine(v->training, op, v->worker);
    const bool stored = masks_sum(op);
    for (size_t s = 0; s < ctkd__worker_slices(v->training); s++) {
        const struct ctkd__worker_view slice = ctkd__view_of_slice(v, s);
        slice_backward_sums(&slice, &k, channels);
    }
    if (stored) /* before dx may overwrite g */
        ctkd__view_add_gradient(v, op->dr, op->masked);
    if (op->dx.out == CTKD__NO_BUFFER)
        return; /* the sums of other slices are for dx alone */
    ctkd__view_share_sums(v, op->backward_sums, 2 * channels * sizeof *op->backward_sums);
    norm_backward_coefficients(v, &k, channels);
    v->kernels->norm_backward_apply(
        ctkd__view_in_extent(v), ctkd__view_x(v), stored ? NULL : &affine,
        stored ? ctkd__view_buffer(v, op->masked) : ctkd__view_dy(v), k.a, k.b, k.c,
        ctkd__view_buffer(v, op->dx.base), ctkd__view_buffer(v, op->dx.out));
}

static unsigned norm_backward_reads(const struct ctkd__lowered *op)
{
    const bool masked = op->instruction.relu && op->instruction.residual >= 0;
    return CTKD__READS_X | (masked ? CTKD__READS_Y : 0);
}

/* --- inference: scale * x + shift */

void ctkd__norm_affine(const struct ctkd__weights *weights, const struct ctkd__node *norm, size_t c,
                       double *scale, double *shift)
{
    const double mean = (double)ctkd__node_parameter(weights, norm, CTKD__ROLE_MEAN)[c];
    const double variance = (double)ctkd__node_parameter(weights, norm, CTKD__ROLE_VARIANCE)[c];
    *scale = (double)ctkd__node_parameter(weights, norm, CTKD__ROLE_WEIGHT)[c] /
             sqrt(variance + epsilon);
    *shift = (double)ctkd__node_parameter(weights, norm, CTKD__ROLE_BIAS)[c] - mean * *scale;
}

static void norm_constants(const struct ctkd__lowering *l, const struct ctkd__lowered *op,
                           size_t bytes[3])
{
    bytes[1] = bytes[2] = op->in_blocks * l->kernels->block * sizeof(float);
}

static void norm_load(const struct ctkd__lowering *l, const struct ctkd__lowered *op,
                      const struct ctkd__weights *weights, float *folded)
{
    (void)l;
    (void)folded;
    for (size_t c = 0; c < op->node->c; c++) {
        double scale, shift;
        ctkd__norm_affine(weights, op->node, c, &scale, &shift);
        op->scale[c] = (float)scale;
        op->bias[c] = (float)shift;
    }
}

static void norm_infer(const struct ctkd__worker_view *v)
{
    const struct ctkd__affine affine = { v->op->scale, v->op->bias, v->op->instruction.relu };
    if (!v->op->virtual_output)
        v->kernels->affine(ctkd__view_in_extent(v), ctkd__view_x(v), &affine,
                           ctkd__view_residual(v), ctkd__view_y(v));
}

const struct ctkd__instruction_def ctkd__instruction_norm = {
    .text = "batch norm",
    .backward_reads_of = norm_backward_reads,
    .dx = CTKD__DX_IN_PLACE,
    .adds_residual = true,
    .meets = true,
    .forward = norm_forward,
    .backward = norm_backward,
    .infer = norm_infer,
    .constants = norm_constants,
    .load = norm_load,
};
