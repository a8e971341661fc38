#include "nn/weights.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctkd/random.h"
#include "nn/arena.h"
#include "nn/conv/conv.h"
#include "nn/round.h"
#include "util/error.h"

static int is_buffer(const struct ctkd__parameter *parameter)
{
    return parameter->role == CTKD__ROLE_MEAN || parameter->role == CTKD__ROLE_VARIANCE;
}

static const struct ctkd__node *node_of(const struct ctkd__weights *weights, int parameter)
{
    return &weights->graph->nodes[weights->graph->parameters[parameter].node];
}

/* The convolution that a parameter of rank 4 belongs to. */
static struct ctkd__conv_shape conv_of(const struct ctkd__weights *weights, int parameter)
{
    const struct ctkd__node *const node = node_of(weights, parameter);
    const struct ctkd__node *const in = &weights->graph->nodes[node->inputs[0]];
    if (node->op == CTKD__OP_TRANSPOSED_CONV) /* the mirrored one: weight [in, out, k, k] */
        return (struct ctkd__conv_shape){
            .c = node->c, .o = in->c, .kernel = node->kernel, .groups = 1
        };
    return (struct ctkd__conv_shape){ .c = in->c,
                                      .o = node->c,
                                      .kernel = node->kernel,
                                      .plain_input = in->op == CTKD__OP_INPUT,
                                      .groups = node->groups };
}

/* Floats of a parameter in the flat block. */
static size_t flat_size(const struct ctkd__weights *weights, int parameter)
{
    const struct ctkd__parameter *const p = &weights->graph->parameters[parameter];
    const size_t b = weights->block;
    if (p->rank == 4) {
        const struct ctkd__conv_shape conv = conv_of(weights, parameter);
        return ctkd__conv_weight_floats(&conv, b);
    }
    if (p->rank == 2)
        return p->shape[0] * ctkd__round_up(p->shape[1], b);
    return p->shape[0];
}

ctkd_status ctkd__weights_create(const struct ctkd__graph *graph, size_t block,
                                 struct ctkd__weights **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__weights *const weights = calloc(1, sizeof *weights);
    if (!weights)
        return ctkd__fail(err, CTKD_ENOMEM, "weights: out of memory");
    weights->graph = graph;
    weights->block = block;
    weights->offsets = calloc((size_t)graph->n_parameters + 1, sizeof *weights->offsets);
    if (!weights->offsets)
        goto fail;
    for (int i = 0; i < graph->n_parameters; i++) {
        size_t *const total =
            is_buffer(&graph->parameters[i]) ? &weights->n_buffers : &weights->n_values;
        weights->offsets[i] = *total;
        *total +=
            ctkd__round_up(flat_size(weights, i), 16); /* every parameter starts on a cache line */
    }
    weights->values = ctkd__pages_allocate(weights->n_values * sizeof(float));
    weights->buffers = ctkd__pages_allocate(weights->n_buffers * sizeof(float));
    if (!weights->values || !weights->buffers)
        goto fail;
    *out = weights;
    return CTKD_OK;
fail:
    ctkd__weights_destroy(weights);
    return ctkd__fail(err, CTKD_ENOMEM, "weights: out of memory for %zu parameters",
                      ctkd__graph_trainable(graph));
}

static bool set_read_only(struct ctkd__weights *weights, bool read_only)
{
    weights->is_protected = read_only;
    return ctkd__pages_protect(weights->values, weights->n_values * sizeof(float), read_only) ==
               CTKD_OK &&
           ctkd__pages_protect(weights->buffers, weights->n_buffers * sizeof(float), read_only) ==
               CTKD_OK;
}

ctkd_status ctkd__weights_protect(struct ctkd__weights *weights, ctkd_error *err)
{
    return set_read_only(weights, true)
               ? CTKD_OK
               : ctkd__fail(err, CTKD_EIO, "weights: cannot make their memory read-only: %s",
                            strerror(errno));
}

void ctkd__weights_destroy(struct ctkd__weights *weights)
{
    if (!weights)
        return;
    if (weights->is_protected)
        (void)set_read_only(weights, false);
    ctkd__pages_release(weights->values, weights->n_values * sizeof(float));
    ctkd__pages_release(weights->buffers, weights->n_buffers * sizeof(float));
    free(weights->offsets);
    free(weights);
}

/* How the row-major elements [o][c][tap] of a parameter lie in its flat form: tap_stride floats
   from one tap to the next, behind first_tap(). */
