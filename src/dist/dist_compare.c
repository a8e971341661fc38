#include "dist/dist_compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"
#include "util/names.h"
#include "util/sha256.h"
#include "util/tensors.h"

ctkd_status ctkd__dist_describe(const struct ctkd__names *classes, struct ctkd__tensors *list,
                                ctkd_error *err)
{
    char program[CTKD__SHA256_DIGITS + 1], names[CTKD__SHA256_DIGITS + 1] = "none";
    if (classes)
        ctkd__sha256_bytes(classes->text, strlen(classes->text), names);
    ctkd_status status = ctkd__sha256_file("/proc/self/exe", program, err);
    if (status == CTKD_OK)
        status = ctkd__tensors_set(list, "program (SHA-256)", program, err);
    return status == CTKD_OK ? ctkd__tensors_set(list, "names of classes (SHA-256)", names, err)
                             : status;
}

/* Keys and values in turn, each with its terminating zero; freed by the caller. */
static char *pack(const struct ctkd__tensors *list, size_t *bytes)
{
    char *text = NULL;
    FILE *const stream = open_memstream(&text, bytes);
    for (size_t i = 0; stream && i < list->n_metadata; i++) {
        fwrite(list->keys[i], 1, strlen(list->keys[i]) + 1, stream);
        fwrite(list->values[i], 1, strlen(list->values[i]) + 1, stream);
    }
    if (!stream || fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* CTKD_EINVAL for the first item that differs from that of rank 0. */
static ctkd_status compare(const struct ctkd__tensors *own, const char *theirs, size_t bytes,
                           bool (*may_differ)(const char *item), ctkd_error *err)
{
    for (const char *key = theirs; key < theirs + bytes;) {
        const char *const value = key + strlen(key) + 1;
        const char *const here = ctkd__tensors_get(own, key);
        if (!(may_differ && may_differ(key)) && (!here || strcmp(here, value) != 0))
            return ctkd__fail(err, CTKD_EINVAL,
                              "%s: found '%.120s', expected '%.120s' as on rank 0", key,
                              here ? here : "(nothing)", value);
        key = value + strlen(value) + 1;
    }
    return CTKD_OK;
}

ctkd_status ctkd__dist_compare(struct ctkd__dist *dist, const struct ctkd__tensors *own,
                               bool (*may_differ)(const char *item), ctkd_error *err)
{
    if (!dist)
        return CTKD_OK;
    size_t packed = 0;
    char *const mine = pack(own, &packed);
    uint64_t bytes = packed;
    ctkd_status status = mine ? CTKD_OK : ctkd__fail(err, CTKD_ENOMEM, "ranks: out of memory");
    if (status == CTKD_OK)
        status = ctkd__dist_broadcast(dist, CTKD__CHANNEL_MAIN, &bytes, sizeof bytes, 0, err);
    char *const theirs = status == CTKD_OK ? malloc(bytes + 1) : NULL;
    if (status == CTKD_OK && !theirs)
        status = ctkd__fail(err, CTKD_ENOMEM, "ranks: out of memory");
    if (status == CTKD_OK) {
        memcpy(theirs, mine, packed < bytes ? packed : bytes);
        status = ctkd__dist_broadcast(dist, CTKD__CHANNEL_MAIN, theirs, bytes, 0, err);
    }
    if (status == CTKD_OK)
        status = ctkd__dist_agree(dist, compare(own, theirs, bytes, may_differ, err), err);
    free(mine);
    free(theirs);
    return status;
}
