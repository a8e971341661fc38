/* ONNX's Cast: of images, of shapes, of constants. */
#include <math.h>
#include <string.h>

#include "util/error.h"
#include "weights/onnx/onnx_import.h"

/* Constants that are converted are factors and sizes; weights are floats already. */
enum { CONSTANT_MAX = 4096 };

static bool is_integer(int64_t type)
{
    return type == CTKD__ONNX_TYPE_INT32 || type == CTKD__ONNX_TYPE_INT64;
}

static bool to_integer(const struct ctkd__tensor *from, size_t i, int64_t *out)
{
    if (from->type == CTKD__I64) { /* which a float would round */
        *out = ((const int64_t *)from->data)[i];
        return true;
    }
    const char *const at = (const char *)from->data + i * ctkd__dtype_bytes(from->type);
    const float value = ctkd__dtype_load(from->type, at);
    const bool good = fabsf(value) < 0x1p53f; /* false for NaN */
    *out = good ? (int64_t)value : 0;
    return good;
}

/* Between integers and floats, as a constant with the output's name. */
static void cast_constant(struct ctkd__import *im, const struct ctkd__tensor *from, int64_t type)
{
    const struct ctkd__tensor source = *from; /* which moves as the list grows */
    const size_t n = ctkd__tensor_elements(from);
    const bool is_float = ctkd__import_is_float(type);
    struct ctkd__tensor *to;
    if (n > CONSTANT_MAX) {
        ctkd__import_fail(im, "found a constant of %zu elements, expected at most %d", n,
                          CONSTANT_MAX);
        return;
    }
    const ctkd_status status = ctkd__tensors_add(&im->model->initialisers, im->node->outputs[0],
                                                 is_float ? CTKD__F32 : CTKD__I64, source.rank,
                                                 source.shape, &to, im->err);
    if (status != CTKD_OK) {
        im->status = ctkd__fail_within(im->err, status, "%s", im->file);
        return;
    }
    if (is_float)
        ctkd__dtype_load_all(source.type, source.data, n, to->data);
    for (size_t i = 0; i < n && !is_float; i++) {
        int64_t *const value = (int64_t *)to->data + i;
        if (!to_integer(&source, i, value) ||
            (type == CTKD__ONNX_TYPE_INT32 && *value != (int32_t)*value)) {
            ctkd__import_fail(im, "found a constant out of the range of integers at element %zu",
                              i);
            return;
        }
    }
}

void ctkd__op_cast(struct ctkd__import *im)
{
    const int64_t to = ctkd__import_int(im, "to", 0);
    const struct ctkd__tensor *const constant = ctkd__import_constant(im, 0);
    if (!ctkd__import_is_float(to) && !is_integer(to)) {
        ctkd__import_fail(im, "found element type %lld, expected floats or integers",
                          (long long)to);
        return;
    }
    if (constant) {
        cast_constant(im, constant, to);
        return;
    }
    const struct ctkd__import_value *const x = ctkd__import_input(im, 0);
    if (!x)
        return;
    if (x->is_ints != is_integer(to))
        ctkd__import_fail(im, x->is_ints ? "found a cast of a shape to floats, expected integers"
                                         : "found a cast of images to integers, expected floats");
    else if (x->is_bytes) {
        struct ctkd__import_value *const y = ctkd__import_continue(im, ctkd__import_input(im, 0));
        if (y)
            y->is_bytes = false;
    } else {
        ctkd__import_alias(im, 0);
    }
}
