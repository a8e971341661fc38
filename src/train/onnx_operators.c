/* What each ONNX operator means in our graph: one function and one row of the table at the end. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/onnx_import.h"

typedef struct ctkd__import import;
typedef struct ctkd__import_value value;

/* Larger windows, strides and paddings are damage. */
enum { WINDOW_MAX = 4096 };

/* --- attributes */

static int64_t int_of(const import *im, const char *name, int64_t otherwise)
{
    const struct ctkd__onnx_attribute *const a = ctkd__onnx_attribute(im->node, name);
    return a && a->kind == CTKD__ONNX_INT ? a->i : otherwise;
}

static double float_of(const import *im, const char *name, double otherwise)
{
    const struct ctkd__onnx_attribute *const a = ctkd__onnx_attribute(im->node, name);
    return a && a->kind == CTKD__ONNX_FLOAT ? (double)a->f : otherwise;
}

/* An attribute of `count` small integers into out, which has the defaults; false after an error. */
static bool sizes_of(import *im, const char *name, size_t count, size_t *out)
{
    const struct ctkd__onnx_attribute *const a = ctkd__onnx_attribute(im->node, name);
    if (!a)
        return true;
    bool good = a->kind == CTKD__ONNX_INTS && a->count == count;
    for (size_t i = 0; i < count && good; i++) {
        good = a->ints[i] >= 0 && a->ints[i] <= WINDOW_MAX;
        out[i] = (size_t)a->ints[i];
    }
    if (!good)
        ctkd__import_fail(im, "%s: expected %zu numbers of 0 to %d (images of two dimensions)",
                          name, count, WINDOW_MAX);
    return good;
}

static bool axis_is(const import *im, int64_t axis, int64_t rank, int64_t wanted)
{
    (void)im;
    return (axis < 0 ? axis + rank : axis) == wanted;
}

static bool has_zeros(const value *x)
{
    return x->pads[0] || x->pads[1] || x->pads[2] || x->pads[3];
}

/* Work that must be done before an affine map. */
static bool has_pending(const value *x)
{
    return has_zeros(x) || x->pad_before || x->pad_after || x->steps[0] != 1 || x->steps[1] != 1;
}

/* --- windows */

struct window {
    size_t kernel[2], stride[2], dilation[2], pads[4]; /* pads: top, left, bottom, right */
    size_t out[2];
};

/* Output size of one dimension, 0 when nothing fits. */
static size_t covered(size_t in, size_t pads, size_t reach, size_t stride, bool ceil_mode)
{
    if (in + pads < reach)
        return 0;
    return (in + pads - reach + (ceil_mode ? stride - 1 : 0)) / stride + 1;
}

/* SAME: as many outputs as strides fit, zeros on both sides, the odd one at the end (UPPER). */
static bool auto_pad(import *im, const size_t in[2], struct window *w)
{
    const struct ctkd__onnx_attribute *const a = ctkd__onnx_attribute(im->node, "auto_pad");
    const char *const mode = a && a->s ? a->s : "NOTSET";
    if (strcmp(mode, "NOTSET") == 0)
        return sizes_of(im, "pads", 4, w->pads);
    if (strcmp(mode, "VALID") == 0)
        return true;
    const bool lower = strcmp(mode, "SAME_LOWER") == 0;
    if (!lower && strcmp(mode, "SAME_UPPER") != 0) {
        ctkd__import_fail(im, "auto_pad %.20s, expected NOTSET, VALID, SAME_UPPER or SAME_LOWER",
                          mode);
        return false;
    }
    for (int d = 0; d < 2; d++) {
        const size_t reach = (w->kernel[d] - 1) * w->dilation[d] + 1;
        const size_t last = ((in[d] - 1) / w->stride[d]) * w->stride[d] + reach;
        const size_t total = last > in[d] ? last - in[d] : 0;
        w->pads[d] = lower ? total - total / 2 : total / 2;
        w->pads[d + 2] = total - w->pads[d];
    }
    return true;
}

