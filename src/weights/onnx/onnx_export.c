#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"
#include "weights/exchange.h"

enum { OPSET = 13, NAME_BYTES = 128 };

struct exporter {
    const struct ctkd__export_args *args;
    const struct ctkd__graph *graph;
    struct ctkd__onnx_model *out;
    char (*values)[NAME_BYTES]; /* of each node's output */
    bool *flat;                 /* the output is [n, c], not [n, c, h, w] */
    int *norm_of;               /* the batch norm that a convolution absorbs, or -1 */
    bool *needed;               /* whether the logits depend on a node */
    ctkd_status status;
    ctkd_error *err;
};

/* --- initialisers */

static void *add_tensor(struct exporter *e, const char *name, enum ctkd__dtype type, int rank,
                        const int64_t *shape)
{
    struct ctkd__tensor *tensor = NULL;
    if (e->status == CTKD_OK)
        e->status =
            ctkd__tensors_add(&e->out->initialisers, name, type, rank, shape, &tensor, e->err);
    return tensor ? tensor->data : NULL;
}

/* A list of integers as an initialiser; the same name always has the same values. */
static void add_ints(struct exporter *e, const char *name, int64_t count, const int64_t *values)
{
    if (ctkd__tensors_find(&e->out->initialisers, name))
        return;
    void *const data = add_tensor(e, name, CTKD__I64, 1, &count);
    if (data)
        memcpy(data, values, (size_t)count * sizeof *values);
}

static const char *parameter_name(const struct exporter *e, int node, enum ctkd__role role)
{
    const int index = e->graph->nodes[node].parameters[role];
    return index < 0 ? NULL : e->graph->parameters[index].name;
}

static const float *values_of(const struct exporter *e, int node, enum ctkd__role role)
{
    const char *const name = parameter_name(e, node, role);
    return name ? ctkd__tensors_find(e->args->tensors, name)->data : NULL;
}

static const char *bias_name(const struct exporter *e, int conv, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%.96s.bias", e->graph->nodes[conv].name);
    return out;
}

/* y = (conv(x) - mean) * weight / sqrt(var + eps) + bias, as one convolution with bias. */
static void add_folded(struct exporter *e, int conv)
{
    const int norm = e->norm_of[conv];
    const struct ctkd__parameter *const p =
        &e->graph->parameters[e->graph->nodes[conv].parameters[CTKD__ROLE_WEIGHT]];
    const float *const weight = values_of(e, conv, CTKD__ROLE_WEIGHT);
    const float *const bias = values_of(e, conv, CTKD__ROLE_BIAS);
    const float *const gamma = values_of(e, norm, CTKD__ROLE_WEIGHT);
    const float *const beta = values_of(e, norm, CTKD__ROLE_BIAS);
    const float *const mean = values_of(e, norm, CTKD__ROLE_MEAN);
    const float *const variance = values_of(e, norm, CTKD__ROLE_VARIANCE);
    int64_t shape[4];
    for (int i = 0; i < 4; i++)
        shape[i] = (int64_t)p->shape[i];
    float *const to = add_tensor(e, p->name, CTKD__F32, 4, shape);
    char name[NAME_BYTES];
    float *const to_bias = add_tensor(e, bias_name(e, conv, name), CTKD__F32, 1, shape);
    if (!to || !to_bias)
        return;
    const size_t each = ctkd__parameter_elements(p) / p->shape[0];
    for (size_t o = 0; o < p->shape[0]; o++) {
        const double scale =
            (double)gamma[o] / sqrt((double)variance[o] + CTKD__BATCH_NORM_EPSILON);
        for (size_t i = 0; i < each; i++)
            to[o * each + i] = (float)((double)weight[o * each + i] * scale);
        const double shift = (bias ? (double)bias[o] : 0.0) - (double)mean[o];
        to_bias[o] = (float)(shift * scale + (double)beta[o]);
    }
}

