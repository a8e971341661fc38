#include "nn/compile/training_view.h"
#include "util/clock.h"

#include <math.h>
#include <string.h>

static const double epsilon = CTKD__BATCH_NORM_EPSILON;
static const float momentum = 0.1f;

/* --- batch norm */

/* The coefficients of a NORM, each [C] of a worker's own. */
struct norm_coefficients {
    float *mean, *rstd, *scale, *shift, *a, *b, *c;
};

static struct norm_coefficients coefficients_of(const struct ctkd__training *training,
                                                const struct ctkd__training_op *op, size_t worker)
{
    const size_t c = op->in_blocks * training->config.kernels->block;
    float *const p = op->coefficients + worker * 7 * c;
    return (struct norm_coefficients){ p,         p + c,     p + 2 * c, p + 3 * c,
                                       p + 4 * c, p + 5 * c, p + 6 * c };
}

static struct ctkd__affine affine_of(const struct ctkd__training *training,
                                     const struct ctkd__training_op *op, size_t worker)
{
    const struct norm_coefficients k = coefficients_of(training, op, worker);
    return (struct ctkd__affine){ k.scale, k.shift, op->instruction.relu };
}

/* Mean and variance of a channel over all slices (Chan et al. 1979), in the order of the workers.
 */
static void merge_moments(const struct ctkd__view *v, size_t c, size_t channels, double *mean,
                          double *variance)
{
    const size_t workers = ctkd__workers_count(v->training->config.workers);
    const double total = (double)v->training->n * (double)v->op->in_hw;
    double sum = 0, deviations = 0;
    for (size_t w = 0; w < workers; w++) {
        const struct ctkd__view other = ctkd__view_of_worker(v->training, v->op, w);
        sum += (double)other.n * (double)v->op->in_hw * v->op->forward_sums[w * 2 * channels + c];
    }
    *mean = sum / total;
    for (size_t w = 0; w < workers; w++) {
        const struct ctkd__view other = ctkd__view_of_worker(v->training, v->op, w);
        const double *const sums = v->op->forward_sums + w * 2 * channels;
        const double shift = sums[c] - *mean;
        deviations += sums[channels + c] + (double)other.n * (double)v->op->in_hw * shift * shift;
    }
    *variance = deviations / total;
}

static void move_statistics(const struct ctkd__view *v, size_t c, double mean, double variance)
{
    const double count = (double)v->training->n * (double)v->op->in_hw;
    const double unbiased = count > 1 ? variance * count / (count - 1) : variance;
    float *const running_mean =
        ctkd__view_part(v, CTKD__ROLE_MEAN, v->training->weights->buffers) + c;
    float *const running_variance =
        ctkd__view_part(v, CTKD__ROLE_VARIANCE, v->training->weights->buffers) + c;
    *running_mean = (1 - momentum) * *running_mean + momentum * (float)mean;
    *running_variance = (1 - momentum) * *running_variance + momentum * (float)unbiased;
}

static void norm_forward(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const size_t channels = op->in_blocks * v->training->config.kernels->block;
    const float *const x = ctkd__view_input(v);
    double *const sums = op->forward_sums + v->worker * 2 * channels;
    v->kernels->moments(ctkd__view_in_extent(v), x, sums, sums + channels);
    ctkd__view_meet(v);
    const struct norm_coefficients k = coefficients_of(v->training, op, v->worker);
    const float *const weight = ctkd__view_parameter(v, CTKD__ROLE_WEIGHT),
                       *const bias = ctkd__view_parameter(v, CTKD__ROLE_BIAS);
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
    const struct ctkd__affine affine = affine_of(v->training, op, v->worker);
    if (!op->virtual_output)
        v->kernels->affine(ctkd__view_in_extent(v), x, &affine, ctkd__view_buffer(v, op->residual),
                           ctkd__view_buffer(v, op->y));
}

/*
 * dx = scale (g - mean(g) - xh mean(g xh)), xh = (x - mean) rstd, as a g + b x + c per channel.
 */
