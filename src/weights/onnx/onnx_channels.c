/* ONNX operators that move channels (a channel shuffle among them), and activations. */
#include <math.h>
#include <string.h>

#include "weights/onnx/onnx_import.h"

typedef struct ctkd__import import;
typedef struct ctkd__import_value value;

/* --- channel shuffle: Reshape to [n, g, c/g, h, w], Transpose of g and c/g, Reshape back */

static bool is_size(int64_t found, size_t expected)
{
    return found == -1 || (uint64_t)found == expected;
}

bool ctkd__channels_reshape(import *im, const int64_t *to, size_t rank)
{
    value *const x = ctkd__import_input(im, 0);
    if (!x)
        return true; /* an error was reported */
    if (rank == 5 && x->stage == CTKD__IMPORT_PLAIN && !x->flat && to[1] > 0 &&
        x->c % (uint64_t)to[1] == 0 && is_size(to[2], x->c / (uint64_t)to[1]) &&
        is_size(to[3], x->h) && is_size(to[4], x->w)) {
        /* what is pending counts channels in their present order */
        value *const y =
            ctkd__import_settle(im, x, false) >= 0 ? ctkd__import_continue(im, x) : NULL;
        if (y) {
            y->stage = CTKD__IMPORT_GROUPED;
            y->groups = (size_t)to[1];
        }
        return true;
    }
    if (rank != 4 || x->stage != CTKD__IMPORT_SWAPPED || !is_size(to[1], x->c) ||
        !is_size(to[2], x->h) || !is_size(to[3], x->w))
        return false;
    ctkd__import_output(im, 0, ctkd__graph_shuffle(im->graph, x->node, x->groups));
    return true;
}

void ctkd__channels_transpose(import *im)
{
    static const size_t swap[5] = { 0, 2, 1, 3, 4 };
    value *const x = ctkd__import_input(im, 0);
    size_t perm[5] = { 4, 3, 2, 1, 0 };
    if (!x)
        return;
    if (x->stage != CTKD__IMPORT_GROUPED || !ctkd__import_sizes(im, "perm", 5, perm) ||
        memcmp(perm, swap, sizeof swap) != 0) {
        char text[CTKD__IMPORT_TEXT];
        ctkd__import_fail(im, "perm: found %s%s, expected [0, 2, 1, 3, 4] inside a channel shuffle",
                          ctkd__import_attribute_text(im, "perm", text),
                          x->stage == CTKD__IMPORT_GROUPED ? "" : " outside a channel shuffle");
        return;
    }
    value *const y = ctkd__import_continue(im, x);
    if (y)
        y->stage = CTKD__IMPORT_SWAPPED;
}

/* --- parts of channels */

void ctkd__channels_concat(import *im)
{
    int all = -1;
    const value *first = NULL;
    for (size_t i = 0; i < im->node->n_inputs && im->status == CTKD_OK; i++) {
        value *const x = ctkd__import_input(im, i);
        const int from = x ? ctkd__import_settle(im, x, false) : -1;
        if (from < 0)
            return;
        all = i == 0 ? from : ctkd__graph_concat(im->graph, all, from);
        first = first ? first : x;
    }
    const int64_t axis = ctkd__import_int(im, "axis", 0);
    if (!first || !ctkd__import_axis_is(axis, first->flat ? 2 : 4, 1)) {
        ctkd__import_fail(im, "axis: found %lld, expected 1 (the channels)", (long long)axis);
        return;
    }
    value *const y = ctkd__import_output(im, 0, all);
    if (y)
        y->flat = first->flat;
}

static bool is_read(const import *im, const char *name)
{
    for (const char *const *other = im->counted; *other; other++)
        if (strcmp(*other, name) == 0)
            return true;
    return false;
}

/* The graph node whose parts are taken. The elements of flattened images are not channels. */
static int settle_whole(import *im, value *x)
{
    if (x->flat && x->h * x->w > 1)
        ctkd__import_fail(im,
                          "found parts of flattened images, expected parts of images or vectors");
    return ctkd__import_settle(im, x, false);
}

/* Sizes of the parts: an attribute before opset 13, an input since; without, equal parts. */
static bool part_sizes(import *im, size_t channels, int64_t sizes[CTKD__IMPORT_INTS_MAX])
{
    const struct ctkd__onnx_attribute *const list = ctkd__onnx_attribute(im->node, "split");
    const size_t parts = im->node->n_outputs;
    size_t n = parts;
    if (parts > CTKD__IMPORT_INTS_MAX)
        return false;
    if (list && list->kind == CTKD__ONNX_INTS && list->count <= CTKD__IMPORT_INTS_MAX) {
        n = list->count;
        memcpy(sizes, list->ints, n * sizeof *sizes);
    } else if (im->node->n_inputs > 1 && im->node->inputs[1][0]) {
        if (!ctkd__import_ints(im, 1, CTKD__IMPORT_INTS_MAX, sizes, &n))
            return false;
    } else {
        const size_t each = (channels + parts - 1) / parts; /* the last may be smaller */
        for (size_t i = 0; i < parts; i++)
            sizes[i] = (int64_t)(i + 1 < parts ? each : channels - (parts - 1) * each);
    }
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (sizes[i] < 1 || sizes[i] > (int64_t)channels)
            return false;
        sum += sizes[i];
    }
    return n == parts && sum == (int64_t)channels;
}