/* Parameters in the order of the state dict; a folded convolution brings its new bias along. */
static void add_parameters(struct exporter *e)
{
    for (int i = 0; i < e->graph->n_parameters && e->status == CTKD_OK; i++) {
        const struct ctkd__parameter *const p = &e->graph->parameters[i];
        const struct ctkd__node *const node = &e->graph->nodes[p->node];
        if (node->op == CTKD__OP_CONV && e->norm_of[p->node] >= 0) {
            if (p->role == CTKD__ROLE_WEIGHT)
                add_folded(e, p->node);
            continue;
        }
        if (node->op == CTKD__OP_BATCH_NORM && e->norm_of[node->inputs[0]] == p->node)
            continue;
        const struct ctkd__tensor *const from = ctkd__tensors_find(e->args->tensors, p->name);
        void *const data = add_tensor(e, p->name, CTKD__F32, from->rank, from->shape);
        if (data)
            memcpy(data, from->data, from->bytes);
    }
}

/* --- nodes */

/* Layers are named after their parameters, others after their value: no two nodes may share a name.
 */
static void add_node(struct exporter *e, const char *op, int node, size_t n, const char **inputs)
{
    const bool named = e->graph->nodes[node].parameters[CTKD__ROLE_WEIGHT] >= 0;
    const char *const name = named ? e->graph->nodes[node].name : e->values[node];
    ctkd__onnx_add(e->out, op, name, n, inputs, e->values[node]);
}

/* [n, c, 1, 1] or [n, c, h, w] -> [n, c h w]; `name` is where the value is then. */
static const char *flattened(struct exporter *e, int node, char name[NAME_BYTES])
{
    if (e->flat[node])
        return e->values[node];
    const char *const inputs[] = { e->values[node] };
    snprintf(name, NAME_BYTES, "%.110s.flat", e->values[node]);
    ctkd__onnx_add(e->out, "Flatten", name, 1, inputs, name);
    ctkd__onnx_set_int(e->out, "axis", 1);
    return name;
}

static void set_window(struct exporter *e, const struct ctkd__node *node)
{
    const int64_t k = (int64_t)node->kernel, s = (int64_t)node->stride;
    const int64_t p = (int64_t)node->padding;
    const int64_t behind = node->op == CTKD__OP_CONV ? p : (int64_t)node->behind;
    ctkd__onnx_set_ints(e->out, "kernel_shape", 2, (const int64_t[2]){ k, k });
    ctkd__onnx_set_ints(e->out, "strides", 2, (const int64_t[2]){ s, s });
    ctkd__onnx_set_ints(e->out, "pads", 4, (const int64_t[4]){ p, p, behind, behind });
}

static void add_conv(struct exporter *e, int i, const char *x)
{
    char name[NAME_BYTES];
    const char *bias = parameter_name(e, i, CTKD__ROLE_BIAS);
    if (e->norm_of[i] >= 0)
        bias = bias_name(e, i, name);
    const char *inputs[] = { x, parameter_name(e, i, CTKD__ROLE_WEIGHT), bias };
    add_node(e, "Conv", i, bias ? 3 : 2, inputs);
    ctkd__onnx_set_int(e->out, "group", (int64_t)e->graph->nodes[i].groups);
    set_window(e, &e->graph->nodes[i]);
}

static void add_batch_norm(struct exporter *e, int i, const char *x)
{
    const char *inputs[] = { x, parameter_name(e, i, CTKD__ROLE_WEIGHT),
                             parameter_name(e, i, CTKD__ROLE_BIAS),
                             parameter_name(e, i, CTKD__ROLE_MEAN),
                             parameter_name(e, i, CTKD__ROLE_VARIANCE) };
    add_node(e, "BatchNormalization", i, 5, inputs);
    ctkd__onnx_set_float(e->out, "epsilon", (float)CTKD__BATCH_NORM_EPSILON);
}

