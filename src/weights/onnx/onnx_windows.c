/* ONNX operators with windows: convolutions and pools. */
#include <string.h>

#include "weights/onnx/onnx_import.h"

typedef struct ctkd__import import;
typedef struct ctkd__import_value value;

/* Small kernels with a large dilation would become huge square ones here. */
enum { KERNEL_MAX = 64 };

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
    const char *const mode = ctkd__import_text(im, "auto_pad", "NOTSET");
    if (strcmp(mode, "NOTSET") == 0)
        return ctkd__import_sizes(im, "pads", 4, w->pads);
    if (strcmp(mode, "VALID") == 0)
        return true;
    const bool lower = strcmp(mode, "SAME_LOWER") == 0;
    if (!lower && strcmp(mode, "SAME_UPPER") != 0) {
        ctkd__import_fail(
            im, "found auto_pad %.20s, expected NOTSET, VALID, SAME_UPPER or SAME_LOWER", mode);
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

/* Reads the window. rows and columns are the kernel's size, or 0 if an attribute has it. */
static bool window_of(import *im, const value *x, size_t rows, size_t columns, struct window *w)
{
    *w = (struct window){ { rows, columns }, { 1, 1 }, { 1, 1 }, { 0 }, { 0 } };
    if (!ctkd__import_sizes(im, "kernel_shape", 2, w->kernel) ||
        !ctkd__import_sizes(im, "strides", 2, w->stride) ||
        !ctkd__import_sizes(im, "dilations", 2, w->dilation))
        return false;
    /* zeros that a Pad left belong to the image */
    const size_t in[2] = { x->h + x->pads[0] + x->pads[2], x->w + x->pads[1] + x->pads[3] };
    for (int d = 0; d < 2; d++)
        if (w->kernel[d] == 0 || w->stride[d] == 0 || w->dilation[d] == 0) {
            ctkd__import_fail(
                im,
                "found kernel %zux%zu, strides %zu and %zu, dilations %zu and %zu, expected at "
                "least 1",
                w->kernel[0], w->kernel[1], w->stride[0], w->stride[1], w->dilation[0],
                w->dilation[1]);
            return false;
        }
    if (!auto_pad(im, in, w))
        return false;
    for (int d = 0; d < 2; d++) {
        const size_t reach = (w->kernel[d] - 1) * w->dilation[d] + 1;
        w->out[d] = covered(in[d], w->pads[d] + w->pads[d + 2], reach, w->stride[d],
                            ctkd__import_int(im, "ceil_mode", 0) != 0);
        w->pads[d] += x->pads[d], w->pads[d + 2] += x->pads[d + 2];
        if (w->out[d] == 0) {
            ctkd__import_fail(im,
                              "found a kernel that spans %zu of %zu pixels, expected a smaller one",
                              reach, in[d]);
            return false;
        }
    }
    if (w->stride[0] != w->stride[1]) {
        ctkd__import_fail(im, "found strides %zu and %zu, expected equal ones", w->stride[0],
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

static void refuse_window(import *im, const struct window *w)
{
    ctkd__import_fail(im,
                      "found a window of %zux%zu with stride %zu, dilations %zu and %zu and pads "
                      "%zu, %zu, %zu, %zu, expected one that is square, equally padded and not "
                      "dilated, or can be made so",
                      w->kernel[0], w->kernel[1], w->stride[0], w->dilation[0], w->dilation[1],
                      w->pads[0], w->pads[1], w->pads[2], w->pads[3]);
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
    ctkd__import_fail(im,
                      "found a weight for %lld input channels in %lld groups, but an input of %zu",
                      (long long)weight->shape[1], (long long)groups, x->c);
    return false;
}

void ctkd__op_conv(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const struct ctkd__tensor *const weight = ctkd__import_weight(im, 1, 4);
    if (!x || !weight)
        return;
    struct window w;
    size_t kernel, padding;
    const int64_t groups = ctkd__import_int(im, "group", 1);
    const int from = ctkd__import_settle(im, x, true);
    if (from < 0 || !fits_channels(im, x, weight, groups) ||
        !window_of(im, x, (size_t)weight->shape[2], (size_t)weight->shape[3], &w))
        return;
    if (w.kernel[0] != (size_t)weight->shape[2] || w.kernel[1] != (size_t)weight->shape[3]) {
        ctkd__import_fail(im, "kernel_shape: found %zux%zu, expected the weight's %lldx%lld",
                          w.kernel[0], w.kernel[1], (long long)weight->shape[2],
                          (long long)weight->shape[3]);
        return;
    }
    if (!square_of(x, &w, &kernel, &padding) || kernel > KERNEL_MAX) {
        refuse_window(im, &w);
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
        ctkd__import_bias(im, y, 2, args.out);
    ctkd__import_output(im, 0, y);
}

/* --- pools */

/* Our pools are square and have equal padding above and on the left; below and on the right they
   are padded as far as the number of windows needs. */
static bool pool_of(import *im, const value *x, const struct window *w, struct ctkd__pool_args *out)
{
    const size_t k = w->kernel[0], p = w->pads[0], s = w->stride[0];
    if (k == w->kernel[1] && w->dilation[0] == 1 && w->dilation[1] == 1 && p == w->pads[1] && p < k)
        for (size_t behind = 0; behind < k; behind++)
            if (covered(x->h, p + behind, k, s, false) == w->out[0] &&
                covered(x->w, p + behind, k, s, false) == w->out[1]) {
                *out = (struct ctkd__pool_args){ k, s, { p, behind }, false };
                return true;
            }
    refuse_window(im, w);
    return false;
}

void ctkd__op_max_pool(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const int from = x ? ctkd__import_settle(im, x, false) : -1;
    struct window w;
    if (from < 0 || !window_of(im, x, 0, 0, &w))
        return;
    struct ctkd__pool_args args;
    if (pool_of(im, x, &w, &args))
        ctkd__import_output(im, 0, ctkd__graph_max_pool(im->graph, from, &args));
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

void ctkd__op_global_pool(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    if (x)
        add_global_pool(im, x, false);
}

void ctkd__op_average_pool(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const int from = x ? ctkd__import_settle(im, x, true) : -1;
    struct window w;
    if (from < 0 || !window_of(im, x, 0, 0, &w))
        return;
    const bool zeros = ctkd__import_has_zeros(x);
    const bool counts = ctkd__import_int(im, "count_include_pad", 0) != 0;
    const size_t in[2] = { x->h, x->w };
    bool own = false;    /* the pool pads too */
    bool beyond = false; /* the last windows reach beyond all padding (ceil_mode) */
    for (int i = 0; i < 4; i++)
        own |= w.pads[i] != x->pads[i];
    for (int d = 0; d < 2; d++)
        beyond |=
            w.out[d] != covered(in[d], w.pads[d] + w.pads[d + 2], w.kernel[d], w.stride[d], false);
    if (!own && !zeros && w.kernel[0] == x->h && w.kernel[1] == x->w) {
        add_global_pool(im, x, false);
        return;
    }
    struct ctkd__pool_args args;
    if (!pool_of(im, x, &w, &args))
        return;
    /* ONNX never counts values beyond the padding. */
    args.count_padding = !beyond && (zeros || counts || !own);
    if ((own && zeros && !counts) || (beyond && (zeros || (own && counts))))
        ctkd__import_fail(im, "found a mean that counts some zeros around the image but not "
                              "others, which is not supported");
    else
        ctkd__import_output(im, 0, ctkd__graph_average_pool(im->graph, from, &args));
}

void ctkd__op_reduce_mean(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    if (!x)
        return;
    char text[CTKD__IMPORT_TEXT], axes[CTKD__IMPORT_TEXT];
    if (x->flat || !ctkd__import_over_pixels(im))
        ctkd__import_fail(
            im,
            "found the mean of %s over axes %s, expected that of an image over height "
            "and width (2 and 3)",
            ctkd__import_input_text(im, 0, text), ctkd__import_axes_text(im, axes));
    else
        add_global_pool(im, x, ctkd__import_int(im, "keepdims", 1) == 0);
}
