#include "io/safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/error.h"
#include "util/file.h"
#include "util/file_kind.h"
#include "util/text.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensor data is copied as it is in memory");

/* The limit of the reference implementation. */
static const size_t header_limit = 100000000;
static const char metadata_key[] = "__metadata__";

/* Where a tensor's data lies in the part after the header. */
struct extent {
    size_t begin, end, item; /* item: index into the list */
};

struct safetensors_reader {
    const char *path;
    FILE *stream;
    size_t data_bytes; /* of the file after the header */
    size_t taken;      /* by the entries so far */
    json_t *header;
    struct ctkd__tensors *list;
    struct extent *extents;
    ctkd_error *err;
};

/* The file has no header: what it is instead, or what is wrong with the header's length. */
static ctkd_status no_header(const struct safetensors_reader *reader, uint64_t bytes, uint64_t most)
{
    unsigned char first[CTKD__FILE_KIND_BYTES];
    rewind(reader->stream);
    const size_t n = fread(first, 1, sizeof first, reader->stream);
    const char *const kind = ctkd__file_kind(first, n);
    if (kind && !(n > 8 && first[8] == '{'))
        return ctkd__file_kind_fail(reader->path, first, n, "a .safetensors file", reader->err);
    return ctkd__fail(
        reader->err, CTKD_EFORMAT,
        "%s: found header length %ju, expected at most %ju (is it a safetensors file?)",
        reader->path, (uintmax_t)bytes, (uintmax_t)most);
}

/* Opens the file and parses its header; no size is trusted before it is checked against the
   file. */
static ctkd_status read_header(struct safetensors_reader *reader)
{
    unsigned char length[8];
    struct stat info;
    if (fstat(fileno(reader->stream), &info) != 0 || !S_ISREG(info.st_mode))
        return ctkd__fail(reader->err, CTKD_EIO, "%s: not a regular file", reader->path);
    const uint64_t file_bytes = (uint64_t)info.st_size;
    if (file_bytes < sizeof length || fread(length, 1, sizeof length, reader->stream) != 8)
        return ctkd__fail(reader->err, CTKD_EFORMAT,
                          "%s: found %ju bytes, expected a safetensors header of at least 8",
                          reader->path, (uintmax_t)file_bytes);
    uint64_t bytes = 0;
    for (int i = 7; i >= 0; i--)
        bytes = bytes << 8 | length[i];
    const uint64_t most = file_bytes - 8 < header_limit ? file_bytes - 8 : header_limit;
    if (bytes > most)
        return no_header(reader, bytes, most);
    reader->data_bytes = (size_t)(file_bytes - 8 - bytes);
    char *text = malloc((size_t)bytes + 1);
    if (!text)
        return ctkd__fail(reader->err, CTKD_ENOMEM, "%s: out of memory", reader->path);
    json_error_t why = { 0 };
    if (fread(text, 1, (size_t)bytes, reader->stream) == bytes)
        reader->header = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &why);
    free(text);
    if (!json_is_object(reader->header))
        return ctkd__fail(reader->err, CTKD_EFORMAT, "%s: header: %s", reader->path,
                          *why.text ? why.text : "not a JSON object");
    return CTKD_OK;
}

enum { FOUND_SHOWN = 44, FOUND_BYTES = FOUND_SHOWN + sizeof "..." };

/* A value as a message shows it: its beginning, in JSON. */
static const char *found_text(const json_t *value, char text[FOUND_BYTES])
{
    if (!value)
        return "none";
    char *const all = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!all)
        return "another value";
    snprintf(text, FOUND_BYTES, "%.*s%s", ctkd__text_cut(all, FOUND_SHOWN), all,
             strlen(all) > FOUND_SHOWN ? "..." : "");
    free(all);
    return text;
}

static ctkd_status read_metadata(struct safetensors_reader *reader, json_t *metadata)
{
    const char *key;
    json_t *value;
    char text[FOUND_BYTES];
    if (!json_is_object(metadata))
        return ctkd__fail(reader->err, CTKD_EFORMAT, "%s: %s: found %s, expected a map of strings",
                          reader->path, metadata_key, found_text(metadata, text));
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return ctkd__fail(reader->err, CTKD_EFORMAT,
                              "%s: %s: %.80s: found %s, expected a string", reader->path,
                              metadata_key, key, found_text(value, text));
        const ctkd_status status =
            ctkd__tensors_set(reader->list, key, json_string_value(value), reader->err);
        if (status != CTKD_OK)
            return ctkd__fail_within(reader->err, status, "%s", reader->path);
    }
    return CTKD_OK;
}

static bool find_dtype(const char *text, enum ctkd__dtype *type)
{
    for (int i = 0; text && i < CTKD__DTYPE_COUNT; i++)
        if (strcmp(text, ctkd__dtype_text((enum ctkd__dtype)i)) == 0) {
            *type = (enum ctkd__dtype)i;
            return true;
        }
    return false;
}