/* Option A: every stride-th pixel, then channels of zeros around. */
static void add_subsample(struct exporter *e, int i, const char *x)
{
    const struct ctkd__node *const node = &e->graph->nodes[i];
    const struct ctkd__node *const from = &e->graph->nodes[node->inputs[0]];
    const int64_t stride = (int64_t)node->stride, added = (int64_t)(node->c - from->c);
    char steps[NAME_BYTES], pads[NAME_BYTES], sliced[NAME_BYTES];
    snprintf(steps, sizeof steps, "subsample.steps.%zu", node->stride);
    snprintf(pads, sizeof pads, "subsample.pads.%zu.%zu", from->c, node->c);
    add_ints(e, "subsample.starts", 2, (const int64_t[2]){ 0, 0 });
    add_ints(e, "subsample.ends", 2, (const int64_t[2]){ INT64_MAX, INT64_MAX });
    add_ints(e, "subsample.axes", 2, (const int64_t[2]){ 2, 3 });
    add_ints(e, steps, 2, (const int64_t[2]){ stride, stride });
    add_ints(e, pads, 8, (const int64_t[8]){ 0, added / 2, 0, 0, 0, added - added / 2, 0, 0 });
    snprintf(sliced, sizeof sliced, "%.110s.slice", e->values[i]);
    const char *slice[] = { x, "subsample.starts", "subsample.ends", "subsample.axes", steps };
    ctkd__onnx_add(e->out, "Slice", sliced, 5, slice, sliced);
    const char *pad[] = { sliced, pads };
    add_node(e, "Pad", i, 2, pad);
}

static void add_linear(struct exporter *e, int i, const char *x)
{
    (void)x;
    char name[NAME_BYTES];
    const char *inputs[] = { flattened(e, e->graph->nodes[i].inputs[0], name),
                             parameter_name(e, i, CTKD__ROLE_WEIGHT),
                             parameter_name(e, i, CTKD__ROLE_BIAS) };
    add_node(e, "Gemm", i, 3, inputs);
    ctkd__onnx_set_int(e->out, "transB", 1);
    e->flat[i] = true;
}

static void add_slice(struct exporter *e, int i, const char *x)
{
    const struct ctkd__node *const node = &e->graph->nodes[i];
    const int64_t first = (int64_t)node->channel, end = first + (int64_t)node->c;
    char begins[NAME_BYTES], ends[NAME_BYTES];
    snprintf(begins, sizeof begins, "slice.%zu", node->channel);
    snprintf(ends, sizeof ends, "slice.%zu", node->channel + node->c);
    add_ints(e, begins, 1, &first);
    add_ints(e, ends, 1, &end);
    add_ints(e, "slice.axes", 1, (const int64_t[1]){ 1 });
    const char *inputs[] = { x, begins, ends, "slice.axes" };
    add_node(e, "Slice", i, 4, inputs);
}

/* [n, c, h, w] -> [n, g, c/g, h, w] -> [n, c/g, g, h, w] -> [n, c, h, w]; 0 keeps the batch. */
static void add_shuffle(struct exporter *e, int i, const char *x)
{
    const struct ctkd__node *const node = &e->graph->nodes[i];
    const int64_t c = (int64_t)node->c, g = (int64_t)node->groups;
    const int64_t h = (int64_t)node->h, w = (int64_t)node->w;
    char apart[NAME_BYTES], whole[NAME_BYTES], grouped[NAME_BYTES], swapped[NAME_BYTES];
    snprintf(apart, sizeof apart, "shuffle.%zu.%zu.%zu.%zu", node->groups, node->c, node->h,
             node->w);
    snprintf(whole, sizeof whole, "shuffle.%zu.%zu.%zu", node->c, node->h, node->w);
    snprintf(grouped, sizeof grouped, "%.110s.grouped", e->values[i]);
    snprintf(swapped, sizeof swapped, "%.110s.swapped", e->values[i]);
    add_ints(e, apart, 5, (const int64_t[5]){ 0, g, c / g, h, w });
    add_ints(e, whole, 4, (const int64_t[4]){ 0, c, h, w });
    ctkd__onnx_add(e->out, "Reshape", grouped, 2, (const char *[]){ x, apart }, grouped);
    ctkd__onnx_add(e->out, "Transpose", swapped, 1, (const char *[]){ grouped }, swapped);
    ctkd__onnx_set_ints(e->out, "perm", 5, (const int64_t[5]){ 0, 2, 1, 3, 4 });
    const char *inputs[] = { swapped, whole };
    add_node(e, "Reshape", i, 2, inputs);
}

