#include "io/pth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/pth_container.h"
#include "io/pth_tree.h"
#include "util/error.h"
#include "util/file.h"
#include "util/text.h"

/* Larger checkpoints are not of networks that are trained on CPUs. */
static const size_t file_limit = (size_t)8 << 30;

typedef struct ctkd__pickle_value value;

/* What a tensor in the pickle is: elements of a storage, by strides. */
struct view {
    const unsigned char *bytes; /* of the element at index 0 */
    enum ctkd__dtype type;
    int rank;
    int64_t shape[CTKD__RANK_MAX], stride[CTKD__RANK_MAX];
    size_t elements;
    const struct ctkd__pth_storage *storage;
};

struct pth_reader {
    const char *name;
    struct ctkd__pth_container container;
    struct ctkd__tensors *out;
    struct ctkd__pth_tree tree;
    const struct ctkd__set *set;      /* the one that is read */
    struct ctkd__set_member *members; /* as many as the tree's entries, in their order */
    size_t budget;                    /* bytes that tensors may still take */
    bool owns;                        /* the file's bytes may be given back as they are used up */
    size_t *uses;                     /* of each storage, still to come */
    ctkd_error *err;
};

/* --- one tensor */

/* How many bytes of a text from the file a message shows. */
static int shown(size_t length)
{
    return length < 64 ? (int)length : 64;
}

static bool read_sizes(const value *tuple, int *rank, int64_t *out)
{
    if (tuple->kind != CTKD__PICKLE_TUPLE || tuple->count > CTKD__RANK_MAX)
        return false;
    *rank = (int)tuple->count;
    for (size_t i = 0; i < tuple->count; i++) {
        if (tuple->items[i]->kind != CTKD__PICKLE_INT || tuple->items[i]->integer < 0)
            return false;
        out[i] = tuple->items[i]->integer;
    }
    return true;
}

/* The farthest element, offset + sum of (size - 1) * stride, must lie inside the storage. */
static bool fits(const struct view *view, size_t offset, size_t numel)
{
    size_t last = offset;
    for (int i = 0; i < view->rank; i++) {
        size_t step = 0;
        if (view->shape[i] == 0)
            return true;
        if (__builtin_mul_overflow((size_t)view->shape[i] - 1, (size_t)view->stride[i], &step) ||
            __builtin_add_overflow(last, step, &last))
            return false;
    }
    return last < numel;
}

/* Checks a tensor's storage, offset, sizes and strides; nothing is allocated. */
static ctkd_status read_view(const struct pth_reader *reader, const char *name,
                             const struct ctkd__pth_tensor *tensor, struct view *view)
{
    struct ctkd__pth_id id;
    int strides = 0;
    value *const *args = tensor->args->items; /* (storage, offset, size, stride, ...) */
    *view = (struct view){ 0 };
    if (!ctkd__pickle_is_global(tensor->callable, "torch._utils", "_rebuild_tensor_v2") &&
        !ctkd__pickle_is_global(tensor->callable, "torch._utils", "_rebuild_tensor"))
        return ctkd__fail(reader->err, CTKD_EUNSUPPORTED,
                          "%s: %s: found a tensor of torch._utils.%.*s, expected a dense tensor",
                          reader->name, name, shown(tensor->callable->name_length),
                          tensor->callable->name);
    char text[CTKD__PICKLE_TEXT], second[CTKD__PICKLE_TEXT], third[CTKD__PICKLE_TEXT];
    if (tensor->args->count < 4)
        return ctkd__fail(reader->err, CTKD_EUNSUPPORTED,
                          "%s: %s: found a tensor of %zu arguments, expected a storage, offset, "
                          "size and stride",
                          reader->name, name, tensor->args->count);
    if (!ctkd__pth_id_parse(args[0], &id))
        return ctkd__fail(reader->err, CTKD_EUNSUPPORTED,
                          "%s: %s: storage: found %s, expected one of " CTKD__PTH_TYPES,
                          reader->name, name, ctkd__pth_id_text(args[0], text));
    const struct ctkd__pth_storage *storage = ctkd__pth_find(&reader->container, id.key);
    if (!storage)
        return ctkd__fail(reader->err, CTKD_EFORMAT, "%s: %s: the file lacks its storage %.*s",
                          reader->name, name, shown(id.key->length), id.key->text);
    size_t offset = id.view_offset;
    if (args[1]->kind != CTKD__PICKLE_INT || args[1]->integer < 0 ||
        __builtin_add_overflow(offset, (size_t)args[1]->integer, &offset) ||
        !read_sizes(args[2], &view->rank, view->shape) ||
        !read_sizes(args[3], &strides, view->stride) || strides != view->rank)
        return ctkd__fail(reader->err, CTKD_EFORMAT,
                          "%s: %s: found offset %s, size %s and stride %s, expected a number and "
                          "two tuples of at most %d, none below 0",
                          reader->name, name, ctkd__pickle_text(args[1], text),
                          ctkd__pickle_text(args[2], second), ctkd__pickle_text(args[3], third),
                          CTKD__RANK_MAX);
    const size_t numel = storage->size / ctkd__dtype_bytes(id.type);
    if (!fits(view, offset, numel))
        return ctkd__fail(reader->err, CTKD_EFORMAT,
                          "%s: %s: the tensor reaches beyond the %zu elements of its storage",
                          reader->name, name, numel);
    view->type = id.type;
    view->storage = storage;
    view->bytes = (const unsigned char *)storage->bytes;
    view->elements = 1;
    for (int i = 0; i < view->rank;
         i++) /* a stride of 0 repeats elements, so this may still be huge */
        if (__builtin_mul_overflow(view->elements, (size_t)view->shape[i], &view->elements))
            view->elements = SIZE_MAX / 8;
    if (view->elements > 0)
        view->bytes += offset * ctkd__dtype_bytes(id.type);
    return CTKD_OK;
}

