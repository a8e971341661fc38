/* ONNX operators that move values or compute shapes. */
#include <string.h>

#include "weights/onnx/onnx_import.h"

typedef struct ctkd__import import;
typedef struct ctkd__import_value value;

/* --- shapes */

static void make_flat(import *im, value *x)
{
    if (ctkd__import_has_zeros(x)) {
        ctkd__import_settle(im, x, false); /* says why not */
        return;
    }
    value *const y = ctkd__import_continue(im, x);
    if (y)
        y->flat = true;
}

void ctkd__op_flatten(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const int64_t axis = ctkd__import_int(im, "axis", 1);
    if (x && !ctkd__import_axis_is(axis, x->flat ? 2 : 4, 1))
        ctkd__import_fail(im, "axis: found %lld, expected 1", (long long)axis);
    else if (x)
        make_flat(im, x);
}

static bool is_batch(const import *im, int64_t size)
{
    return size == INT64_MIN || size == 0 || size == -1 || size == im->batch;
}

/* To [n, c h w] or, of vectors, to [n, c, 1, 1]. */
static void reshape_image(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    int64_t to[CTKD__IMPORT_INTS_MAX];
    size_t n;
    if (!x)
        return;
    char text[CTKD__IMPORT_TEXT];
    if (!ctkd__import_ints(im, 1, CTKD__IMPORT_INTS_MAX, to, &n)) {
        ctkd__import_fail(im, "shape: found %s, expected at most %d integers",
                          ctkd__import_input_text(im, 1, text), CTKD__IMPORT_INTS_MAX);
        return;
    }
    if ((n == 5 || (n == 4 && x->stage != CTKD__IMPORT_PLAIN)) && is_batch(im, to[0]) &&
        ctkd__channels_reshape(im, to, n))
        return;
    const int64_t c = (int64_t)(x->c + x->pad_before + x->pad_after);
    const int64_t size = c * (int64_t)(x->h * x->w);
    if (n == 2 && is_batch(im, to[0]) && (to[1] == size || (to[1] == -1 && to[0] != -1))) {
        make_flat(im, x);
    } else if (n == 4 && x->h * x->w == 1 && is_batch(im, to[0]) && (to[1] == c || to[1] == -1) &&
               to[2] == 1 && to[3] == 1) {
        value *const y = ctkd__import_continue(im, x);
        if (y)
            y->flat = false;
    } else {
        ctkd__import_fail(
            im,
            "shape: found %s for an image of %zux%zux%zu, expected a flat one or that of a "
            "channel shuffle",
            ctkd__import_ints_text(n, to, text), x->c, x->h, x->w);
    }
}

/* The first input as integers, a constant list among them; false when it is an image. */
static bool ints_of(import *im, value *out)
{
    *out = (value){ .is_ints = true };
    if (ctkd__import_ints(im, 0, CTKD__IMPORT_INTS_MAX, out->ints, &out->n_ints))
        return true;
    const value *const x = ctkd__import_constant(im, 0) ? NULL : ctkd__import_input(im, 0);
    if (x && x->is_ints)
        *out = *x;
    return x && x->is_ints;
}

/* Without axes every size of 1 goes. */
void ctkd__op_squeeze(import *im)
{
    value list;
    if (ints_of(im, &list)) { /* one number of a shape */
        ctkd__op_same_ints(im);
        return;
    }
    char text[CTKD__IMPORT_TEXT];
    value *const x = ctkd__import_input(im, 0);
    const bool every = im->node->n_inputs < 2 && !ctkd__onnx_attribute(im->node, "axes");
    if (x && (x->flat || x->h != 1 || x->w != 1))
        ctkd__import_fail(im, "found images of %zux%zux%zu, expected images of one pixel", x->c,
                          x->h, x->w);
    else if (x && !(every ? x->c > 1 && im->batch != 1 : ctkd__import_over_pixels(im)))
        ctkd__import_fail(im, "axes: found %s, expected height and width (2 and 3)",
                          ctkd__import_axes_text(im, text));
    else if (x)
        make_flat(im, x);
}

static const char *const slice_inputs[] = { "starts", "ends", "axes", "steps" };

/* What a Slice takes, as Python writes it: "axis 2 [1:7:2]". */
static void refuse_slice(import *im, int64_t axis, int64_t start, int64_t end, int64_t step)
{
    ctkd__import_fail(im,
                      "found axis %lld [%lld:%lld:%lld], expected every n-th row and column from "
                      "the first to the last",
                      (long long)axis, (long long)start, (long long)end, (long long)step);
}

