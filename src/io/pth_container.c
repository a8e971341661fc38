#include "io/pth_container.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"
#include "util/file_kind.h"

enum { STORAGES_MAX = 16384 };

typedef struct ctkd__pickle_value value;

size_t ctkd__pth_budget(size_t size)
{
    const size_t least = (size_t)1 << 20;
    return size > (SIZE_MAX - least) / 16 ? SIZE_MAX : 16 * size + least;
}

static bool storage_type(const value *class, enum ctkd__dtype *out)
{
    static const struct {
        const char *name;
        enum ctkd__dtype type;
    } classes[] = {
        { "FloatStorage", CTKD__F32 }, { "DoubleStorage", CTKD__F64 },
        { "HalfStorage", CTKD__F16 },  { "BFloat16Storage", CTKD__BF16 },
        { "LongStorage", CTKD__I64 },  { "IntStorage", CTKD__I32 },
        { "ShortStorage", CTKD__I16 }, { "CharStorage", CTKD__I8 },
        { "ByteStorage", CTKD__U8 },   { "BoolStorage", CTKD__BOOL },
    };
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (ctkd__pickle_is_global(class, "torch", classes[i].name) ||
            ctkd__pickle_is_global(class, "torch.cuda", classes[i].name)) {
            *out = classes[i].type;
            return true;
        }
    return false;
}

static bool is_size(const value *v)
{
    return v->kind == CTKD__PICKLE_INT && v->integer >= 0;
}

const char *ctkd__pth_id_text(const value *persistent, char text[CTKD__PICKLE_TEXT])
{
    const bool is_id = persistent->kind == CTKD__PICKLE_PERSISTENT &&
                       persistent->args->kind == CTKD__PICKLE_TUPLE && persistent->args->count >= 5;
    return ctkd__pickle_text(is_id ? persistent->args->items[1] : persistent, text);
}

bool ctkd__pth_id_parse(const value *persistent, struct ctkd__pth_id *out)
{
    if (persistent->kind != CTKD__PICKLE_PERSISTENT ||
        persistent->args->kind != CTKD__PICKLE_TUPLE || persistent->args->count < 5)
        return false;
    value *const *id = persistent->args->items; /* ("storage", class, key, device, numel[, view]) */
    *out = (struct ctkd__pth_id){ .key = id[2] };
    if (!ctkd__pickle_is_string(id[0], "storage") || !storage_type(id[1], &out->type) ||
        id[2]->kind != CTKD__PICKLE_STRING || !is_size(id[4]))
        return false;
    out->numel = (size_t)id[4]->integer;
    if (persistent->args->count < 6 || id[5]->kind == CTKD__PICKLE_NONE)
        return true;
    /* (key, offset, size): a storage that is a part of another, as PyTorch before 0.4 had them */
    if (id[5]->kind != CTKD__PICKLE_TUPLE || id[5]->count != 3 || !is_size(id[5]->items[1]))
        return false;
    out->view_offset = (size_t)id[5]->items[1]->integer;
    return true;
}

const struct ctkd__pth_storage *ctkd__pth_find(const struct ctkd__pth_container *container,
                                               const value *key)
{
    for (size_t i = 0; i < container->count; i++) {
        const struct ctkd__pth_storage *storage = &container->storages[i];
        if (storage->key_length == key->length && memcmp(storage->key, key->text, key->length) == 0)
            return storage;
    }
    return NULL;
}

/* A new storage at the end of the list, all zeros; NULL after a failure. */
static struct ctkd__pth_storage *add_storage(struct ctkd__pth_container *container,
                                             const char *name, ctkd_error *err)
{
    if (container->count == STORAGES_MAX) {
        ctkd__fail(err, CTKD_EFORMAT, "%s: found more than %d storages", name, STORAGES_MAX);
        return NULL;
    }
    if (container->count == container->capacity) {
        const size_t capacity = container->capacity ? 2 * container->capacity : 64;
        void *grown = realloc(container->storages, capacity * sizeof *container->storages);
        if (!grown) {
            ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", name);
            return NULL;
        }
        container->storages = grown;
        container->capacity = capacity;
    }
    struct ctkd__pth_storage *storage = &container->storages[container->count++];
    *storage = (struct ctkd__pth_storage){ 0 };
    return storage;
}