/* Whether the elements lie in a row in row-major order, as almost always. */
static bool is_row(const struct view *view)
{
    int64_t expected = 1;
    for (int i = view->rank - 1; i >= 0; i--) {
        if (view->shape[i] != 1 && view->stride[i] != expected)
            return false;
        expected *= view->shape[i]; /* elements do not overflow when they fit a storage */
    }
    return true;
}

/* Copies the elements of a view in row-major order, to int64_t when `whole`, else to float. */
static void copy_view(const struct view *view, bool whole, void *out)
{
    if (view->elements == 0)
        return;
    if (!whole && is_row(view)) {
        ctkd__dtype_load_all(view->type, view->bytes, view->elements, out);
        return;
    }
    const size_t element = ctkd__dtype_bytes(view->type);
    int64_t index[CTKD__RANK_MAX] = { 0 };
    size_t at = 0; /* elements from the start of the view */
    for (size_t i = 0; i < view->elements; i++) {
        const unsigned char *bytes = view->bytes + at * element;
        if (whole)
            memcpy((int64_t *)out + i, bytes, sizeof(int64_t));
        else
            ((float *)out)[i] = ctkd__dtype_load(view->type, bytes);
        for (int d = view->rank - 1; d >= 0; d--) {
            at += (size_t)view->stride[d];
            if (++index[d] < view->shape[d])
                break;
            at -= (size_t)(view->shape[d] * view->stride[d]);
            index[d] = 0;
        }
    }
}

/* The storage that a tensor lies in; NULL when it names none, which read_view reports. */
static const struct ctkd__pth_storage *storage_of(const struct pth_reader *reader,
                                                  const struct ctkd__pth_tensor *tensor)
{
    struct ctkd__pth_id id;
    if (tensor->args->count == 0 || !ctkd__pth_id_parse(tensor->args->items[0], &id))
        return NULL;
    return ctkd__pth_find(&reader->container, id.key);
}

static bool is_taken(const struct pth_reader *reader, size_t entry)
{
    return reader->set && reader->members[entry].set == reader->set->id;
}

static ctkd_status count_uses(struct pth_reader *reader)
{
    reader->uses = calloc(reader->container.count + 1, sizeof *reader->uses);
    if (!reader->uses)
        return ctkd__fail(reader->err, CTKD_ENOMEM, "%s: out of memory", reader->name);
    for (size_t i = 0; i < reader->tree.count; i++) {
        const struct ctkd__pth_storage *storage =
            is_taken(reader, i) ? storage_of(reader, &reader->tree.entries[i].tensor) : NULL;
        if (storage)
            reader->uses[storage - reader->container.storages]++;
    }
    return CTKD_OK;
}

/* Gives the pages of a storage back to the system once its last tensor is copied, so that file and
   tensors are never in memory completely at the same time. The bytes read as zero from then on. */