static void add_clip(struct exporter *e, int i, const char *x)
{
    const char *inputs[] = { x, "clip.least", "clip.most" };
    for (int k = 1; k < 3; k++) {
        float *bound = NULL;
        if (!ctkd__tensors_find(&e->out->initialisers, inputs[k]))
            bound = add_tensor(e, inputs[k], CTKD__F32, 0, NULL);
        if (bound)
            *bound = k == 1 ? 0 : 6;
    }
    add_node(e, "Clip", i, 3, inputs);
}

/* HardSwish is an operator since opset 14: before, it is x times HardSigmoid. */
static void add_activate(struct exporter *e, int i, const char *x)
{
    const struct ctkd__node *const node = &e->graph->nodes[i];
    char gate[NAME_BYTES];
    const char *inputs[] = { x, gate };
    switch (node->activation) {
    case CTKD__RELU6:
        add_clip(e, i, x);
        break;
    case CTKD__LEAKY_RELU:
        add_node(e, "LeakyRelu", i, 1, inputs);
        ctkd__onnx_set_float(e->out, "alpha", node->slope);
        break;
    case CTKD__SIGMOID:
        add_node(e, "Sigmoid", i, 1, inputs);
        break;
    case CTKD__HARD_SIGMOID:
        add_node(e, "HardSigmoid", i, 1, inputs);
        ctkd__onnx_set_float(e->out, "alpha", 1.0f / 6);
        break;
    case CTKD__HARD_SWISH:
        snprintf(gate, sizeof gate, "%.110s.gate", e->values[i]);
        ctkd__onnx_add(e->out, "HardSigmoid", gate, 1, inputs, gate);
        ctkd__onnx_set_float(e->out, "alpha", 1.0f / 6);
        add_node(e, "Mul", i, 2, inputs);
        break;
    }
}

/* Windows of one size where the input divides into them; others have no ONNX form. */
static void add_pool_to(struct exporter *e, int i, const char *x)
{
    const struct ctkd__node *const node = &e->graph->nodes[i];
    const struct ctkd__node *const from = &e->graph->nodes[node->inputs[0]];
    if (from->h % node->h != 0 || from->w % node->w != 0) {
        e->status =
            ctkd__fail(e->err, CTKD_EUNSUPPORTED,
                       "%s: found a resize from %zux%zu to %zux%zu, which has no form in ONNX here",
                       node->name, from->h, from->w, node->h, node->w);
        return;
    }
    const int64_t size[2] = { (int64_t)(from->h / node->h), (int64_t)(from->w / node->w) };
    const char *inputs[] = { x };
    add_node(e, "AveragePool", i, 1, inputs);
    ctkd__onnx_set_ints(e->out, "kernel_shape", 2, size);
    ctkd__onnx_set_ints(e->out, "strides", 2, size);
}

/* Nodes that are one operator of the operands. */
static void add_same(struct exporter *e, const char *kind, int i)
{
    const struct ctkd__node *const node = &e->graph->nodes[i];
    const char *inputs[2] = { NULL, NULL };
    size_t n = 0;
    while (n < 2 && node->inputs[n] >= 0) {
        inputs[n] = e->values[node->inputs[n]];
        n++;
    }
    add_node(e, kind, i, n, inputs);
}

static void add_norm(struct exporter *e, int i, const char *x)
{
    if (e->norm_of[e->graph->nodes[i].inputs[0]] == i)
        strcpy(e->values[i], x);
    else
        add_batch_norm(e, i, x);
}

static void add_relu(struct exporter *e, int i, const char *x)
{
    (void)x;
    add_same(e, "Relu", i);
}

static void add_sum(struct exporter *e, int i, const char *x)
{
    (void)x;
    add_same(e, "Add", i);
}

static void add_product(struct exporter *e, int i, const char *x)
{
    (void)x;
    add_same(e, "Mul", i);
}