/* kernel is given, or 0 where the attribute says it. */
static bool window_of(import *im, const value *x, size_t rows, size_t columns, struct window *w)
{
    *w = (struct window){ { rows, columns }, { 1, 1 }, { 1, 1 }, { 0 }, { 0 } };
    if (!sizes_of(im, "kernel_shape", 2, w->kernel) || !sizes_of(im, "strides", 2, w->stride) ||
        !sizes_of(im, "dilations", 2, w->dilation))
        return false;
    const size_t in[2] = { x->h, x->w };
    for (int d = 0; d < 2; d++)
        if (w->kernel[d] == 0 || w->stride[d] == 0 || w->dilation[d] == 0) {
            ctkd__import_fail(im, "kernel, stride or dilation of 0, expected at least 1");
            return false;
        }
    if (!auto_pad(im, in, w))
        return false;
    for (int d = 0; d < 2; d++) {
        const size_t reach = (w->kernel[d] - 1) * w->dilation[d] + 1;
        w->pads[d] += x->pads[d], w->pads[d + 2] += x->pads[d + 2];
        w->out[d] = covered(in[d], w->pads[d] + w->pads[d + 2], reach, w->stride[d],
                            int_of(im, "ceil_mode", 0) != 0);
        if (w->out[d] == 0) {
            ctkd__import_fail(im, "kernel of %zu on %zu pixels", reach, in[d]);
            return false;
        }
    }
    if (w->stride[0] != w->stride[1]) {
        ctkd__import_fail(im, "strides %zu and %zu, expected the same twice", w->stride[0],
                          w->stride[1]);
        return false;
    }
    return true;
}

/*
 * Our convolutions are square, padded equally on all sides and not dilated; others become such by
 * zeros around and between their weights: kernel K and padding P with
 * K >= P - begin + reach and the same output size in both dimensions.
 */
static bool square_of(const value *x, const struct window *w, size_t *kernel, size_t *padding)
{
    const size_t in[2] = { x->h, x->w };
    size_t reach[2];
    for (int d = 0; d < 2; d++)
        reach[d] = (w->kernel[d] - 1) * w->dilation[d] + 1;
    const size_t least = w->pads[0] > w->pads[1] ? w->pads[0] : w->pads[1];
    for (size_t p = least; p <= least + 2; p++) {
        const size_t a = p - w->pads[0] + reach[0], b = p - w->pads[1] + reach[1];
        const size_t from = a > b ? a : b;
        for (size_t k = from; k < from + w->stride[0] + 8; k++)
            if (p < k && covered(in[0], 2 * p, k, w->stride[0], false) == w->out[0] &&
                covered(in[1], 2 * p, k, w->stride[0], false) == w->out[1]) {
                *kernel = k, *padding = p;
                return true;
            }
    }
    return false;
}

/* --- layers with weights */

static void put_kernels(const struct ctkd__tensor *from, const struct window *w, size_t kernel,
                        size_t padding, float *to)
{
    const float *in = from->data;
    const size_t planes = (size_t)(from->shape[0] * from->shape[1]);
    for (size_t plane = 0; plane < planes; plane++, to += kernel * kernel)
        for (size_t i = 0; i < w->kernel[0]; i++)
            for (size_t j = 0; j < w->kernel[1]; j++)
                to[(padding - w->pads[0] + i * w->dilation[0]) * kernel + padding - w->pads[1] +
                   j * w->dilation[1]] = *in++;
}

static bool fits_channels(import *im, const value *x, const struct ctkd__tensor *weight,
                          int64_t groups)
{
    if (groups >= 1 && groups <= (int64_t)x->c && (int64_t)x->c % groups == 0 &&
        weight->shape[0] % groups == 0 && weight->shape[1] == (int64_t)x->c / groups)
        return true;
    ctkd__import_fail(im, "weight for %lld input channels in %lld groups, but the input has %zu",
                      (long long)weight->shape[1], (long long)groups, x->c);
    return false;
}

/* Copies a bias of n elements; without one the room stays zero. */
static void put_bias(import *im, int node, size_t input, size_t n)
{
    float *const to = ctkd__import_parameter(im, node, CTKD__ROLE_BIAS);
    if (!to || input >= im->node->n_inputs || !im->node->inputs[input][0])
        return;
    const struct ctkd__tensor *const bias = ctkd__import_weight(im, input, 1);
    if (bias && (size_t)bias->shape[0] != n)
        ctkd__import_fail(im, "bias of %lld, expected %zu", (long long)bias->shape[0], n);
    else if (bias)
        memcpy(to, bias->data, bias->bytes);
}