void ctkd__op_split(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    int64_t sizes[CTKD__IMPORT_INTS_MAX];
    const int from = x ? settle_whole(im, x) : -1;
    if (from < 0)
        return;
    const bool flat = x->flat;
    const int64_t axis = ctkd__import_int(im, "axis", 0);
    char text[CTKD__IMPORT_TEXT];
    if (!ctkd__import_axis_is(axis, flat ? 2 : 4, 1)) {
        ctkd__import_fail(im, "axis: found %lld, expected 1 (the channels)", (long long)axis);
        return;
    }
    if (!part_sizes(im, x->c, sizes)) {
        ctkd__import_fail(im,
                          "split: found %s for %zu outputs, expected the %zu channels in at most "
                          "%d parts",
                          im->node->n_inputs > 1 ? ctkd__import_input_text(im, 1, text)
                                                 : ctkd__import_attribute_text(im, "split", text),
                          im->node->n_outputs, x->c, CTKD__IMPORT_INTS_MAX);
        return;
    }
    size_t first = 0;
    for (size_t k = 0; k < im->node->n_outputs; first += (size_t)sizes[k++]) {
        if (!is_read(im, im->node->outputs[k]))
            continue; /* a graph must not have unused nodes */
        value *const y =
            ctkd__import_output(im, k, ctkd__graph_slice(im->graph, from, first, (size_t)sizes[k]));
        if (y)
            y->flat = flat;
    }
}

bool ctkd__channels_slice(import *im)
{
    int64_t begin, end, axis = 0, step = 1;
    size_t n[4];
    value *const x = ctkd__import_input(im, 0);
    if (!x || !ctkd__import_ints(im, 1, 1, &begin, &n[0]) ||
        !ctkd__import_ints(im, 2, 1, &end, &n[1]) || !ctkd__import_ints(im, 3, 1, &axis, &n[2]) ||
        n[0] + n[1] + n[2] != 3 || !ctkd__import_axis_is(axis, x->flat ? 2 : 4, 1))
        return false;
    if (im->node->n_inputs > 4 &&
        (!ctkd__import_ints(im, 4, 1, &step, &n[3]) || n[3] != 1 || step != 1)) {
        char text[CTKD__IMPORT_TEXT];
        ctkd__import_fail(im, "steps: found %s between channels, expected 1",
                          ctkd__import_input_text(im, 4, text));
        return true;
    }
    const int from = settle_whole(im, x);
    if (from < 0)
        return true;
    const int64_t c = (int64_t)x->c;
    begin = begin < -c ? 0 : begin < 0 ? begin + c : begin;
    end = end < -c ? 0 : end < 0 ? end + c : end > c ? c : end;
    if (begin >= end) {
        ctkd__import_fail(im, "found channels %lld to %lld of %zu, expected at least one",
                          (long long)begin, (long long)end, x->c);
        return true;
    }
    const bool flat = x->flat;
    value *const y = ctkd__import_output(
        im, 0, ctkd__graph_slice(im->graph, from, (size_t)begin, (size_t)(end - begin)));
    if (y)
        y->flat = flat;
    return true;
}

/* --- activations */

static void activate(import *im, enum ctkd__activation kind, float slope)
{
    value *const x = ctkd__import_input(im, 0);
    const int from = x ? ctkd__import_settle(im, x, false) : -1;
    if (from < 0)
        return;
    const bool flat = x->flat;
    value *const y = ctkd__import_output(im, 0, ctkd__graph_activate(im->graph, from, kind, slope));
    if (y)
        y->flat = flat;
}

/* A bound of Clip: an input since opset 11, an attribute before; false when it is computed. */
static bool bound_of(import *im, size_t input, const char *name, double *out)
{
    *out = ctkd__import_float(im, name, *out);
    if (input >= im->node->n_inputs || !im->node->inputs[input][0])
        return true;
    const struct ctkd__tensor *const bound = ctkd__import_constant(im, input);
    if (!bound || bound->type != CTKD__F32 || ctkd__tensor_elements(bound) != 1)
        return false;
    *out = (double)*(const float *)bound->data;
    return true;
}

void ctkd__op_clip(import *im)
{
    double least = (double)-INFINITY, most = (double)INFINITY;
    const bool known = bound_of(im, 1, "min", &least) && bound_of(im, 2, "max", &most);
    if (known && least == 0 && most == 6) {
        activate(im, CTKD__RELU6, 0);
        return;
    }
    if (!known || least != 0 || most < 3e38) {
        if (known)
            ctkd__import_fail(im, "found bounds %g and %g, expected 0 and 6 (ReLU6) or 0 (ReLU)",
                              least, most);
        else
            ctkd__import_fail(im, "found computed bounds, expected constants 0 and 6, or 0");
        return;
    }
    value *const x = ctkd__import_input(im, 0);
    const int from = x ? ctkd__import_settle(im, x, false) : -1;
    value *const y =
        from >= 0 ? ctkd__import_output(im, 0, ctkd__graph_relu(im->graph, from)) : NULL;
    if (y)
        y->flat = x->flat;
}

void ctkd__op_sigmoid(import *im)
{
    activate(im, CTKD__SIGMOID, 0);
}

/* Ours has slope 1/6; with ONNX's default of 0.2 it is another function. */
void ctkd__op_hard_sigmoid(import *im)
{
    const double alpha = ctkd__import_float(im, "alpha", 0.2);
    if (fabs(alpha - 1.0 / 6) > 1e-6 || ctkd__import_float(im, "beta", 0.5) != 0.5)
        ctkd__import_fail(im, "found alpha %g, expected 1/6 and a beta of 0.5", alpha);
    else
        activate(im, CTKD__HARD_SIGMOID, 0);
}

void ctkd__op_hard_swish(import *im)
{
    activate(im, CTKD__HARD_SWISH, 0);
}

void ctkd__op_leaky_relu(import *im)
{
    activate(im, CTKD__LEAKY_RELU, (float)ctkd__import_float(im, "alpha", 0.01));
}