/* Every stride-th row and column. */
static void slice_image(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    int64_t lists[4][4]; /* starts, ends, axes, steps */
    size_t counts[4];
    char text[CTKD__IMPORT_TEXT];
    for (size_t i = 0; i < 4; i++)
        if (!ctkd__import_ints(im, i + 1, 4, lists[i], &counts[i]) ||
            (i > 0 && counts[i] != counts[0]))
            ctkd__import_fail(im, "%s: found %s, expected %s", slice_inputs[i],
                              ctkd__import_input_text(im, i + 1, text),
                              i ? "as many integers as starts" : "at most 4 integers");
    if (!x || im->status != CTKD_OK)
        return;
    if ((x->pad_before || x->pad_after) && ctkd__import_settle(im, x, false) < 0)
        return;
    size_t steps[2] = { 1, 1 };
    if (x->flat || ctkd__import_has_zeros(x)) {
        ctkd__import_fail(im, "found rows and columns of %s%s, expected those of an image",
                          ctkd__import_input_text(im, 0, text),
                          x->flat ? "" : " with zeros around it");
        return;
    }
    for (size_t i = 0; i < counts[0]; i++) {
        const int64_t axis = lists[2][i] < 0 ? lists[2][i] + 4 : lists[2][i];
        if ((axis != 2 && axis != 3) || lists[0][i] != 0 || lists[3][i] < 1 ||
            lists[3][i] > CTKD__IMPORT_WINDOW_MAX ||
            lists[1][i] < (int64_t)(axis == 2 ? x->h : x->w)) {
            refuse_slice(im, lists[2][i], lists[0][i], lists[1][i], lists[3][i]);
            return;
        }
        steps[axis - 2] = (size_t)lists[3][i];
    }
    value *const y = ctkd__import_continue(im, x);
    if (y)
        y->steps[0] = x->steps[0] * steps[0], y->steps[1] = x->steps[1] * steps[1];
}

/* Zeros: channels (option A) or around the image (for the convolution behind). */
void ctkd__op_pad(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const struct ctkd__onnx_attribute *const list = ctkd__onnx_attribute(im->node, "pads");
    const struct ctkd__tensor *const fill = ctkd__import_constant(im, 2);
    int64_t pads[8];
    size_t n = 0;
    if (list && list->kind == CTKD__ONNX_INTS && list->count == 8) { /* before opset 11 */
        memcpy(pads, list->ints, sizeof pads);
        n = 8;
    } else {
        ctkd__import_ints(im, 1, 8, pads, &n);
    }
    bool good = n == 8 && strcmp(ctkd__import_text(im, "mode", "constant"), "constant") == 0 &&
                ctkd__import_float(im, "value", 0) == 0 && im->node->n_inputs < 4 &&
                (!fill || (fill->type == CTKD__F32 && fill->bytes == sizeof(float) &&
                           *(const float *)fill->data == 0));
    for (size_t i = 0; i < n && good; i++)
        good = pads[i] >= 0 && pads[i] <= CTKD__IMPORT_WINDOW_MAX && (i % 4 != 0 || pads[i] == 0);
    char text[CTKD__IMPORT_TEXT], filled[CTKD__IMPORT_TEXT];
    if (!x || !good || x->flat) {
        ctkd__import_fail(im,
                          "found pads %s, mode %.20s and value %s, expected 0 to %d zeros around "
                          "images and none around the batch",
                          list ? ctkd__import_attribute_text(im, "pads", text)
                               : ctkd__import_input_text(im, 1, text),
                          ctkd__import_text(im, "mode", "constant"),
                          fill ? ctkd__import_input_text(im, 2, filled)
                               : ctkd__import_attribute_text(im, "value", filled),
                          CTKD__IMPORT_WINDOW_MAX);
        return;
    }
    if (ctkd__import_has_zeros(x) && ctkd__import_settle(im, x, false) < 0)
        return;
    value *const y = ctkd__import_continue(im, x);
    if (!y)
        return;
    y->pad_before += (size_t)pads[1], y->pad_after += (size_t)pads[5];
    for (int d = 0; d < 2; d++)
        y->pads[d] = (size_t)pads[2 + d], y->pads[d + 2] = (size_t)pads[6 + d];
}

/* --- lists of integers: the shape arithmetic in front of a Reshape */

/* The present node's output: a list. NULL after an error. */
static value *put_ints(import *im, size_t n, const int64_t *ints)
{
    value *const y = ctkd__import_output(im, 0, -1);
    if (!y)
        return NULL;
    y->is_ints = true;
    y->n_ints = n;
    memcpy(y->ints, ints, n * sizeof *ints);
    return y;
}

