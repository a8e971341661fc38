#include "util/tensors.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

/* Names are looked up by walking the list, so a hostile file must not make it arbitrarily long. */
enum { TENSORS_MAX = 16384, METADATA_MAX = 4096 };

static const struct {
    const char *text;
    size_t bytes;
} dtypes[CTKD__DTYPE_COUNT] = {
#define DTYPE_ROW(name, text, bytes) [CTKD__##name] = { text, bytes },
    CTKD__DTYPE_LIST(DTYPE_ROW)
#undef DTYPE_ROW
};

size_t ctkd__dtype_bytes(enum ctkd__dtype type)
{
    return dtypes[type].bytes;
}

const char *ctkd__dtype_text(enum ctkd__dtype type)
{
    return dtypes[type].text;
}

static float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* IEEE half precision: exact in a float. Without branches, so that loops over it vectorise. */
static float float_of_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fffu;
    /* zero and denormals: fraction * 2^-24 */
    const float small = (float)rest * 0x1p-24f;
    uint32_t small_bits;
    memcpy(&small_bits, &small, sizeof small_bits);
    const uint32_t large_bits = (rest << 13) + ((rest >= 0x7c00 ? 224u : 112u) << 23);
    return float_of_bits(sign | (rest < 0x400 ? small_bits : large_bits));
}

float ctkd__dtype_load(enum ctkd__dtype type, const void *bytes)
{
    union {
        float f32;
        double f64;
        uint16_t half;
        int64_t i64;
        int32_t i32;
        int16_t i16;
        int8_t i8;
        uint8_t u8;
    } value;
    memcpy(&value, bytes, ctkd__dtype_bytes(type));
    switch (type) {
    case CTKD__F32:
        return value.f32;
    case CTKD__F64:
        return (float)value.f64;
    case CTKD__F16:
        return float_of_half(value.half);
    case CTKD__BF16:
        return float_of_bits((uint32_t)value.half << 16);
    case CTKD__I64:
        return (float)value.i64;
    case CTKD__I32:
        return (float)value.i32;
    case CTKD__I16:
        return (float)value.i16;
    case CTKD__I8:
        return (float)value.i8;
    case CTKD__U8:
    case CTKD__BOOL:
    case CTKD__DTYPE_COUNT:
        break;
    }
    return (float)value.u8;
}

void ctkd__dtype_load_all(enum ctkd__dtype type, const void *bytes, size_t n, float *out)
{
    const unsigned char *const at = bytes;
    if (type == CTKD__F32) {
        if (n)
            memcpy(out, bytes, n * sizeof *out);
    } else if (type == CTKD__F16) {
        for (size_t i = 0; i < n; i++)
            out[i] = float_of_half((uint16_t)(at[2 * i] | at[2 * i + 1] << 8));
    } else if (type == CTKD__BF16) {
        for (size_t i = 0; i < n; i++)
            out[i] = float_of_bits((uint32_t)(at[2 * i] | at[2 * i + 1] << 8) << 16);
    } else {
        const size_t size = ctkd__dtype_bytes(type);
        for (size_t i = 0; i < n; i++)
            out[i] = ctkd__dtype_load(type, at + i * size);
    }
}

void ctkd__tensors_fini(struct ctkd__tensors *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].name);
        free(list->items[i].data);
    }
    for (size_t i = 0; i < list->n_metadata; i++) {
        free(list->keys[i]);
        free(list->values[i]);
    }
    free(list->items);
    free(list->keys);
    free(list->values);
    *list = (struct ctkd__tensors){ 0 };
}