struct flat_layout {
    size_t o, c, taps, block, c_padded, tap_stride;
    bool compact, matrix;
};

static struct flat_layout layout_of(const struct ctkd__weights *weights, int parameter)
{
    const struct ctkd__parameter *const p = &weights->graph->parameters[parameter];
    const size_t b = weights->block;
    struct flat_layout l = { p->shape[0], 1, 1, b, 1, 1, false, p->rank == 2 };
    if (p->rank == 2) {
        l.c = p->shape[1];
        l.c_padded = ctkd__round_up(l.c, b);
    } else if (p->rank == 4) {
        l.c = p->shape[1];
        l.taps = p->shape[2] * p->shape[3];
        const struct ctkd__conv_shape conv = conv_of(weights, parameter);
        l.compact = ctkd__conv_is_compact(&conv, b);
        l.c_padded = ctkd__conv_weight_depth(&conv, b);
        l.tap_stride = (l.compact ? l.c : b) * b;
    }
    return l;
}

static size_t first_tap(const struct flat_layout *l, size_t o, size_t c)
{
    const size_t b = l->block;
    if (l->matrix)
        return o * l->c_padded + c;
    if (l->taps == 1 && l->c_padded == 1 && !l->compact)
        return o;
    if (l->compact) /* [O/B][k][k][C][B] */
        return (o / b * l->taps * l->c + c) * b + o % b;
    /* [O/B][C/B][k][k][B c][B o] */
    return ((o / b * (l->c_padded / b) + c / b) * l->taps * b + c % b) * b + o % b;
}

void ctkd__weights_pack(const struct ctkd__weights *weights, int parameter, const float *plain,
                        float *flat)
{
    const struct flat_layout l = layout_of(weights, parameter);
    memset(flat, 0, flat_size(weights, parameter) * sizeof *flat);
    for (size_t o = 0; o < l.o; o++)
        for (size_t c = 0; c < l.c; c++) {
            float *to = flat + first_tap(&l, o, c);
            for (size_t tap = 0; tap < l.taps; tap++, to += l.tap_stride)
                *to = *plain++;
        }
}

void ctkd__weights_unpack(const struct ctkd__weights *weights, int parameter, const float *flat,
                          float *plain)
{
    const struct flat_layout l = layout_of(weights, parameter);
    for (size_t o = 0; o < l.o; o++)
        for (size_t c = 0; c < l.c; c++) {
            const float *from = flat + first_tap(&l, o, c);
            for (size_t tap = 0; tap < l.taps; tap++, from += l.tap_stride)
                *plain++ = *from;
        }
}

static float *storage(const struct ctkd__weights *weights, int parameter)
{
    return (is_buffer(&weights->graph->parameters[parameter]) ? weights->buffers
                                                              : weights->values) +
           weights->offsets[parameter];
}

static float initial_value(const struct ctkd__parameter *p, uint64_t seed, int index, size_t i)
{
    if (p->init == CTKD__INIT_UNIFORM)
        return p->value *
               (2.0f * ctkd_random_uniform(seed, CTKD_RANDOM_INIT, (uint64_t)index, i) - 1.0f);
    if (p->init == CTKD__INIT_NORMAL)
        return p->value * ctkd_random_normal(seed, CTKD_RANDOM_INIT, (uint64_t)index, i);
    return p->value;
}

void ctkd__weights_initialise(struct ctkd__weights *weights, uint64_t seed)
{
    for (int index = 0; index < weights->graph->n_parameters; index++) {
        const struct flat_layout l = layout_of(weights, index);
        float *const flat = storage(weights, index);
        for (size_t o = 0, i = 0; o < l.o; o++)
            for (size_t c = 0; c < l.c; c++) {
                float *to = flat + first_tap(&l, o, c);
                for (size_t tap = 0; tap < l.taps; tap++, to += l.tap_stride)
                    *to = initial_value(&weights->graph->parameters[index], seed, index, i++);
            }
    }
    weights->batches_tracked = 0;
}

static int same_shape(const struct ctkd__parameter *p, const struct ctkd__tensor *tensor)
{
    if (tensor->rank != p->rank)
        return 0;
    for (int i = 0; i < p->rank; i++)
        if (tensor->shape[i] != (int64_t)p->shape[i])
            return 0;
    return 1;
}

static void shape_text(const struct ctkd__parameter *p, char *text, size_t bytes)
{
    struct ctkd__tensor tensor = { .rank = p->rank };
    for (int i = 0; i < p->rank; i++)
        tensor.shape[i] = (int64_t)p->shape[i];
    ctkd__tensor_shape_text(&tensor, text, bytes);
}

