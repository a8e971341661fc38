/*
 * ONNX nodes to graph nodes. Operations without a graph node are carried along as pending work on a
 * value until another node can do them: an affine map by the convolution before it, zeros around an
 * image by the convolution behind it, a strided slice with padded channels by the option-A
 * shortcut.
 */
#include "weights/onnx/onnx_import.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

/* Names are looked up by walking the list; larger models are not classifiers. */
enum { NODES_MAX = 4096 };

ctkd_status ctkd__import_fail(struct ctkd__import *im, const char *format, ...)
{
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    /* If the graph ran out of memory, that is not the file's fault. */
    const bool no_memory = im->graph && im->graph->status == CTKD_ENOMEM;
    if (im->status == CTKD_OK)
        im->status = ctkd__fail(
            im->err, no_memory ? CTKD_ENOMEM : CTKD_EFORMAT, "%s: node %.80s (%.40s): %s", im->file,
            im->node->name[0] ? im->node->name : im->node->outputs[0], im->node->op, reason);
    return im->status;
}

/* --- values */

static int find_value(const struct ctkd__import *im, const char *name)
{
    for (size_t i = im->n_names; i-- > 0;)
        if (strcmp(im->names[i].text, name) == 0)
            return im->names[i].value;
    return -1;
}

const struct ctkd__import_value *ctkd__import_find(const struct ctkd__import *im, size_t i)
{
    const int index = i < im->node->n_inputs ? find_value(im, im->node->inputs[i]) : -1;
    return index >= 0 ? &im->values[index] : NULL;
}

struct ctkd__import_value *ctkd__import_input(struct ctkd__import *im, size_t i)
{
    const int index = i < im->node->n_inputs ? find_value(im, im->node->inputs[i]) : -1;
    if (index >= 0)
        return &im->values[index];
    if (i < im->node->n_inputs && ctkd__tensors_find(im->constants, im->node->inputs[i]))
        ctkd__import_fail(im, "found a constant as input %zu, expected a computed value", i);
    else
        ctkd__import_fail(
            im, "found no value for input %zu, expected one that an earlier node computes", i);
    return NULL;
}

const struct ctkd__tensor *ctkd__import_constant(const struct ctkd__import *im, size_t i)
{
    if (i >= im->node->n_inputs || !im->node->inputs[i][0])
        return NULL;
    return ctkd__tensors_find(im->constants, im->node->inputs[i]);
}

const struct ctkd__tensor *ctkd__import_weight(struct ctkd__import *im, size_t i, int rank)
{
    const struct ctkd__tensor *const tensor = ctkd__import_constant(im, i);
    if (tensor && tensor->type == CTKD__F32 && tensor->rank == rank &&
        ctkd__tensor_elements(tensor) > 0)
        return tensor;
    char text[CTKD__IMPORT_TEXT];
    ctkd__import_fail(im, "input %zu: found %s, expected a constant float tensor of rank %d", i,
                      ctkd__import_input_text(im, i, text), rank);
    return NULL;
}

bool ctkd__import_ints(struct ctkd__import *im, size_t i, size_t max, int64_t *out, size_t *count)
{
    const struct ctkd__tensor *const tensor = ctkd__import_constant(im, i);
    *count = 0;
    if (!tensor) {
        const struct ctkd__import_value *const value = ctkd__import_find(im, i);
        if (!value || !value->is_ints || value->columns || value->n_ints > max)
            return false;
        memcpy(out, value->ints, value->n_ints * sizeof *out);
        *count = value->n_ints;
        return true;
    }
    const size_t n = ctkd__tensor_elements(tensor);
    if ((tensor->type != CTKD__I64 && tensor->type != CTKD__I32) || n > max)
        return false;
    for (size_t k = 0; k < n; k++)
        out[k] = tensor->type == CTKD__I64 ? ((const int64_t *)tensor->data)[k]
                                           : ((const int32_t *)tensor->data)[k];
    *count = n;
    return true;
}

static void bind(struct ctkd__import *im, const char *name, int value)
{
    im->names[im->n_names].text = name;
    im->names[im->n_names++].value = value;
}