static void op_conv(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const struct ctkd__tensor *const weight = ctkd__import_weight(im, 1, 4);
    if (!x || !weight)
        return;
    struct window w;
    size_t kernel, padding;
    const int64_t groups = int_of(im, "group", 1);
    const int from = ctkd__import_settle(im, x, true);
    if (from < 0 || !fits_channels(im, x, weight, groups) ||
        !window_of(im, x, (size_t)weight->shape[2], (size_t)weight->shape[3], &w))
        return;
    if (w.kernel[0] != (size_t)weight->shape[2] || w.kernel[1] != (size_t)weight->shape[3] ||
        w.kernel[0] > WINDOW_MAX || w.kernel[1] > WINDOW_MAX ||
        !square_of(x, &w, &kernel, &padding) || kernel > x->h + 2 * padding) {
        ctkd__import_fail(im, "kernel %lldx%lld with these paddings and strides cannot be had here",
                          (long long)weight->shape[2], (long long)weight->shape[3]);
        return;
    }
    /* A bias is kept even when it is zero: later affine maps go into it. */
    const struct ctkd__conv_args args = { .out = (size_t)weight->shape[0],
                                          .kernel = kernel,
                                          .stride = w.stride[0],
                                          .padding = padding,
                                          .groups = (size_t)groups,
                                          .bias = im->node->n_inputs > 2 };
    char name[96];
    ctkd__import_name(im, weight->name, "conv", name);
    const int y = ctkd__graph_conv(im->graph, from, name, &args);
    float *const to = ctkd__import_parameter(im, y, CTKD__ROLE_WEIGHT);
    if (to)
        put_kernels(weight, &w, kernel, padding, to);
    if (args.bias)
        put_bias(im, y, 2, args.out);
    ctkd__import_output(im, 0, y);
}

static void op_batch_norm(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const struct ctkd__tensor *sources[4];
    for (size_t i = 0; i < 4; i++) {
        sources[i] = ctkd__import_weight(im, i + 1, 1);
        if (sources[i] && x && (size_t)sources[i]->shape[0] != x->c + x->pad_before + x->pad_after)
            ctkd__import_fail(im, "input %zu of %lld, expected %zu", i + 1,
                              (long long)sources[i]->shape[0], x->c);
    }
    if (int_of(im, "training_mode", 0) != 0)
        ctkd__import_fail(im, "in training mode, expected a model exported for inference");
    const int from = im->status == CTKD_OK ? ctkd__import_settle(im, x, false) : -1;
    if (from < 0)
        return;
    char name[96];
    ctkd__import_name(im, sources[0]->name, "norm", name);
    const int y = ctkd__graph_batch_norm(im->graph, from, name);
    static const enum ctkd__role roles[4] = { CTKD__ROLE_WEIGHT, CTKD__ROLE_BIAS, CTKD__ROLE_MEAN,
                                              CTKD__ROLE_VARIANCE };
    float *to = NULL;
    for (size_t i = 0; i < 4; i++) {
        to = ctkd__import_parameter(im, y, roles[i]);
        if (to)
            memcpy(to, sources[i]->data, sources[i]->bytes);
    }
    /* Ours adds a fixed epsilon: the difference goes into the variance. */
    const float epsilon = (float)float_of(im, "epsilon", 1e-5);
    for (size_t c = 0; c < x->c && to && epsilon != (float)CTKD__BATCH_NORM_EPSILON; c++)
        to[c] = (float)((double)to[c] + (double)epsilon - CTKD__BATCH_NORM_EPSILON);
    value *const out = ctkd__import_output(im, 0, y);
    if (out)
        out->flat = x->flat;
}

/* y = x W + b on vectors. Rows of `weight` are outputs when transposed, else inputs. */
static void add_linear(import *im, value *x, const struct ctkd__tensor *weight, bool transposed,
                       double alpha)
{
    const int from = ctkd__import_settle(im, x, false);
    if (from < 0)
        return;
    const size_t in = (size_t)weight->shape[transposed ? 1 : 0];
    const size_t out = (size_t)weight->shape[transposed ? 0 : 1], size = x->c * x->h * x->w;
    if (!x->flat || in != size) {
        ctkd__import_fail(im, "weight for vectors of %zu, but the input is %zux%zux%zu%s", in, x->c,
                          x->h, x->w, x->flat ? "" : " and not flattened");
        return;
    }
    char name[96];
    ctkd__import_name(im, weight->name, "linear", name);
    if (x->h != 1 || x->w != 1) {
        ctkd__import_fail(im, "flattened images of %zux%zu, expected 1x1", x->h, x->w);
        return;
    }
    const int y = ctkd__graph_linear(im->graph, from, name, out, CTKD__INIT_CONSTANT, 0,
                                     CTKD__INIT_CONSTANT, 0);
    float *const to = ctkd__import_parameter(im, y, CTKD__ROLE_WEIGHT);
    const float *const values = weight->data;
    for (size_t o = 0; o < out && to; o++)
        for (size_t i = 0; i < in; i++) {
            const float v = values[transposed ? o * in + i : i * out + o];
            to[o * in + i] = alpha == 1 ? v : (float)(alpha * (double)v);
        }
    put_bias(im, y, 2, out);
    value *const result = ctkd__import_output(im, 0, y);
    if (result)
        result->flat = true;
}

