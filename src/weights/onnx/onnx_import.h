/* Inner parts of the import from ONNX: onnx_import.c keeps the values, onnx_operators.c,
 * onnx_windows.c, onnx_channels.c and onnx_shapes.c know what each operator means. */
#ifndef CTKD_WEIGHTS_ONNX_IMPORT_H
#define CTKD_WEIGHTS_ONNX_IMPORT_H

#include "weights/exchange.h"

/* Where a value is within a channel shuffle: [n, g, c/g, h, w] -> [n, c/g, g, h, w]. */
enum ctkd__import_stage { CTKD__IMPORT_PLAIN, CTKD__IMPORT_GROUPED, CTKD__IMPORT_SWAPPED };
enum { CTKD__IMPORT_INTS_MAX = 8 };

/* A computed value: a graph node and the work that is pending on it, in this order: affine map,
   stride, channels of zeros, zeros around. */
struct ctkd__import_value {
    int node;
    size_t c, h, w;               /* of the graph node; not yet with what is pending */
    size_t uses;                  /* how often it is read */
    bool shared;                  /* others read the graph node without the affine map */
    bool flat;                    /* of rank 2 in ONNX */
    bool ends;                    /* behind a Softmax */
    bool is_bytes;                /* an input of bytes that is not yet cast */
    double *affine;               /* [c][scale, shift] or NULL; of the model's memory */
    size_t steps[2];              /* rows, columns: every steps-th */
    size_t pad_before, pad_after; /* channels */
    size_t pads[4];               /* top, left, bottom, right */
    enum ctkd__import_stage stage;
    size_t groups;
    bool is_ints; /* not an image but a list such as its shape; INT64_MIN is the batch size */
    int64_t ints[CTKD__IMPORT_INTS_MAX];
    size_t n_ints, columns; /* 0 columns: a list, not a matrix */
};

struct ctkd__import_name {
    const char *text;
    int value;
};

struct ctkd__import {
    const char *file;
    struct ctkd__onnx_model *model;
    const struct ctkd__tensors *constants;
    const struct ctkd__onnx_node *node; /* the present one */
    int64_t batch;                      /* as the input says, -1: free */
    struct ctkd__graph *graph;
    struct ctkd__tensors *tensors;
    struct ctkd__network_info *info;
    bool input_settled, normalises;
    bool of_bytes;        /* the images are of 0 to 255 */
    const char **counted; /* every name that is read; ends with NULL */
    struct ctkd__import_value *values;
    struct ctkd__import_name *names;
    size_t n_values, n_names;
    ctkd_status status; /* sticky */
    ctkd_error *err;
};

/* Translates the present node. */
void ctkd__import_node(struct ctkd__import *im);