struct ctkd__import_value *ctkd__import_output(struct ctkd__import *im, size_t k, int graph_node)
{
    if (im->status != CTKD_OK)
        return NULL;
    if (im->graph->status != CTKD_OK) {
        ctkd__import_fail(im, "%s", im->graph->error.message);
        return NULL;
    }
    struct ctkd__import_value *const value = &im->values[im->n_values];
    *value = (struct ctkd__import_value){ .node = graph_node, .steps = { 1, 1 }, .groups = 1 };
    if (graph_node >= 0) {
        const struct ctkd__node *const node = &im->graph->nodes[graph_node];
        value->c = node->c, value->h = node->h, value->w = node->w;
    }
    for (const char *const *name = im->counted; *name; name++)
        value->uses += strcmp(*name, im->node->outputs[k]) == 0;
    bind(im, im->node->outputs[k], (int)im->n_values++);
    return value;
}

/* --- parameters */

static bool name_is_free(const struct ctkd__import *im, const char *name)
{
    for (int i = 0; i < im->graph->n_nodes; i++)
        if (strcmp(im->graph->nodes[i].name, name) == 0)
            return false;
    return true;
}

void ctkd__import_name(struct ctkd__import *im, const char *weight, const char *kind, char out[96])
{
    static const char suffix[] = ".weight";
    const size_t n = strlen(weight), m = sizeof suffix - 1;
    bool good = n > m && n - m < 90 && strcmp(weight + n - m, suffix) == 0;
    if (good)
        snprintf(out, 96, "%.*s", (int)(n - m), weight);
    good = good && name_is_free(im, out);
    for (int i = im->graph->n_nodes; !good; i++) {
        snprintf(out, 96, "%s%d", kind, i);
        good = name_is_free(im, out);
    }
}

float *ctkd__import_parameter(struct ctkd__import *im, int node, enum ctkd__role role)
{
    if (im->status != CTKD_OK)
        return NULL;
    if (im->graph->status != CTKD_OK) {
        ctkd__import_fail(im, "%s", im->graph->error.message);
        return NULL;
    }
    const struct ctkd__parameter *const p =
        &im->graph->parameters[im->graph->nodes[node].parameters[role]];
    int64_t shape[4];
    for (int i = 0; i < p->rank; i++)
        shape[i] = (int64_t)p->shape[i];
    struct ctkd__tensor *tensor = NULL;
    const ctkd_status status =
        ctkd__tensors_add(im->tensors, p->name, CTKD__F32, p->rank, shape, &tensor, im->err);
    if (status != CTKD_OK)
        im->status = ctkd__fail_within(im->err, status, "%s", im->file);
    return tensor ? tensor->data : NULL;
}

/* --- pending work */

/* The constants of a normalisation at the input: (x - mean) / std. */
static void settle_input(struct ctkd__import *im, const struct ctkd__import_value *x)
{
    struct ctkd__network_info *const info = im->info;
    if (x->c > CTKD__CHANNELS_MAX) {
        ctkd__import_fail(im, "found a normalisation of %zu channels, expected at most %d", x->c,
                          CTKD__CHANNELS_MAX);
        return;
    }
    const double unit = im->of_bytes ? 255 : 1; /* of images of 0 to 1 */
    for (size_t c = 0; c < x->c; c++) {
        const double scale = unit * (x->affine ? x->affine[2 * c] : 1),
                     shift = x->affine ? x->affine[2 * c + 1] : 0;
        const float mean = (float)(-shift / scale), std = (float)(1 / scale);
        if (!(scale > 0) || !isfinite(mean) || !(std > 0)) {
            ctkd__import_fail(im, "found an input multiplied by %g, expected a factor above 0",
                              scale);
            return;
        }
        if (im->input_settled && (info->mean[c] != mean || info->std[c] != std)) {
            ctkd__import_fail(im, "found two normalisations of the input, expected one");
            return;
        }
        info->mean[c] = mean;
        info->std[c] = std;
    }
    im->input_settled = true;
    im->normalises |= x->affine || im->of_bytes;
}

