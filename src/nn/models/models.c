#include "nn/models/models.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/models/list.h"
#include "util/error.h"
#include "util/options.h"

#define DECLARE(family) extern const struct ctkd__model_family ctkd__model_##family;
CTKD__MODEL_LIST(DECLARE)
#undef DECLARE

static const struct ctkd__model_family *const families[] = {
#define ENTRY(family) &ctkd__model_##family,
    CTKD__MODEL_LIST(ENTRY)
#undef ENTRY
        NULL
};

enum { CHANNELS_MAX = 1024 }; /* more are a mistake */

const struct ctkd__model_family *const *ctkd__model_families(void)
{
    return families;
}

const struct ctkd__model *ctkd__model_find(const char *name,
                                           const struct ctkd__model_family **family)
{
    for (size_t i = 0; families[i]; i++)
        for (const struct ctkd__model *model = families[i]->models; model->name; model++)
            if (strcmp(model->name, name) == 0) {
                if (family)
                    *family = families[i];
                return model;
            }
    return NULL;
}

struct ctkd__model_args ctkd__model_published(const struct ctkd__model_family *family)
{
    return (struct ctkd__model_args){ .channels = 3,
                                      .height = family->side,
                                      .width = family->side,
                                      .classes = family->side == 32 ? 100 : 1000 };
}

static ctkd_status unknown(const char *name, ctkd_error *err)
{
    size_t count = 0;
    for (size_t i = 0; families[i]; i++)
        for (const struct ctkd__model *model = families[i]->models; model->name; model++)
            count++;
    const char **const names = calloc(count + 1, sizeof *names);
    if (!names)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", name);
    for (size_t i = 0, n = 0; families[i]; i++)
        for (const struct ctkd__model *model = families[i]->models; model->name; model++)
            names[n++] = model->name;
    const ctkd_status status =
        ctkd__unknown("network", name, names, "`ctkd models` lists them", err);
    free(names);
    return status;
}

static ctkd_status check_args(const char *name, const struct ctkd__model_family *family,
                              const struct ctkd__model_args *args, ctkd_error *err)
{
    if (args->channels < 1 || args->channels > CHANNELS_MAX)
        return ctkd__fail(err, CTKD_ERANGE, "%s: found images of %zu channels, expected 1 to %d",
                          name, args->channels, CHANNELS_MAX);
    if (args->classes < 2 || args->classes > CTKD__MODEL_CLASSES_MAX)
        return ctkd__fail(err, CTKD_ERANGE, "%s: found %zu classes, expected 2 to %d", name,
                          args->classes, CTKD__MODEL_CLASSES_MAX);
    const size_t least = family->side_min;
    if (args->height < least || args->width < least || args->height > CTKD__MODEL_SIDE_MAX ||
        args->width > CTKD__MODEL_SIDE_MAX)
        return ctkd__fail(err, CTKD_ERANGE,
                          "%s: found images of %zux%zu, expected sides of %zu to %d", name,
                          args->height, args->width, least, CTKD__MODEL_SIDE_MAX);
    return CTKD_OK;
}

ctkd_status ctkd__model_build(const char *name, const struct ctkd__model_args *args,
                              struct ctkd__graph **out, ctkd_error *err)
{
    *out = NULL;
    const struct ctkd__model_family *family;
    const struct ctkd__model *const model = ctkd__model_find(name, &family);
    if (!model)
        return unknown(name, err);
    ctkd_status status = check_args(name, family, args, err);
    if (status)
        return status;
    struct ctkd__graph *graph;
    status = ctkd__graph_create(&graph);
    if (status)
        return ctkd__fail(err, status, "%s: out of memory", name);
    status = ctkd__graph_finish(graph, family->build(graph, model, args), err);
    if (status) {
        ctkd__graph_destroy(graph);
        return ctkd__fail_within(err, status, "%s", name);
    }
    *out = graph;
    return CTKD_OK;
}

const char *ctkd__model_path(char out[96], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out, 96, format, arguments);
    va_end(arguments);
    return out;
}

void ctkd__model_tap_stage(struct ctkd__graph *graph, size_t stage, int x, int before)
{
    char name[96];
    ctkd__graph_tap(graph, ctkd__model_path(name, "f%zu", stage), x);
    if (before >= 0)
        ctkd__graph_tap(graph, ctkd__model_path(name, "pre%zu", stage), before);
}

int ctkd__model_conv(struct ctkd__graph *graph, int x, const char *name, size_t out, size_t kernel,
                     size_t stride)
{
    const struct ctkd__conv_args args = { .out = out,
                                          .kernel = kernel,
                                          .stride = stride,
                                          .padding = kernel / 2,
                                          .init = CTKD__INIT_NORMAL,
                                          .value = ctkd__init_he_out(kernel, out) };
    return ctkd__graph_conv(graph, x, name, &args);
}
