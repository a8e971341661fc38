/* What each ONNX operator means in our graph: one function and one row of the table at the end.
   Those with windows are in onnx_windows.c, those of shapes in onnx_shapes.c, those of channels and
   activations in onnx_channels.c. */
#include <math.h>
#include <string.h>

#include "weights/onnx/onnx_import.h"

typedef struct ctkd__import import;
typedef struct ctkd__import_value value;

/* --- attributes */

/* NULL when the present node has no such attribute, or after an error: it is of another kind. */
static const struct ctkd__onnx_attribute *attribute_of(import *im, const char *name,
                                                       enum ctkd__onnx_kind kind)
{
    const struct ctkd__onnx_attribute *const a = ctkd__onnx_attribute(im->node, name);
    if (a && a->kind != kind)
        ctkd__import_fail(im, "attribute %.40s: found kind %d, expected %d", name, (int)a->kind,
                          (int)kind);
    return a && a->kind == kind ? a : NULL;
}

int64_t ctkd__import_int(import *im, const char *name, int64_t otherwise)
{
    const struct ctkd__onnx_attribute *const a = attribute_of(im, name, CTKD__ONNX_INT);
    return a ? a->i : otherwise;
}

double ctkd__import_float(import *im, const char *name, double otherwise)
{
    const struct ctkd__onnx_attribute *const a = attribute_of(im, name, CTKD__ONNX_FLOAT);
    return a ? (double)a->f : otherwise;
}

const char *ctkd__import_text(import *im, const char *name, const char *otherwise)
{
    const struct ctkd__onnx_attribute *const a = attribute_of(im, name, CTKD__ONNX_STRING);
    return a ? a->s : otherwise;
}

bool ctkd__import_sizes(import *im, const char *name, size_t count, size_t *out)
{
    const struct ctkd__onnx_attribute *const a = attribute_of(im, name, CTKD__ONNX_INTS);
    if (!a)
        return im->status == CTKD_OK;
    bool good = a->count == count;
    for (size_t i = 0; i < count && good; i++) {
        good = a->ints[i] >= 0 && a->ints[i] <= CTKD__IMPORT_WINDOW_MAX;
        out[i] = (size_t)a->ints[i];
    }
    char text[CTKD__IMPORT_TEXT];
    if (!good)
        ctkd__import_fail(
            im, "%s: found %s, expected %zu numbers from 0 to %d (images of two dimensions)", name,
            ctkd__import_attribute_text(im, name, text), count, CTKD__IMPORT_WINDOW_MAX);
    return good;
}

bool ctkd__import_over_pixels(import *im)
{
    const struct ctkd__onnx_attribute *const a = ctkd__onnx_attribute(im->node, "axes");
    int64_t axes[2];
    size_t n = 0;
    if (a && a->kind == CTKD__ONNX_INTS && a->count == 2) {
        memcpy(axes, a->ints, sizeof axes);
        n = 2;
    } else if (!a) {
        ctkd__import_ints(im, 1, 2, axes, &n);
    }
    for (int i = 0; i < 2; i++)
        if (n == 2 && ctkd__import_axis_is(axes[i], 4, 2) &&
            ctkd__import_axis_is(axes[1 - i], 4, 3))
            return true;
    return false;
}

/* --- layers with weights */

void ctkd__import_bias(import *im, int node, size_t input, size_t n)
{
    float *const to = ctkd__import_parameter(im, node, CTKD__ROLE_BIAS);
    if (!to || input >= im->node->n_inputs || !im->node->inputs[input][0])
        return;
    const struct ctkd__tensor *const bias = ctkd__import_weight(im, input, 1);
    if (bias && (size_t)bias->shape[0] != n)
        ctkd__import_fail(im, "found a bias of %lld values, expected %zu",
                          (long long)bias->shape[0], n);
    else if (bias)
        memcpy(to, bias->data, bias->bytes);
}

/* Our batch norm adds a fixed epsilon: the difference goes into the variance, or into the weight if
   the variance would become negative. */
static void settle_epsilon(import *im, size_t channels, float *weight, float *variance)
{
    const float epsilon = (float)ctkd__import_float(im, "epsilon", 1e-5);
    for (size_t c = 0; c < channels; c++) {
        const double own = (double)variance[c] + (double)epsilon;
        if (!(variance[c] >= 0 && own > 0)) {
            ctkd__import_fail(im, "found variance %g of channel %zu, expected at least 0",
                              (double)variance[c], c);
            return;
        }
        if (epsilon == (float)CTKD__BATCH_NORM_EPSILON)
            continue;
        const double rest = own - CTKD__BATCH_NORM_EPSILON;
        variance[c] = rest > 0 ? (float)rest : 0;
        if (rest < 0)
            weight[c] = (float)((double)weight[c] * sqrt(CTKD__BATCH_NORM_EPSILON / own));
    }
}