/* An array of whole numbers >= 0, at most `most` of them; returns how many, or -1. */
static int read_sizes(json_t *array, int most, int64_t *out)
{
    if (!json_is_array(array) || json_array_size(array) > (size_t)most)
        return -1;
    const int n = (int)json_array_size(array);
    for (int i = 0; i < n; i++) {
        json_t *item = json_array_get(array, (size_t)i);
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return -1;
        out[i] = json_integer_value(item);
    }
    return n;
}

/* The header's entry of one tensor: it is checked completely, then added to the list with memory
   for its data. */
static ctkd_status read_entry(struct safetensors_reader *reader, const char *name, json_t *entry)
{
    int64_t shape[CTKD__RANK_MAX], at[2];
    enum ctkd__dtype type = CTKD__F32;
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!find_dtype(dtype, &type))
        return ctkd__fail(reader->err, dtype ? CTKD_EUNSUPPORTED : CTKD_EFORMAT,
                          "%s: %.80s: found dtype %.20s, expected F32, F64, F16, BF16, I64, I32, "
                          "I16, I8, U8 or BOOL",
                          reader->path, name, dtype ? dtype : "none");
    json_t *const sizes = json_object_get(entry, "shape");
    json_t *const offsets = json_object_get(entry, "data_offsets");
    const int rank = read_sizes(sizes, CTKD__RANK_MAX, shape);
    char text[FOUND_BYTES];
    if (rank < 0)
        return ctkd__fail(reader->err, CTKD_EFORMAT,
                          "%s: %.80s: shape: found %s, expected at most %d whole numbers >= 0",
                          reader->path, name, found_text(sizes, text), CTKD__RANK_MAX);
    if (read_sizes(offsets, 2, at) != 2 || at[0] > at[1] || (uint64_t)at[1] > reader->data_bytes)
        return ctkd__fail(reader->err, CTKD_EFORMAT,
                          "%s: %.80s: data_offsets: found %s, expected begin <= end <= %zu",
                          reader->path, name, found_text(offsets, text), reader->data_bytes);
    const struct extent extent = { (size_t)at[0], (size_t)at[1], reader->list->count };
    size_t bytes = ctkd__dtype_bytes(type);
    for (int i = 0; i < rank; i++) /* before memory is taken; a saturated product cannot match */
        if (__builtin_mul_overflow(bytes, (size_t)shape[i], &bytes))
            bytes = SIZE_MAX;
    if (bytes != extent.end - extent.begin)
        return ctkd__fail(reader->err, CTKD_EFORMAT,
                          "%s: %.80s: found data_offsets of %zu bytes, expected %zu for its shape",
                          reader->path, name, extent.end - extent.begin, bytes);
    if (bytes > reader->data_bytes - reader->taken) /* a small file must not take much memory */
        return ctkd__fail(
            reader->err, CTKD_EFORMAT,
            "%s: %.80s: the tensors up to here overlap: the file has %zu bytes of data",
            reader->path, name, reader->data_bytes);
    reader->taken += bytes;
    struct ctkd__tensor *tensor = NULL;
    const ctkd_status status =
        ctkd__tensors_add(reader->list, name, type, rank, shape, &tensor, reader->err);
    if (status != CTKD_OK)
        return ctkd__fail_within(reader->err, status, "%s", reader->path);
    reader->extents[extent.item] = extent;
    return CTKD_OK;
}