static void norm_backward_coefficients(const struct ctkd__view *v,
                                       const struct norm_coefficients *k, size_t channels)
{
    const size_t workers = ctkd__workers_count(v->training->config.workers);
    const double count = (double)v->training->n * (double)v->op->in_hw;
    for (size_t c = 0; c < v->op->node->c; c++) {
        double sum_g = 0, sum_gx = 0;
        for (size_t w = 0; w < workers; w++) {
            sum_g += v->op->backward_sums[w * 2 * channels + c];
            sum_gx += v->op->backward_sums[w * 2 * channels + channels + c];
        }
        const double scale = (double)k->scale[c], rstd = (double)k->rstd[c];
        const double slope = -scale * rstd * rstd * sum_gx / count;
        k->a[c] = (float)scale;
        k->b[c] = (float)slope;
        k->c[c] = (float)(-scale * sum_g / count - slope * (double)k->mean[c]);
    }
}

static void add_residual_gradient(const struct ctkd__view *v, struct ctkd__gradient dr, int masked)
{
    if (dr.out == CTKD__NO_BUFFER || (dr.out == masked && dr.base == CTKD__NO_BUFFER))
        return; /* shared, not copied */
    v->kernels->add(v->n * v->op->out_floats, ctkd__view_buffer(v, dr.base),
                    ctkd__view_buffer(v, masked), false, ctkd__view_buffer(v, dr.out));
}

static void norm_backward(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const size_t channels = op->in_blocks * v->training->config.kernels->block;
    const struct norm_coefficients k = coefficients_of(v->training, op, v->worker);
    const struct ctkd__affine affine = affine_of(v->training, op, v->worker);
    const bool stored =
        op->instruction.residual >= 0; /* the mask is of the sum: it is in y, and g is shared */
    const bool store = stored && op->instruction.relu;
    double *const sums = op->backward_sums + v->worker * 2 * channels;
    const float *const x = ctkd__view_input(v), *const dy = ctkd__view_buffer(v, op->dy);
    v->kernels->norm_backward_sums(
        ctkd__view_in_extent(v), x, &affine, stored ? ctkd__view_buffer(v, op->y) : NULL, dy,
        k.mean, store ? ctkd__view_buffer(v, op->masked) : NULL, sums, sums + channels);
    float *const dweight = ctkd__view_gradient(v, CTKD__ROLE_WEIGHT), *const dbias =
                                                                          ctkd__view_gradient(
                                                                              v, CTKD__ROLE_BIAS);
    for (size_t c = 0; c < op->node->c; c++) {
        dweight[c] = (float)(sums[channels + c] * (double)k.rstd[c]);
        dbias[c] = (float)sums[c];
    }
    if (stored) /* before dx may take the place of g */
        add_residual_gradient(v, op->dr, op->masked);
    ctkd__view_meet(v);
    if (op->dx.out == CTKD__NO_BUFFER)
        return;
    norm_backward_coefficients(v, &k, channels);
    v->kernels->norm_backward_apply(ctkd__view_in_extent(v), x, stored ? NULL : &affine,
                                    stored ? ctkd__view_buffer(v, op->masked) : dy, k.a, k.b, k.c,
                                    ctkd__view_buffer(v, op->dx.base),
                                    ctkd__view_buffer(v, op->dx.out));
}

/* --- convolution */

/* Packs the weights of a direction, all workers together, and returns what the calls take. Two
   buffers alternate: who packs into one knows that all have met since they used it. */
static const float *packed_weights(const struct ctkd__view *v, enum ctkd__conv_direction direction)
{
    struct ctkd__training *const t = v->training;
    const struct ctkd__conv *const conv = v->op->conv[direction];
    const struct ctkd__conv_impl *const impl = ctkd__conv_base(conv)->impl;
    const float *const weights = ctkd__view_parameter(v, CTKD__ROLE_WEIGHT);
    if (impl->packed_bytes(conv) == 0)
        return weights;
    float *const packed = t->packed[t->packs[v->worker]++ % 2];
    const uint64_t start = t->config.profile ? ctkd__clock_ns() : 0;
    impl->pack(conv, weights, packed, v->worker, ctkd__workers_count(t->config.workers));
    if (t->config.profile)
        ctkd__profile_add(t->config.profile, v->op->rows[3 + direction], v->worker,
                          ctkd__clock_ns() - start, v->n);
    ctkd__view_meet(v);
    return packed;
}

