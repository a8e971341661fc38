/* CIFAR as pickled dicts: "data" is an array [n, 3072] of bytes, each kind of labels a list. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "data/cifar.h"
#include "data/images.h"
#include "util/error.h"
#include "util/pickle_array.h"

enum { FILES_MAX = 6 };

typedef struct ctkd__pickle_value value;

/* One file taken apart; the array and the labels lie in its bytes. */
struct batch {
    const char *place;
    struct ctkd__pickle pickle;
    struct ctkd__pickle_array pixels;
    const value *labels[2]; /* a list of integers, or an array of as many */
    struct ctkd__pickle_array label_arrays[2];
};

/* The value of a key; Python 2 wrote keys as bytes. NULL if there is no such key. */
static const value *dict_find(const value *dict, const char *key)
{
    const size_t length = strlen(key);
    for (size_t i = 0; i < dict->count; i += 2) {
        const value *k = dict->items[i];
        if ((k->kind == CTKD__PICKLE_STRING || k->kind == CTKD__PICKLE_BYTES) &&
            k->length == length && memcmp(k->text, key, length) == 0)
            return dict->items[i + 1];
    }
    return NULL;
}

static ctkd_status find_pixels(struct batch *batch, const value *dict, ctkd_error *err)
{
    const value *data = dict_find(dict, "data");
    struct ctkd__pickle_array *pixels = &batch->pixels;
    const bool array = data && ctkd__pickle_array_parse(data, pixels);
    if (array && pixels->kind == 'u' && pixels->item_bytes == 1 && pixels->rank == 2 &&
        pixels->shape[0] > 0 && pixels->shape[1] == CTKD__CIFAR_PIXELS)
        return CTKD_OK;
    char text[CTKD__PICKLE_TEXT] = "none";
    if (array)
        snprintf(text, sizeof text, "an array of rank %d, %zu elements of kind %c%zu", pixels->rank,
                 pixels->count, pixels->kind, pixels->item_bytes);
    else if (data)
        ctkd__pickle_text(data, text);
    return ctkd__fail(err, CTKD_EFORMAT, "%s: data: found %s, expected an array of bytes [n, %d]",
                      batch->place, text, CTKD__CIFAR_PIXELS);
}

static ctkd_status find_labels(struct batch *batch, const value *dict, size_t kind,
                               const struct ctkd__cifar_labels *labels, ctkd_error *err)
{
    const char *const key = labels->keys[kind];
    const value *list = batch->labels[kind] = dict_find(dict, key);
    struct ctkd__pickle_array *array = &batch->label_arrays[kind];
    size_t count = 0;
    char text[CTKD__PICKLE_TEXT];
    if (list && list->kind == CTKD__PICKLE_LIST)
        count = list->count;
    else if (list && ctkd__pickle_array_parse(list, array) && array->rank == 1)
        count = array->count;
    else
        return ctkd__fail(err, CTKD_EFORMAT, "%s: %s: found %s, expected a list of labels",
                          batch->place, key, list ? ctkd__pickle_text(list, text) : "none");
    if (count != batch->pixels.shape[0])
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found %zu %s, expected %zu as data has rows",
                          batch->place, count, key, batch->pixels.shape[0]);
    return CTKD_OK;
}

static ctkd_status batch_open(struct batch *batch, const struct ctkd__member *file,
                              const struct ctkd__cifar_labels *labels, ctkd_error *err)
{
    const value *root;
    size_t used;
    batch->place = file->place;
    ctkd_status status = ctkd__pickle_read(&batch->pickle, file->place, (const char *)file->bytes,
                                           file->size, &used, &root, err);
    if (status != CTKD_OK)
        return status;
    if (root->kind != CTKD__PICKLE_DICT)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: found a pickle without a dict, expected a dict with data",
                          file->place);
    status = find_pixels(batch, root, err);
    for (size_t kind = 0; kind < labels->count && status == CTKD_OK; kind++)
        status = find_labels(batch, root, kind, labels, err);
    return status;
}

/* Label `i`; -1 if it is not an integer. */
static int64_t label_at(const struct batch *batch, size_t kind, size_t i)
{
    const value *list = batch->labels[kind];
    if (list->kind != CTKD__PICKLE_LIST)
        return ctkd__pickle_array_integer(&batch->label_arrays[kind], i);
    return list->items[i]->kind == CTKD__PICKLE_INT ? list->items[i]->integer : -1;
}

static ctkd_status copy_labels(const struct batch *batch, const struct ctkd__cifar_labels *labels,
                               int32_t *out, ctkd_error *err)
{
    for (size_t i = 0; i < batch->pixels.shape[0]; i++)
        for (size_t kind = 0; kind < labels->count; kind++) {
            const int64_t label = label_at(batch, kind, i);
            const ctkd_status status = ctkd__label_check(batch->place, i, labels->kinds[kind],
                                                         label, labels->classes[kind], err);
            if (status != CTKD_OK)
                return status;
            if (kind == labels->used)
                out[i] = (int32_t)label;
        }
    return CTKD_OK;
}

static void copy_pixels(const struct ctkd__pickle_array *pixels, uint8_t *out)
{
    const size_t rows = pixels->shape[0];
    if (!pixels->columns_first) {
        memcpy(out, pixels->bytes, pixels->count);
        return;
    }
    for (size_t p = 0; p < CTKD__CIFAR_PIXELS; p++)
        for (size_t i = 0; i < rows; i++)
            out[i * CTKD__CIFAR_PIXELS + p] = pixels->bytes[p * rows + i];
}

static ctkd_status join_batches(const struct batch *batches, struct ctkd__member *files, size_t n,
                                const struct ctkd__cifar_labels *labels,
                                struct ctkd__images *images, ctkd_error *err)
{
    for (size_t i = 0; i < n; i++)
        images->count += batches[i].pixels.shape[0];
    ctkd_status status = ctkd__images_alloc(files[0].place, images, err);
    size_t first = 0;
    for (size_t i = 0; status == CTKD_OK && i < n; i++) {
        status = copy_labels(&batches[i], labels, images->labels + first, err);
        if (status == CTKD_OK)
            copy_pixels(&batches[i].pixels, images->pixels + first * CTKD__CIFAR_PIXELS);
        first += batches[i].pixels.shape[0];
        ctkd__members_free(&files[i], 1);
    }
    return status;
}

ctkd_status ctkd__cifar_python_join(struct ctkd__member *files, size_t n,
                                    const struct ctkd__cifar_labels *labels,
                                    struct ctkd__images *images, ctkd_error *err)
{
    struct batch batches[FILES_MAX] = { 0 };
    ctkd_status status = CTKD_OK;
    images->channels = 3;
    images->height = images->width = 32;
    for (size_t i = 0; i < n && status == CTKD_OK; i++)
        status = batch_open(&batches[i], &files[i], labels, err);
    if (status == CTKD_OK)
        status = join_batches(batches, files, n, labels, images, err);
    for (size_t i = 0; i < n; i++)
        ctkd__pickle_fini(&batches[i].pickle);
    return status;
}