/* All of the shape, or the part [start, end) of it. */
void ctkd__op_shape(import *im)
{
    const value *const x = ctkd__import_input(im, 0);
    if (!x)
        return;
    if (x->is_ints || x->stage != CTKD__IMPORT_PLAIN || x->steps[0] != 1 || x->steps[1] != 1) {
        char text[CTKD__IMPORT_TEXT];
        ctkd__import_fail(im, "found the shape of %s%s, expected that of an image or vector",
                          ctkd__import_input_text(im, 0, text),
                          x->is_ints ? "" : " within a channel shuffle or a slice");
        return;
    }
    const int64_t sizes[4] = {
        INT64_MIN, (int64_t)((x->c + x->pad_before + x->pad_after) * (x->flat ? x->h * x->w : 1)),
        (int64_t)(x->h + x->pads[0] + x->pads[2]), (int64_t)(x->w + x->pads[1] + x->pads[3])
    };
    const int64_t rank = x->flat ? 2 : 4;
    int64_t range[2] = { ctkd__import_int(im, "start", 0), ctkd__import_int(im, "end", rank) };
    for (int i = 0; i < 2; i++) {
        range[i] += range[i] < 0 ? rank : 0;
        range[i] = range[i] < 0 ? 0 : range[i] > rank ? rank : range[i];
    }
    put_ints(im, range[0] < range[1] ? (size_t)(range[1] - range[0]) : 0, sizes + range[0]);
}

/* A new list from the elements [begin, end) of the input's. */
static void take_ints(import *im, int64_t begin, int64_t end)
{
    int64_t ints[CTKD__IMPORT_INTS_MAX];
    size_t n;
    if (!ctkd__import_ints(im, 0, CTKD__IMPORT_INTS_MAX, ints, &n) || begin < 0 ||
        end > (int64_t)n || begin > end) {
        char text[CTKD__IMPORT_TEXT];
        ctkd__import_fail(im, "found elements %lld to %lld of %s, expected a part of a shape",
                          (long long)begin, (long long)end, ctkd__import_input_text(im, 0, text));
        return;
    }
    put_ints(im, (size_t)(end - begin), ints + begin);
}

void ctkd__op_gather(import *im)
{
    int64_t index[1];
    size_t n;
    char text[CTKD__IMPORT_TEXT];
    if (!ctkd__import_ints(im, 1, 1, index, &n) || n != 1)
        ctkd__import_fail(im, "indices: found %s, expected one element of a shape",
                          ctkd__import_input_text(im, 1, text));
    else
        take_ints(im, index[0], index[0] + 1);
}

void ctkd__op_concat(import *im)
{
    int64_t all[CTKD__IMPORT_INTS_MAX];
    size_t count = 0, n;
    if (!ctkd__import_ints(im, 0, CTKD__IMPORT_INTS_MAX, all, &n)) {
        ctkd__channels_concat(im);
        return;
    }
    for (size_t i = 0; i < im->node->n_inputs; i++) {
        if (!ctkd__import_ints(im, i, CTKD__IMPORT_INTS_MAX - count, all + count, &n)) {
            char text[CTKD__IMPORT_TEXT];
            ctkd__import_fail(im, "input %zu: found %s, expected a part of a shape", i,
                              ctkd__import_input_text(im, i, text));
            return;
        }
        count += n;
    }
    put_ints(im, count, all);
}

void ctkd__op_constant_of_shape(import *im)
{
    const struct ctkd__onnx_attribute *const fill = ctkd__onnx_attribute(im->node, "value");
    int64_t ints[CTKD__IMPORT_INTS_MAX], size;
    size_t n;
    if (!ctkd__import_ints(im, 0, 1, &size, &n) || n != 1 || size < 0 ||
        size > CTKD__IMPORT_INTS_MAX || !fill || fill->kind != CTKD__ONNX_TENSOR ||
        fill->count != 1) {
        char shape[CTKD__IMPORT_TEXT], text[CTKD__IMPORT_TEXT];
        ctkd__import_fail(im,
                          "found shape %s and value %s, expected a list of at most %d times one "
                          "integer",
                          ctkd__import_input_text(im, 0, shape),
                          ctkd__import_attribute_text(im, "value", text), CTKD__IMPORT_INTS_MAX);
        return;
    }
    for (int64_t i = 0; i < size; i++)
        ints[i] = fill->i;
    put_ints(im, (size_t)size, ints);
}

/* Unsqueeze of one number of a shape: a list keeps its elements. */
void ctkd__op_same_ints(import *im)
{
    int64_t ints[CTKD__IMPORT_INTS_MAX];
    size_t n;
    char text[CTKD__IMPORT_TEXT];
    if (ctkd__import_ints(im, 0, CTKD__IMPORT_INTS_MAX, ints, &n))
        take_ints(im, 0, (int64_t)n);
    else
        ctkd__import_fail(im, "found %s, expected a part of a shape",
                          ctkd__import_input_text(im, 0, text));
}