static int compare_extents(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Tensors must tile the data without gaps and overlaps: gaps could hide data, and overlaps could
   make a small file use much memory. */
static ctkd_status check_extents(const struct safetensors_reader *reader)
{
    size_t at = 0;
    qsort(reader->extents, reader->list->count, sizeof *reader->extents, compare_extents);
    for (size_t i = 0; i < reader->list->count; i++) {
        const struct extent *extent = &reader->extents[i];
        if (extent->begin != at)
            return ctkd__fail(reader->err, CTKD_EFORMAT,
                              "%s: %.80s: found data beginning at %zu, expected %zu", reader->path,
                              reader->list->items[extent->item].name, extent->begin, at);
        at = extent->end;
    }
    if (at != reader->data_bytes)
        return ctkd__fail(reader->err, CTKD_EFORMAT,
                          "%s: found %zu bytes of data, expected %zu as the tensors cover",
                          reader->path, reader->data_bytes, at);
    return CTKD_OK;
}

static ctkd_status read_data(const struct safetensors_reader *reader)
{
    for (size_t i = 0; i < reader->list->count; i++) {
        const struct ctkd__tensor *tensor = &reader->list->items[reader->extents[i].item];
        if (fread(tensor->data, 1, tensor->bytes, reader->stream) != tensor->bytes)
            return ctkd__fail(reader->err, CTKD_EIO, "%s: %.80s: cannot read the data",
                              reader->path, tensor->name);
    }
    return CTKD_OK;
}

static ctkd_status read_all(struct safetensors_reader *reader)
{
    const char *key;
    json_t *value;
    ctkd_status status = read_header(reader);
    if (status != CTKD_OK)
        return status;
    reader->extents = calloc(json_object_size(reader->header) + 1, sizeof *reader->extents);
    if (!reader->extents)
        return ctkd__fail(reader->err, CTKD_ENOMEM, "%s: out of memory", reader->path);
    json_object_foreach(reader->header, key, value)
    {
        if (strcmp(key, metadata_key) == 0)
            status = read_metadata(reader, value);
        else
            status = read_entry(reader, key, value);
        if (status != CTKD_OK)
            return status;
    }
    status = check_extents(reader);
    return status == CTKD_OK ? read_data(reader) : status;
}

ctkd_status ctkd__safetensors_read(const char *path, struct ctkd__tensors *out, ctkd_error *err)
{
    struct safetensors_reader reader = { .path = path, .list = out, .err = err };
    reader.stream = fopen(path, "rbe");
    if (!reader.stream)
        return ctkd__fail(err, CTKD_EIO, "cannot open %s: %s", path, strerror(errno));
    const ctkd_status status = read_all(&reader);
    if (status != CTKD_OK)
        ctkd__tensors_fini(out);
    json_decref(reader.header);
    free(reader.extents);
    fclose(reader.stream);
    return status;
}

/* Data lies in order of falling element size, list order within one, so that each tensor is
 * aligned. */
static void lay_out(const struct ctkd__tensors *list, struct extent *extents)
{
    size_t at = 0;
    for (size_t bytes = 8; bytes > 0; bytes /= 2)
        for (size_t i = 0; i < list->count; i++)
            if (ctkd__dtype_bytes(list->items[i].type) == bytes) {
                extents[i] = (struct extent){ at, at + list->items[i].bytes, i };
                at += list->items[i].bytes;
            }
}

static json_t *entry_json(const struct ctkd__tensor *tensor, const struct extent *extent)
{
    json_t *shape = json_array();
    for (int i = 0; i < tensor->rank; i++)
        if (json_array_append_new(shape, json_integer(tensor->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", ctkd__dtype_text(tensor->type), "shape",
                     shape, "data_offsets", (json_int_t)extent->begin, (json_int_t)extent->end);
}

/* The header as text, allocated; NULL when out of memory or when a name is not UTF-8. */
static char *header_text(const struct ctkd__tensors *list, const struct extent *extents)
{
    json_t *header = json_object(), *metadata = json_object();
    int failed = !header || !metadata;
    for (size_t i = 0; i < list->n_metadata && !failed; i++)
        failed = json_object_set_new(metadata, list->keys[i], json_string(list->values[i]));
    if (list->n_metadata && !failed)
        failed = json_object_set(header, metadata_key, metadata);
    for (size_t i = 0; i < list->count && !failed; i++)
        failed = json_object_set_new(header, list->items[i].name,
                                     entry_json(&list->items[i], &extents[i]));
    char *text = failed ? NULL : json_dumps(header, JSON_COMPACT);
    json_decref(metadata);
    json_decref(header);
    return text;
}

static void write_header(const char *text, FILE *stream)
{
    const size_t length = strlen(text), padded = (length + 7) / 8 * 8;
    for (int i = 0; i < 8; i++)
        fputc((int)(padded >> 8 * i & 0xff), stream);
    fprintf(stream, "%s%*s", text, (int)(padded - length), "");
}

ctkd_status ctkd__safetensors_write(const char *path, const struct ctkd__tensors *list,
                                    ctkd_error *err)
{
    struct ctkd__new_file file;
    struct extent *extents = calloc(list->count + 1, sizeof *extents);
    char *text = NULL;
    ctkd_status status = CTKD_ENOMEM;
    if (extents) {
        lay_out(list, extents);
        text = header_text(list, extents);
    }
    if (!text) {
        ctkd__fail(err, status, "%s: out of memory, or a name that is not UTF-8", path);
        goto done;
    }
    status = ctkd__new_file_open(&file, path, err);
    if (status != CTKD_OK)
        goto done;
    write_header(text, file.stream);
    qsort(extents, list->count, sizeof *extents, compare_extents);
    for (size_t i = 0; i < list->count; i++) {
        const struct ctkd__tensor *tensor = &list->items[extents[i].item];
        fwrite(tensor->data, 1, tensor->bytes, file.stream);
    }
    status = ctkd__new_file_commit(&file, err);
done:
    free(text);
    free(extents);
    return status;
}