static void op_gemm(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const struct ctkd__tensor *const weight = ctkd__import_weight(im, 1, 2);
    if (!x || !weight)
        return;
    if (int_of(im, "transA", 0) != 0 || float_of(im, "beta", 1) != 1)
        ctkd__import_fail(im, "transA or beta, expected a linear layer");
    else
        add_linear(im, x, weight, int_of(im, "transB", 0) != 0, float_of(im, "alpha", 1));
}

static void op_matmul(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const struct ctkd__tensor *const weight = ctkd__import_weight(im, 1, 2);
    if (x && weight)
        add_linear(im, x, weight, false, 1);
}

/* --- element by element */

static void op_relu(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const int from = x ? ctkd__import_settle(im, x, false) : -1;
    if (from < 0)
        return;
    value *const y = ctkd__import_output(im, 0, ctkd__graph_relu(im->graph, from));
    if (y)
        y->flat = x->flat;
}

/* The constant of a channel: one number for all, or [c] along the channels of an image ([c, 1, 1])
   or of a vector ([c]); false after an error. */
static bool per_channel(import *im, const value *x, const struct ctkd__tensor *constant)
{
    const int64_t c = (int64_t)x->c;
    bool good = constant->type == CTKD__F32 && constant->rank <= (x->flat ? 2 : 4);
    const size_t n = ctkd__tensor_elements(constant);
    const int channel = constant->rank - (x->flat ? 1 : 3);
    for (int i = 0; i < constant->rank && good && n != 1; i++)
        good = constant->shape[i] == (i == channel ? c : 1);
    if (!good || (n != 1 && n != x->c))
        ctkd__import_fail(im, "constant %.80s does not give one number to each of %zu channels",
                          constant->name, x->c);
    return im->status == CTKD_OK;
}

/* One operand is constant: y = scale x + shift, left pending. */
static void add_affine(import *im, size_t constant_input)
{
    const struct ctkd__tensor *const constant = ctkd__import_constant(im, constant_input);
    value *const x = ctkd__import_input(im, 1 - constant_input);
    if (!x || (has_pending(x) && ctkd__import_settle(im, x, false) < 0))
        return;
    if (!per_channel(im, x, constant))
        return;
    const char op = im->node->op[0]; /* Add, Sub, Mul, Div */
    if (constant_input == 0 && op == 'D') {
        ctkd__import_fail(im, "a constant is divided by the input, expected the reverse");
        return;
    }
    value *const y = ctkd__import_continue(im, x);
    if (!y)
        return;
    if (!y->affine) {
        y->affine = ctkd__onnx_allocate(im->model, 2 * y->c, sizeof *y->affine);
        for (size_t c = 0; c < y->c && y->affine; c++)
            y->affine[2 * c] = 1;
    }
    const float *const values = constant->data;
    const bool same = ctkd__tensor_elements(constant) == 1;
    for (size_t c = 0; c < y->c && y->affine; c++) {
        const double v = (double)values[same ? 0 : c];
        double *const scale = &y->affine[2 * c], *const shift = scale + 1;
        if (op == 'M' || op == 'D') {
            *scale *= op == 'M' ? v : 1 / v;
            *shift *= op == 'M' ? v : 1 / v;
        } else if (op == 'S' && constant_input == 0) { /* v - x */
            *scale = -*scale;
            *shift = v - *shift;
        } else {
            *shift += op == 'A' ? v : -v;
        }
    }
}