static void op_batch_norm(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    const struct ctkd__tensor *sources[4];
    for (size_t i = 0; i < 4; i++) {
        sources[i] = ctkd__import_weight(im, i + 1, 1);
        if (sources[i] && x && (size_t)sources[i]->shape[0] != x->c + x->pad_before + x->pad_after)
            ctkd__import_fail(im, "input %zu: found %lld values, expected %zu", i + 1,
                              (long long)sources[i]->shape[0], x->c);
    }
    if (ctkd__import_int(im, "training_mode", 0) != 0)
        ctkd__import_fail(im, "found training mode, expected a model exported for inference");
    const int from = im->status == CTKD_OK ? ctkd__import_settle(im, x, false) : -1;
    if (from < 0)
        return;
    char name[96];
    ctkd__import_name(im, sources[0]->name, "norm", name);
    const int y = ctkd__graph_batch_norm(im->graph, from, name);
    static const enum ctkd__role roles[4] = { CTKD__ROLE_WEIGHT, CTKD__ROLE_BIAS, CTKD__ROLE_MEAN,
                                              CTKD__ROLE_VARIANCE };
    float *to[4];
    for (size_t i = 0; i < 4; i++) {
        to[i] = ctkd__import_parameter(im, y, roles[i]);
        if (to[i])
            memcpy(to[i], sources[i]->data, sources[i]->bytes);
    }
    if (im->status == CTKD_OK)
        settle_epsilon(im, x->c, to[0], to[3]);
    value *const out = ctkd__import_output(im, 0, y);
    if (out)
        out->flat = x->flat;
}

/* A linear layer, on the pixels of flattened images too. */
static int linear_node(import *im, int from, const char *weight, size_t out)
{
    char name[96];
    ctkd__import_name(im, weight, "linear", name);
    return ctkd__graph_linear(im->graph, ctkd__graph_flatten(im->graph, from), name, out,
                              CTKD__INIT_CONSTANT, 0, CTKD__INIT_CONSTANT, 0);
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
        ctkd__import_fail(im, "found a weight for vectors of %zu, but an input of %zux%zux%zu%s",
                          in, x->c, x->h, x->w, x->flat ? "" : " that is not flattened");
        return;
    }
    const int y = linear_node(im, from, weight->name, out);
    float *const to = ctkd__import_parameter(im, y, CTKD__ROLE_WEIGHT);
    const float *const values = weight->data;
    for (size_t o = 0; o < out && to; o++)
        for (size_t i = 0; i < in; i++) {
            const float v = values[transposed ? o * in + i : i * out + o];
            to[o * in + i] = alpha == 1 ? v : (float)(alpha * (double)v);
        }
    ctkd__import_bias(im, y, 2, out);
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
    if (ctkd__import_int(im, "transA", 0) != 0 || ctkd__import_float(im, "beta", 1) != 1)
        ctkd__import_fail(im, "found transA %lld and beta %g, expected 0 and 1 (a linear layer)",
                          (long long)ctkd__import_int(im, "transA", 0),
                          ctkd__import_float(im, "beta", 1));
    else
        add_linear(im, x, weight, ctkd__import_int(im, "transB", 0) != 0,
                   ctkd__import_float(im, "alpha", 1));
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

