#include "data/folder/mat.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "util/error.h"

/* Types of elements, and classes of arrays (MAT-File Format, tables 1-1 and 1-3). */
enum {
    INT8 = 1,
    UINT8,
    INT16,
    UINT16,
    INT32,
    UINT32,
    SINGLE,
    DOUBLE = 9,
    MATRIX = 14,
    COMPRESSED,
    UTF8
};
enum { STRUCT_CLASS = 2, CHAR_CLASS = 4 };
enum { HEADER_BYTES = 128, FIELDS_MAX = 64, INFLATED_MAX = 1 << 26 };

/* The bytes that remain to be read. */
struct span {
    const uint8_t *at;
    size_t n;
};

struct element {
    uint32_t type;
    struct span data;
};

static uint32_t u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The next element; its data are padded to 8 bytes, but for compressed ones. */
static bool next_element(struct span *span, struct element *out)
{
    if (span->n < 8)
        return false;
    const uint32_t tag = u32(span->at);
    if (tag >> 16) { /* of up to four bytes, with its size in the tag */
        *out = (struct element){ tag & 0xffff, { span->at + 4, tag >> 16 } };
        span->at += 8;
        span->n -= 8;
        return out->data.n <= 4;
    }
    const size_t size = u32(span->at + 4);
    size_t whole = tag == COMPRESSED ? size : (size + 7) / 8 * 8;
    if (size > span->n - 8)
        return false;
    if (whole > span->n - 8)
        whole = span->n - 8;
    *out = (struct element){ tag, { span->at + 8, size } };
    span->at += 8 + whole;
    span->n -= 8 + whole;
    return true;
}

struct matrix {
    uint32_t class;
    size_t elements;
    struct span name, rest;
};

static bool open_matrix(const struct element *element, struct matrix *out)
{
    struct span span = element->data;
    struct element flags, dimensions, name;
    if (element->type != MATRIX || !next_element(&span, &flags) || flags.data.n < 8 ||
        !next_element(&span, &dimensions) || dimensions.type != INT32 ||
        !next_element(&span, &name))
        return false;
    *out = (struct matrix){ u32(flags.data.at) & 0xff, 1, name.data, span };
    for (size_t i = 0; i + 4 <= dimensions.data.n; i += 4)
        if (__builtin_mul_overflow(out->elements, u32(dimensions.data.at + i), &out->elements))
            return false;
    return true;
}

/* A number, which is stored in the smallest type that holds it. */
static bool read_number(const struct element *element, double *out)
{
    struct matrix matrix;
    struct element data;
    double value;
    if (!open_matrix(element, &matrix) || !next_element(&matrix.rest, &data) || data.data.n == 0)
        return false;
    const uint8_t *const p = data.data.at;
    switch (data.type) {
    case INT8:
    case UINT8:
        *out = p[0];
        return true;
    case INT16:
    case UINT16:
        if (data.data.n < 2)
            return false;
        *out = p[0] | p[1] << 8;
        return true;
    case INT32:
    case UINT32:
        if (data.data.n < 4)
            return false;
        *out = u32(p);
        return true;
    case DOUBLE:
        if (data.data.n < sizeof value)
            return false;
        memcpy(&value, p, sizeof value);
        *out = value;
        return true;
    }
    return false;
}

static bool read_name(const struct element *element, char out[CTKD__SYNSET_BYTES])
{
    struct matrix matrix;
    struct element data;
    if (!open_matrix(element, &matrix) || matrix.class != CHAR_CLASS ||
        !next_element(&matrix.rest, &data))
        return false;
    const size_t step = data.type == UINT16 || data.type == INT16 ? 2 : 1;
    const size_t n = data.data.n / step;
    if (n == 0 || n >= CTKD__SYNSET_BYTES)
        return false;
    bool letters = true;
    for (size_t i = 0; i < n; i++) {
        const uint8_t c = data.data.at[i * step];
        letters = letters && c > ' ' && c < 127;
        out[i] = (char)c;
    }
    out[n] = '\0';
    return letters;
}

/* Positions of the two fields among `fields` names of `bytes` each. */
static bool find_fields(const struct element *names, size_t bytes, size_t fields, size_t at[2])
{
    static const char *const wanted[] = { "ILSVRC2012_ID", "WNID" };
    for (size_t w = 0; w < 2; w++) {
        at[w] = 0;
        while (at[w] < fields &&
               strncmp((const char *)names->data.at + at[w] * bytes, wanted[w], bytes) != 0)
            at[w]++;
        if (at[w] == fields)
            return false;
    }
    return true;
}

