/* Describes what was found, for the messages of the import. */
#include <inttypes.h>
#include <stdio.h>

#include "util/text.h"
#include "weights/onnx/onnx_import.h"

const char *ctkd__import_ints_text(size_t n, const int64_t *ints, char text[CTKD__IMPORT_TEXT])
{
    size_t used = (size_t)snprintf(text, CTKD__IMPORT_TEXT, "[");
    for (size_t i = 0; i < n && used < CTKD__IMPORT_TEXT; i++)
        used += (size_t)(ints[i] == INT64_MIN /* of a shape */
                             ? snprintf(text + used, CTKD__IMPORT_TEXT - used, "%sthe batch size",
                                        i ? ", " : "")
                             : snprintf(text + used, CTKD__IMPORT_TEXT - used, "%s%" PRId64,
                                        i ? ", " : "", ints[i]));
    if (used < CTKD__IMPORT_TEXT)
        snprintf(text + used, CTKD__IMPORT_TEXT - used, "]");
    return text;
}

/* Integers by their values, and so is one float; other constants by name, type and shape. */
static void write_constant(const struct ctkd__tensor *tensor, char text[CTKD__IMPORT_TEXT])
{
    const size_t n = ctkd__tensor_elements(tensor);
    int64_t ints[CTKD__IMPORT_INTS_MAX];
    char shape[64];
    if (n <= CTKD__IMPORT_INTS_MAX && (tensor->type == CTKD__I64 || tensor->type == CTKD__I32)) {
        for (size_t i = 0; i < n; i++)
            ints[i] = tensor->type == CTKD__I64 ? ((const int64_t *)tensor->data)[i]
                                                : ((const int32_t *)tensor->data)[i];
        ctkd__import_ints_text(n, ints, text);
    } else if (n == 1 && tensor->type == CTKD__F32) {
        snprintf(text, CTKD__IMPORT_TEXT, "%g", (double)*(const float *)tensor->data);
    } else {
        snprintf(text, CTKD__IMPORT_TEXT, "constant %.*s of %s %s",
                 ctkd__text_cut(tensor->name, 40), tensor->name, ctkd__dtype_text(tensor->type),
                 ctkd__tensor_shape_text(tensor, shape, sizeof shape));
    }
}

static void write_value(const struct ctkd__import_value *x, char text[CTKD__IMPORT_TEXT])
{
    if (x->is_ints && x->columns)
        snprintf(text, CTKD__IMPORT_TEXT, "a matrix of %zux%zu integers", x->n_ints / x->columns,
                 x->columns);
    else if (x->is_ints)
        ctkd__import_ints_text(x->n_ints, x->ints, text);
    else if (x->flat)
        snprintf(text, CTKD__IMPORT_TEXT, "a vector of %zu", x->c * x->h * x->w);
    else
        snprintf(text, CTKD__IMPORT_TEXT, "an image of %zux%zux%zu", x->c, x->h, x->w);
}

const char *ctkd__import_input_text(const struct ctkd__import *im, size_t i,
                                    char text[CTKD__IMPORT_TEXT])
{
    const struct ctkd__tensor *const constant = ctkd__import_constant(im, i);
    const struct ctkd__import_value *const x = ctkd__import_find(im, i);
    if (constant)
        write_constant(constant, text);
    else if (x)
        write_value(x, text);
    else
        snprintf(text, CTKD__IMPORT_TEXT, "no input %zu", i);
    return text;
}

const char *ctkd__import_attribute_text(const struct ctkd__import *im, const char *name,
                                        char text[CTKD__IMPORT_TEXT])
{
    const struct ctkd__onnx_attribute *const a = ctkd__onnx_attribute(im->node, name);
    if (!a)
        snprintf(text, CTKD__IMPORT_TEXT, "no %s", name);
    else if (a->kind == CTKD__ONNX_INTS)
        ctkd__import_ints_text(a->count, a->ints, text);
    else if (a->kind == CTKD__ONNX_INT || (a->kind == CTKD__ONNX_TENSOR && a->count == 1))
        snprintf(text, CTKD__IMPORT_TEXT, "%" PRId64, a->i);
    else if (a->kind == CTKD__ONNX_FLOAT)
        snprintf(text, CTKD__IMPORT_TEXT, "%g", (double)a->f);
    else if (a->kind == CTKD__ONNX_STRING)
        snprintf(text, CTKD__IMPORT_TEXT, "'%.*s'", ctkd__text_cut(a->s, 40), a->s);
    else
        snprintf(text, CTKD__IMPORT_TEXT, "an attribute of kind %d", (int)a->kind);
    return text;
}

const char *ctkd__import_axes_text(const struct ctkd__import *im, char text[CTKD__IMPORT_TEXT])
{
    return ctkd__onnx_attribute(im->node, "axes") || im->node->n_inputs < 2
               ? ctkd__import_attribute_text(im, "axes", text)
               : ctkd__import_input_text(im, 1, text);
}