static void add_global_pool(struct exporter *e, int i, const char *x)
{
    (void)x;
    add_same(e, "GlobalAveragePool", i);
}

static void add_max_pool(struct exporter *e, int i, const char *x)
{
    (void)x;
    add_same(e, "MaxPool", i);
    set_window(e, &e->graph->nodes[i]);
}

static void add_average_pool(struct exporter *e, int i, const char *x)
{
    (void)x;
    add_same(e, "AveragePool", i);
    set_window(e, &e->graph->nodes[i]);
    ctkd__onnx_set_int(e->out, "count_include_pad", e->graph->nodes[i].count_padding);
}

/* What is the identity in inference. */
static void add_nothing(struct exporter *e, int i, const char *x)
{
    strcpy(e->values[i], x);
}

static void add_flatten(struct exporter *e, int i, const char *x)
{
    (void)x;
    add_same(e, "Flatten", i);
    ctkd__onnx_set_int(e->out, "axis", 1);
    e->flat[i] = true;
}

static void add_concat(struct exporter *e, int i, const char *x)
{
    (void)x;
    add_same(e, "Concat", i);
    ctkd__onnx_set_int(e->out, "axis", 1);
}

/* Ops that are not here have no ONNX form. */
static void (*const forms[CTKD__OP_COUNT])(struct exporter *e, int i, const char *x) = {
    [CTKD__OP_CONV] = add_conv,
    [CTKD__OP_BATCH_NORM] = add_norm,
    [CTKD__OP_RELU] = add_relu,
    [CTKD__OP_ADD] = add_sum,
    [CTKD__OP_MAX_POOL] = add_max_pool,
    [CTKD__OP_GLOBAL_POOL] = add_global_pool,
    [CTKD__OP_LINEAR] = add_linear,
    [CTKD__OP_SUBSAMPLE] = add_subsample,
    [CTKD__OP_CONCAT] = add_concat,
    [CTKD__OP_SLICE] = add_slice,
    [CTKD__OP_SHUFFLE] = add_shuffle,
    [CTKD__OP_ACTIVATE] = add_activate,
    [CTKD__OP_AVERAGE_POOL] = add_average_pool,
    [CTKD__OP_POOL_TO] = add_pool_to,
    [CTKD__OP_MULTIPLY] = add_product,
    [CTKD__OP_DROPOUT] = add_nothing,
    [CTKD__OP_FLATTEN] = add_flatten,
};

static void add_any(struct exporter *e, int i)
{
    const struct ctkd__node *const node = &e->graph->nodes[i];
    if (!forms[node->op]) {
        e->status = ctkd__fail(e->err, CTKD_EUNSUPPORTED,
                               "%s: found kind %s, which cannot be exported to ONNX", node->name,
                               ctkd__op_text(node->op));
        return;
    }
    e->flat[i] = e->flat[node->inputs[0]];
    forms[node->op](e, i, e->values[node->inputs[0]]);
}

/* --- the model */

/* What the logits depend on; a tap may lead nowhere. */
static void find_needed(struct exporter *e)
{
    e->needed[e->graph->output] = true;
    for (int i = e->graph->output; i > 0; i--)
        for (int k = 0; k < 2 && e->needed[i]; k++)
            if (e->graph->nodes[i].inputs[k] >= 0)
                e->needed[e->graph->nodes[i].inputs[k]] = true;
}

/* A batch norm can go into its convolution when nothing else reads that. */
static void find_folds(struct exporter *e)
{
    const struct ctkd__graph *const graph = e->graph;
    for (int i = 0; i < graph->n_nodes; i++) {
        int readers = 0, reader = -1;
        for (int j = i + 1; j < graph->n_nodes; j++)
            for (int k = 0; k < 2; k++)
                if (e->needed[j] && graph->nodes[j].inputs[k] == i) {
                    readers++;
                    reader = j;
                }
        const bool folds = e->args->fold && graph->nodes[i].op == CTKD__OP_CONV && readers == 1 &&
                           graph->nodes[reader].op == CTKD__OP_BATCH_NORM;
        e->norm_of[i] = folds ? reader : -1;
    }
}