/* --- the zip form: FOLDER/data.pkl, FOLDER/data/KEY, FOLDER/byteorder and others that are not
   needed */

/* An entry taken out. `owned` holds its bytes when they were compressed, then its name; bytes that
   are stored stay where they are. */
struct zip_part {
    char *owned, *name;
    const char *bytes;
    size_t size;
};

struct zip_reader {
    struct ctkd__pth_container *container;
    struct archive *archive;
    const char *name, *bytes; /* the file, [0, size) */
    size_t size;
    size_t budget;          /* bytes that may still be unpacked */
    struct zip_part pickle; /* bytes is NULL until it was found */
    ctkd_error *err;
};

static ctkd_status zip_failure(const struct zip_reader *zip)
{
    const char *why = archive_error_string(zip->archive);
    return ctkd__fail(zip->err, CTKD_EFORMAT, "%s: the zip archive is damaged: %s", zip->name,
                      why ? why : "unreadable");
}

/* The blocks of an entry: a stored entry arrives in one piece and in place, others are copied. Only
   reading to the end checks the CRC. */
static ctkd_status read_blocks(struct zip_reader *zip, struct zip_part *part)
{
    const void *block;
    size_t length, used = 0;
    int64_t offset;
    int result;
    while ((result = archive_read_data_block(zip->archive, &block, &length, &offset)) ==
           ARCHIVE_OK) {
        if (offset < 0 || (uint64_t)offset != used || length > part->size - used)
            return ctkd__fail(zip->err, CTKD_EFORMAT,
                              "%s: %.80s: found more bytes than its declared %zu", zip->name,
                              part->name, part->size);
        const char *const at = block;
        if (length == part->size && at >= zip->bytes && at < zip->bytes + zip->size)
            part->bytes = at;
        else if (length)
            memcpy(part->owned + used, block, length);
        used += length;
    }
    if (result != ARCHIVE_EOF || used != part->size)
        return zip_failure(zip);
    return CTKD_OK;
}

static ctkd_status unpack(struct zip_reader *zip, struct archive_entry *entry, const char *path,
                          struct zip_part *part)
{
    const int64_t claimed = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : -1;
    if (claimed < 0 || (uint64_t)claimed > zip->budget)
        return ctkd__fail(zip->err, CTKD_EFORMAT,
                          "%s: %.80s: found %jd unpacked bytes, expected at most %zu more",
                          zip->name, path, (intmax_t)claimed, zip->budget);
    const size_t name_size = strlen(path) + 1;
    part->size = (size_t)claimed;
    part->owned = malloc(part->size + name_size); /* pages that are never written cost nothing */
    if (!part->owned)
        return ctkd__fail(zip->err, CTKD_ENOMEM, "%s: out of memory for %zu bytes", zip->name,
                          part->size);
    part->bytes = part->owned;
    part->name = memcpy(part->owned + part->size, path, name_size);
    zip->budget -= part->size;
    const ctkd_status status = read_blocks(zip, part);
    if (status != CTKD_OK)
        free(part->owned);
    return status;
}

/* Names have no checksum, so a damaged one can become equal to another. */
static bool has_key(const struct ctkd__pth_container *container, const char *key)
{
    const size_t length = strlen(key);
    for (size_t i = 0; i < container->count; i++)
        if (container->storages[i].key_length == length &&
            memcmp(container->storages[i].key, key, length) == 0)
            return true;
    return false;
}

/* Keeps an entry as what it is: the pickle, the byte order, or a storage. */
static ctkd_status keep_entry(struct zip_reader *zip, const struct zip_part *part,
                              const char *inner)
{
    if (strcmp(inner, "byteorder") == 0) {
        const bool little = part->size >= 6 && memcmp(part->bytes, "little", 6) == 0;
        const ctkd_status status =
            little ? CTKD_OK
                   : ctkd__fail(zip->err, CTKD_EUNSUPPORTED,
                                "%s: byteorder: found '%.*s', expected little", zip->name,
                                part->size < 16 ? (int)part->size : 16, part->bytes);
        free(part->owned);
        return status;
    }
    if (strcmp(inner, "data.pkl") == 0) {
        zip->container->owned_pickle = part->owned;
        zip->pickle = *part;
        return CTKD_OK;
    }
    if (has_key(zip->container, inner + strlen("data/"))) {
        const ctkd_status status =
            ctkd__fail(zip->err, CTKD_EFORMAT, "%s: the zip archive is damaged: %.80s occurs twice",
                       zip->name, part->name);
        free(part->owned);
        return status;
    }
    struct ctkd__pth_storage *storage = add_storage(zip->container, zip->name, zip->err);
    if (!storage) {
        free(part->owned);
        return zip->container->count == STORAGES_MAX ? CTKD_EFORMAT : CTKD_ENOMEM;
    }
    *storage = (struct ctkd__pth_storage){ .owned = part->owned,
                                           .bytes = part->bytes,
                                           .size = part->size,
                                           .key = inner + strlen("data/"),
                                           .key_length = strlen(inner) - strlen("data/") };
    return CTKD_OK;
}