/* --- matrices of integers: how PyTorch's tracer turns the pads of F.pad around */

/* A list to rows of two, or a matrix to a list. */
static void reshape_ints(import *im, const value *x)
{
    int64_t to[2];
    size_t rank;
    const bool good = ctkd__import_ints(im, 1, 2, to, &rank) && rank > 0 && to[0] == -1 &&
                      (rank == 1 || (to[1] == 2 && x->n_ints % 2 == 0));
    value *const y = good ? put_ints(im, x->n_ints, x->ints) : NULL;
    char text[CTKD__IMPORT_TEXT];
    if (!good)
        ctkd__import_fail(im,
                          "shape: found %s for %zu integers, expected [-1, 2] (rows of two) or "
                          "[-1] (a list)",
                          ctkd__import_input_text(im, 1, text), x->n_ints);
    else if (y)
        y->columns = rank == 1 ? 0 : 2;
}

/* [::-1], the rows in reverse order. */
static void reverse_rows(import *im, const value *x)
{
    int64_t part[4], ints[CTKD__IMPORT_INTS_MAX]; /* start, end, axis, step */
    char text[CTKD__IMPORT_TEXT];
    for (size_t i = 0, n; i < 4; i++)
        if (!ctkd__import_ints(im, i + 1, 1, &part[i], &n) || n != 1) {
            ctkd__import_fail(im, "%s: found %s, expected one integer", slice_inputs[i],
                              ctkd__import_input_text(im, i + 1, text));
            return;
        }
    if (part[0] != -1 || part[1] > -CTKD__IMPORT_INTS_MAX || part[2] != 0 || part[3] != -1) {
        ctkd__import_fail(im,
                          "found axis %lld [%lld:%lld:%lld] of a matrix of integers, expected its "
                          "rows in reverse order",
                          (long long)part[2], (long long)part[0], (long long)part[1],
                          (long long)part[3]);
        return;
    }
    for (size_t i = 0; i < x->n_ints; i++)
        ints[i] = x->ints[x->n_ints - x->columns - i / x->columns * x->columns + i % x->columns];
    value *const y = put_ints(im, x->n_ints, ints);
    if (y)
        y->columns = x->columns;
}

static void transpose_ints(import *im, const value *x)
{
    int64_t ints[CTKD__IMPORT_INTS_MAX];
    size_t perm[2] = { 1, 0 };
    char list[CTKD__IMPORT_TEXT], text[CTKD__IMPORT_TEXT];
    if (!x->columns || !ctkd__import_sizes(im, "perm", 2, perm) || perm[0] != 1 || perm[1] != 0) {
        ctkd__import_fail(im, "found %s and perm %s, expected a matrix and [1, 0]",
                          ctkd__import_input_text(im, 0, list),
                          ctkd__import_attribute_text(im, "perm", text));
        return;
    }
    const size_t rows = x->n_ints / x->columns;
    for (size_t i = 0; i < x->n_ints; i++)
        ints[i % x->columns * rows + i / x->columns] = x->ints[i];
    value *const y = put_ints(im, x->n_ints, ints);
    if (y)
        y->columns = rows;
}

/* --- of images or of integers */

void ctkd__op_transpose(import *im)
{
    value x;
    if (ints_of(im, &x))
        transpose_ints(im, &x);
    else
        ctkd__channels_transpose(im);
}

void ctkd__op_reshape(import *im)
{
    value x;
    if (ints_of(im, &x))
        reshape_ints(im, &x);
    else
        reshape_image(im);
}

void ctkd__op_slice(import *im)
{
    int64_t begin[1], end[1];
    char starts[CTKD__IMPORT_TEXT], ends[CTKD__IMPORT_TEXT];
    size_t n, m;
    value x;
    if (!ints_of(im, &x)) {
        if (im->status == CTKD_OK && !ctkd__channels_slice(im))
            slice_image(im);
    } else if (x.columns)
        reverse_rows(im, &x);
    else if (ctkd__import_ints(im, 1, 1, begin, &n) && n == 1 &&
             ctkd__import_ints(im, 2, 1, end, &m) && m == 1)
        take_ints(im, begin[0], end[0]);
    else
        ctkd__import_fail(im, "found starts %s and ends %s, expected one integer each",
                          ctkd__import_input_text(im, 1, starts),
                          ctkd__import_input_text(im, 2, ends));
}