static void op_arithmetic(import *im)
{
    for (size_t i = 0; i < 2; i++)
        if (ctkd__import_constant(im, i)) {
            add_affine(im, i);
            return;
        }
    value *const a = ctkd__import_input(im, 0), *const b = ctkd__import_input(im, 1);
    if (!a || !b)
        return;
    if (strcmp(im->node->op, "Add") != 0) {
        ctkd__import_fail(im, "of two computed values, expected a constant");
        return;
    }
    const int p = ctkd__import_settle(im, a, false), q = ctkd__import_settle(im, b, false);
    if (p < 0 || q < 0)
        return;
    value *const y = ctkd__import_output(im, 0, ctkd__graph_add(im->graph, p, q));
    if (y)
        y->flat = a->flat;
}

/* --- pools */

static void op_max_pool(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const int from = x ? ctkd__import_settle(im, x, false) : -1;
    struct window w;
    if (from < 0 || !window_of(im, x, 0, 0, &w))
        return;
    /* Nothing is padded with: only where the windows begin and how many there are counts. */
    const size_t k = w.kernel[0], p = w.pads[0], s = w.stride[0];
    if (k != w.kernel[1] || w.dilation[0] != 1 || w.dilation[1] != 1 || p != w.pads[1] || p >= k ||
        covered(x->h, 2 * p, k, s, false) != w.out[0] ||
        covered(x->w, 2 * p, k, s, false) != w.out[1]) {
        ctkd__import_fail(im, "a window that is dilated, not square or padded unequally");
        return;
    }
    ctkd__import_output(im, 0, ctkd__graph_max_pool(im->graph, from, k, s, p));
}

static void add_global_pool(import *im, value *x, bool flat)
{
    const int from = ctkd__import_settle(im, x, false);
    if (from < 0)
        return;
    value *const y = ctkd__import_output(im, 0, ctkd__graph_global_pool(im->graph, from));
    if (y)
        y->flat = flat;
}

static void op_global_pool(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    if (x)
        add_global_pool(im, x, false);
}

static void op_average_pool(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    struct window w;
    if (!x || ctkd__import_settle(im, x, false) < 0 || !window_of(im, x, 0, 0, &w))
        return;
    const bool padded = w.pads[0] || w.pads[1] || w.pads[2] || w.pads[3];
    if (!padded && w.kernel[0] == x->h && w.kernel[1] == x->w)
        add_global_pool(im, x, false);
    else
        ctkd__import_fail(im, "kernel %zux%zu on images of %zux%zu, expected the whole image",
                          w.kernel[0], w.kernel[1], x->h, x->w);
}

/* Over height and width; axes are an attribute before opset 18, an input since. */
static void op_reduce_mean(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const struct ctkd__onnx_attribute *const a = ctkd__onnx_attribute(im->node, "axes");
    int64_t axes[4];
    size_t n = 0;
    if (a && a->kind == CTKD__ONNX_INTS && a->count == 2) {
        memcpy(axes, a->ints, sizeof axes[0] * 2);
        n = 2;
    } else if (!a) {
        ctkd__import_ints(im, 1, 4, axes, &n);
    }
    if (!x)
        return;
    const bool ordered = n == 2 && axis_is(im, axes[0], 4, 2) && axis_is(im, axes[1], 4, 3);
    const bool reversed = n == 2 && axis_is(im, axes[0], 4, 3) && axis_is(im, axes[1], 4, 2);
    if (x->flat || (!ordered && !reversed))
        ctkd__import_fail(im, "expected the mean over height and width");
    else
        add_global_pool(im, x, int_of(im, "keepdims", 1) == 0);
}

/* --- shapes */

static void make_flat(import *im, value *x)
{
    if (has_zeros(x)) {
        ctkd__import_settle(im, x, false); /* says why not */
        return;
    }
    value *const y = ctkd__import_continue(im, x);
    if (y)
        y->flat = true;
}

static void op_flatten(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    if (x && !axis_is(im, int_of(im, "axis", 1), x->flat ? 2 : 4, 1))
        ctkd__import_fail(im, "axis, expected 1");
    else if (x)
        make_flat(im, x);
}

static bool is_batch(const import *im, int64_t size)
{
    return size == INT64_MIN || size == 0 || size == -1 || size == im->batch;
}

/* To [n, c h w] or, of vectors, to [n, c, 1, 1]. */
static void op_reshape(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    int64_t to[CTKD__IMPORT_INTS_MAX];
    size_t n;
    if (!x)
        return;
    if (!ctkd__import_ints(im, 1, CTKD__IMPORT_INTS_MAX, to, &n)) {
        ctkd__import_fail(im, "a computed shape, expected a constant one");
        return;
    }
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
        ctkd__import_fail(im, "to a shape of rank %zu that is neither flat nor a channel shuffle",
                          n);
    }
}