static void run_conv(const struct ctkd__view *v, enum ctkd__conv_direction direction,
                     struct ctkd__conv_call *call)
{
    const struct ctkd__conv *const conv = v->op->conv[direction];
    const uint64_t start = v->training->config.profile ? ctkd__clock_ns() : 0;
    call->n = v->n;
    call->worker = v->worker;
    call->scratch = v->training->scratch[v->worker];
    const ctkd_status status = v->n ? ctkd__conv_base(conv)->impl->run(conv, call) : CTKD_OK;
    if (status)
        v->training->statuses[v->worker] = status;
    if (v->training->config.profile)
        ctkd__profile_add(v->training->config.profile, v->op->rows[direction], v->worker,
                          ctkd__clock_ns() - start, v->n);
}

static void conv_forward(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    struct ctkd__conv_call call = { .x = ctkd__view_input(v),
                                    .weights = packed_weights(v, CTKD__CONV_FORWARD),
                                    .bias = ctkd__view_parameter(v, CTKD__ROLE_BIAS),
                                    .out = ctkd__view_buffer(v, op->y) };
    struct ctkd__affine affine;
    if (op->prologue) {
        affine = affine_of(v->training, op->prologue, v->worker);
        call.prologue = &affine;
    }
    run_conv(v, CTKD__CONV_FORWARD, &call);
}

static void conv_bias_gradient(const struct ctkd__view *v, const float *dy)
{
    float *const dbias = ctkd__view_gradient(v, CTKD__ROLE_BIAS);
    if (!dbias)
        return;
    double *const sums = (double *)(void *)v->training->scratch[v->worker];
    v->kernels->channel_sums(ctkd__view_out_extent(v), dy, sums);
    for (size_t c = 0; c < v->op->node->c; c++)
        dbias[c] = (float)sums[c];
}

static void conv_backward(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const float *const dy = ctkd__view_buffer(v, op->dy);
    struct ctkd__affine affine;
    struct ctkd__conv_call call = { .x = ctkd__view_input(v),
                                    .dy = dy,
                                    .out = ctkd__view_gradient(v, CTKD__ROLE_WEIGHT) };
    if (op->prologue) {
        affine = affine_of(v->training, op->prologue, v->worker);
        call.prologue = &affine;
    }
    run_conv(v, CTKD__CONV_BACKWARD_WEIGHTS, &call);
    conv_bias_gradient(v, dy);
    if (op->dx.out == CTKD__NO_BUFFER)
        return;
    call = (struct ctkd__conv_call){ .dy = dy,
                                     .weights = packed_weights(v, CTKD__CONV_BACKWARD_DATA),
                                     .base = ctkd__view_buffer(v, op->dx.base),
                                     .out = ctkd__view_buffer(v, op->dx.out) };
    run_conv(v, CTKD__CONV_BACKWARD_DATA, &call);
}

/* --- transposed convolution: the convolution from y to x with its directions exchanged */

static void transposed_forward(const struct ctkd__view *v)
{
    struct ctkd__conv_call call = { .dy = ctkd__view_input(v),
                                    .weights = packed_weights(v, CTKD__CONV_BACKWARD_DATA),
                                    .out = ctkd__view_buffer(v, v->op->y) };
    run_conv(v, CTKD__CONV_BACKWARD_DATA, &call);
    const float *const bias = ctkd__view_parameter(v, CTKD__ROLE_BIAS); /* padded with zeros */
    if (bias)
        v->features->shift(ctkd__view_out_extent(v), bias, ctkd__view_buffer(v, v->op->y));
}

static void transposed_backward(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const float *const dy = ctkd__view_buffer(v, op->dy);
    struct ctkd__conv_call call = { .x = dy,
                                    .dy = ctkd__view_input(v),
                                    .out = ctkd__view_gradient(v, CTKD__ROLE_WEIGHT) };
    run_conv(v, CTKD__CONV_BACKWARD_WEIGHTS, &call);
    conv_bias_gradient(v, dy);
    if (op->dx.out == CTKD__NO_BUFFER)
        return;
    call = (struct ctkd__conv_call){ .x = dy,
                                     .weights = packed_weights(v, CTKD__CONV_FORWARD),
                                     .base = ctkd__view_buffer(v, op->dx.base),
                                     .out = ctkd__view_buffer(v, op->dx.out) };
    run_conv(v, CTKD__CONV_FORWARD, &call);
}

