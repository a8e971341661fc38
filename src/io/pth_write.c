/* Writing checkpoints: a zip archive of stored entries, and the pickle that refers to them. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/pth.h"
#include "util/error.h"
#include "util/file.h"
#include "util/text.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensor data is copied as it is in memory");

/* PyTorch maps storages into memory and wants them aligned. */
enum { ALIGNMENT = 64 };

/* --- the archive */

struct zip_entry {
    char name[48];
    uint32_t sum;
    uint64_t size, at; /* at: of the local header */
};

struct zip_writer {
    FILE *stream;
    uint64_t at;
    struct zip_entry *entries;
    size_t count;
    uint32_t table[256];
};

static void write_bytes(struct zip_writer *zip, const void *bytes, size_t n)
{
    fwrite(bytes, 1, n, zip->stream);
    zip->at += n;
}

static void put_number(struct zip_writer *zip, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++)
        fputc((int)(number >> 8 * i & 0xff), zip->stream);
    zip->at += (size_t)bytes;
}

/* CRC-32 of zip: reflected polynomial 0xedb88320. */
static void make_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t sum = i;
        for (int bit = 0; bit < 8; bit++)
            sum = sum & 1 ? sum >> 1 ^ 0xedb88320u : sum >> 1;
        table[i] = sum;
    }
}

static uint32_t crc32_of(const struct zip_writer *zip, const unsigned char *bytes, size_t n)
{
    uint32_t sum = UINT32_MAX;
    for (size_t i = 0; i < n; i++)
        sum = sum >> 8 ^ zip->table[(sum ^ bytes[i]) & 0xff];
    return ~sum;
}

/* The fields that a local header and the directory share. The date is always 1 January 1980, so
   that the same tensors give the same file. */
static void put_fields(struct zip_writer *zip, const struct zip_entry *entry, size_t extra)
{
    put_number(zip, 0, 2);    /* flags */
    put_number(zip, 0, 2);    /* stored */
    put_number(zip, 0, 2);    /* time */
    put_number(zip, 0x21, 2); /* date */
    put_number(zip, entry->sum, 4);
    put_number(zip, entry->size, 4); /* packed and unpacked */
    put_number(zip, entry->size, 4);
    put_number(zip, strlen(entry->name), 2);
    put_number(zip, extra, 2);
}

static void put_entry(struct zip_writer *zip, const char *name, const void *bytes, size_t size)
{
    struct zip_entry *entry = &zip->entries[zip->count++];
    snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->sum = crc32_of(zip, bytes, size);
    entry->size = size;
    entry->at = zip->at;
    /* an extra field "FB", as PyTorch has it, moves the data to its alignment */
    const uint64_t data = zip->at + 30 + strlen(name) + 4;
    const size_t padding = (size_t)((ALIGNMENT - data % ALIGNMENT) % ALIGNMENT);
    put_number(zip, 0x04034b50, 4);
    put_number(zip, 20, 2); /* version of the format */
    put_fields(zip, entry, 4 + padding);
    write_bytes(zip, name, strlen(name));
    write_bytes(zip, "FB", 2);
    put_number(zip, padding, 2);
    for (size_t i = 0; i < padding; i++)
        write_bytes(zip, "Z", 1);
    write_bytes(zip, bytes, size);
}

static void put_directory(struct zip_writer *zip)
{
    const uint64_t begin = zip->at;
    for (size_t i = 0; i < zip->count; i++) {
        const struct zip_entry *entry = &zip->entries[i];
        put_number(zip, 0x02014b50, 4);
        put_number(zip, 20, 2); /* made by, needed */
        put_number(zip, 20, 2);
        put_fields(zip, entry, 0);
        put_number(zip, 0, 2); /* comment, disk, attributes */
        put_number(zip, 0, 2);
        put_number(zip, 0, 2);
        put_number(zip, 0, 4);
        put_number(zip, entry->at, 4);
        write_bytes(zip, entry->name, strlen(entry->name));
    }
    const uint64_t size = zip->at - begin;
    put_number(zip, 0x06054b50, 4);
    put_number(zip, 0, 4); /* disks */
    put_number(zip, zip->count, 2);
    put_number(zip, zip->count, 2);
    put_number(zip, size, 4);
    put_number(zip, begin, 4);
    put_number(zip, 0, 2); /* comment */
}

/* --- the pickle, protocol 2 */

static void put_string(FILE *out, const char *text)
{
    const size_t n = strlen(text);
    fputc('X', out);
    for (int i = 0; i < 4; i++)
        fputc((int)(n >> 8 * i & 0xff), out);
    fputs(text, out);
}

/* LONG1 of eight bytes: one form for every size. */
static void put_integer(FILE *out, int64_t number)
{
    fputs("\x8a\x08", out);
    for (int i = 0; i < 8; i++)
        fputc((int)((uint64_t)number >> 8 * i & 0xff), out);
}

static void put_float(FILE *out, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    fputc('G', out);
    for (int i = 7; i >= 0; i--)
        fputc((int)(bits >> 8 * i & 0xff), out);
}

static const char *storage_class(enum ctkd__dtype type)
{
    static const char *const names[CTKD__DTYPE_COUNT] = {
        [CTKD__F32] = "Float",     [CTKD__F64] = "Double", [CTKD__F16] = "Half",
        [CTKD__BF16] = "BFloat16", [CTKD__I64] = "Long",   [CTKD__I32] = "Int",
        [CTKD__I16] = "Short",     [CTKD__I8] = "Char",    [CTKD__U8] = "Byte",
        [CTKD__BOOL] = "Bool",
    };
    return names[type];
}