/* y = scale x + shift as part of the convolution or linear layer that made x. */
static void settle_in_weights(struct ctkd__import *im, const struct ctkd__import_value *x)
{
    const struct ctkd__node *const node = &im->graph->nodes[x->node];
    const struct ctkd__parameter *const p =
        &im->graph->parameters[node->parameters[CTKD__ROLE_WEIGHT]];
    const struct ctkd__parameter *const q =
        &im->graph->parameters[node->parameters[CTKD__ROLE_BIAS]];
    float *const weight = ctkd__tensors_find(im->tensors, p->name)->data;
    float *const bias = ctkd__tensors_find(im->tensors, q->name)->data;
    const size_t each = ctkd__parameter_elements(p) / x->c;
    for (size_t o = 0; o < x->c; o++) {
        for (size_t i = 0; i < each; i++)
            weight[o * each + i] = (float)((double)weight[o * each + i] * x->affine[2 * o]);
        bias[o] = (float)((double)bias[o] * x->affine[2 * o] + x->affine[2 * o + 1]);
    }
}

/* The same as a batch norm with statistics that do nothing. */
static void settle_as_norm(struct ctkd__import *im, struct ctkd__import_value *x)
{
    char name[96];
    ctkd__import_name(im, "", "affine", name);
    const int y = ctkd__graph_batch_norm(im->graph, x->node, name);
    float *const weight = ctkd__import_parameter(im, y, CTKD__ROLE_WEIGHT);
    float *const bias = ctkd__import_parameter(im, y, CTKD__ROLE_BIAS);
    float *const mean = ctkd__import_parameter(im, y, CTKD__ROLE_MEAN);
    float *const variance = ctkd__import_parameter(im, y, CTKD__ROLE_VARIANCE);
    for (size_t c = 0; c < x->c && mean && variance; c++) {
        weight[c] = (float)x->affine[2 * c];
        bias[c] = (float)x->affine[2 * c + 1];
        variance[c] = (float)(1 - CTKD__BATCH_NORM_EPSILON);
    }
    x->node = y;
}

static void settle_affine(struct ctkd__import *im, struct ctkd__import_value *x)
{
    const struct ctkd__node *const node = &im->graph->nodes[x->node];
    if (node->op == CTKD__OP_INPUT)
        settle_input(im, x);
    else if (x->affine && !x->shared && node->parameters[CTKD__ROLE_BIAS] >= 0 &&
             (node->op == CTKD__OP_CONV || node->op == CTKD__OP_LINEAR))
        settle_in_weights(im, x);
    else if (x->affine)
        settle_as_norm(im, x);
    x->affine = NULL;
}

struct ctkd__import_value *ctkd__import_continue(struct ctkd__import *im,
                                                 struct ctkd__import_value *x)
{
    /* Other nodes read x with its affine map too: settle it now, so that it cannot move into x's
       weights after this node has taken it over. */
    if (x->affine && x->uses > 1)
        settle_affine(im, x);
    const struct ctkd__import_value from = *x;
    struct ctkd__import_value *const y = ctkd__import_output(im, 0, from.node);
    if (!y)
        return NULL;
    const size_t uses = y->uses;
    *y = from;
    y->uses = uses;
    y->shared = from.shared || from.uses > 1;
    if (from.affine) {
        y->affine = ctkd__onnx_allocate(im->model, 2 * from.c, sizeof *y->affine);
        if (y->affine)
            memcpy(y->affine, from.affine, 2 * from.c * sizeof *y->affine);
    }
    return y;
}

void ctkd__import_alias(struct ctkd__import *im, size_t input)
{
    const int index = input < im->node->n_inputs ? find_value(im, im->node->inputs[input]) : -1;
    if (index < 0) {
        ctkd__import_fail(
            im, "found no value for input %zu, expected one that an earlier node computes", input);
        return;
    }
    for (const char *const *name = im->counted; *name; name++)
        im->values[index].uses += strcmp(*name, im->node->outputs[0]) == 0;
    im->values[index].uses--; /* this node's own */
    bind(im, im->node->outputs[0], index);
}