/* Whether work is pending that must be done before an affine map, or no affine map is possible. */
static bool has_pending(const value *x)
{
    return ctkd__import_has_zeros(x) || x->pad_before || x->pad_after || x->steps[0] != 1 ||
           x->steps[1] != 1 || x->stage != CTKD__IMPORT_PLAIN || x->ends || x->is_bytes;
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
    char shape[CTKD__IMPORT_TEXT];
    if (!good || (n != 1 && n != x->c))
        ctkd__import_fail(
            im, "constant %.80s: found %s %s, expected one float for each of %zu channels",
            constant->name, ctkd__dtype_text(constant->type),
            ctkd__tensor_shape_text(constant, shape, sizeof shape), x->c);
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
        ctkd__import_fail(im, "found a constant divided by the input, expected the reverse");
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

/* One number of a shape with another, as c / groups in front of a channel shuffle. */
static bool compute(char op, int64_t a, int64_t b, int64_t *out)
{
    if (a == INT64_MIN || b == INT64_MIN) /* the batch size is not known */
        return false;
    switch (op) {
    case 'A':
        return !__builtin_add_overflow(a, b, out);
    case 'S':
        return !__builtin_sub_overflow(a, b, out);
    case 'M':
        return !__builtin_mul_overflow(a, b, out);
    }
    *out = b ? a / b : 0; /* Div */
    return b != 0;
}

/* Both operands are integers: false, without an error, when they are not. */
static bool add_integers(import *im)
{
    int64_t a[CTKD__IMPORT_INTS_MAX], b[CTKD__IMPORT_INTS_MAX];
    size_t n, m;
    if (!ctkd__import_ints(im, 0, CTKD__IMPORT_INTS_MAX, a, &n) ||
        !ctkd__import_ints(im, 1, CTKD__IMPORT_INTS_MAX, b, &m))
        return false;
    const size_t count = n > m ? n : m;
    bool good = n > 0 && m > 0 && (n == m || n == 1 || m == 1);
    value *const y = good ? ctkd__import_output(im, 0, -1) : NULL;
    for (size_t i = 0; i < count && y && good; i++)
        good = compute(im->node->op[0], a[n == 1 ? 0 : i], b[m == 1 ? 0 : i], &y->ints[i]);
    if (!good) {
        char first[CTKD__IMPORT_TEXT], second[CTKD__IMPORT_TEXT];
        ctkd__import_fail(im, "found %s and %s, expected sizes of images (the batch size is free)",
                          ctkd__import_ints_text(n, a, first),
                          ctkd__import_ints_text(m, b, second));
    } else if (y) {
        y->is_ints = true;
        y->n_ints = count;
    }
    return true;
}

static void op_arithmetic(import *im)
{
    if (add_integers(im))
        return;
    for (size_t i = 0; i < 2; i++)
        if (ctkd__import_constant(im, i)) {
            add_affine(im, i);
            return;
        }
    value *a = ctkd__import_input(im, 0), *b = ctkd__import_input(im, 1);
    if (!a || !b)
        return;
    const char op = im->node->op[0];
    if (op != 'A' && op != 'M') {
        ctkd__import_fail(im, "found two computed values, expected a constant");
        return;
    }
    if (a->flat != b->flat) {
        char first[CTKD__IMPORT_TEXT], second[CTKD__IMPORT_TEXT];
        ctkd__import_fail(im, "found %s and %s, expected two of a kind",
                          ctkd__import_input_text(im, 0, first),
                          ctkd__import_input_text(im, 1, second));
        return;
    }
    const int p = ctkd__import_settle(im, a, false), q = ctkd__import_settle(im, b, false);
    if (p < 0 || q < 0)
        return;
    const bool turned = op == 'M' && a->h * a->w < b->h * b->w; /* the gate's vector comes second */
    const int y = op == 'A' ? ctkd__graph_add(im->graph, p, q)
                            : ctkd__graph_multiply(im->graph, turned ? q : p, turned ? p : q);
    value *const out = ctkd__import_output(im, 0, y);
    if (out)
        out->flat = a->flat;
}

/* --- operators that change nothing here */

static void op_alias(import *im)
{
    ctkd__import_alias(im, 0);
}

/* Training needs logits: at the model's end they are taken before the Softmax. */
static void op_softmax(import *im)
{
    value *const x = ctkd__import_input(im, 0);
    if (!x)
        return;
    const int64_t axis = ctkd__import_int(im, "axis", im->model->opset < 13 ? 1 : -1);
    if (!ctkd__import_axis_is(axis, x->flat ? 2 : 4, 1)) {
        ctkd__import_fail(im, "axis: found %lld, expected 1 (the classes)", (long long)axis);
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
    { "AveragePool", ctkd__op_average_pool },
    { "BatchNormalization", op_batch_norm },
    { "Cast", ctkd__op_cast },
    { "Clip", ctkd__op_clip },
    { "Concat", ctkd__op_concat },
    { "ConstantOfShape", ctkd__op_constant_of_shape },
    { "Conv", ctkd__op_conv },
    { "Div", op_arithmetic },
    { "Dropout", op_alias },
    { "Flatten", ctkd__op_flatten },
    { "Gather", ctkd__op_gather },
    { "Gemm", op_gemm },
    { "GlobalAveragePool", ctkd__op_global_pool },
    { "HardSigmoid", ctkd__op_hard_sigmoid },
    { "HardSwish", ctkd__op_hard_swish },
    { "Identity", op_alias },
    { "LeakyRelu", ctkd__op_leaky_relu },
    { "LogSoftmax", op_softmax },
    { "MatMul", op_matmul },
    { "MaxPool", ctkd__op_max_pool },
    { "Mul", op_arithmetic },
    { "Pad", ctkd__op_pad },
    { "ReduceMean", ctkd__op_reduce_mean },
    { "Relu", op_relu },
    { "Reshape", ctkd__op_reshape },
    { "Shape", ctkd__op_shape },
    { "Sigmoid", ctkd__op_sigmoid },
    { "Slice", ctkd__op_slice },
    { "Softmax", op_softmax },
    { "Split", ctkd__op_split },
    { "Squeeze", ctkd__op_squeeze },
    { "Sub", op_arithmetic },
    { "Transpose", ctkd__op_transpose },
    { "Unsqueeze", ctkd__op_same_ints },
};

void ctkd__import_node(import *im)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (strcmp(operators[i].name, im->node->op) == 0) {
            operators[i].translate(im);
            return;
        }
    ctkd__import_fail(im, "this operator is not supported");
}