static ctkd_status read_entry(struct zip_reader *zip, struct archive_entry *entry)
{
    /* in the C locale a name that is not ASCII exists only as UTF-8 */
    const char *plain = archive_entry_pathname(entry);
    const char *path = plain ? plain : archive_entry_pathname_utf8(entry);
    const char *slash = path ? strchr(path, '/') : NULL;
    struct zip_part part;
    if (!slash)
        return CTKD_OK;
    const char *const inner = slash + 1;
    const bool is_data = strncmp(inner, "data/", 5) == 0 && inner[5];
    const bool is_pickle = strcmp(inner, "data.pkl") == 0 && !zip->pickle.bytes;
    if (!is_data && !is_pickle && strcmp(inner, "byteorder") != 0)
        return CTKD_OK;
    const ctkd_status status = unpack(zip, entry, path, &part);
    return status == CTKD_OK ? keep_entry(zip, &part, part.name + (inner - path)) : status;
}

static ctkd_status read_zip_entries(struct zip_reader *zip)
{
    struct archive_entry *entry = NULL;
    /* Read by the central directory only: a truncated file has none, and its parts must not pass
       for the complete file. */
    if (archive_read_support_format_zip_seekable(zip->archive) != ARCHIVE_OK ||
        archive_read_open_memory(zip->archive, zip->bytes, zip->size) != ARCHIVE_OK)
        return zip_failure(zip);
    for (;;) {
        const int result = archive_read_next_header(zip->archive, &entry);
        if (result == ARCHIVE_EOF)
            return CTKD_OK;
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN) /* a warning is about the name */
            return zip_failure(zip);
        const ctkd_status status = read_entry(zip, entry);
        if (status != CTKD_OK)
            return status;
    }
}

static ctkd_status open_zip(struct ctkd__pth_container *container, const char *name,
                            const char *bytes, size_t size, ctkd_error *err)
{
    size_t used = 0;
    struct zip_reader zip = { .container = container,
                              .archive = archive_read_new(),
                              .name = name,
                              .bytes = bytes,
                              .size = size,
                              .budget = ctkd__pth_budget(size),
                              .err = err };
    if (!zip.archive)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", name);
    ctkd_status status = read_zip_entries(&zip);
    archive_read_free(zip.archive);
    if (status != CTKD_OK)
        return status;
    if (!zip.pickle.bytes)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: found %s without data.pkl, expected a PyTorch checkpoint", name,
                          ctkd__file_kind(bytes, size));
    return ctkd__pickle_read(&container->pickle, name, zip.pickle.bytes, zip.pickle.size, &used,
                             &container->root, err);
}

/* --- the legacy form: five pickles, then per storage an int64 count and its elements */

/* The id by which the object's pickle refers to a storage: the only place that says its type. */
static bool find_id(const struct ctkd__pth_container *container, const value *key,
                    struct ctkd__pth_id *out)
{
    for (size_t i = 0; i < container->pickle.n_persistent; i++)
        if (ctkd__pth_id_parse(container->pickle.persistent[i], out) &&
            out->key->length == key->length && memcmp(out->key->text, key->text, key->length) == 0)
            return true;
    return false;
}