/* images = (pixels - mean) / std */
static void add_input(struct exporter *e)
{
    const struct ctkd__node *const input = &e->graph->nodes[0];
    const struct ctkd__network_info *const info = e->args->info;
    const int64_t shape[4] = { -1, (int64_t)input->c, (int64_t)input->h, (int64_t)input->w };
    const int64_t constants[4] = { 1, shape[1], 1, 1 };
    ctkd__onnx_add_input(e->out, e->args->normalise ? "pixels" : "images", 4, shape);
    snprintf(e->values[0], NAME_BYTES, "images");
    if (!e->args->normalise)
        return;
    float *const mean = add_tensor(e, "input.mean", CTKD__F32, 4, constants);
    float *const std = add_tensor(e, "input.std", CTKD__F32, 4, constants);
    for (size_t c = 0; c < input->c && mean && std; c++) {
        mean[c] = info->mean[c];
        std[c] = info->std[c];
    }
    ctkd__onnx_add(e->out, "Sub", "input.sub", 2, (const char *[]){ "pixels", "input.mean" },
                   "input.centred");
    ctkd__onnx_add(e->out, "Div", "input.div", 2, (const char *[]){ "input.centred", "input.std" },
                   "images");
}

static ctkd_status check_args(const struct ctkd__export_args *args, ctkd_error *err)
{
    for (int i = 0; i < args->graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &args->graph->parameters[i];
        const struct ctkd__tensor *const tensor = ctkd__tensors_find(args->tensors, p->name);
        if (!tensor || tensor->type != CTKD__F32 ||
            ctkd__tensor_elements(tensor) != ctkd__parameter_elements(p))
            return ctkd__fail(err, CTKD_EINVAL,
                              "%s: found no tensor of this name and shape, expected one", p->name);
    }
    if (args->normalise && !args->info->has_normalisation)
        return ctkd__fail(err, CTKD_EINVAL,
                          "normalise: found no mean and std of the network, expected both");
    return CTKD_OK;
}

ctkd_status ctkd__onnx_export(const struct ctkd__export_args *args, struct ctkd__onnx_model *out,
                              ctkd_error *err)
{
    const size_t n = (size_t)args->graph->n_nodes;
    struct exporter e = { .args = args, .graph = args->graph, .out = out, .err = err };
    e.status = check_args(args, err);
    if (e.status != CTKD_OK)
        return e.status;
    e.values = calloc(n, sizeof *e.values);
    e.flat = calloc(n, sizeof *e.flat);
    e.norm_of = calloc(n, sizeof *e.norm_of);
    e.needed = calloc(n, sizeof *e.needed);
    if (e.values && e.flat && e.norm_of && e.needed) {
        out->opset = OPSET;
        find_needed(&e);
        find_folds(&e);
        add_parameters(&e);
        add_input(&e);
        for (int i = 1; i < e.graph->n_nodes && e.status == CTKD_OK; i++) {
            snprintf(e.values[i], NAME_BYTES, "%.96s.%d", e.graph->nodes[i].name, i);
            if (i == e.graph->output)
                snprintf(e.values[i], NAME_BYTES, "logits");
            if (e.needed[i])
                add_any(&e, i);
        }
        const struct ctkd__node *const last = &e.graph->nodes[e.graph->output];
        ctkd__onnx_add_output(out, "logits", 2, (const int64_t[2]){ -1, (int64_t)last->c });
    } else {
        out->status = CTKD_ENOMEM;
    }
    if (e.status == CTKD_OK && out->status != CTKD_OK)
        e.status = ctkd__fail(err, out->status, "ONNX: out of memory");
    if (e.status == CTKD_OK)
        e.status = ctkd__network_info_set(args->info, &out->initialisers, err);
    if (e.status == CTKD_OK && args->fold)
        e.status = ctkd__tensors_set(&out->initialisers, "folded", "true", err);
    free(e.needed);
    free(e.norm_of);
    free(e.flat);
    free(e.values);
    if (e.status != CTKD_OK)
        ctkd__onnx_fini(out);
    return e.status;
}