/* Elements and bytes of a shape, or CTKD_EINVAL. A tensor with a dimension of 0 has no elements. */
static ctkd_status shape_bytes(const char *name, enum ctkd__dtype type, int rank,
                               const int64_t *shape, size_t *bytes, ctkd_error *err)
{
    if (rank < 0 || rank > CTKD__RANK_MAX)
        return ctkd__fail(err, CTKD_EINVAL, "%s: found rank %d, expected 0 to %d", name, rank,
                          CTKD__RANK_MAX);
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return ctkd__fail(err, CTKD_EINVAL, "%s: dimension %d is %" PRId64 ", expected >= 0",
                              name, i, shape[i]);
        empty |= shape[i] == 0;
    }
    size_t total = empty ? 0 : ctkd__dtype_bytes(type);
    for (int i = 0; i < rank && !empty; i++)
        if (__builtin_mul_overflow(total, (size_t)shape[i], &total) || total > PTRDIFF_MAX)
            return ctkd__fail(err, CTKD_EINVAL,
                              "%s: the shape needs more bytes than memory can hold", name);
    *bytes = total;
    return CTKD_OK;
}

static ctkd_status reserve(struct ctkd__tensors *list, const char *name, ctkd_error *err)
{
    if (list->count < list->capacity)
        return CTKD_OK;
    if (list->count == TENSORS_MAX)
        return ctkd__fail(err, CTKD_EINVAL, "%s: found tensor number %d, expected at most %d", name,
                          TENSORS_MAX + 1, TENSORS_MAX);
    const size_t capacity = list->capacity ? 2 * list->capacity : 64;
    struct ctkd__tensor *items = realloc(list->items, capacity * sizeof *items);
    if (!items)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", name);
    list->items = items;
    list->capacity = capacity;
    return CTKD_OK;
}

ctkd_status ctkd__tensors_add(struct ctkd__tensors *list, const char *name, enum ctkd__dtype type,
                              int rank, const int64_t *shape, struct ctkd__tensor **out,
                              ctkd_error *err)
{
    size_t bytes = 0;
    ctkd_status status = shape_bytes(name, type, rank, shape, &bytes, err);
    if (status != CTKD_OK)
        return status;
    if (ctkd__tensors_find(list, name))
        return ctkd__fail(err, CTKD_EEXIST, "%s: found this name twice, expected each name once",
                          name);
    status = reserve(list, name, err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__tensor tensor = { .type = type, .rank = rank, .bytes = bytes };
    for (int i = 0; i < rank; i++)
        tensor.shape[i] = shape[i];
    tensor.name = strdup(name);
    tensor.data = calloc(1, bytes ? bytes : 1);
    if (!tensor.name || !tensor.data) {
        free(tensor.name);
        free(tensor.data);
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory for %zu bytes", name, bytes);
    }
    list->items[list->count] = tensor;
    *out = &list->items[list->count++];
    return CTKD_OK;
}

const struct ctkd__tensor *ctkd__tensors_find(const struct ctkd__tensors *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return NULL;
}

size_t ctkd__tensor_elements(const struct ctkd__tensor *tensor)
{
    return tensor->bytes / ctkd__dtype_bytes(tensor->type);
}

ctkd_status ctkd__tensors_widen(struct ctkd__tensors *list, ctkd_error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        struct ctkd__tensor *const tensor = &list->items[i];
        const enum ctkd__dtype type = tensor->type;
        if (type != CTKD__F64 && type != CTKD__F16 && type != CTKD__BF16)
            continue;
        const size_t n = ctkd__tensor_elements(tensor);
        float *const wide = calloc(n ? n : 1, sizeof *wide);
        if (!wide)
            return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", tensor->name);
        ctkd__dtype_load_all(type, tensor->data, n, wide);
        free(tensor->data);
        tensor->data = wide;
        tensor->bytes = n * sizeof *wide;
        tensor->type = CTKD__F32;
    }
    return CTKD_OK;
}

static bool is_float(enum ctkd__dtype type)
{
    return type == CTKD__F32 || type == CTKD__F64 || type == CTKD__F16 || type == CTKD__BF16;
}

static bool is_variance(const char *name)
{
    static const char ending[] = "running_var";
    const size_t n = strlen(name), m = sizeof ending - 1;
    return n >= m && strcmp(name + n - m, ending) == 0;
}

/* Without branches, so that it vectorises: NaN is not within any bounds. */
static bool all_within(const float *values, size_t n, float least)
{
    int outside = 0;
    for (size_t i = 0; i < n; i++)
        outside |= !(values[i] >= least) | !(values[i] <= FLT_MAX);
    return !outside;
}

