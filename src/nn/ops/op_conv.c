/* Convolution and transposed convolution, which is a convolution from y to x with its directions
   exchanged. */
#include <string.h>

#include "nn/compile/training_internal.h"
#include "nn/graph_build.h"
#include "util/clock.h"
#include "util/error.h"

/* --- nodes */

int ctkd__graph_conv(struct ctkd__graph *graph, int x, const char *name,
                     const struct ctkd__conv_args *args)
{
    const struct ctkd__pool_args windows = {
        args->kernel, args->stride, { args->padding, args->padding }, false
    };
    size_t h, w;
    if (!ctkd__build_usable(graph, x, name) ||
        !ctkd__build_window(graph, x, name, &windows, &h, &w))
        return -1;
    const size_t c = graph->nodes[x].c, groups = args->groups ? args->groups : 1;
    if (c % groups != 0 || args->out % groups != 0) {
        graph->status = ctkd__fail(
            &graph->error, CTKD_ESHAPE,
            "%s: found %zu to %zu channels in %zu groups, expected multiples of the groups", name,
            c, args->out, groups);
        return -1;
    }
    const int y =
        ctkd__build_node(graph, CTKD__OP_CONV, name, x, -1, (const size_t[3]){ args->out, h, w });
    if (y < 0)
        return -1;
    struct ctkd__node *const node = &graph->nodes[y];
    node->kernel = args->kernel, node->stride = args->stride;
    node->padding = args->padding, node->groups = groups;
    const size_t shape[4] = { args->out, c / groups, args->kernel, args->kernel };
    ctkd__build_parameter(graph, CTKD__ROLE_WEIGHT, ".weight", 4, shape, args->init, args->value);
    if (args->bias)
        ctkd__build_parameter(graph, CTKD__ROLE_BIAS, ".bias", 1, shape, args->bias_init,
                              args->bias_value);
    return graph->status ? -1 : y;
}

/* The side of a transposed convolution's output; 0 if it would be empty. */
static size_t transposed_side(size_t side, const struct ctkd__conv_args *args)
{
    const size_t whole = (side - 1) * args->stride + args->kernel;
    return whole > 2 * args->padding ? whole - 2 * args->padding : 0;
}

int ctkd__graph_transposed_conv(struct ctkd__graph *graph, int x, const char *name,
                                const struct ctkd__conv_args *args)
{
    if (!ctkd__build_usable(graph, x, name))
        return -1;
    if (args->kernel == 0 || args->stride == 0 || args->padding >= args->kernel ||
        args->groups > 1) {
        graph->status =
            ctkd__fail(&graph->error, CTKD_EINVAL,
                       "%s: found kernel %zu, stride %zu, padding %zu, groups %zu, expected kernel "
                       "and stride of at least 1, padding below the kernel and one group",
                       name, args->kernel, args->stride, args->padding, args->groups);
        return -1;
    }
    const size_t c = graph->nodes[x].c;
    const size_t out[4] = { args->out, transposed_side(graph->nodes[x].h, args),
                            transposed_side(graph->nodes[x].w, args) };
    const int y = ctkd__build_node(graph, CTKD__OP_TRANSPOSED_CONV, name, x, -1, out);
    if (y < 0)
        return -1;
    struct ctkd__node *const node = &graph->nodes[y];
    node->kernel = args->kernel, node->stride = args->stride, node->padding = args->padding;
    const size_t shape[4] = { c, args->out, args->kernel, args->kernel };
    ctkd__build_parameter(graph, CTKD__ROLE_WEIGHT, ".weight", 4, shape, args->init, args->value);
    if (args->bias)
        ctkd__build_parameter(graph, CTKD__ROLE_BIAS, ".bias", 1, out, args->bias_init,
                              args->bias_value);
    return graph->status ? -1 : y;
}

/* --- training */

/* Packs the weights of a direction, all workers together, and returns what the calls take. Two
   buffers alternate: when a worker packs into one, all workers have met since they last used it. */