static void used_up(struct pth_reader *reader, const struct ctkd__pth_storage *storage)
{
    const size_t least = (size_t)64 << 10, page = (size_t)sysconf(_SC_PAGESIZE);
    if (--reader->uses[storage - reader->container.storages] > 0 || !reader->owns ||
        storage->size < least)
        return;
    const uintptr_t begin = ((uintptr_t)storage->bytes + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)storage->bytes + storage->size) / page * page;
    madvise((void *)begin, end - begin, MADV_DONTNEED); /* only advice: it may fail */
}

static ctkd_status read_tensor(struct pth_reader *reader, const struct ctkd__pth_entry *entry)
{
    const char *const name = entry->name + reader->set->cut;
    struct view view;
    struct ctkd__tensor *tensor = NULL;
    if (strlen(entry->name) != entry->length || !ctkd__text_is_line(name))
        return ctkd__fail(
            reader->err, CTKD_EFORMAT,
            "%s: %.80s: found a name of %zu bytes, expected at most 511 of UTF-8 text, in one line",
            reader->name, name, entry->length);
    ctkd_status status = read_view(reader, name, &entry->tensor, &view);
    if (status != CTKD_OK)
        return status;
    const bool whole = view.type == CTKD__I64 && ctkd__text_ends(name, "num_batches_tracked");
    const size_t element = whole ? sizeof(int64_t) : sizeof(float);
    if (view.elements > reader->budget / element)
        return ctkd__fail(reader->err, CTKD_EFORMAT,
                          "%s: %s: found more elements than a file of this size can hold",
                          reader->name, name);
    reader->budget -= view.elements * element;
    status = ctkd__tensors_add(reader->out, name, whole ? CTKD__I64 : CTKD__F32, view.rank,
                               view.shape, &tensor, reader->err);
    if (status != CTKD_OK)
        return ctkd__fail_within(reader->err, status, "%s", reader->name);
    copy_view(&view, whole, tensor->data);
    used_up(reader, view.storage);
    return CTKD_OK;
}

/* --- the values beside the state dict */

static ctkd_status set_metadata(struct pth_reader *reader, const value *key, const char *text)
{
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)(key->length < 127 ? key->length : 127), key->text);
    if (strlen(name) != key->length || !ctkd__text_is_utf8(name) || !ctkd__text_is_utf8(text))
        return CTKD_OK; /* other formats cannot hold such values */
    const ctkd_status status = ctkd__tensors_set(reader->out, name, text, reader->err);
    return status == CTKD_OK ? CTKD_OK : ctkd__fail_within(reader->err, status, "%s", reader->name);
}

/* A double's shortest decimal. */
static void number_text(double number, char *text, size_t bytes)
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, bytes, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
}

/* Keeps a number, a text or a tensor of one element as metadata; anything else is left out. */
static ctkd_status read_scalar(struct pth_reader *reader, const value *key, const value *v)
{
    char text[512] = "";
    struct view view;
    struct ctkd__pth_tensor tensor;
    float number = 0;
    struct pth_reader quiet = *reader;
    quiet.err = NULL;
    if (key->kind != CTKD__PICKLE_STRING)
        return CTKD_OK;
    switch (v->kind) {
    case CTKD__PICKLE_BOOL:
    case CTKD__PICKLE_INT:
        snprintf(text, sizeof text, "%" PRId64, v->integer);
        break;
    case CTKD__PICKLE_FLOAT:
        number_text(v->number, text, sizeof text);
        break;
    case CTKD__PICKLE_STRING:
        snprintf(text, sizeof text, "%.*s", (int)(v->length < 511 ? v->length : 511), v->text);
        if (strlen(text) != v->length)
            return CTKD_OK;
        break;
    case CTKD__PICKLE_NONE:
    case CTKD__PICKLE_BYTES:
    case CTKD__PICKLE_TUPLE:
    case CTKD__PICKLE_LIST:
    case CTKD__PICKLE_DICT:
    case CTKD__PICKLE_GLOBAL:
    case CTKD__PICKLE_OBJECT: /* many training scripts store best_acc as a tensor */
    case CTKD__PICKLE_PERSISTENT:
        if (!ctkd__pth_tensor_of(v, &tensor) || read_view(&quiet, "", &tensor, &view) != CTKD_OK ||
            view.elements != 1)
            return CTKD_OK;
        copy_view(&view, false, &number);
        number_text((double)number, text, sizeof text);
        break;
    }
    return set_metadata(reader, key, text);
}

