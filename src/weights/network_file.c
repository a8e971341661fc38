#include "weights/network_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctkd/ctkd.h"
#include "io/safetensors.h"
#include "util/error.h"
#include "util/file_kind.h"
#include "util/run_files.h"
#include "util/text.h"
#include "weights/known_files.h"

static ctkd_status absent(const char *path, const char *reason, ctkd_error *err)
{
    const char *const name = ctkd__base_name(path), *const dash = strrchr(name, '-');
    if (!dash || !ctkd__known_file_find(dash + 1)) /* torchvision's names end with it */
        return ctkd__fail(err, CTKD_EIO, "%s: %s, expected a run directory or a weights file", path,
                          reason);
    return ctkd__fail(err, CTKD_EIO,
                      "%s: %s, expected a run directory or a weights file; torchvision's is "
                      "https://download.pytorch.org/models/%s",
                      path, reason, name);
}

ctkd_status ctkd__network_file_find(const char *path, char *out, size_t bytes, ctkd_error *err)
{
    const char *const names[] = { "", ctkd__run_file_name(CTKD__RUN_LAST), "ckpt_epoch_240.pth" };
    struct stat info;
    if (stat(path, &info) != 0)
        return absent(path, strerror(errno), err);
    const ctkd_status status = ctkd__file_check_regular(path, err);
    if (status != CTKD_OK)
        return status;
    const bool directory = S_ISDIR(info.st_mode);
    for (size_t i = directory ? 1 : 0; i < sizeof names / sizeof *names; i++) {
        const int n = snprintf(out, bytes, "%s%s%s", path, i ? "/" : "", names[i]);
        if (n < 0 || (size_t)n >= bytes)
            return ctkd__fail(err, CTKD_ERANGE, "%s: found a name of more than %zu bytes", path,
                              bytes);
        if (!directory || stat(out, &info) == 0)
            return CTKD_OK;
    }
    return ctkd__fail(err, CTKD_EIO,
                      "%s: found a directory without %s or %s, expected a run directory", path,
                      names[1], names[2]);
}

static ctkd_status read_count(const struct ctkd__tensors *tensors, const char *file,
                              const char *key, uint64_t *out, ctkd_error *err)
{
    const char *text = ctkd__tensors_get(tensors, key);
    if (!text)
        return CTKD_OK;
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end || errno || text[0] == '-' || value > UINT32_MAX)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: metadata %s: found '%.40s', expected a number",
                          file, key, text);
    *out = value;
    return CTKD_OK;
}

static ctkd_status read_size(const struct ctkd__tensors *tensors, const char *file, const char *key,
                             size_t *out, ctkd_error *err)
{
    uint64_t value = 0;
    const ctkd_status status = read_count(tensors, file, key, &value, err);
    *out = (size_t)value;
    return status;
}

static ctkd_status read_class_names(const struct ctkd__tensors *tensors, const char *file,
                                    struct ctkd__network_info *info, ctkd_error *err)
{
    const char *const text = ctkd__tensors_get(tensors, "class_names");
    if (!text)
        return CTKD_OK;
    const ctkd_status status =
        ctkd__names_of_text("metadata class_names", text, &info->class_names, err);
    if (status != CTKD_OK)
        return ctkd__fail_within(err, status, "%s", file);
    if (info->classes && info->class_names->count != info->classes)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: metadata class_names: found %zu names, expected %zu, one for each "
                          "class",
                          file, info->class_names->count, info->classes);
    return CTKD_OK;
}

static ctkd_status read_normalisation(const struct ctkd__tensors *tensors, const char *file,
                                      struct ctkd__network_info *info, ctkd_error *err)
{
    const char *mean = ctkd__tensors_get(tensors, "mean");
    const char *std = ctkd__tensors_get(tensors, "std");
    if (!mean || !std)
        return CTKD_OK;
    if (info->channels == 0 || info->channels > CTKD__CHANNELS_MAX)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: metadata channels: found %zu beside mean and std, expected 1 to %d",
                          file, info->channels, CTKD__CHANNELS_MAX);
    if (ctkd__text_floats("metadata mean", mean, info->channels, info->mean, err) != CTKD_OK ||
        ctkd__text_floats("metadata std", std, info->channels, info->std, err) != CTKD_OK)
        return ctkd__fail_within(err, CTKD_EFORMAT, "%s", file);
    for (size_t c = 0; c < info->channels; c++)
        if (!(info->std[c] > 0))
            return ctkd__fail(err, CTKD_EFORMAT,
                              "%s: metadata std: found '%.60s', expected above 0", file, std);
    info->has_normalisation = true;
    return CTKD_OK;
}