/* --- the rest */

static void add_forward(const struct ctkd__view *v)
{
    v->kernels->add(v->n * v->op->out_floats, ctkd__view_input(v),
                    ctkd__view_buffer(v, v->op->residual), v->op->instruction.relu,
                    ctkd__view_buffer(v, v->op->y));
}

static void add_backward(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    if (op->instruction.relu)
        v->kernels->relu_backward(v->n * op->out_floats, ctkd__view_buffer(v, op->y),
                                  ctkd__view_buffer(v, op->dy), NULL,
                                  ctkd__view_buffer(v, op->masked));
    add_residual_gradient(v, op->dx, op->masked);
    add_residual_gradient(v, op->dr, op->masked);
}

static void relu_forward(const struct ctkd__view *v)
{
    v->kernels->relu(v->n * v->op->out_floats, ctkd__view_input(v), ctkd__view_buffer(v, v->op->y));
}

static void relu_backward(const struct ctkd__view *v)
{
    v->kernels->relu_backward(v->n * v->op->out_floats, ctkd__view_buffer(v, v->op->y),
                              ctkd__view_buffer(v, v->op->dy), ctkd__view_buffer(v, v->op->dx.base),
                              ctkd__view_buffer(v, v->op->dx.out));
}

static struct ctkd__max_pool pool_of(const struct ctkd__view *v)
{
    const struct ctkd__node *const node = v->op->node;
    const struct ctkd__node *const from = &v->training->graph->nodes[v->op->instruction.input];
    return (struct ctkd__max_pool){ from->h,      from->w,      node->h,      node->w,
                                    node->kernel, node->stride, node->padding };
}

static void max_pool_forward(const struct ctkd__view *v)
{
    const struct ctkd__max_pool pool = pool_of(v);
    v->kernels->max_pool(v->n * v->op->in_blocks, &pool, ctkd__view_input(v),
                         ctkd__view_buffer(v, v->op->y), ctkd__view_buffer(v, v->op->index));
}

static void max_pool_backward(const struct ctkd__view *v)
{
    const struct ctkd__max_pool pool = pool_of(v);
    v->kernels->max_pool_backward(v->n * v->op->in_blocks, &pool, ctkd__view_buffer(v, v->op->dy),
                                  ctkd__view_buffer(v, v->op->index),
                                  ctkd__view_buffer(v, v->op->dx.base),
                                  ctkd__view_buffer(v, v->op->dx.out));
}

static void global_pool_forward(const struct ctkd__view *v)
{
    v->kernels->mean_pool(ctkd__view_in_extent(v), ctkd__view_input(v),
                          ctkd__view_buffer(v, v->op->y));
}

static void global_pool_backward(const struct ctkd__view *v)
{
    v->kernels->mean_pool_backward(ctkd__view_in_extent(v), ctkd__view_buffer(v, v->op->dy),
                                   ctkd__view_buffer(v, v->op->dx.base),
                                   ctkd__view_buffer(v, v->op->dx.out));
}

/* A linear layer computes plain rows: the logits', or some in the scratch memory. */
static float *rows_of(const struct ctkd__view *v)
{
    return (float *)(void *)v->training->scratch[v->worker];
}

static struct ctkd__extent row_extent(const struct ctkd__view *v)
{
    return (struct ctkd__extent){ v->n, v->op->out_blocks, 1 };
}

static void linear_forward(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const size_t k = op->node->c;
    float *const rows = op->is_logits ? v->training->logits + v->first * k : rows_of(v);
    v->kernels->linear(v->n, op->in_floats, k, ctkd__view_input(v),
                       ctkd__view_parameter(v, CTKD__ROLE_WEIGHT),
                       ctkd__view_parameter(v, CTKD__ROLE_BIAS), rows);
    if (op->y != CTKD__NO_BUFFER)
        v->features->block(row_extent(v), k, rows, NULL, ctkd__view_buffer(v, op->y));
}

/* The gradient's rows: the caller's, those of the instructions that read the value, or their sum.
 */
