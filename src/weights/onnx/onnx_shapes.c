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
    if (x && !ctkd__import_axis_is(ctkd__import_int(im, "axis", 1), x->flat ? 2 : 4, 1))
        ctkd__import_fail(im, "found another axis, expected 1");
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
    if (!ctkd__import_ints(im, 1, CTKD__IMPORT_INTS_MAX, to, &n)) {
        ctkd__import_fail(im, "found a computed shape, expected a constant one");
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
            im, "found a shape of rank %zu, expected a flat one or that of a channel shuffle", n);
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
    value *const x = ctkd__import_input(im, 0);
    const bool every = im->node->n_inputs < 2 && !ctkd__onnx_attribute(im->node, "axes");
    if (x && (x->flat || x->h != 1 || x->w != 1))
        ctkd__import_fail(im, "found images of %zux%zux%zu, expected images of one pixel", x->c,
                          x->h, x->w);
    else if (x && !(every ? x->c > 1 && im->batch != 1 : ctkd__import_over_pixels(im)))
        ctkd__import_fail(im, "found other axes, expected height and width");
    else if (x)
        make_flat(im, x);
}

/* Every stride-th row and column. */
static void slice_image(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    int64_t lists[4][4]; /* starts, ends, axes, steps */
    size_t counts[4];
    for (size_t i = 0; i < 4; i++)
        if (!ctkd__import_ints(im, i + 1, 4, lists[i], &counts[i]) ||
            (i > 0 && counts[i] != counts[0]))
            ctkd__import_fail(
                im, "found other starts, ends, axes and steps, expected constants of one length");
    if (!x || im->status != CTKD_OK)
        return;
    if ((x->pad_before || x->pad_after) && ctkd__import_settle(im, x, false) < 0)
        return;
    size_t steps[2] = { 1, 1 };
    bool good = !x->flat && !ctkd__import_has_zeros(x);
    for (size_t i = 0; i < counts[0] && good; i++) {
        const int64_t axis = lists[2][i] < 0 ? lists[2][i] + 4 : lists[2][i];
        good = (axis == 2 || axis == 3) && lists[0][i] == 0 && lists[3][i] >= 1 &&
               lists[3][i] <= CTKD__IMPORT_WINDOW_MAX &&
               lists[1][i] >= (int64_t)(axis == 2 ? x->h : x->w);
        if (good)
            steps[axis - 2] = (size_t)lists[3][i];
    }
    if (!good) {
        ctkd__import_fail(
            im,
            "found another part of the rows and columns, expected every n-th from the first on");
        return;
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
    if (!x || !good || x->flat) {
        ctkd__import_fail(
            im, "found another padding, expected a constant number of zeros around images");
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
        ctkd__import_fail(im, "found another shape, expected that of an image or vector");
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
        ctkd__import_fail(im, "found something else, expected a part of a shape");
        return;
    }
    put_ints(im, (size_t)(end - begin), ints + begin);
}

void ctkd__op_gather(import *im)
{
    int64_t index[1];
    size_t n;
    if (!ctkd__import_ints(im, 1, 1, index, &n) || n != 1)
        ctkd__import_fail(im, "found another index, expected one element of a shape");
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
            ctkd__import_fail(im, "found something else, expected parts of a shape");
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
        ctkd__import_fail(im, "found something else, expected a list of at most %d integers",
                          CTKD__IMPORT_INTS_MAX);
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
    if (ctkd__import_ints(im, 0, CTKD__IMPORT_INTS_MAX, ints, &n))
        take_ints(im, 0, (int64_t)n);
    else
        ctkd__import_fail(im, "found something else, expected a part of a shape");
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
    if (!good)
        ctkd__import_fail(im, "found another form, expected integers in rows of two or as a list");
    else if (y)
        y->columns = rank == 1 ? 0 : 2;
}

/* [::-1], the rows in reverse order. */
static void reverse_rows(import *im, const value *x)
{
    int64_t part[4], ints[CTKD__IMPORT_INTS_MAX]; /* start, end, axis, step */
    bool good = true;
    for (size_t i = 0, n; i < 4; i++)
        good = good && ctkd__import_ints(im, i + 1, 1, &part[i], &n) && n == 1;
    if (!good || part[0] != -1 || part[1] > -CTKD__IMPORT_INTS_MAX || part[2] != 0 ||
        part[3] != -1) {
        ctkd__import_fail(
            im, "found another part of a matrix of integers, expected its rows in reverse order");
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
    if (!x->columns || !ctkd__import_sizes(im, "perm", 2, perm) || perm[0] != 1 || perm[1] != 0) {
        ctkd__import_fail(im, "found a list of integers, expected a matrix");
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
        ctkd__import_fail(im, "found something else, expected a part of a shape");
}