static ctkd_status read_top1(const struct ctkd__tensors *tensors, const char *file,
                             struct ctkd__network_info *info, ctkd_error *err)
{
    const char *text = ctkd__tensors_get(tensors, "top1");
    if (!text)
        return CTKD_OK;
    char *end;
    info->top1 = strtod(text, &end);
    if (end == text || *end || !(info->top1 >= 0 && info->top1 <= 100))
        return ctkd__fail(err, CTKD_EFORMAT, "%s: metadata top1: found '%.40s', expected 0 to 100",
                          file, text);
    info->has_top1 = true;
    return CTKD_OK;
}

ctkd_status ctkd__network_info_get(const struct ctkd__tensors *tensors, const char *file,
                                   struct ctkd__network_info *info, ctkd_error *err)
{
    *info = (struct ctkd__network_info){ 0 };
    const char *network = ctkd__tensors_get(tensors, "network");
    const char *dataset = ctkd__tensors_get(tensors, "dataset");
    snprintf(info->network, sizeof info->network, "%s", network ? network : "");
    snprintf(info->dataset, sizeof info->dataset, "%s", dataset ? dataset : "");
    ctkd_status status = read_size(tensors, file, "classes", &info->classes, err);
    if (status == CTKD_OK)
        status = read_class_names(tensors, file, info, err);
    if (status == CTKD_OK)
        status = read_size(tensors, file, "channels", &info->channels, err);
    if (status == CTKD_OK)
        status = read_size(tensors, file, "height", &info->height, err);
    if (status == CTKD_OK)
        status = read_size(tensors, file, "width", &info->width, err);
    if (status == CTKD_OK)
        status = read_size(tensors, file, "resize", &info->resize, err);
    if (status == CTKD_OK)
        status = read_count(tensors, file, "epoch", &info->epoch, err);
    if (status == CTKD_OK)
        status = read_normalisation(tensors, file, info, err);
    if (status == CTKD_OK)
        status = read_top1(tensors, file, info, err);
    return status;
}

ctkd_status ctkd__network_file_read(const char *file, struct ctkd__tensors *tensors,
                                    struct ctkd__network_info *info, ctkd_error *err)
{
    ctkd_status status = ctkd__safetensors_read(file, tensors, err);
    if (status == CTKD_OK)
        status = ctkd__network_info_get(tensors, file, info, err);
    if (status != CTKD_OK)
        ctkd__tensors_fini(tensors);
    return status;
}

/* Sets metadata from a format; sticky. */
static void set(struct ctkd__tensors *list, ctkd_status *status, ctkd_error *err, const char *key,
                const char *format, ...) __attribute__((format(printf, 5, 6)));
static void set(struct ctkd__tensors *list, ctkd_status *status, ctkd_error *err, const char *key,
                const char *format, ...)
{
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (*status == CTKD_OK)
        *status = ctkd__tensors_set(list, key, text, err);
}

static void set_floats(struct ctkd__tensors *list, ctkd_status *status, ctkd_error *err,
                       const char *key, size_t n, const float *values)
{
    char text[160] = "";
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.9g", i ? "," : "",
                                 (double)values[i]);
    set(list, status, err, key, "%s", text);
}

ctkd_status ctkd__network_info_set(const struct ctkd__network_info *info,
                                   struct ctkd__tensors *list, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    if (info->network[0])
        set(list, &status, err, "network", "%s", info->network);
    if (info->dataset[0])
        set(list, &status, err, "dataset", "%s", info->dataset);
    const struct {
        const char *key;
        size_t value;
    } sizes[] = { { "classes", info->classes },
                  { "channels", info->channels },
                  { "height", info->height },
                  { "width", info->width },
                  { "resize", info->resize } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value)
            set(list, &status, err, sizes[i].key, "%zu", sizes[i].value);
    if (info->class_names && status == CTKD_OK)
        status = ctkd__tensors_set(list, "class_names", info->class_names->text, err);
    if (info->has_normalisation) {
        set_floats(list, &status, err, "mean", info->channels, info->mean);
        set_floats(list, &status, err, "std", info->channels, info->std);
    }
    if (info->has_top1)
        set(list, &status, err, "top1", "%.9g", info->top1);
    if (info->epoch)
        set(list, &status, err, "epoch", "%" PRIu64, info->epoch);
    set(list, &status, err, "version", "%s", CTKD_VERSION_STRING);
    return status;
}

ctkd_status ctkd__network_file_write(const char *file, const struct ctkd__weights *weights,
                                     const struct ctkd__network_info *info, ctkd_error *err)
{
    struct ctkd__tensors list = { 0 };
    ctkd_status status = ctkd__weights_export(weights, &list, err);
    set(&list, &status, err, "format", "pt"); /* what PyTorch's loaders look for */
    if (status == CTKD_OK)
        status = ctkd__network_info_set(info, &list, err);
    if (status == CTKD_OK)
        status = ctkd__safetensors_write(file, &list, err);
    ctkd__tensors_fini(&list);
    return status;
}