int ctkd__import_settle(struct ctkd__import *im, struct ctkd__import_value *x, bool keep_zeros)
{
    if (im->status != CTKD_OK)
        return -1;
    if (x->is_ints || x->ends) {
        ctkd__import_fail(
            im, x->ends
                    ? "found the value of a Softmax as input, expected the end of the model there"
                    : "found a shape as input, expected an image or a vector");
        return -1;
    }
    if (x->is_bytes) {
        ctkd__import_fail(im, "found an input of bytes, expected a Cast to floats before it");
        return -1;
    }
    const bool has_zeros = x->pads[0] || x->pads[1] || x->pads[2] || x->pads[3];
    if (has_zeros && !keep_zeros) {
        ctkd__import_fail(im,
                          "found zeros padded around its input, expected them before a Conv only");
        return -1;
    }
    if (x->stage != CTKD__IMPORT_PLAIN) {
        ctkd__import_fail(im, "found an input of rank 5, expected one only in a channel shuffle");
        return -1;
    }
    settle_affine(im, x);
    if (x->steps[0] != x->steps[1])
        ctkd__import_fail(
            im, "found every %zu-th row and every %zu-th column of its input, expected equal steps",
            x->steps[0], x->steps[1]);
    if (im->status == CTKD_OK && (x->steps[0] != 1 || x->pad_before || x->pad_after)) {
        const size_t out = x->c + x->pad_before + x->pad_after;
        if (x->pad_before != (out - x->c) / 2) {
            ctkd__import_fail(
                im, "found %zu channels of zeros before and %zu behind, expected equal numbers",
                x->pad_before, x->pad_after);
            return -1;
        }
        x->node = ctkd__graph_subsample(im->graph, x->node, out, x->steps[0]);
        x->steps[0] = x->steps[1] = 1;
        x->pad_before = x->pad_after = 0;
        if (x->node >= 0) {
            const struct ctkd__node *const node = &im->graph->nodes[x->node];
            x->c = node->c, x->h = node->h, x->w = node->w;
        }
    }
    if (im->graph->status != CTKD_OK)
        ctkd__import_fail(im, "%s", im->graph->error.message);
    return im->status == CTKD_OK ? x->node : -1;
}

/* --- the model */

bool ctkd__onnx_is_free(const struct ctkd__onnx_model *model)
{
    bool is_free = false;
    if (model->n_inputs != 1 || model->inputs[0].rank != 4)
        return false; /* the reason for the refusal */
    for (int i = 1; i < 4; i++)
        is_free |= model->inputs[0].shape[i] < 1;
    return is_free;
}

void ctkd__onnx_take_size(struct ctkd__onnx_model *model, size_t channels, size_t height,
                          size_t width)
{
    const size_t sizes[3] = { channels, height, width };
    for (int i = 0; i < 3 && model->n_inputs == 1 && model->inputs[0].rank == 4; i++)
        if (model->inputs[0].shape[i + 1] < 1 && sizes[i])
            model->inputs[0].shape[i + 1] = (int64_t)sizes[i];
}

static ctkd_status check_input(const struct ctkd__import *im, const struct ctkd__onnx_value *input)
{
    if (input->rank != 4)
        return ctkd__fail(
            im->err, CTKD_EFORMAT,
            "%s: input %.80s: found rank %d, expected [batch, channels, height, width]", im->file,
            input->name, input->rank);
    for (int i = 0; i < 3; i++)
        if (input->shape[i + 1] < 1)
            return ctkd__fail(im->err, CTKD_EFORMAT,
                              "%s: input %.80s: its %s are free; set a size for them", im->file,
                              input->name, i ? "height and width" : "channels");
    if (input->type && input->type != CTKD__ONNX_TYPE_UINT8 && !ctkd__import_is_float(input->type))
        return ctkd__fail(
            im->err, CTKD_EFORMAT,
            "%s: input %.80s: found element type %d, expected floats (1, 10, 11, 16) or bytes (2)",
            im->file, input->name, input->type);
    return CTKD_OK;
}