static const float *packed_weights(const struct ctkd__worker_view *v,
                                   enum ctkd__conv_direction direction)
{
    struct ctkd__training *const t = v->training;
    const struct ctkd__conv *const conv = v->op->conv[direction];
    const struct ctkd__conv_impl *const impl = ctkd__conv_base(conv)->impl;
    const float *const weights = ctkd__view_parameter(v, CTKD__ROLE_WEIGHT);
    if (impl->packed_bytes(conv) == 0)
        return weights;
    float *const packed = t->packed[t->packs[v->worker]++ % 2];
    const uint64_t start = t->lowering.profile ? ctkd__clock_ns() : 0;
    impl->pack(conv, weights, packed, v->worker, ctkd__lowering_workers(v->lowering));
    if (t->lowering.profile)
        ctkd__profile_add(t->lowering.profile, v->op->rows[3 + direction], v->worker,
                          ctkd__clock_ns() - start, v->n);
    ctkd__view_meet(v);
    return packed;
}

/* Fills in what all calls have in common. */
static void run_call(const struct ctkd__worker_view *v, enum ctkd__conv_direction direction,
                     struct ctkd__conv_call *call)
{
    const struct ctkd__conv *const conv = v->op->conv[direction];
    call->n = v->n;
    call->worker = v->worker;
    call->scratch = ctkd__view_scratch(v);
    const ctkd_status status = v->n ? ctkd__conv_base(conv)->impl->run(conv, call) : CTKD_OK;
    if (status)
        v->lowering->statuses[v->worker] = status;
}

/* Sets the values of a call that depend on its images. */
typedef void set_values(const struct ctkd__worker_view *v, struct ctkd__conv_call *call);

/* After `common`, one call for all images, or one for each slice: gradients of weights are sums
   over a slice, and a library's bits for an image may depend on how many images are in the call. */
static void run_slices(const struct ctkd__worker_view *v, enum ctkd__conv_direction direction,
                       const struct ctkd__conv_call *common, set_values *set)
{
    struct ctkd__profile *const profile = v->lowering->profile;
    const uint64_t start = profile ? ctkd__clock_ns() : 0;
    const bool at_once = direction != CTKD__CONV_BACKWARD_WEIGHTS &&
                         ctkd__conv_base(v->op->conv[direction])->impl->by_image;
    for (size_t s = 0; s < (at_once ? 1 : ctkd__worker_slices(v->training)); s++) {
        const struct ctkd__worker_view part = at_once ? *v : ctkd__view_of_slice(v, s);
        struct ctkd__conv_call call = *common;
        set(&part, &call);
        run_call(&part, direction, &call);
    }
    if (profile)
        ctkd__profile_add(profile, v->op->rows[direction], v->worker, ctkd__clock_ns() - start,
                          v->n);
}

/* The batch norm that is applied while x is read; NULL: none. */
static const struct ctkd__affine *batch_prologue(const struct ctkd__worker_view *v,
                                                 struct ctkd__affine *affine)
{
    if (!v->op->prologue)
        return NULL;
    *affine = ctkd__norm_batch_affine(v->training, v->op->prologue, v->worker);
    return affine;
}

static void set_forward(const struct ctkd__worker_view *v, struct ctkd__conv_call *call)
{
    call->x = ctkd__view_x(v);
    call->out = ctkd__view_y(v);
}

static void conv_forward(const struct ctkd__worker_view *v)
{
    struct ctkd__affine affine;
    const struct ctkd__conv_call common = { .prologue = batch_prologue(v, &affine),
                                            .weights = packed_weights(v, CTKD__CONV_FORWARD),
                                            .bias = ctkd__view_parameter(v, CTKD__ROLE_BIAS) };
    run_slices(v, CTKD__CONV_FORWARD, &common, set_forward);
}

static void slice_bias_gradient(const struct ctkd__worker_view *v)
{
    float *const dbias = ctkd__view_gradient(v, CTKD__ROLE_BIAS);
    double *const sums = ctkd__view_scratch(v);
    v->kernels->channel_sums(ctkd__view_out_extent(v), ctkd__view_dy(v), sums);
    for (size_t c = 0; c < v->op->node->c; c++)
        dbias[c] = (float)sums[c];
}

static void conv_bias_gradient(const struct ctkd__worker_view *v)
{
    if (!ctkd__view_gradient(v, CTKD__ROLE_BIAS))
        return;
    for (size_t s = 0; s < ctkd__worker_slices(v->training); s++) {
        const struct ctkd__worker_view slice = ctkd__view_of_slice(v, s);
        slice_bias_gradient(&slice);
    }
}