static ctkd_status outside(const struct ctkd__tensor *tensor, size_t first, const float *values,
                           float least, ctkd_error *err)
{
    size_t i = 0;
    while (all_within(values + i, 1, least))
        i++;
    return ctkd__fail(err, CTKD_ENAN, "%.200s: element %zu is %g, expected %s", tensor->name,
                      first + i, (double)values[i],
                      isfinite(values[i]) ? "a variance of at least 0" : "a finite number");
}

ctkd_status ctkd__tensor_check_finite(const struct ctkd__tensor *tensor, ctkd_error *err)
{
    enum { CHUNK = 1024 };
    if (!is_float(tensor->type))
        return CTKD_OK;
    float chunk[CHUNK];
    const size_t n = ctkd__tensor_elements(tensor), each = ctkd__dtype_bytes(tensor->type);
    const float least = is_variance(tensor->name) ? 0.0f : -FLT_MAX;
    for (size_t at = 0; at < n; at += CHUNK) {
        const size_t count = n - at < CHUNK ? n - at : CHUNK;
        const float *values = (const float *)tensor->data + at;
        if (tensor->type != CTKD__F32) {
            ctkd__dtype_load_all(tensor->type, (const char *)tensor->data + at * each, count,
                                 chunk);
            values = chunk;
        }
        if (!all_within(values, count, least))
            return outside(tensor, at, values, least, err);
    }
    return CTKD_OK;
}

ctkd_status ctkd__tensors_check_finite(const char *path, const struct ctkd__tensors *list,
                                       ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < list->count && status == CTKD_OK; i++)
        status = ctkd__tensor_check_finite(&list->items[i], err);
    return status == CTKD_OK ? status : ctkd__fail_within(err, status, "%s", path);
}

const char *ctkd__tensor_shape_text(const struct ctkd__tensor *tensor, char *text, size_t bytes)
{
    size_t used = 0;
    for (int i = -1; i <= tensor->rank && used < bytes; i++) {
        int n = 0;
        if (i < 0 || i == tensor->rank)
            n = snprintf(text + used, bytes - used, i < 0 ? "[" : "]");
        else
            n = snprintf(text + used, bytes - used, "%s%" PRId64, i ? ", " : "", tensor->shape[i]);
        used += (size_t)n;
    }
    return text;
}

static size_t metadata_index(const struct ctkd__tensors *list, const char *key)
{
    size_t i = 0;
    while (i < list->n_metadata && strcmp(list->keys[i], key) != 0)
        i++;
    return i;
}

ctkd_status ctkd__tensors_set(struct ctkd__tensors *list, const char *key, const char *value,
                              ctkd_error *err)
{
    const size_t i = metadata_index(list, key);
    if (i == METADATA_MAX)
        return ctkd__fail(err, CTKD_EINVAL, "metadata %s: found key number %d, expected at most %d",
                          key, METADATA_MAX + 1, METADATA_MAX);
    char *new_key = i < list->n_metadata ? NULL : strdup(key);
    char *new_value = strdup(value);
    if (!new_value || (i == list->n_metadata && !new_key))
        goto fail;
    if (i == list->n_metadata) {
        char **keys = realloc(list->keys, (i + 1) * sizeof *keys);
        list->keys = keys ? keys : list->keys;
        char **values = realloc(list->values, (i + 1) * sizeof *values);
        list->values = values ? values : list->values;
        if (!keys || !values)
            goto fail;
        list->keys[i] = new_key;
        list->n_metadata++;
    } else {
        free(list->values[i]);
    }
    list->values[i] = new_value;
    return CTKD_OK;
fail:
    free(new_value);
    free(new_key);
    return ctkd__fail(err, CTKD_ENOMEM, "metadata %s: out of memory", key);
}

const char *ctkd__tensors_get(const struct ctkd__tensors *list, const char *key)
{
    const size_t i = metadata_index(list, key);
    return i < list->n_metadata ? list->values[i] : NULL;
}
