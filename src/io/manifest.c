#include "io/manifest.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <jansson.h>

#include "util/error.h"
#include "util/file.h"
#include "util/sha256.h"
#include "util/text.h"

enum { DIGITS = CTKD__SHA256_DIGITS, MANIFEST_BYTES = 1 << 20 };

static bool is_digest(const char *text, size_t length)
{
    if (length != DIGITS)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isxdigit((unsigned char)text[i]))
            return false;
    return true;
}

/* `expected` has DIGITS digits of either case. */
static ctkd_status verify(const char *path, const char *manifest, const char *expected,
                          struct ctkd__manifest *out, ctkd_error *err)
{
    char found[65];
    const ctkd_status status = ctkd__sha256_file(path, found, err);
    if (status != CTKD_OK)
        return status;
    if (strncasecmp(found, expected, DIGITS) != 0)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found SHA-256 %s, expected %.64s (%s)", path,
                          found, expected, manifest);
    out->verified = true;
    return CTKD_OK;
}

static ctkd_status read_sum(const char *path, const char *sum, struct ctkd__manifest *out,
                            ctkd_error *err)
{
    char *text;
    size_t size;
    ctkd_status status = ctkd__file_read(sum, MANIFEST_BYTES, &text, &size, err);
    if (status != CTKD_OK)
        return status;
    if (is_digest(text, strcspn(text, " \t\r\n")))
        status = verify(path, sum, text, out, err);
    else
        status = ctkd__fail(err, CTKD_EFORMAT,
                            "%s: expected %d hexadecimal digits and a file name, as sha256sum "
                            "writes",
                            sum, DIGITS);
    free(text);
    return status;
}

static ctkd_status read_entry(const char *path, const char *manifest, const json_t *entry,
                              struct ctkd__manifest *out, ctkd_error *err)
{
    const json_t *const sum = json_object_get(entry, "sha256");
    const json_t *const network = json_object_get(entry, "network");
    const json_t *const top1 = json_object_get(entry, "top1");
    if (sum &&
        (!json_is_string(sum) || !is_digest(json_string_value(sum), json_string_length(sum))))
        return ctkd__fail(err, CTKD_EFORMAT, "%s: sha256: expected %d hexadecimal digits", manifest,
                          DIGITS);
    if (network && (!json_is_string(network) || !ctkd__text_is_line(json_string_value(network)) ||
                    json_string_length(network) >= sizeof out->network))
        return ctkd__fail(err, CTKD_EFORMAT, "%s: network: expected a name of `ctkd models`",
                          manifest);
    if (top1 && (!json_is_number(top1) ||
                 !(json_number_value(top1) >= 0 && json_number_value(top1) <= 100)))
        return ctkd__fail(err, CTKD_EFORMAT, "%s: top1: expected a number of 0 to 100", manifest);
    if (network)
        snprintf(out->network, sizeof out->network, "%s", json_string_value(network));
    out->has_top1 = top1 != NULL;
    out->top1 = json_number_value(top1);
    return sum ? verify(path, manifest, json_string_value(sum), out, err) : CTKD_OK;
}

static bool is_about(const json_t *entry, const char *name)
{
    const char *const file = json_string_value(json_object_get(entry, "file"));
    return file && strcmp(file, name) == 0;
}

static ctkd_status read_json(const char *path, const char *name, const char *manifest,
                             struct ctkd__manifest *out, ctkd_error *err)
{
    char *text;
    size_t size;
    ctkd_status status = ctkd__file_read(manifest, MANIFEST_BYTES, &text, &size, err);
    if (status != CTKD_OK)
        return status;
    json_error_t error;
    json_t *const root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (!root)
        return ctkd__fail(err, CTKD_EFORMAT, "%s:%d: %s", manifest, error.line, error.text);
    if (json_is_object(root) && is_about(root, name))
        status = read_entry(path, manifest, root, out, err);
    for (size_t i = 0; i < json_array_size(root) && status == CTKD_OK; i++)
        if (is_about(json_array_get(root, i), name))
            status = read_entry(path, manifest, json_array_get(root, i), out, err);
    json_decref(root);
    return status;
}

ctkd_status ctkd__manifest_read(const char *path, struct ctkd__manifest *out, ctkd_error *err)
{
    *out = (struct ctkd__manifest){ 0 };
    char beside[1100];
    const char *const slash = strrchr(path, '/');
    const char *const name = slash ? slash + 1 : path;
    snprintf(beside, sizeof beside, "%.*smanifest.json", (int)(name - path), path);
    ctkd_status status = CTKD_OK;
    if (access(beside, F_OK) == 0)
        status = read_json(path, name, beside, out, err);
    snprintf(beside, sizeof beside, "%s.sha256", path);
    if (status == CTKD_OK && access(beside, F_OK) == 0)
        status = read_sum(path, beside, out, err);
    return status;
}
