#include "io/sealed.h"

#include <stdio.h>
#include <string.h>

#include "io/safetensors.h"
#include "util/error.h"
#include "util/sha256.h"

static const char checksum_key[] = "checksum";

/* With its terminating zero, so that "ab", "c" and "a", "bc" differ. */
static void add_text(struct sha256_ctx *context, const char *text)
{
    sha256_update(context, strlen(text) + 1, (const uint8_t *)text);
}

static void checksum(const struct ctkd__tensors *list, char out[65])
{
    struct sha256_ctx context;
    sha256_init(&context);
    for (size_t i = 0; i < list->n_metadata; i++) {
        if (strcmp(list->keys[i], checksum_key) == 0)
            continue;
        add_text(&context, list->keys[i]);
        add_text(&context, list->values[i]);
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct ctkd__tensor *tensor = &list->items[i];
        char shape[256];
        add_text(&context, tensor->name);
        add_text(&context, ctkd__dtype_text(tensor->type));
        add_text(&context, ctkd__tensor_shape_text(tensor, shape, sizeof shape));
        sha256_update(&context, tensor->bytes, tensor->data);
    }
    ctkd__sha256_text(&context, out);
}

ctkd_status ctkd__sealed_read(const char *path, struct ctkd__tensors *list, ctkd_error *err)
{
    ctkd_status status = ctkd__safetensors_read(path, list, err);
    if (status != CTKD_OK)
        return status;
    char found[65];
    const char *expected = ctkd__tensors_get(list, checksum_key);
    checksum(list, found);
    if (!expected)
        status = ctkd__fail(err, CTKD_EFORMAT, "%s: found no checksum in the metadata", path);
    else if (strcmp(found, expected) != 0)
        status = ctkd__fail(err, CTKD_EFORMAT,
                            "%s: the file is damaged: found SHA-256 %.16s..., expected %.16s...",
                            path, found, expected);
    if (status != CTKD_OK)
        ctkd__tensors_fini(list);
    return status;
}

ctkd_status ctkd__sealed_write(const char *path, struct ctkd__tensors *list, ctkd_error *err)
{
    char sum[65];
    checksum(list, sum);
    ctkd_status status = ctkd__tensors_set(list, checksum_key, sum, err);
    if (status == CTKD_OK)
        status = ctkd__safetensors_write(path, list, err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__tensors proof = { 0 };
    status = ctkd__sealed_read(path, &proof, err);
    ctkd__tensors_fini(&proof);
    return status;
}
