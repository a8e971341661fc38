#include "util/pickle_array.h"

#include <string.h>

typedef struct ctkd__pickle_value value;

static bool is_numpy(const value *v, const char *module, const char *name)
{
    static const char *const packages[] = { "numpy.core.", "numpy._core." };
    for (int i = 0; i < 2; i++) {
        const size_t n = strlen(packages[i]);
        if (v->kind == CTKD__PICKLE_GLOBAL && v->length == n + strlen(module) &&
            memcmp(v->text, packages[i], n) == 0 && memcmp(v->text + n, module, v->length - n) == 0)
            return v->name_length == strlen(name) && memcmp(v->name, name, v->name_length) == 0;
    }
    return false;
}

static const value *tuple_of(const value *v, size_t count)
{
    return v && v->kind == CTKD__PICKLE_TUPLE && v->count >= count ? v : NULL;
}

/* Python 2 has one type for texts and bytes. */
static bool has_bytes(const value *v)
{
    return v->kind == CTKD__PICKLE_BYTES || v->kind == CTKD__PICKLE_STRING;
}

/* numpy.dtype("i8", ...) with attributes (version, byte order, ...). numpy always writes the
   attributes; without them the order is this machine's. */
static bool parse_type(const value *v, struct ctkd__pickle_array *out)
{
    if (v->kind != CTKD__PICKLE_OBJECT || !ctkd__pickle_is_global(v->callable, "numpy", "dtype") ||
        !tuple_of(v->args, 1) || !has_bytes(v->args->items[0]) || v->args->items[0]->length != 2)
        return false;
    const char *code = v->args->items[0]->text;
    const value *attributes = tuple_of(v->attributes, 2);
    if (!attributes || !has_bytes(attributes->items[1]) || attributes->items[1]->length != 1)
        return false;
    out->kind = code[0];
    out->item_bytes = (size_t)(code[1] - '0');
    out->big_endian = attributes->items[1]->text[0] == '>';
    return (out->kind == 'u' || out->kind == 'i') && strchr("1248", code[1]) && code[1];
}

/* Sizes whose product is the number of elements in `bytes`. */
static bool parse_shape(const value *shape, const value *bytes, struct ctkd__pickle_array *out)
{
    if (!tuple_of(shape, 1) || shape->count > CTKD__PICKLE_ARRAY_RANK_MAX || !has_bytes(bytes))
        return false;
    out->rank = (int)shape->count;
    out->count = 1;
    for (size_t i = 0; i < shape->count; i++) {
        const value *size = shape->items[i];
        if (size->kind != CTKD__PICKLE_INT || size->integer < 0 ||
            __builtin_mul_overflow(out->count, (size_t)size->integer, &out->count))
            return false;
        out->shape[i] = (size_t)size->integer;
    }
    out->bytes = (const unsigned char *)bytes->text;
    return bytes->length % out->item_bytes == 0 && out->count == bytes->length / out->item_bytes;
}

bool ctkd__pickle_array_parse(const value *v, struct ctkd__pickle_array *out)
{
    *out = (struct ctkd__pickle_array){ 0 };
    if (v->kind != CTKD__PICKLE_OBJECT)
        return false;
    if (is_numpy(v->callable, "multiarray", "_reconstruct")) {
        const value *state = tuple_of(v->attributes, 5);
        if (!state || state->items[3]->kind != CTKD__PICKLE_BOOL)
            return false;
        out->columns_first = state->items[3]->integer;
        return parse_type(state->items[2], out) &&
               parse_shape(state->items[1], state->items[4], out);
    }
    const value *args = tuple_of(v->args, 4);
    if (!is_numpy(v->callable, "numeric", "_frombuffer") || !args)
        return false;
    out->columns_first = ctkd__pickle_is_string(args->items[3], "F");
    return parse_type(args->items[1], out) && parse_shape(args->items[2], args->items[0], out);
}

int64_t ctkd__pickle_array_integer(const struct ctkd__pickle_array *array, size_t i)
{
    const unsigned char *bytes = array->bytes + i * array->item_bytes;
    const size_t n = array->item_bytes;
    const bool negative = array->kind == 'i' && bytes[array->big_endian ? 0 : n - 1] & 0x80;
    uint64_t number = negative ? UINT64_MAX : 0;
    for (size_t j = 0; j < n; j++)
        number = number << 8 | bytes[array->big_endian ? j : n - 1 - j];
    return (int64_t)number;
}