static ctkd_status read_scalars(struct pth_reader *reader, const value *dict)
{
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < dict->count && status == CTKD_OK; i += 2) {
        const value *inner = dict->items[i + 1];
        if (ctkd__pickle_is_string(dict->items[i], "metadata") && ctkd__pth_is_dict(inner) &&
            inner != dict)
            for (size_t j = 0; j < inner->count && status == CTKD_OK; j += 2)
                status = read_scalar(reader, inner->items[j], inner->items[j + 1]);
        else
            status = read_scalar(reader, dict->items[i], inner);
    }
    return status;
}

/* --- the file */

/* Groups the tensors of the tree and chooses a group. */
static ctkd_status find_set(struct pth_reader *reader, const char *wanted, struct ctkd__sets *sets)
{
    const struct ctkd__pth_tree *const tree = &reader->tree;
    reader->members = calloc(tree->count + 1, sizeof *reader->members);
    if (!reader->members)
        return ctkd__fail(reader->err, CTKD_ENOMEM, "%s: out of memory", reader->name);
    for (size_t i = 0; i < tree->count; i++)
        reader->members[i] =
            (struct ctkd__set_member){ tree->entries[i].name, tree->entries[i].outer,
                                       tree->entries[i].rank, -1 };
    ctkd_status status = ctkd__sets_find(reader->members, tree->count, sets, reader->err);
    if (status == CTKD_OK && sets->count == 0)
        status = ctkd__fail(reader->err, CTKD_EFORMAT,
                            "%s: found no named tensors in dicts or modules, expected a state dict",
                            reader->name);
    if (status == CTKD_OK)
        status = ctkd__sets_choose(sets, wanted, reader->name, reader->err);
    reader->set = status == CTKD_OK ? &sets->items[sets->taken] : NULL;
    return status;
}

static ctkd_status read_state(struct pth_reader *reader)
{
    ctkd_status status = count_uses(reader);
    for (size_t i = 0; i < reader->tree.count && status == CTKD_OK; i++)
        if (is_taken(reader, i))
            status = read_tensor(reader, &reader->tree.entries[i]);
    return status;
}

/* The dict or module that the tensors of the chosen set lie in. */
static const value *state_of(const struct pth_reader *reader)
{
    size_t i = 0;
    while (!is_taken(reader, i))
        i++;
    return reader->tree.entries[i].dict;
}

static ctkd_status read_all(struct pth_reader *reader, const char *bytes, size_t size,
                            const char *wanted, struct ctkd__sets *sets)
{
    ctkd_status status = ctkd__pth_open(&reader->container, reader->name, bytes, size, reader->err);
    if (status != CTKD_OK)
        return status;
    const value *const root = reader->container.root;
    status = ctkd__pth_tree_read(reader->name, root, &reader->tree, reader->err);
    if (status == CTKD_OK)
        status = find_set(reader, wanted, sets);
    /* before the tensors: a scalar may share a storage with them */
    if (status == CTKD_OK && ctkd__pth_is_dict(root) && root != state_of(reader))
        status = read_scalars(reader, root);
    return status == CTKD_OK ? read_state(reader) : status;
}

static ctkd_status read_file(const char *name, const char *bytes, size_t size, bool owns,
                             const char *wanted, struct ctkd__tensors *out, struct ctkd__sets *sets,
                             ctkd_error *err)
{
    struct ctkd__sets own;
    struct pth_reader reader = {
        .name = name, .out = out, .budget = ctkd__pth_budget(size), .owns = owns, .err = err
    };
    const ctkd_status status = read_all(&reader, bytes, size, wanted, sets ? sets : &own);
    if (status != CTKD_OK)
        ctkd__tensors_fini(out);
    ctkd__pth_close(&reader.container);
    ctkd__pth_tree_fini(&reader.tree);
    free(reader.members);
    free(reader.uses);
    return status;
}

ctkd_status ctkd__pth_read_bytes(const char *name, const char *bytes, size_t size,
                                 struct ctkd__tensors *out, ctkd_error *err)
{
    return read_file(name, bytes, size, false, NULL, out, NULL, err);
}

ctkd_status ctkd__pth_read_set(const char *path, const char *wanted, struct ctkd__tensors *out,
                               struct ctkd__sets *sets, ctkd_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    ctkd_status status = ctkd__file_read(path, file_limit, &bytes, &size, err);
    if (status == CTKD_OK)
        status = read_file(path, bytes, size, true, wanted, out, sets, err);
    free(bytes);
    return status;
}

ctkd_status ctkd__pth_read(const char *path, struct ctkd__tensors *out, ctkd_error *err)
{
    return ctkd__pth_read_set(path, NULL, out, NULL, err);
}