/* Reads one storage from [*bytes, end) and moves *bytes behind it. */
static ctkd_status read_storage(struct ctkd__pth_container *container, const char *name,
                                const value *key, const char **bytes, const char *end,
                                ctkd_error *err)
{
    struct ctkd__pth_id id;
    uint64_t numel = 0;
    const int length = key->length < 40 ? (int)key->length : 40;
    char text[CTKD__PICKLE_TEXT];
    if (key->kind != CTKD__PICKLE_STRING || !find_id(container, key, &id))
        return ctkd__fail(
            err, CTKD_EFORMAT,
            "%s: storage %s: found no tensor that uses it, expected one of " CTKD__PTH_TYPES, name,
            ctkd__pickle_text(key, text));
    const size_t left = (size_t)(end - *bytes);
    for (size_t i = 8; i-- > 0 && left >= 8;)
        numel = numel << 8 | (unsigned char)(*bytes)[i];
    const size_t element = ctkd__dtype_bytes(id.type);
    if (left < 8 || numel > (left - 8) / element)
        return ctkd__fail(
            err, CTKD_EFORMAT,
            "%s: storage %.*s: truncated, found %ju elements of %zu bytes in %zu bytes", name,
            length, key->text, (uintmax_t)numel, element, left);
    struct ctkd__pth_storage *storage = add_storage(container, name, err);
    if (!storage)
        return container->count == STORAGES_MAX ? CTKD_EFORMAT : CTKD_ENOMEM;
    storage->key = key->text;
    storage->key_length = key->length;
    storage->bytes = *bytes + 8;
    storage->size = (size_t)numel * element;
    *bytes = storage->bytes + storage->size;
    return CTKD_OK;
}

static bool is_little_endian(const value *system)
{
    if (system->kind != CTKD__PICKLE_DICT)
        return false;
    for (size_t i = 0; i < system->count; i += 2)
        if (ctkd__pickle_is_string(system->items[i], "little_endian"))
            return system->items[i + 1]->integer == 1;
    return false;
}

static ctkd_status open_legacy(struct ctkd__pth_container *container, const char *name,
                               const char *bytes, size_t size, ctkd_error *err)
{
    enum { MAGIC, PROTOCOL, SYSTEM, OBJECT, KEYS, PICKLES };
    static const char magic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    const value *values[PICKLES];
    const char *const end = bytes + size;
    for (int i = 0; i < PICKLES; i++) {
        size_t used = 0;
        const ctkd_status status = ctkd__pickle_read(&container->pickle, name, bytes,
                                                     (size_t)(end - bytes), &used, &values[i], err);
        if (status != CTKD_OK)
            return status;
        bytes += used;
        if (i == MAGIC && (values[i]->length != sizeof magic - 1 ||
                           memcmp(values[i]->text, magic, sizeof magic - 1) != 0))
            return ctkd__fail(
                err, CTKD_EFORMAT,
                "%s: found a pickle without PyTorch's magic number, expected a checkpoint", name);
        if (i == PROTOCOL && (values[i]->kind != CTKD__PICKLE_INT || values[i]->integer != 1001))
            return ctkd__fail(err, CTKD_EUNSUPPORTED, "%s: found protocol %jd, expected 1001", name,
                              (intmax_t)values[i]->integer);
    }
    if (!is_little_endian(values[SYSTEM]))
        return ctkd__fail(err, CTKD_EUNSUPPORTED,
                          "%s: found no mark of byte order, expected little_endian: True", name);
    if (values[KEYS]->kind != CTKD__PICKLE_LIST)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found no list of storages after the object",
                          name);
    container->root = values[OBJECT];
    for (size_t i = 0; i < values[KEYS]->count; i++) {
        const ctkd_status status =
            read_storage(container, name, values[KEYS]->items[i], &bytes, end, err);
        if (status != CTKD_OK)
            return status;
    }
    return CTKD_OK;
}

ctkd_status ctkd__pth_open(struct ctkd__pth_container *container, const char *name,
                           const char *bytes, size_t size, ctkd_error *err)
{
    *container = (struct ctkd__pth_container){ 0 };
    if (size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0)
        return open_zip(container, name, bytes, size, err);
    if (size >= 2 && bytes[0] == '\x80')
        return open_legacy(container, name, bytes, size, err);
    return ctkd__file_kind_fail(name, bytes, size, "a PyTorch checkpoint", err);
}

void ctkd__pth_close(struct ctkd__pth_container *container)
{
    ctkd__pickle_fini(&container->pickle);
    for (size_t i = 0; i < container->count; i++)
        free(container->storages[i].owned);
    free(container->storages);
    free(container->owned_pickle);
    *container = (struct ctkd__pth_container){ 0 };
}