/* Fails with a message that begins with file, node and operator. */
ctkd_status ctkd__import_fail(struct ctkd__import *im, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Inputs of the present node: a computed value (NULL: failed; _find: none); a constant (NULL: not
   one); a constant float tensor (NULL: failed); integers, constant or computed (false: none, or
   more than max). */
struct ctkd__import_value *ctkd__import_input(struct ctkd__import *im, size_t i);
const struct ctkd__import_value *ctkd__import_find(const struct ctkd__import *im, size_t i);
const struct ctkd__tensor *ctkd__import_constant(const struct ctkd__import *im, size_t i);
const struct ctkd__tensor *ctkd__import_weight(struct ctkd__import *im, size_t i, int rank);
bool ctkd__import_ints(struct ctkd__import *im, size_t i, size_t max, int64_t *out, size_t *count);

/* What messages say was found: an input of the present node ("an image of 3x8x8", "[0, 2, 1]",
   "constant w of F32 [3, 10]", "no input 2"), an attribute ("[2, 3]", "no axes"), integers. Each
   returns `text`. */
enum { CTKD__IMPORT_TEXT = 128 };
const char *ctkd__import_input_text(const struct ctkd__import *im, size_t i,
                                    char text[CTKD__IMPORT_TEXT]);
const char *ctkd__import_attribute_text(const struct ctkd__import *im, const char *name,
                                        char text[CTKD__IMPORT_TEXT]);
const char *ctkd__import_ints_text(size_t n, const int64_t *ints, char text[CTKD__IMPORT_TEXT]);
/* The axes that ctkd__import_over_pixels looks at. */
const char *ctkd__import_axes_text(const struct ctkd__import *im, char text[CTKD__IMPORT_TEXT]);

/* The present node's output: a new value of a graph node (as output k); a copy of x with its
   pending work; x itself. */
struct ctkd__import_value *ctkd__import_output(struct ctkd__import *im, size_t k, int graph_node);
struct ctkd__import_value *ctkd__import_continue(struct ctkd__import *im,
                                                 struct ctkd__import_value *x);
void ctkd__import_alias(struct ctkd__import *im, size_t input);

/* Does the work that is pending on x and returns its graph node, -1 after an error. Pending zeros
   around the image are left to the caller with keep_zeros, and are an error without. */
int ctkd__import_settle(struct ctkd__import *im, struct ctkd__import_value *x, bool keep_zeros);

/* The name of a graph node from that of its weights, so that a state dict's names survive the way
   through ONNX; any other name, or one that is taken, is replaced by the kind and a number. */
void ctkd__import_name(struct ctkd__import *im, const char *weight, const char *kind, char out[96]);
/* Room for a parameter of a graph node; NULL after an error. */
float *ctkd__import_parameter(struct ctkd__import *im, int node, enum ctkd__role role);

/* Attributes of the present node; one of another kind is an error. Sizes: `count` integers of 0 to
   CTKD__IMPORT_WINDOW_MAX (more is damage) into out, which has the defaults; false after an error.
 */
enum { CTKD__IMPORT_WINDOW_MAX = 4096 };
int64_t ctkd__import_int(struct ctkd__import *im, const char *name, int64_t otherwise);
double ctkd__import_float(struct ctkd__import *im, const char *name, double otherwise);
const char *ctkd__import_text(struct ctkd__import *im, const char *name, const char *otherwise);
bool ctkd__import_sizes(struct ctkd__import *im, const char *name, size_t count, size_t *out);

/* Whether an axis, counted from the end when negative, is the wanted one. */
static inline bool ctkd__import_axis_is(int64_t axis, int64_t rank, int64_t wanted)
{
    return (axis < 0 ? axis + rank : axis) == wanted;
}

/* Whether ONNX's number of an element type is that of floats; all are floats here. */
static inline bool ctkd__import_is_float(int64_t type)
{
    return type == CTKD__ONNX_TYPE_FLOAT || type == CTKD__ONNX_TYPE_FLOAT16 ||
           type == CTKD__ONNX_TYPE_DOUBLE || type == CTKD__ONNX_TYPE_BFLOAT16;
}

/* Whether zeros around the image are pending. */
static inline bool ctkd__import_has_zeros(const struct ctkd__import_value *x)
{
    return x->pads[0] || x->pads[1] || x->pads[2] || x->pads[3];
}

/* Whether the axes of the present node, an attribute in old opsets and its second input since, are
   height and width. */
bool ctkd__import_over_pixels(struct ctkd__import *im);

/* Copies a bias of n elements; without one the room stays zero. */
void ctkd__import_bias(struct ctkd__import *im, int node, size_t input, size_t n);

/* Reshape, Transpose, Slice and Concat of images as far as they concern channels; false, without an
   error, if they do something else. */
bool ctkd__channels_reshape(struct ctkd__import *im, const int64_t *to, size_t rank);
bool ctkd__channels_slice(struct ctkd__import *im);
void ctkd__channels_transpose(struct ctkd__import *im);
void ctkd__channels_concat(struct ctkd__import *im);

/* The operators outside onnx_operators.c: each translates the present node. */
void ctkd__op_split(struct ctkd__import *im);
void ctkd__op_clip(struct ctkd__import *im);
void ctkd__op_sigmoid(struct ctkd__import *im);
void ctkd__op_hard_sigmoid(struct ctkd__import *im);
void ctkd__op_hard_swish(struct ctkd__import *im);
void ctkd__op_leaky_relu(struct ctkd__import *im);
void ctkd__op_conv(struct ctkd__import *im);
void ctkd__op_max_pool(struct ctkd__import *im);
void ctkd__op_average_pool(struct ctkd__import *im);
void ctkd__op_global_pool(struct ctkd__import *im);
void ctkd__op_reduce_mean(struct ctkd__import *im);
void ctkd__op_flatten(struct ctkd__import *im);
void ctkd__op_reshape(struct ctkd__import *im);
void ctkd__op_squeeze(struct ctkd__import *im);
void ctkd__op_slice(struct ctkd__import *im);
void ctkd__op_pad(struct ctkd__import *im);
void ctkd__op_shape(struct ctkd__import *im);
void ctkd__op_gather(struct ctkd__import *im);
void ctkd__op_concat(struct ctkd__import *im);
void ctkd__op_constant_of_shape(struct ctkd__import *im);
void ctkd__op_transpose(struct ctkd__import *im);
void ctkd__op_same_ints(struct ctkd__import *im);
void ctkd__op_cast(struct ctkd__import *im);

#endif