static const char count_suffix[] = ".num_batches_tracked";

static int is_count(const char *name)
{
    const size_t n = strlen(name), m = sizeof count_suffix - 1;
    return n > m && strcmp(name + n - m, count_suffix) == 0;
}

static ctkd_status check_import(const struct ctkd__weights *weights,
                                const struct ctkd__tensors *list, ctkd_error *err)
{
    const struct ctkd__graph *const graph = weights->graph;
    for (int i = 0; i < graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &graph->parameters[i];
        const struct ctkd__tensor *const tensor = ctkd__tensors_find(list, p->name);
        if (!tensor)
            return ctkd__fail(err, CTKD_ENOTFOUND, "%s: found no tensor of this name, expected one",
                              p->name);
        char found[96], expected[96];
        ctkd__tensor_shape_text(tensor, found, sizeof found);
        shape_text(p, expected, sizeof expected);
        if (!same_shape(p, tensor))
            return ctkd__fail(err, CTKD_ESHAPE, "%s: found shape %s, expected %s", p->name, found,
                              expected);
        if (tensor->type != CTKD__F32)
            return ctkd__fail(err, CTKD_EFORMAT, "%s: found type %s, expected F32", p->name,
                              ctkd__dtype_text(tensor->type));
        for (size_t j = 0; p->role == CTKD__ROLE_VARIANCE && j < p->shape[0]; j++)
            if (!(((const float *)tensor->data)[j] >= 0))
                return ctkd__fail(err, CTKD_ENAN,
                                  "%s: element %zu is %g, expected a variance of at least 0",
                                  p->name, j, (double)((const float *)tensor->data)[j]);
    }
    for (size_t i = 0; i < list->count; i++) {
        int known = is_count(list->items[i].name);
        for (int j = 0; j < graph->n_parameters && !known; j++)
            known = strcmp(graph->parameters[j].name, list->items[i].name) == 0;
        if (!known)
            return ctkd__fail(err, CTKD_EFORMAT,
                              "%s: found a tensor that is no parameter of the network",
                              list->items[i].name);
    }
    return CTKD_OK;
}

ctkd_status ctkd__weights_import(struct ctkd__weights *weights, const struct ctkd__tensors *list,
                                 ctkd_error *err)
{
    const ctkd_status status = check_import(weights, list, err);
    if (status)
        return status;
    for (int i = 0; i < weights->graph->n_parameters; i++)
        ctkd__weights_pack(weights, i,
                           ctkd__tensors_find(list, weights->graph->parameters[i].name)->data,
                           storage(weights, i));
    weights->batches_tracked = 0;
    for (size_t i = 0; i < list->count; i++)
        if (is_count(list->items[i].name) && list->items[i].type == CTKD__I64 &&
            list->items[i].bytes == sizeof weights->batches_tracked)
            memcpy(&weights->batches_tracked, list->items[i].data, sizeof weights->batches_tracked);
    return CTKD_OK;
}

/* The published state dict has a batch norm's num_batches_tracked after its running variance. */
static ctkd_status export_count(const struct ctkd__weights *weights, int parameter,
                                struct ctkd__tensors *list, ctkd_error *err)
{
    char name[sizeof weights->graph->parameters->name + sizeof count_suffix];
    snprintf(name, sizeof name, "%s%s", node_of(weights, parameter)->name, count_suffix);
    struct ctkd__tensor *tensor;
    const ctkd_status status = ctkd__tensors_add(list, name, CTKD__I64, 0, NULL, &tensor, err);
    if (status == CTKD_OK)
        memcpy(tensor->data, &weights->batches_tracked, sizeof weights->batches_tracked);
    return status;
}

ctkd_status ctkd__weights_export(const struct ctkd__weights *weights, struct ctkd__tensors *list,
                                 ctkd_error *err)
{
    for (int i = 0; i < weights->graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &weights->graph->parameters[i];
        int64_t shape[4];
        for (int j = 0; j < p->rank; j++)
            shape[j] = (int64_t)p->shape[j];
        struct ctkd__tensor *tensor;
        ctkd_status status =
            ctkd__tensors_add(list, p->name, CTKD__F32, p->rank, shape, &tensor, err);
        if (status)
            return status;
        ctkd__weights_unpack(weights, i, storage(weights, i), tensor->data);
        if (p->role == CTKD__ROLE_VARIANCE)
            status = export_count(weights, i, list, err);
        if (status)
            return status;
    }
    return CTKD_OK;
}
