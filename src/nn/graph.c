#include "nn/graph_build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

/* The most elements of one activation or parameter; it keeps every product below within the range
   of size_t and int64_t. */
static const size_t elements_max = (size_t)1 << 31;

static const char *const op_texts[CTKD__OP_COUNT] = {
#define OP_TEXT(op, name, instruction) #name,
    CTKD__OP_LIST(OP_TEXT)
#undef OP_TEXT
};

const char *ctkd__op_text(enum ctkd__op op)
{
    return op >= 0 && op < CTKD__OP_COUNT ? op_texts[op] : "unknown op";
}

ctkd_status ctkd__graph_create(struct ctkd__graph **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return CTKD_ENOMEM;
    (*out)->output = -1;
    return CTKD_OK;
}

void ctkd__graph_destroy(struct ctkd__graph *graph)
{
    if (!graph)
        return;
    free(graph->nodes);
    free(graph->parameters);
    free(graph->taps);
    free(graph);
}

/* Room for one item more: the capacity is 16 or the next power of two, so it needs no counter.
   NULL, with the graph's status set, when memory is short; the old array stays valid then. */
static void *grow_if_full(struct ctkd__graph *graph, void *items, int count, size_t size)
{
    const bool full = count == 0 || (count >= 16 && (count & (count - 1)) == 0);
    if (!full)
        return items;
    const size_t capacity = count == 0 ? 16 : 2 * (size_t)count;
    void *const larger = realloc(items, capacity * size);
    if (!larger)
        graph->status = ctkd__fail(&graph->error, CTKD_ENOMEM,
                                   "network: out of memory for %zu items", capacity);
    return larger;
}

static bool product_fits(size_t a, size_t b, size_t c, size_t d)
{
    const size_t factors[4] = { a, b, c, d };
    size_t product = 1;
    for (int i = 0; i < 4; i++) {
        if (factors[i] == 0 || factors[i] > elements_max / product)
            return false;
        product *= factors[i];
    }
    return true;
}

int ctkd__build_node(struct ctkd__graph *graph, enum ctkd__op op, const char *name, int a, int b,
                     const size_t shape[3])
{
    if (graph->status)
        return -1;
    if (strlen(name) >= sizeof graph->nodes->name) {
        graph->status = ctkd__fail(&graph->error, CTKD_ERANGE,
                                   "%s: found a name of %zu bytes, expected at most %zu", name,
                                   strlen(name), sizeof graph->nodes->name - 1);
        return -1;
    }
    if (!product_fits(shape[0], shape[1], shape[2], 1)) {
        graph->status = ctkd__fail(&graph->error, CTKD_ESHAPE,
                                   "%s: found an output of %zux%zux%zu, expected 1 to %zu elements",
                                   name, shape[0], shape[1], shape[2], elements_max);
        return -1;
    }
    struct ctkd__node *const nodes =
        grow_if_full(graph, graph->nodes, graph->n_nodes, sizeof *graph->nodes);
    if (!nodes)
        return -1;
    graph->nodes = nodes;
    struct ctkd__node *const node = &nodes[graph->n_nodes];
    *node = (struct ctkd__node){ .op = op, .inputs = { a, b } };
    node->c = shape[0], node->h = shape[1], node->w = shape[2];
    node->kernel = node->stride = node->groups = 1;
    for (int role = 0; role < CTKD__ROLE_COUNT; role++)
        node->parameters[role] = -1;
    strcpy(node->name, name);
    return graph->n_nodes++;
}

int ctkd__build_after(struct ctkd__graph *graph, enum ctkd__op op, int a, int b,
                      const size_t shape[3])
{
    char name[sizeof graph->nodes->name];
    snprintf(name, sizeof name, "%.80s.%s", graph->nodes[a].name, ctkd__op_text(op));
    return ctkd__build_node(graph, op, name, a, b, shape);
}

bool ctkd__build_usable(struct ctkd__graph *graph, int x, const char *what)
{
    if (graph->status)
        return false;
    if (x < 0 || x >= graph->n_nodes)
        graph->status =
            ctkd__fail(&graph->error, CTKD_EINVAL, "%s: found node %d as input, expected 0 to %d",
                       what, x, graph->n_nodes - 1);
    else if (graph->nodes[x].op == CTKD__OP_PARAMETER)
        graph->status = ctkd__fail(&graph->error, CTKD_EINVAL,
                                   "%s: found the parameter %s as input, expected a value", what,
                                   graph->nodes[x].name);
    return graph->status == CTKD_OK;
}

