#include "train/adaptors.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

enum { VALUES_MAX = 256 };

/* What a method's handle stands for: a node of the joint graph, a tap of the teacher, or both once
   the tap has entered the graph as a side input. */
struct value {
    int node, tap; /* node of the joint graph, index in ctkd__adaptors.taps; -1: none (yet) */
    bool pre, parameter;
};

struct builder {
    ctkd_builder base; /* first: what methods get */
    struct ctkd__adaptors *to;
    const struct ctkd__adaptors_args *args;
    const struct ctkd__method *method;
    struct value values[VALUES_MAX];
    int n_values;
    unsigned trained_in; /* CTKD_STAGE_* that the next parameters are trained in */
    int n_trained;       /* parameters whose stages are recorded */
};

static struct builder *builder_of(ctkd_builder *base)
{
    return (struct builder *)(void *)base;
}

static int refuse(ctkd_builder *base, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse(ctkd_builder *base, const char *format, ...)
{
    if (base->status != CTKD_OK)
        return -1;
    base->status = CTKD_ESHAPE;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(base->message, sizeof base->message, format, arguments);
    va_end(arguments);
    return -1;
}

static const struct ctkd__graph *graph_of(const struct builder *b, ctkd_side side)
{
    return side == CTKD_STUDENT ? b->to->graph : b->args->teacher;
}

static const char *name_of(const struct builder *b, ctkd_side side)
{
    return side == CTKD_STUDENT ? b->args->student_name : b->args->teacher_name;
}

static int add_value(struct builder *b, struct value value)
{
    if (b->base.status != CTKD_OK)
        return -1;
    if (b->n_values == VALUES_MAX)
        return refuse(&b->base, "found more than %d values, which is the limit", VALUES_MAX);
    b->values[b->n_values] = value;
    return b->n_values++;
}

/* A handle for a node of the joint graph; an error of the graph becomes the builder's. */
static int add_node(struct builder *b, int node)
{
    if (node < 0 && b->base.status == CTKD_OK) {
        b->base.status = b->to->graph->status;
        snprintf(b->base.message, sizeof b->base.message, "%.250s", b->to->graph->error.message);
    }
    return node < 0 ? -1 : add_value(b, (struct value){ .node = node, .tap = -1 });
}

static bool usable(const struct builder *b, int x)
{
    return b->base.status == CTKD_OK && x >= 0 && x < b->n_values;
}

/* The node of a value. A teacher's tap enters the graph as a side input the first time that a layer
   needs it: a tap that a loss reads directly stays outside. */
static int node_of(struct builder *b, int x)
{
    if (!usable(b, x))
        return -1;
    struct value *const value = &b->values[x];
    if (value->node >= 0)
        return value->node;
    struct ctkd__adaptors *const to = b->to;
    if (to->sides[value->tap] < 0) {
        char name[48];
        const struct ctkd__node *const from = &b->args->teacher->nodes[to->taps[value->tap]];
        snprintf(name, sizeof name, "teacher.%d", value->tap);
        to->sides[value->tap] = ctkd__graph_side_input(to->graph, name, from->c, from->h, from->w);
    }
    value->node = to->sides[value->tap];
    return value->node;
}

static const char *path_of(const struct builder *b, const char *name, char out[96])
{
    snprintf(out, 96, "adaptors.%s.%.60s", b->method->def->name, name);
    return out;
}

/* --- what methods call */

static size_t taps(ctkd_builder *base, ctkd_side side)
{
    char name[16];
    for (size_t n = 0;; n++) {
        snprintf(name, sizeof name, "f%zu", n);
        if (ctkd__graph_find_tap(graph_of(builder_of(base), side), name) < 0)
            return n;
    }
}

static int teacher_tap(struct builder *b, int node, bool pre)
{
    struct ctkd__adaptors *const to = b->to;
    for (size_t i = 0; i < to->n_taps; i++)
        if (to->taps[i] == node)
            return add_value(b, (struct value){ .node = -1, .tap = (int)i, .pre = pre });
    if (to->n_taps == CTKD__TAPS_MAX)
        return refuse(&b->base, "found more than %d features of the teacher, which is the limit",
                      CTKD__TAPS_MAX);
    to->taps[to->n_taps] = node;
    to->sides[to->n_taps] = -1;
    return add_value(b, (struct value){ .node = -1, .tap = (int)to->n_taps++, .pre = pre });
}

static int tap(ctkd_builder *base, ctkd_side side, int index, bool pre)
{
    struct builder *const b = builder_of(base);
    if (base->status != CTKD_OK)
        return -1;
    const int count = (int)taps(base, side), at = index < 0 ? count + index : index;
    char name[24];
    snprintf(name, sizeof name, "%s%d", pre ? "pre" : "f", at);
    const int node = at < 0 ? -1 : ctkd__graph_find_tap(graph_of(b, side), name);
    if (node < 0)
        return refuse(base, "%s has no feature %d%s, expected 0 to %d", name_of(b, side), index,
                      pre ? " before a ReLU" : "", count - 1);
    return side == CTKD_TEACHER ? teacher_tap(b, node, pre)
                                : add_value(b, (struct value){ .node = node, .tap = -1 });
}

/* The batch norm behind a pre-activation value: the node itself, or the main path of a residual
   sum. NULL: neither. */
static const struct ctkd__node *norm_before(const struct ctkd__graph *graph, int node)
{
    const struct ctkd__node *const n = &graph->nodes[node];
    if (n->op == CTKD__OP_BATCH_NORM)
        return n;
    if (n->op == CTKD__OP_ADD && graph->nodes[n->inputs[0]].op == CTKD__OP_BATCH_NORM)
        return &graph->nodes[n->inputs[0]];
    return NULL;
}

static const struct ctkd__node *norm_of(const struct builder *b, const struct value *value)
{
    return value->tap >= 0 && value->pre ? norm_before(b->args->teacher, b->to->taps[value->tap])
                                         : NULL;
}

static bool has_norm(ctkd_builder *base, int x)
{
    const struct builder *const b = builder_of(base);
    return usable(b, x) && norm_of(b, &b->values[x]);
}

static void size(ctkd_builder *base, int x, size_t *c, size_t *h, size_t *w)
{
    struct builder *const b = builder_of(base);
    *c = *h = *w = 0;
    if (!usable(b, x))
        return;
    const struct value *const value = &b->values[x];
    const struct ctkd__node *const node = value->node >= 0
                                              ? &b->to->graph->nodes[value->node]
                                              : &b->args->teacher->nodes[b->to->taps[value->tap]];
    *c = node->c, *h = node->h, *w = node->w;
}

static struct ctkd__conv_args conv_args(const ctkd_conv *conv, size_t c, bool transposed)
{
    const size_t fan_in = (transposed ? conv->out : c) * conv->kernel * conv->kernel;
    const float bound = ctkd__init_default(fan_in);
    struct ctkd__conv_args args = { .out = conv->out,
                                    .kernel = conv->kernel,
                                    .stride = conv->stride,
                                    .padding = conv->padding,
                                    .bias = conv->bias,
                                    .init = CTKD__INIT_UNIFORM,
                                    .value = bound,
                                    .bias_init = CTKD__INIT_UNIFORM,
                                    .bias_value = bound };
    if (conv->start == CTKD_START_HE_OUT) {
        args.init = CTKD__INIT_NORMAL;
        args.value = ctkd__init_he_out(conv->kernel, conv->out);
    } else if (conv->start == CTKD_START_KAIMING_UNIFORM) {
        args.value = sqrtf(3.0f) * bound;
    }
    return args;
}

/* Records the present stages for all parameters made since the last call. */
static void mark_trained(struct builder *b)
{
    struct ctkd__adaptors *const to = b->to;
    const int n = to->graph->n_parameters;
    if (n == b->n_trained)
        return;
    unsigned char *const larger = realloc(to->trained_in, (size_t)n);
    if (!larger) {
        b->base.status = b->base.status == CTKD_OK ? CTKD_ENOMEM : b->base.status;
        return;
    }
    to->trained_in = larger;
    for (; b->n_trained < n; b->n_trained++)
        to->trained_in[b->n_trained] = (unsigned char)b->trained_in;
}

static int add_layer(struct builder *b, int node)
{
    const int value = add_node(b, node);
    mark_trained(b);
    return value;
}

static int conv(ctkd_builder *base, int x, const char *name, const ctkd_conv *spec)
{
    struct builder *const b = builder_of(base);
    char path[96];
    size_t c, h, w;
    const int from = node_of(b, x);
    if (from < 0)
        return -1;
    size(base, x, &c, &h, &w);
    const struct ctkd__conv_args args = conv_args(spec, c, false);
    return add_layer(b, ctkd__graph_conv(b->to->graph, from, path_of(b, name, path), &args));
}

static int transposed_conv(ctkd_builder *base, int x, const char *name, const ctkd_conv *spec)
{
    struct builder *const b = builder_of(base);
    char path[96];
    size_t c, h, w;
    const int from = node_of(b, x);
    if (from < 0)
        return -1;
    size(base, x, &c, &h, &w);
    const struct ctkd__conv_args args = conv_args(spec, c, true);
    return add_layer(
        b, ctkd__graph_transposed_conv(b->to->graph, from, path_of(b, name, path), &args));
}

static int batch_norm(ctkd_builder *base, int x, const char *name)
{
    struct builder *const b = builder_of(base);
    char path[96];
    const int from = node_of(b, x);
    return from < 0
               ? -1
               : add_layer(b, ctkd__graph_batch_norm(b->to->graph, from, path_of(b, name, path)));
}

static int activate(ctkd_builder *base, int x, ctkd_activation kind, float slope)
{
    struct builder *const b = builder_of(base);
    struct ctkd__graph *const graph = b->to->graph;
    const int from = node_of(b, x);
    if (from < 0)
        return -1;
    switch (kind) {
    case CTKD_RELU:
        return add_node(b, ctkd__graph_relu(graph, from));
    case CTKD_LEAKY_RELU:
        return add_node(b, ctkd__graph_activate(graph, from, CTKD__LEAKY_RELU, slope));
    case CTKD_SIGMOID:
        return add_node(b, ctkd__graph_activate(graph, from, CTKD__SIGMOID, 0));
    }
    return refuse(base, "found activation %d, expected CTKD_RELU to CTKD_SIGMOID", (int)kind);
}

static int add(ctkd_builder *base, int x, int y)
{
    struct builder *const b = builder_of(base);
    const int from = node_of(b, x), other = node_of(b, y);
    return from < 0 || other < 0 ? -1 : add_node(b, ctkd__graph_add(b->to->graph, from, other));
}

static int concat(ctkd_builder *base, int x, int y)
{
    struct builder *const b = builder_of(base);
    const int from = node_of(b, x), other = node_of(b, y);
    return from < 0 || other < 0 ? -1 : add_node(b, ctkd__graph_concat(b->to->graph, from, other));
}

static bool has_side(ctkd_builder *base, int x, size_t h, size_t w)
{
    size_t c, own_h, own_w;
    size(base, x, &c, &own_h, &own_w);
    return own_h == h && own_w == w;
}

static int pool_to(ctkd_builder *base, int x, size_t h, size_t w)
{
    struct builder *const b = builder_of(base);
    if (!usable(b, x) || has_side(base, x, h, w))
        return usable(b, x) ? x : -1;
    return add_node(b, ctkd__graph_pool_to(b->to->graph, node_of(b, x), h, w));
}

static int resize(ctkd_builder *base, int x, size_t h, size_t w)
{
    struct builder *const b = builder_of(base);
    if (!usable(b, x) || has_side(base, x, h, w))
        return usable(b, x) ? x : -1;
    return add_node(b, ctkd__graph_resize(b->to->graph, node_of(b, x), h, w));
}

static int scale_by(ctkd_builder *base, int x, int gate, size_t channel)
{
    struct builder *const b = builder_of(base);
    const int from = node_of(b, x), other = node_of(b, gate);
    return from < 0 || other < 0
               ? -1
               : add_node(b, ctkd__graph_scale_by(b->to->graph, from, other, channel));
}

static int parameter(ctkd_builder *base, const char *name, size_t count, float start)
{
    struct builder *const b = builder_of(base);
    char path[96];
    if (base->status != CTKD_OK)
        return -1;
    const int x =
        add_layer(b, ctkd__graph_parameter(b->to->graph, path_of(b, name, path), count, start));
    if (x >= 0)
        b->values[x].parameter = true;
    return x;
}

static void train_in(ctkd_builder *base, unsigned stages)
{
    builder_of(base)->trained_in = stages;
}

static const float *weight_of(const struct ctkd__weights *weights, const struct ctkd__node *node,
                              enum ctkd__role role)
{
    return weights->values + weights->offsets[node->parameters[role]];
}

/* The index of a node among a stage's outputs, to which it is added if it is not one yet. */
static int output_of(struct builder *b, struct ctkd__stage_reads *stage, int node)
{
    for (size_t i = 0; i < stage->n_outputs; i++)
        if (stage->outputs[i] == node)
            return (int)i;
    stage->outputs[stage->n_outputs] = node;
    char name[16];
    snprintf(name, sizeof name, "read%d", node);
    if (ctkd__graph_find_tap(b->to->graph, name) < 0)
        ctkd__graph_tap(b->to->graph, name, node); /* else _finish refuses it as unused */
    return (int)stage->n_outputs++;
}

static void read_in(struct builder *b, struct ctkd__stage_reads *stage, int x, bool gradient)
{
    if (stage->n_reads == CTKD__READS_MAX) {
        refuse(&b->base, "found more than %d maps, which is the limit", CTKD__READS_MAX);
        return;
    }
    const struct value *const value = &b->values[x];
    struct ctkd__read *const read = &stage->reads[stage->n_reads++];
    *read = (struct ctkd__read){
        .gradient = gradient, .parameter = value->parameter, .output = -1, .tap = -1
    };
    size(&b->base, x, &read->c, &read->h, &read->w);
    if (value->tap < 0 || gradient) {
        read->output = output_of(b, stage, node_of(b, x));
        return;
    }
    read->tap = value->tap;
    const struct ctkd__node *const norm = norm_of(b, value);
    if (norm && b->args->teacher_weights) {
        read->norm_weight = weight_of(b->args->teacher_weights, norm, CTKD__ROLE_WEIGHT);
        read->norm_bias = weight_of(b->args->teacher_weights, norm, CTKD__ROLE_BIAS);
    }
}

static void read_value(ctkd_builder *base, int x, unsigned stages, bool gradient)
{
    struct builder *const b = builder_of(base);
    if (!usable(b, x))
        return;
    if (stages & CTKD_STAGE_INITIAL)
        read_in(b, &b->to->initial, x, gradient);
    if (stages & CTKD_STAGE_MAIN)
        read_in(b, &b->to->main, x, gradient);
}

static void batch_statistics(ctkd_builder *base)
{
    if (base->status == CTKD_OK)
        builder_of(base)->to->batch_statistics = true;
}

/* --- create */

static void start_builder(struct builder *b, struct ctkd__adaptors *to,
                          const struct ctkd__adaptors_args *args)
{
    *b = (struct builder){ .base = { .taps = taps,
                                     .tap = tap,
                                     .has_norm = has_norm,
                                     .size = size,
                                     .conv = conv,
                                     .transposed_conv = transposed_conv,
                                     .batch_norm = batch_norm,
                                     .activate = activate,
                                     .add = add,
                                     .concat = concat,
                                     .pool_to = pool_to,
                                     .resize = resize,
                                     .scale_by = scale_by,
                                     .parameter = parameter,
                                     .train_in = train_in,
                                     .read = read_value,
                                     .refuse = refuse,
                                     .batch_statistics = batch_statistics },
                           .to = to,
                           .args = args };
}

/* The student's own parameters are always trained in the main stage, and in an initial stage that
   trains the student all but the classifier's. */
static void mark_student(struct builder *b)
{
    b->trained_in = CTKD_STAGE_MAIN;
    if (b->args->methods->initial_trains_student)
        b->trained_in |= CTKD_STAGE_INITIAL;
    mark_trained(b);
    const struct ctkd__graph *const graph = b->to->graph;
    for (int i = 0; i < b->n_trained; i++)
        if (graph->parameters[i].node == graph->output)
            b->to->trained_in[i] = CTKD_STAGE_MAIN;
}

/* Sets reached[node] where some loss of the stage takes a gradient from the node or from a value
   computed from it. */
static void mark_reached(const struct ctkd__graph *graph, const struct ctkd__stage_reads *stage,
                         bool *reached)
{
    for (size_t i = 0; i < stage->n_reads; i++)
        if (stage->reads[i].gradient)
            reached[stage->outputs[stage->reads[i].output]] = true;
    for (int node = graph->n_nodes - 1; node >= 0; node--) /* inputs have lower numbers */
        for (int i = 0; i < 2 && reached[node]; i++)
            if (graph->nodes[node].inputs[i] >= 0)
                reached[graph->nodes[node].inputs[i]] = true;
}

/* A parameter that no loss of a stage depends on has no gradient there, so the stage leaves it
   alone: weight decay by itself would shrink the last batch norm of a WRN from 1 to 0.0028 in the
   30 epochs published for FSP. */
static ctkd_status leave_out_unreached(struct ctkd__adaptors *to)
{
    const struct ctkd__graph *const graph = to->graph;
    bool *const initial = calloc(2 * (size_t)graph->n_nodes, sizeof *initial);
    if (!initial)
        return CTKD_ENOMEM;
    bool *const in_main = initial + graph->n_nodes;
    in_main[graph->output] = true; /* the cross-entropy is in every step of the main stage */
    mark_reached(graph, &to->initial, initial);
    mark_reached(graph, &to->main, in_main);
    for (int i = 0; i < graph->n_parameters; i++) {
        const int node = graph->parameters[i].node;
        const unsigned reached =
            (initial[node] ? CTKD_STAGE_INITIAL : 0u) | (in_main[node] ? CTKD_STAGE_MAIN : 0u);
        to->trained_in[i] &= (unsigned char)reached;
    }
    free(initial);
    return CTKD_OK;
}

static ctkd_status plan(struct builder *b, size_t index, ctkd_error *err)
{
    b->method = &b->args->methods->items[index];
    b->n_values = 0;
    b->trained_in = CTKD_STAGE_INITIAL | CTKD_STAGE_MAIN;
    if (b->method->def->plan && taps(&b->base, CTKD_TEACHER) == 0) /* an ONNX model names none */
        return ctkd__fail(
            err, CTKD_EUNSUPPORTED,
            "method %s reads features, which the teacher (%s) does not name: expected "
            "weights of a network of `ctkd models`, or a method of logits",
            b->method->def->name, b->args->teacher_name);
    if (b->method->def->plan) {
        const ctkd_status status = b->method->def->plan(b->method->config, &b->base);
        b->base.status = b->base.status != CTKD_OK ? b->base.status : status;
    }
    if (b->base.status != CTKD_OK)
        return ctkd__fail(err, b->base.status, "method %s on %s and %s: %s", b->method->def->name,
                          b->args->teacher_name, b->args->student_name,
                          b->base.message[0] ? b->base.message : ctkd_status_text(b->base.status));
    b->to->initial.first[index + 1] = b->to->initial.n_reads;
    b->to->main.first[index + 1] = b->to->main.n_reads;
    return CTKD_OK;
}

ctkd_status ctkd__adaptors_create(const struct ctkd__adaptors_args *args,
                                  struct ctkd__adaptors **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__adaptors *const to = calloc(1, sizeof *to);
    struct builder *const b = calloc(1, sizeof *b);
    if (!to || !b) {
        free(to);
        free(b);
        return ctkd__fail(err, CTKD_ENOMEM, "adaptors: out of memory");
    }
    to->graph = args->student;
    const struct ctkd__graph alone = *args->student;
    start_builder(b, to, args);
    mark_student(b);
    ctkd_status status = b->base.status == CTKD_OK
                             ? CTKD_OK
                             : ctkd__fail(err, b->base.status, "adaptors: out of memory");
    for (size_t i = 0; i < args->methods->count && status == CTKD_OK; i++)
        status = plan(b, i, err);
    if (status == CTKD_OK)
        status = ctkd__graph_finish(to->graph, to->graph->output, err);
    to->student = ctkd__graph_first(to->graph, alone.n_nodes, alone.n_parameters, alone.n_taps);
    if (status == CTKD_OK && leave_out_unreached(to) != CTKD_OK)
        status = ctkd__fail(err, CTKD_ENOMEM, "adaptors: out of memory");
    free(b);
    if (status == CTKD_OK)
        *out = to;
    else
        ctkd__adaptors_destroy(to);
    return status;
}

void ctkd__adaptors_destroy(struct ctkd__adaptors *adaptors)
{
    if (!adaptors)
        return;
    free(adaptors->trained_in);
    free(adaptors);
}