/* torch._utils._rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict()) */
static void put_tensor(FILE *out, const struct ctkd__tensor *tensor, size_t index)
{
    char key[24];
    int64_t stride[CTKD__RANK_MAX], step = 1;
    snprintf(key, sizeof key, "%zu", index);
    fputs("ctorch._utils\n_rebuild_tensor_v2\n((", out);
    put_string(out, "storage");
    fprintf(out, "ctorch\n%sStorage\n", storage_class(tensor->type));
    put_string(out, key);
    put_string(out, "cpu");
    put_integer(out, (int64_t)ctkd__tensor_elements(tensor));
    fputs("tQ", out);
    put_integer(out, 0);
    fputc('(', out);
    for (int i = 0; i < tensor->rank; i++)
        put_integer(out, tensor->shape[i]);
    fputs("t(", out);
    for (int i = tensor->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= tensor->shape[i] > 0 ? tensor->shape[i] : 1;
    }
    for (int i = 0; i < tensor->rank; i++)
        put_integer(out, stride[i]);
    fputs("t\x89"
          "ccollections\nOrderedDict\n)RtR",
          out);
}

/* A whole number of the metadata, or None. */
static void put_epoch(FILE *out, const char *text)
{
    char *end = NULL;
    const long long number = text ? strtoll(text, &end, 10) : 0;
    if (text && end != text && !*end)
        put_integer(out, number);
    else
        fputc('N', out);
}

/* The accuracy, under any of the names that it has in metadata, or None. */
static void put_accuracy(FILE *out, const struct ctkd__tensors *list)
{
    static const char *const names[] = { "best_acc", "top1", "best_prec1", "accuracy" };
    const char *text = NULL;
    char *end = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !text; i++)
        text = ctkd__tensors_get(list, names[i]);
    const double number = text ? strtod(text, &end) : 0;
    if (text && end != text && !*end)
        put_float(out, number);
    else
        fputc('N', out);
}

static void put_pickle(FILE *out, const struct ctkd__tensors *list)
{
    fputs("\x80\x02}(", out);
    put_string(out, "epoch");
    put_epoch(out, ctkd__tensors_get(list, "epoch"));
    put_string(out, "best_acc");
    put_accuracy(out, list);
    put_string(out, "metadata");
    fputs("}(", out);
    for (size_t i = 0; i < list->n_metadata; i++) {
        put_string(out, list->keys[i]);
        put_string(out, list->values[i]);
    }
    fputc('u', out);
    put_string(out, "model");
    fputs("ccollections\nOrderedDict\n)R(", out);
    for (size_t i = 0; i < list->count; i++) {
        put_string(out, list->items[i].name);
        put_tensor(out, &list->items[i], i);
    }
    fputs("uu.", out);
}

/* --- the file */

static void write_archive(struct zip_writer *zip, const struct ctkd__tensors *list,
                          const char *pickle, size_t pickle_size)
{
    char name[48];
    make_table(zip->table);
    put_entry(zip, "archive/data.pkl", pickle, pickle_size);
    put_entry(zip, "archive/byteorder", "little", 6);
    for (size_t i = 0; i < list->count; i++) {
        snprintf(name, sizeof name, "archive/data/%zu", i);
        put_entry(zip, name, list->items[i].data, list->items[i].bytes);
    }
    put_entry(zip, "archive/version", "3\n", 2);
    put_directory(zip);
}

/* Names become Python strings, and offsets must fit the plain form of zip. */
static ctkd_status check_list(const char *path, const struct ctkd__tensors *list, ctkd_error *err)
{
    const uint64_t limit = UINT32_MAX - ((uint64_t)64 << 20); /* leaves room for all but the data */
    uint64_t total = 0;
    for (size_t i = 0; i < list->n_metadata; i++)
        if (!ctkd__text_is_utf8(list->keys[i]) || !ctkd__text_is_utf8(list->values[i]))
            return ctkd__fail(err, CTKD_EINVAL, "%s: metadata %.80s: found text that is not UTF-8",
                              path, list->keys[i]);
    for (size_t i = 0; i < list->count; i++) {
        if (!ctkd__text_is_utf8(list->items[i].name))
            return ctkd__fail(err, CTKD_EINVAL, "%s: name %.80s: found text that is not UTF-8",
                              path, list->items[i].name);
        total += list->items[i].bytes;
    }
    if (total > limit || list->count > UINT16_MAX - 3)
        return ctkd__fail(err, CTKD_EUNSUPPORTED,
                          "%s: found %zu tensors of %ju bytes, expected at most %d and %ju; "
                          ".safetensors takes more",
                          path, list->count, (uintmax_t)total, UINT16_MAX - 3, (uintmax_t)limit);
    return CTKD_OK;
}

ctkd_status ctkd__pth_write(const char *path, const struct ctkd__tensors *list, ctkd_error *err)
{
    struct ctkd__new_file file;
    char *pickle = NULL;
    size_t pickle_size = 0;
    ctkd_status status = check_list(path, list, err);
    if (status != CTKD_OK)
        return status;
    struct zip_writer zip = { .entries = calloc(list->count + 3, sizeof *zip.entries) };
    FILE *out = open_memstream(&pickle, &pickle_size);
    bool failed = !out || !zip.entries;
    if (out) {
        put_pickle(out, list);
        failed |= ferror(out) != 0;
        failed |= fclose(out) != 0;
    }
    if (failed) {
        status = ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
        goto done;
    }
    status = ctkd__new_file_open(&file, path, err);
    if (status != CTKD_OK)
        goto done;
    zip.stream = file.stream;
    write_archive(&zip, list, pickle, pickle_size);
    status = ctkd__new_file_commit(&file, err);
done:
    free(pickle);
    free(zip.entries);
    return status;
}