static void op_squeeze(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    if (x && (x->flat || x->h != 1 || x->w != 1))
        ctkd__import_fail(im, "of %zux%zux%zu, expected images of one pixel", x->c, x->h, x->w);
    else if (x)
        make_flat(im, x);
}

/* Every stride-th row and column. */
static void op_slice(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    int64_t lists[4][4]; /* starts, ends, axes, steps */
    size_t counts[4];
    for (size_t i = 0; i < 4; i++)
        if (!ctkd__import_ints(im, i + 1, 4, lists[i], &counts[i]) ||
            (i > 0 && counts[i] != counts[0]))
            ctkd__import_fail(im, "starts, ends, axes and steps are not constants of one length");
    if (!x || im->status != CTKD_OK)
        return;
    if ((x->pad_before || x->pad_after) && ctkd__import_settle(im, x, false) < 0)
        return;
    size_t steps[2] = { 1, 1 };
    bool good = !x->flat && !has_zeros(x);
    for (size_t i = 0; i < counts[0] && good; i++) {
        const int64_t axis = lists[2][i] < 0 ? lists[2][i] + 4 : lists[2][i];
        good = (axis == 2 || axis == 3) && lists[0][i] == 0 && lists[3][i] >= 1 &&
               lists[3][i] <= WINDOW_MAX && lists[1][i] >= (int64_t)(axis == 2 ? x->h : x->w);
        if (good)
            steps[axis - 2] = (size_t)lists[3][i];
    }
    if (!good) {
        ctkd__import_fail(im, "expected rows and columns at equal distances from the first on");
        return;
    }
    value *const y = ctkd__import_continue(im, x);
    if (y)
        y->steps[0] = x->steps[0] * steps[0], y->steps[1] = x->steps[1] * steps[1];
}

/* Zeros: channels (option A) or around the image (for the convolution behind). */
static void op_pad(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const struct ctkd__onnx_attribute *const mode = ctkd__onnx_attribute(im->node, "mode");
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
    bool good = n == 8 && (!mode || !mode->s || strcmp(mode->s, "constant") == 0) &&
                float_of(im, "value", 0) == 0 && im->node->n_inputs < 4 &&
                (!fill || (fill->type == CTKD__F32 && fill->bytes == sizeof(float) &&
                           *(const float *)fill->data == 0));
    for (size_t i = 0; i < n && good; i++)
        good = pads[i] >= 0 && pads[i] <= WINDOW_MAX && (i % 4 != 0 || pads[i] == 0);
    if (!x || !good || x->flat) {
        ctkd__import_fail(im, "expected a constant number of zeros around images");
        return;
    }
    if (has_zeros(x) && ctkd__import_settle(im, x, false) < 0)
        return;
    value *const y = ctkd__import_continue(im, x);
    if (!y)
        return;
    y->pad_before += (size_t)pads[1], y->pad_after += (size_t)pads[5];
    for (int d = 0; d < 2; d++)
        y->pads[d] = (size_t)pads[2 + d], y->pads[d + 2] = (size_t)pads[6 + d];
}

/* --- lists of integers: the shape arithmetic in front of a Reshape */

static void op_shape(import *im)
{
    const value *const x = ctkd__import_input(im, 0);
    value *const y = x ? ctkd__import_output(im, 0, -1) : NULL;
    if (!y)
        return;
    if (x->is_ints || x->steps[0] != 1 || x->steps[1] != 1 ||
        ctkd__onnx_attribute(im->node, "start") || ctkd__onnx_attribute(im->node, "end")) {
        ctkd__import_fail(im, "expected the whole shape of an image or vector");
        return;
    }
    y->is_ints = true;
    y->n_ints = x->flat ? 2 : 4;
    y->ints[0] = INT64_MIN;
    y->ints[1] = (int64_t)((x->c + x->pad_before + x->pad_after) * (x->flat ? x->h * x->w : 1));
    y->ints[2] = (int64_t)(x->h + x->pads[0] + x->pads[2]);
    y->ints[3] = (int64_t)(x->w + x->pads[1] + x->pads[3]);
}