static const float *linear_gradient(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const size_t k = op->node->c;
    const float *const dlogits = op->is_logits ? v->training->dlogits + v->first * k : NULL;
    if (op->dy == CTKD__NO_BUFFER)
        return dlogits;
    float *const rows = rows_of(v);
    v->features->unblock(row_extent(v), k, ctkd__view_buffer(v, op->dy), rows);
    for (size_t i = 0; dlogits && i < v->n * k; i++)
        rows[i] += dlogits[i];
    return rows;
}

static void linear_backward(const struct ctkd__view *v)
{
    v->kernels->linear_backward(
        v->n, v->op->in_floats, v->op->node->c, ctkd__view_input(v),
        ctkd__view_parameter(v, CTKD__ROLE_WEIGHT), linear_gradient(v),
        ctkd__view_buffer(v, v->op->dx.base), ctkd__view_buffer(v, v->op->dx.out),
        ctkd__view_gradient(v, CTKD__ROLE_WEIGHT), ctkd__view_gradient(v, CTKD__ROLE_BIAS));
}

static struct ctkd__subsample subsample_of(const struct ctkd__view *v)
{
    const struct ctkd__node *const node = v->op->node;
    const struct ctkd__node *const from = &v->training->graph->nodes[v->op->instruction.input];
    return (struct ctkd__subsample){ from->c, v->op->in_blocks,  from->h,
                                     from->w, v->op->out_blocks, node->h,
                                     node->w, node->stride,      (node->c - from->c) / 2 };
}

static void subsample_forward(const struct ctkd__view *v)
{
    const struct ctkd__subsample shape = subsample_of(v);
    v->kernels->subsample(v->n, &shape, ctkd__view_input(v), ctkd__view_buffer(v, v->op->y));
}

static void subsample_backward(const struct ctkd__view *v)
{
    const struct ctkd__subsample shape = subsample_of(v);
    v->kernels->subsample_backward(v->n, &shape, ctkd__view_buffer(v, v->op->dy),
                                   ctkd__view_buffer(v, v->op->dx.base),
                                   ctkd__view_buffer(v, v->op->dx.out));
}

static const struct ctkd__passes table[CTKD__INSTRUCTION_KINDS] = {
    [CTKD__INSTRUCTION_CONV] = { conv_forward, conv_backward },
    [CTKD__INSTRUCTION_NORM] = { norm_forward, norm_backward },
    [CTKD__INSTRUCTION_ADD] = { add_forward, add_backward },
    [CTKD__INSTRUCTION_RELU] = { relu_forward, relu_backward },
    [CTKD__INSTRUCTION_MAX_POOL] = { max_pool_forward, max_pool_backward },
    [CTKD__INSTRUCTION_GLOBAL_POOL] = { global_pool_forward, global_pool_backward },
    [CTKD__INSTRUCTION_LINEAR] = { linear_forward, linear_backward },
    [CTKD__INSTRUCTION_SUBSAMPLE] = { subsample_forward, subsample_backward },
    [CTKD__INSTRUCTION_TRANSPOSED_CONV] = { transposed_forward, transposed_backward },
};

static const struct ctkd__passes *functions_of(const struct ctkd__training_op *op)
{
    const struct ctkd__passes *const feature = ctkd__feature_passes(op->instruction.kind);
    return feature ? feature : &table[op->instruction.kind];
}

static void timed(const struct ctkd__view *v, void (*fn)(const struct ctkd__view *v), int row)
{
    struct ctkd__profile *const profile = v->training->config.profile;
    const uint64_t start = profile ? ctkd__clock_ns() : 0;
    fn(v);
    if (profile && !v->op->conv[CTKD__CONV_BACKWARD_WEIGHTS]) /* convolutions time their parts */
        ctkd__profile_add(profile, v->op->rows[row], v->worker, ctkd__clock_ns() - start, v->n);
}

void ctkd__training_op_forward(struct ctkd__training *training, struct ctkd__training_op *op,
                               size_t worker)
{
    const struct ctkd__view v = ctkd__view_of_worker(training, op, worker);
    timed(&v, functions_of(op)->forward, 0);
}

void ctkd__training_op_backward(struct ctkd__training *training, struct ctkd__training_op *op,
                                size_t worker)
{
    const struct ctkd__view v = ctkd__view_of_worker(training, op, worker);
    timed(&v, functions_of(op)->backward, 1);
}