void ctkd__build_parameter(struct ctkd__graph *graph, enum ctkd__role role, const char *suffix,
                           int rank, const size_t shape[4], enum ctkd__init init, float value)
{
    if (graph->status)
        return;
    const int node = graph->n_nodes - 1;
    struct ctkd__parameter *const parameters =
        grow_if_full(graph, graph->parameters, graph->n_parameters, sizeof *graph->parameters);
    if (!parameters)
        return;
    graph->parameters = parameters;
    struct ctkd__parameter *const parameter = &parameters[graph->n_parameters];
    *parameter = (struct ctkd__parameter){
        .node = node, .role = role, .rank = rank, .init = init, .value = value
    };
    snprintf(parameter->name, sizeof parameter->name, "%s%s", graph->nodes[node].name, suffix);
    for (int i = 0; i < 4; i++)
        parameter->shape[i] = i < rank ? shape[i] : 1;
    if (!product_fits(parameter->shape[0], parameter->shape[1], parameter->shape[2],
                      parameter->shape[3]))
        graph->status = ctkd__fail(&graph->error, CTKD_ESHAPE,
                                   "%s: found shape [%zu,%zu,%zu,%zu], expected 1 to %zu elements",
                                   parameter->name, parameter->shape[0], parameter->shape[1],
                                   parameter->shape[2], parameter->shape[3], elements_max);
    graph->nodes[node].parameters[role] = graph->n_parameters++;
}

bool ctkd__build_same_size(struct ctkd__graph *graph, const char *what, int a, int b)
{
    const struct ctkd__node *const p = &graph->nodes[a], *const q = &graph->nodes[b];
    if (p->h == q->h && p->w == q->w)
        return true;
    graph->status =
        ctkd__fail(&graph->error, CTKD_ESHAPE,
                   "%s: %s is %zux%zux%zu and %s is %zux%zux%zu, expected the same height and "
                   "width",
                   what, p->name, p->c, p->h, p->w, q->name, q->c, q->h, q->w);
    return false;
}

bool ctkd__build_window(struct ctkd__graph *graph, int x, const char *name,
                        const struct ctkd__pool_args *args, size_t *h, size_t *w)
{
    const struct ctkd__node *const from = &graph->nodes[x];
    const size_t before = args->padding[0], behind = args->padding[1], kernel = args->kernel;
    if (kernel == 0 || args->stride == 0 || before >= kernel || behind >= kernel) {
        graph->status =
            ctkd__fail(&graph->error, CTKD_EINVAL,
                       "%s: found kernel %zu, stride %zu, padding %zu and %zu, expected kernel and "
                       "stride of at least 1 and padding below the kernel",
                       name, kernel, args->stride, before, behind);
        return false;
    }
    const size_t rows = from->h + before + behind, columns = from->w + before + behind;
    if (rows < kernel || columns < kernel) {
        graph->status = ctkd__fail(
            &graph->error, CTKD_ESHAPE,
            "%s: found an input of %zux%zu with padding %zu and %zu, expected at least %zux%zu",
            name, from->h, from->w, before, behind, kernel, kernel);
        return false;
    }
    *h = (rows - kernel) / args->stride + 1;
    *w = (columns - kernel) / args->stride + 1;
    return true;
}

int ctkd__build_pool(struct ctkd__graph *graph, enum ctkd__op op, int x,
                     const struct ctkd__pool_args *args)
{
    size_t h, w;
    if (!ctkd__build_usable(graph, x, ctkd__op_text(op)) ||
        !ctkd__build_window(graph, x, ctkd__op_text(op), args, &h, &w))
        return -1;
    const int y = ctkd__build_after(graph, op, x, -1, (const size_t[3]){ graph->nodes[x].c, h, w });
    if (y < 0)
        return -1;
    struct ctkd__node *const node = &graph->nodes[y];
    node->kernel = args->kernel, node->stride = args->stride;
    node->padding = args->padding[0], node->behind = args->padding[1];
    node->count_padding = args->count_padding;
    return y;
}

void ctkd__graph_list_last(struct ctkd__graph *graph, int x)
{
    if (!ctkd__build_usable(graph, x, "list_last"))
        return;
    for (int role = 0; role < CTKD__ROLE_COUNT; role++) {
        const int from = graph->nodes[x].parameters[role], last = graph->n_parameters - 1;
        if (from < 0)
            continue;
        const struct ctkd__parameter moved = graph->parameters[from];
        memmove(&graph->parameters[from], &graph->parameters[from + 1],
                (size_t)(last - from) * sizeof moved);
        graph->parameters[last] = moved;
        for (int i = from; i <= last; i++) {
            const struct ctkd__parameter *const parameter = &graph->parameters[i];
            graph->nodes[parameter->node].parameters[parameter->role] = i;
        }
    }
}

void ctkd__graph_tap(struct ctkd__graph *graph, const char *name, int x)
{
    if (graph->status == CTKD_OK && (x < 0 || x >= graph->n_nodes))
        graph->status =
            ctkd__fail(&graph->error, CTKD_EINVAL, "tap %s: found node %d, expected 0 to %d", name,
                       x, graph->n_nodes - 1);
    if (graph->status)
        return;
    if (strlen(name) >= sizeof graph->taps->name || ctkd__graph_find_tap(graph, name) >= 0) {
        graph->status = ctkd__fail(&graph->error, CTKD_EINVAL,
                                   "tap %s: found a name that is taken or too long, expected a new "
                                   "one of at most %zu bytes",
                                   name, sizeof graph->taps->name - 1);
        return;
    }
    struct ctkd__tap *const taps =
        grow_if_full(graph, graph->taps, graph->n_taps, sizeof *graph->taps);
    if (!taps)
        return;
    graph->taps = taps;
    strcpy(taps[graph->n_taps].name, name);
    taps[graph->n_taps++].node = x;
}