static void set_backward_weights(const struct ctkd__worker_view *v, struct ctkd__conv_call *call)
{
    call->x = ctkd__view_x_again(v);
    call->dy = ctkd__view_dy(v);
    call->out = ctkd__view_gradient(v, CTKD__ROLE_WEIGHT);
}

static void set_backward_data(const struct ctkd__worker_view *v, struct ctkd__conv_call *call)
{
    call->dy = ctkd__view_dy(v);
    call->base = ctkd__view_buffer(v, v->op->dx.base);
    call->out = ctkd__view_buffer(v, v->op->dx.out);
}

static void conv_backward(const struct ctkd__worker_view *v)
{
    struct ctkd__affine affine;
    struct ctkd__conv_call common = { .prologue = batch_prologue(v, &affine) };
    run_slices(v, CTKD__CONV_BACKWARD_WEIGHTS, &common, set_backward_weights);
    conv_bias_gradient(v);
    if (v->op->dx.out == CTKD__NO_BUFFER)
        return;
    common = (struct ctkd__conv_call){ .weights = packed_weights(v, CTKD__CONV_BACKWARD_DATA) };
    run_slices(v, CTKD__CONV_BACKWARD_DATA, &common, set_backward_data);
}

static void set_transposed_forward(const struct ctkd__worker_view *v, struct ctkd__conv_call *call)
{
    call->dy = ctkd__view_x(v);
    call->out = ctkd__view_y(v);
}

static void transposed_forward(const struct ctkd__worker_view *v)
{
    const struct ctkd__conv_call common = { .weights =
                                                packed_weights(v, CTKD__CONV_BACKWARD_DATA) };
    run_slices(v, CTKD__CONV_BACKWARD_DATA, &common, set_transposed_forward);
    const float *const bias = ctkd__view_parameter(v, CTKD__ROLE_BIAS); /* padded with zeros */
    if (bias)
        v->features->shift(ctkd__view_out_extent(v), bias, ctkd__view_y(v));
}

static void set_transposed_weights(const struct ctkd__worker_view *v, struct ctkd__conv_call *call)
{
    call->x = ctkd__view_dy(v);
    call->dy = ctkd__view_x(v);
    call->out = ctkd__view_gradient(v, CTKD__ROLE_WEIGHT);
}

static void set_transposed_backward(const struct ctkd__worker_view *v, struct ctkd__conv_call *call)
{
    call->x = ctkd__view_dy(v);
    call->base = ctkd__view_buffer(v, v->op->dx.base);
    call->out = ctkd__view_buffer(v, v->op->dx.out);
}

static void transposed_backward(const struct ctkd__worker_view *v)
{
    const struct ctkd__conv_call none = { 0 };
    run_slices(v, CTKD__CONV_BACKWARD_WEIGHTS, &none, set_transposed_weights);
    conv_bias_gradient(v);
    if (v->op->dx.out == CTKD__NO_BUFFER)
        return;
    const struct ctkd__conv_call common = { .weights = packed_weights(v, CTKD__CONV_FORWARD) };
    run_slices(v, CTKD__CONV_FORWARD, &common, set_transposed_backward);
}

/* --- inference */

static enum ctkd__conv_direction inference_direction(const struct ctkd__lowered *op)
{
    return op->instruction.kind == CTKD__INSTRUCTION_CONV ? CTKD__CONV_FORWARD
                                                          : CTKD__CONV_BACKWARD_DATA;
}

size_t ctkd__lowered_flat_floats(const struct ctkd__lowering *l, const struct ctkd__lowered *op)
{
    const struct ctkd__conv_request request =
        ctkd__lowering_conv_request(l, op, inference_direction(op), false);
    return ctkd__conv_weight_floats(&request.shape, l->kernels->block);
}

static void conv_constants(const struct ctkd__lowering *l, const struct ctkd__lowered *op,
                           size_t bytes[3])
{
    const struct ctkd__conv *const conv = op->conv[inference_direction(op)];
    const size_t packed = ctkd__conv_base(conv)->impl->packed_bytes(conv);
    bytes[0] = packed ? packed : ctkd__lowered_flat_floats(l, op) * sizeof(float);
    bytes[1] = op->out_blocks * l->kernels->block * sizeof(float);
}