/* A new list from the elements [begin, end) of the input's. */
static void take_ints(import *im, int64_t begin, int64_t end)
{
    int64_t ints[CTKD__IMPORT_INTS_MAX];
    size_t n;
    if (!ctkd__import_ints(im, 0, CTKD__IMPORT_INTS_MAX, ints, &n) || begin < 0 ||
        end > (int64_t)n || begin > end) {
        ctkd__import_fail(im, "expected a part of a shape");
        return;
    }
    value *const y = ctkd__import_output(im, 0, -1);
    if (!y)
        return;
    y->is_ints = true;
    y->n_ints = (size_t)(end - begin);
    memcpy(y->ints, ints + begin, y->n_ints * sizeof *ints);
}

static bool input_is_ints(import *im)
{
    int64_t ints[CTKD__IMPORT_INTS_MAX];
    size_t n;
    return ctkd__import_ints(im, 0, CTKD__IMPORT_INTS_MAX, ints, &n);
}

static void op_gather(import *im)
{
    int64_t index[1];
    size_t n;
    if (!ctkd__import_ints(im, 1, 1, index, &n) || n != 1)
        ctkd__import_fail(im, "expected one element of a shape");
    else
        take_ints(im, index[0], index[0] + 1);
}

static void op_slice_any(import *im)
{
    int64_t begin[1], end[1];
    size_t n, m;
    if (!input_is_ints(im))
        op_slice(im);
    else if (ctkd__import_ints(im, 1, 1, begin, &n) && n == 1 &&
             ctkd__import_ints(im, 2, 1, end, &m) && m == 1)
        take_ints(im, begin[0], end[0]);
    else
        ctkd__import_fail(im, "expected a part of a shape");
}

static void op_concat(import *im)
{
    int64_t all[CTKD__IMPORT_INTS_MAX];
    size_t count = 0, n;
    for (size_t i = 0; i < im->node->n_inputs; i++) {
        if (!ctkd__import_ints(im, i, CTKD__IMPORT_INTS_MAX - count, all + count, &n)) {
            ctkd__import_fail(im, "expected parts of a shape");
            return;
        }
        count += n;
    }
    value *const y = ctkd__import_output(im, 0, -1);
    if (!y)
        return;
    y->is_ints = true;
    y->n_ints = count;
    memcpy(y->ints, all, count * sizeof *all);
}

/* --- what changes nothing here */

static void op_alias(import *im)
{
    ctkd__import_alias(im, 0);
}

/* Unsqueeze of one number of a shape, and Cast: a list keeps its elements. */
static void op_same_ints(import *im)
{
    int64_t ints[CTKD__IMPORT_INTS_MAX];
    size_t n;
    if (ctkd__import_ints(im, 0, CTKD__IMPORT_INTS_MAX, ints, &n))
        take_ints(im, 0, (int64_t)n);
    else
        ctkd__import_fail(im, "expected a part of a shape");
}

/* Training wants the logits: at the model's end they are taken before the Softmax. */
static void op_softmax(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    if (!x)
        return;
    if (!axis_is(im, int_of(im, "axis", im->model->opset < 13 ? 1 : -1), x->flat ? 2 : 4, 1)) {
        ctkd__import_fail(im, "expected over the classes");
        return;
    }
    value *const y = ctkd__import_continue(im, x);
    if (y)
        y->ends = true;
}

static const struct {
    const char *name;
    void (*translate)(import *im);
} operators[] = {
    { "Add", op_arithmetic },
    { "AveragePool", op_average_pool },
    { "BatchNormalization", op_batch_norm },
    { "Cast", op_same_ints },
    { "Concat", op_concat },
    { "Conv", op_conv },
    { "Div", op_arithmetic },
    { "Dropout", op_alias },
    { "Flatten", op_flatten },
    { "Gather", op_gather },
    { "Gemm", op_gemm },
    { "GlobalAveragePool", op_global_pool },
    { "Identity", op_alias },
    { "LogSoftmax", op_softmax },
    { "MatMul", op_matmul },
    { "MaxPool", op_max_pool },
    { "Mul", op_arithmetic },
    { "Pad", op_pad },
    { "ReduceMean", op_reduce_mean },
    { "Relu", op_relu },
    { "Reshape", op_reshape },
    { "Shape", op_shape },
    { "Slice", op_slice_any },
    { "Softmax", op_softmax },
    { "Squeeze", op_squeeze },
    { "Sub", op_arithmetic },
    { "Unsqueeze", op_same_ints },
};

void ctkd__import_node(import *im)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (strcmp(operators[i].name, im->node->op) == 0) {
            operators[i].translate(im);
            return;
        }
    ctkd__import_fail(im, "an operator that is not supported here");
}