static ctkd_status check_names(const struct ctkd__graph *graph, ctkd_error *err)
{
    for (int i = 0; i < graph->n_parameters; i++)
        for (int j = 0; j < i; j++)
            if (strcmp(graph->parameters[i].name, graph->parameters[j].name) == 0)
                return ctkd__fail(err, CTKD_EEXIST,
                                  "%s: found two parameters of this name, expected one",
                                  graph->parameters[i].name);
    return CTKD_OK;
}

/* Every node but the logits must feed another node or be a tap: a forgotten branch would silently
   never be trained. */
static ctkd_status check_used(const struct ctkd__graph *graph, ctkd_error *err)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        bool used = i == graph->output;
        for (int j = i + 1; j < graph->n_nodes && !used; j++)
            used = graph->nodes[j].inputs[0] == i || graph->nodes[j].inputs[1] == i;
        for (int j = 0; j < graph->n_taps && !used; j++)
            used = graph->taps[j].node == i;
        if (!used)
            return ctkd__fail(err, CTKD_EINVAL, "%s: found no reader of its output, expected one",
                              graph->nodes[i].name);
    }
    return CTKD_OK;
}

ctkd_status ctkd__graph_finish(struct ctkd__graph *graph, int logits, ctkd_error *err)
{
    if (graph->status == CTKD_OK && logits == -1 && graph->n_taps == 0)
        graph->status = ctkd__fail(&graph->error, CTKD_EINVAL,
                                   "network: found neither logits nor taps, expected one of them");
    if (logits != -1 && ctkd__build_usable(graph, logits, "logits") &&
        graph->nodes[logits].op != CTKD__OP_LINEAR)
        graph->status =
            ctkd__fail(&graph->error, CTKD_EINVAL, "logits: found %s of kind %s, expected linear",
                       graph->nodes[logits].name, ctkd__op_text(graph->nodes[logits].op));
    if (graph->status == CTKD_OK) {
        graph->output = logits;
        graph->status = check_names(graph, &graph->error);
    }
    if (graph->status == CTKD_OK)
        graph->status = check_used(graph, &graph->error);
    if (graph->status)
        return ctkd__fail(err, graph->status, "%s", graph->error.message);
    return CTKD_OK;
}

struct ctkd__graph ctkd__graph_first(const struct ctkd__graph *graph, int nodes, int parameters,
                                     int taps)
{
    struct ctkd__graph first = *graph;
    first.n_nodes = nodes;
    first.n_parameters = parameters;
    first.n_taps = taps;
    return first;
}

float ctkd__init_he_out(size_t kernel, size_t out)
{
    return (float)sqrt(2.0 / ((double)kernel * (double)kernel * (double)out));
}

float ctkd__init_default(size_t fan_in)
{
    return (float)(1.0 / sqrt((double)fan_in));
}

size_t ctkd__parameter_elements(const struct ctkd__parameter *parameter)
{
    size_t elements = 1;
    for (int i = 0; i < parameter->rank; i++)
        elements *= parameter->shape[i];
    return elements;
}

size_t ctkd__graph_trainable(const struct ctkd__graph *graph)
{
    size_t elements = 0;
    for (int i = 0; i < graph->n_parameters; i++)
        if (graph->parameters[i].role <= CTKD__ROLE_BIAS)
            elements += ctkd__parameter_elements(&graph->parameters[i]);
    return elements;
}

size_t ctkd__graph_macs(const struct ctkd__graph *graph)
{
    size_t macs = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct ctkd__node *const node = &graph->nodes[i];
        const bool transposed = node->op == CTKD__OP_TRANSPOSED_CONV;
        const struct ctkd__node *const over = transposed ? &graph->nodes[node->inputs[0]] : node;
        const int weight = node->parameters[CTKD__ROLE_WEIGHT];
        if (weight >= 0 && graph->parameters[weight].rank > 1) /* not a scale of channels */
            macs += over->h * over->w * ctkd__parameter_elements(&graph->parameters[weight]);
    }
    return macs;
}

size_t ctkd__graph_state_tensors(const struct ctkd__graph *graph)
{
    size_t tensors = (size_t)graph->n_parameters;
    for (int i = 0; i < graph->n_nodes; i++)
        tensors += graph->nodes[i].parameters[CTKD__ROLE_MEAN] >= 0; /* num_batches_tracked */
    return tensors;
}

int ctkd__graph_find_tap(const struct ctkd__graph *graph, const char *name)
{
    for (int i = 0; i < graph->n_taps; i++)
        if (strcmp(graph->taps[i].name, name) == 0)
            return graph->taps[i].node;
    return -1;
}