static void store_weights(const struct ctkd__lowered *op, const float *flat, size_t floats)
{
    const struct ctkd__conv *const conv = op->conv[inference_direction(op)];
    const struct ctkd__conv_impl *const impl = ctkd__conv_base(conv)->impl;
    if (impl->packed_bytes(conv))
        impl->pack(conv, flat, op->weights, 0, 1);
    else
        memcpy(op->weights, flat, floats * sizeof *flat);
}

static void conv_load(const struct ctkd__lowering *l, const struct ctkd__lowered *op,
                      const struct ctkd__weights *weights, float *folded)
{
    const size_t block = l->kernels->block, floats = ctkd__lowered_flat_floats(l, op);
    const float *const flat = ctkd__node_parameter(weights, op->node, CTKD__ROLE_WEIGHT);
    const float *const bias = ctkd__node_parameter(weights, op->node, CTKD__ROLE_BIAS);
    const size_t per_block = floats / op->out_blocks;
    memset(folded, 0, floats * sizeof *folded);
    for (size_t o = 0; o < op->out->c; o++) {
        double scale = 1, shift = 0;
        if (op->instruction.norm >= 0)
            ctkd__norm_affine(weights, &l->graph->nodes[op->instruction.norm], o, &scale, &shift);
        op->bias[o] = (float)(shift + (bias ? scale * (double)bias[o] : 0));
        const size_t first =
            o / block * per_block + o % block; /* o is the fastest index of a block */
        for (size_t i = first; i < (o / block + 1) * per_block; i += block)
            folded[i] = (float)(scale * (double)flat[i]);
    }
    store_weights(op, folded, floats);
}

static void conv_infer(const struct ctkd__worker_view *v)
{
    const struct ctkd__lowered *const op = v->op;
    struct ctkd__affine affine;
    struct ctkd__conv_call call = { .x = ctkd__view_x(v),
                                    .weights = op->weights,
                                    .bias = op->bias,
                                    .base = ctkd__view_residual(v),
                                    .out = ctkd__view_y(v) };
    if (op->prologue) {
        affine = (struct ctkd__affine){ op->prologue->scale, op->prologue->bias,
                                        op->prologue->instruction.relu };
        call.prologue = &affine;
    }
    run_call(v, CTKD__CONV_FORWARD, &call);
}

/* No batch norm is folded into a transposed convolution. */
static void transposed_load(const struct ctkd__lowering *l, const struct ctkd__lowered *op,
                            const struct ctkd__weights *weights, float *folded)
{
    (void)folded;
    const float *const bias = ctkd__node_parameter(weights, op->node, CTKD__ROLE_BIAS);
    if (bias)
        memcpy(op->bias, bias, op->out->c * sizeof *bias);
    store_weights(op, ctkd__node_parameter(weights, op->node, CTKD__ROLE_WEIGHT),
                  ctkd__lowered_flat_floats(l, op));
}

static void transposed_infer(const struct ctkd__worker_view *v)
{
    struct ctkd__conv_call call = { .dy = ctkd__view_x(v),
                                    .weights = v->op->weights,
                                    .out = ctkd__view_y(v) };
    run_call(v, CTKD__CONV_BACKWARD_DATA, &call);
    if (v->op->node->parameters[CTKD__ROLE_BIAS] >= 0)
        v->features->shift(ctkd__view_out_extent(v), v->op->bias, ctkd__view_y(v));
}

const struct ctkd__instruction_def ctkd__instruction_conv = {
    .text = "conv",
    .backward_reads = CTKD__READS_X,
    .dx = CTKD__DX_APART,
    .adds_residual = true,
    .meets = true,
    .forward = conv_forward,
    .backward = conv_backward,
    .infer = conv_infer,
    .constants = conv_constants,
    .load = conv_load,
};

const struct ctkd__instruction_def ctkd__instruction_transposed_conv = {
    .text = "transposed conv",
    .backward_reads = CTKD__READS_X,
    .dx = CTKD__DX_APART,
    .meets = true,
    .forward = transposed_forward,
    .backward = transposed_backward,
    .infer = transposed_infer,
    .constants = conv_constants,
    .load = transposed_load,
};