static void add_input(struct ctkd__import *im)
{
    const struct ctkd__onnx_model *const model = im->model;
    if (model->n_inputs != 1 || model->n_outputs != 1) {
        im->status = ctkd__fail(im->err, CTKD_EFORMAT,
                                "%s: found %zu inputs and %zu outputs, expected images and logits",
                                im->file, model->n_inputs, model->n_outputs);
        return;
    }
    const struct ctkd__onnx_value *const input = &model->inputs[0];
    im->status = check_input(im, input);
    if (im->status != CTKD_OK)
        return;
    const struct ctkd__onnx_node start = { .op = "input",
                                           .name = "",
                                           .outputs = (const char *[]){ input->name } };
    im->batch = input->shape[0];
    im->of_bytes = input->type == CTKD__ONNX_TYPE_UINT8;
    im->node = &start;
    struct ctkd__import_value *const x =
        ctkd__import_output(im, 0,
                            ctkd__graph_input(im->graph, (size_t)input->shape[1],
                                              (size_t)input->shape[2], (size_t)input->shape[3]));
    if (x)
        x->is_bytes = im->of_bytes;
    im->node = NULL;
}

static bool reads(const struct ctkd__import *im, const struct ctkd__onnx_node *node)
{
    for (size_t i = 0; i < node->n_outputs; i++)
        for (const char *const *name = im->counted; *name; name++)
            if (strcmp(*name, node->outputs[i]) == 0)
                return true;
    return false;
}

/* Whether a node gives a constant another name and nothing else: PyTorch's tracer writes equal
   constants once, and an Identity for each other name; models in half precision cast weights. */
static bool renames_constant(const struct ctkd__import *im, const struct ctkd__onnx_node *node)
{
    const struct ctkd__onnx_attribute *const to = ctkd__onnx_attribute(node, "to");
    const struct ctkd__tensor *const constant =
        node->n_inputs == 1 && node->n_outputs == 1
            ? ctkd__tensors_find(im->constants, node->inputs[0])
            : NULL;
    if (!constant)
        return false;
    return strcmp(node->op, "Identity") == 0 ||
           (strcmp(node->op, "Cast") == 0 && to && to->kind == CTKD__ONNX_INT &&
            constant->type == CTKD__F32 && ctkd__import_is_float(to->i));
}

static void resolve_constants(struct ctkd__import *im)
{
    const struct ctkd__onnx_model *const model = im->model;
    for (size_t i = 0; i < model->n_nodes; i++) {
        const struct ctkd__onnx_node *const from = &model->nodes[i];
        if (!renames_constant(im, from))
            continue;
        for (size_t j = i + 1; j < model->n_nodes; j++)
            for (size_t k = 0; k < model->nodes[j].n_inputs; k++)
                if (strcmp(model->nodes[j].inputs[k], from->outputs[0]) == 0)
                    model->nodes[j].inputs[k] = from->inputs[0];
    }
}

/* Counts all names that are read on the way to the output, so that the uses of each value are known
   and unused nodes are not imported. */
static ctkd_status count_names(struct ctkd__import *im)
{
    const struct ctkd__onnx_model *const model = im->model;
    size_t n = model->n_outputs + 1, outputs = 1;
    for (size_t i = 0; i < model->n_nodes; i++) {
        n += model->nodes[i].n_inputs;
        outputs += model->nodes[i].n_outputs;
    }
    if (model->n_nodes > NODES_MAX || n > 4 * NODES_MAX || outputs > 4 * NODES_MAX)
        return ctkd__fail(im->err, CTKD_EFORMAT,
                          "%s: found %zu nodes with %zu inputs, expected at most %d", im->file,
                          model->n_nodes, n, NODES_MAX);
    resolve_constants(im); /* its work grows with the square of the count that was just limited */
    im->counted = calloc(n, sizeof *im->counted);
    im->values = calloc(outputs, sizeof *im->values);
    im->names = calloc(outputs, sizeof *im->names);
    if (!im->counted || !im->values || !im->names)
        return ctkd__fail(im->err, CTKD_ENOMEM, "%s: out of memory", im->file);
    n = 0;
    for (size_t i = 0; i < model->n_outputs; i++)
        im->counted[n++] = model->outputs[i].name;
    for (size_t i = model->n_nodes; i-- > 0;) { /* nodes are in order of computation */
        const size_t inputs = reads(im, &model->nodes[i]) ? model->nodes[i].n_inputs : 0;
        for (size_t k = 0; k < inputs; k++)
            im->counted[n++] = model->nodes[i].inputs[k];
    }
    return CTKD_OK;
}