static bool read_structs(struct matrix *matrix, struct ctkd__synset *out)
{
    struct element length, names, field;
    size_t at[2];
    if (!next_element(&matrix->rest, &length) || length.data.n < 4 ||
        !next_element(&matrix->rest, &names))
        return false;
    const size_t bytes = u32(length.data.at), fields = bytes ? names.data.n / bytes : 0;
    if (bytes == 0 || bytes > 64 || fields == 0 || fields > FIELDS_MAX ||
        !find_fields(&names, bytes, fields, at))
        return false;
    for (size_t i = 0; i < matrix->elements; i++)
        for (size_t f = 0; f < fields; f++) {
            double number;
            if (!next_element(&matrix->rest, &field))
                return false;
            if (f == at[1] && !read_name(&field, out[i].name))
                return false;
            if (f != at[0])
                continue;
            if (!read_number(&field, &number) || !(number >= 1 && number < 1e6))
                return false;
            out[i].number = (uint32_t)number;
        }
    return true;
}

static bool is_synsets(const struct matrix *matrix)
{
    return matrix->class == STRUCT_CLASS && matrix->name.n == 7 &&
           memcmp(matrix->name.at, "synsets", 7) == 0;
}

/* Unpacks a compressed element; the caller frees the result. NULL: damaged or out of memory. */
static uint8_t *inflate_element(const struct element *element, size_t *size)
{
    z_stream stream = { .next_in = (uint8_t *)(uintptr_t)element->data.at,
                        .avail_in = (uInt)element->data.n };
    uint8_t *out = NULL;
    size_t room = 1 << 16;
    int result = inflateInit(&stream);
    if (result != Z_OK)
        return NULL;
    for (*size = 0; result == Z_OK && *size < INFLATED_MAX; *size = stream.total_out) {
        uint8_t *const more = realloc(out, room);
        if (!more)
            break;
        out = more;
        stream.next_out = out + stream.total_out;
        stream.avail_out = (uInt)(room - stream.total_out);
        result = inflate(&stream, Z_NO_FLUSH);
        room *= 2;
    }
    inflateEnd(&stream);
    if (result == Z_STREAM_END)
        return out;
    free(out);
    return NULL;
}

/* Reads the array if this element is it. */
static ctkd_status try_element(const char *place, const struct element *element,
                               struct ctkd__synset **out, size_t *count, ctkd_error *err)
{
    struct matrix matrix;
    if (!open_matrix(element, &matrix) || !is_synsets(&matrix))
        return CTKD_OK;
    if (matrix.elements == 0 || matrix.elements > element->data.n / 8)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: damaged: found an array of %zu synsets", place,
                          matrix.elements);
    *out = calloc(matrix.elements, sizeof **out);
    if (!*out)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", place);
    *count = matrix.elements;
    if (read_structs(&matrix, *out))
        return CTKD_OK;
    free(*out);
    *out = NULL;
    return ctkd__fail(err, CTKD_EFORMAT,
                      "%s: damaged: expected ILSVRC2012_ID and WNID of each of %zu synsets", place,
                      *count);
}

ctkd_status ctkd__mat_synsets(const char *place, const uint8_t *bytes, size_t size,
                              struct ctkd__synset **out, size_t *count, ctkd_error *err)
{
    struct element element;
    ctkd_status status = CTKD_OK;
    *out = NULL;
    *count = 0;
    if (size < HEADER_BYTES || memcmp(bytes + 124, "\0\1IM", 4) != 0)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: found no MATLAB 5 file of little-endian numbers, expected meta.mat",
                          place);
    struct span span = { bytes + HEADER_BYTES, size - HEADER_BYTES };
    while (status == CTKD_OK && !*out && next_element(&span, &element)) {
        size_t n = 0;
        uint8_t *const inner = element.type == COMPRESSED ? inflate_element(&element, &n) : NULL;
        struct span whole = { inner, n };
        if (element.type == COMPRESSED && (!inner || !next_element(&whole, &element)))
            status = ctkd__fail(err, CTKD_EFORMAT, "%s: damaged: it cannot be decompressed", place);
        else
            status = try_element(place, &element, out, count, err);
        free(inner);
    }
    if (status == CTKD_OK && !*out)
        status =
            ctkd__fail(err, CTKD_EFORMAT, "%s: found no array 'synsets', expected meta.mat", place);
    return status;
}