/* Our graphs end in a linear layer. A model that ends otherwise (for example in pooled maps of
   classes) gets an identity layer. */
static int end_in_linear(struct ctkd__import *im, int last)
{
    const struct ctkd__node *const node = &im->graph->nodes[last];
    const size_t n = node->c;
    char name[96];
    if (node->op == CTKD__OP_LINEAR || node->h != 1 || node->w != 1)
        return last;
    ctkd__import_name(im, "", "logits", name);
    const int y = ctkd__graph_linear(im->graph, last, name, n, CTKD__INIT_CONSTANT, 0,
                                     CTKD__INIT_CONSTANT, 0);
    float *const weight = ctkd__import_parameter(im, y, CTKD__ROLE_WEIGHT);
    for (size_t i = 0; i < n && weight; i++)
        weight[i * n + i] = 1;
    ctkd__import_parameter(im, y, CTKD__ROLE_BIAS);
    return y;
}

static void finish(struct ctkd__import *im)
{
    const char *const name = im->model->outputs[0].name;
    const int index = find_value(im, name);
    if (index < 0) {
        im->status = ctkd__fail(im->err, CTKD_EFORMAT,
                                "%s: output %.80s: found no node that computes it, expected one",
                                im->file, name);
        return;
    }
    struct ctkd__import_value *const value = &im->values[index];
    value->ends = false;
    const int last = ctkd__import_settle(im, value, false);
    const int logits = last >= 0 ? end_in_linear(im, last) : -1;
    if (im->status != CTKD_OK)
        return;
    im->status = ctkd__graph_finish(im->graph, logits, im->err);
    if (im->status != CTKD_OK)
        ctkd__fail_within(im->err, im->status, "%s", im->file);
    struct ctkd__network_info *const info = im->info;
    const struct ctkd__node *const input = &im->graph->nodes[0];
    info->channels = input->c, info->height = input->h, info->width = input->w;
    info->classes = value->c;
}

static void import(struct ctkd__import *im)
{
    struct ctkd__onnx_model *const model = im->model;
    im->status = ctkd__tensors_widen(&model->initialisers, im->err);
    if (im->status == CTKD_OK)
        im->status = ctkd__network_info_get(&model->initialisers, im->file, im->info, im->err);
    if (im->status == CTKD_OK)
        im->status = count_names(im);
    const struct ctkd__network_info said = *im->info;
    if (im->status == CTKD_OK)
        add_input(im);
    for (size_t i = 0; i < model->n_nodes && im->status == CTKD_OK; i++) {
        im->node = &model->nodes[i];
        if (reads(im, im->node))
            ctkd__import_node(im);
        if (im->status == CTKD_OK && model->status != CTKD_OK)
            im->status = ctkd__fail(im->err, model->status, "%s: out of memory", im->file);
    }
    if (im->status == CTKD_OK)
        finish(im);
    if (im->normalises) {
        im->info->has_normalisation = true;
    } else { /* normalised outside: by what the metadata say */
        memcpy(im->info->mean, said.mean, sizeof said.mean);
        memcpy(im->info->std, said.std, sizeof said.std);
    }
}

ctkd_status ctkd__onnx_import(const char *file, struct ctkd__onnx_model *model,
                              struct ctkd__graph **graph, struct ctkd__tensors *tensors,
                              struct ctkd__network_info *info, ctkd_error *err)
{
    struct ctkd__import im = { .file = file,
                               .model = model,
                               .constants = &model->initialisers,
                               .tensors = tensors,
                               .info = info,
                               .err = err };
    *graph = NULL;
    if (ctkd__graph_create(&im.graph) != CTKD_OK)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file);
    import(&im);
    free(im.counted);
    free(im.values);
    free(im.names);
    if (im.status == CTKD_OK) {
        *graph = im.graph;
    } else {
        ctkd__graph_destroy(im.graph);
        ctkd__tensors_fini(tensors);
    }
    return im.status;
}
