#include "data/dataset.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/images.h"
#include "data/list.h"
#include "util/error.h"
#include "util/options.h"

#define DECLARE(word) extern const struct ctkd__dataset_def ctkd__dataset_##word;
CTKD__DATASET_LIST(DECLARE)
#undef DECLARE

#define ADDRESS(word) &ctkd__dataset_##word,
static const struct ctkd__dataset_def *const list[] = { CTKD__DATASET_LIST(ADDRESS) NULL };
#undef ADDRESS

const struct ctkd__dataset_def *const *ctkd__dataset_list(void)
{
    return list;
}

size_t ctkd__dataset_name_length(const char *spec)
{
    return strcspn(spec, ":");
}

const struct ctkd__dataset_def *ctkd__dataset_find(const char *spec)
{
    const size_t n = ctkd__dataset_name_length(spec);
    for (size_t i = 0; list[i]; i++)
        if (strlen(list[i]->name) == n && memcmp(list[i]->name, spec, n) == 0)
            return list[i];
    return NULL;
}

static ctkd_status unknown_name(const char *spec, ctkd_error *err)
{
    char name[81]; /* a message shows at most this much */
    snprintf(name, sizeof name, "%.*s", (int)ctkd__dataset_name_length(spec), spec);
    const char *names[sizeof list / sizeof *list] = { NULL };
    char all[160] = "";
    for (size_t i = 0, used = 0; list[i] && used < sizeof all; i++) {
        names[i] = list[i]->name;
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
    }
    const bool path = strchr(name, '/') || name[0] == '.' || (name[0] && access(spec, F_OK) == 0);
    if (path)
        return ctkd__fail(err, CTKD_ENOTFOUND,
                          "data.set: '%.200s' is a path without a name, expected NAME or NAME:PATH "
                          "with NAME one of %s; imagefolder:%.200s reads a folder for each class",
                          spec, all, spec);
    char otherwise[256];
    snprintf(otherwise, sizeof otherwise, "expected NAME or NAME:PATH with NAME one of %s", all);
    return ctkd__fail_within(err, ctkd__unknown("data set", name, names, otherwise, err),
                             "data.set");
}

/* Splits NAME[:PATH]; the path of a name alone is where a package puts the files. */
static ctkd_status parse_spec(const char *spec, const struct ctkd__dataset_def **def,
                              const char **path, ctkd_error *err)
{
    const size_t n = ctkd__dataset_name_length(spec);
    *def = ctkd__dataset_find(spec);
    if (!*def)
        return unknown_name(spec, err);
    *path = spec[n] ? spec + n + 1 : (*def)->default_path;
    if (!*path || !**path)
        return ctkd__fail(err, CTKD_EINVAL, "data.set: %s has no path, expected %s:PATH, a %s",
                          spec, (*def)->name, (*def)->files);
    return CTKD_OK;
}

/* The classes of a published set are fixed; a user's own set has as many as options ask for. */
static ctkd_status classes_check(const struct ctkd__dataset_def *def, size_t published,
                                 size_t classes, ctkd_error *err)
{
    if (classes == 0 || classes == published)
        return CTKD_OK;
    if (def->classes_max == 0)
        return ctkd__fail(
            err, CTKD_EINVAL,
            "data.classes: found %zu, but data set %s has %zu classes; expected that number or 0",
            classes, def->name, published);
    if (classes < 2 || classes > def->classes_max)
        return ctkd__fail(
            err, CTKD_ERANGE,
            "data.classes: found %zu, expected 2..%zu, or 0 to take the number from the labels",
            classes, def->classes_max);
    return CTKD_OK;
}

struct ctkd__dataset_options ctkd__dataset_options_defaults(void)
{
    return (struct ctkd__dataset_options){
        .layout = { .holdout = 0.1 },
        .crop_area = { 0.08, 1 },
        .pixels_max = ctkd__view_settings_defaults().pixels_max,
        .roi = true,
    };
}

ctkd_status ctkd__dataset_open(const char *spec, const struct ctkd__dataset_options *options,
                               struct ctkd__dataset **out, ctkd_error *err)
{
    const struct ctkd__dataset_options defaults = ctkd__dataset_options_defaults();
    if (!options)
        options = &defaults;
    const size_t classes = options->classes;
    *out = NULL;
    const struct ctkd__dataset_def *def = NULL;
    const char *path = NULL;
    ctkd_status status = parse_spec(spec, &def, &path, err);
    if (status != CTKD_OK)
        return status;
    const char *const names = options->layout.class_file;
    if (!def->in_files && names && names[0])
        return ctkd__fail(err, CTKD_EINVAL,
                          "data.classes: found '%.60s', expected a number for data set %s", names,
                          def->name);
    const bool coarse = options->labels == CTKD__LABELS_COARSE;
    if (coarse && def->coarse_classes == 0)
        return ctkd__fail(err, CTKD_EINVAL,
                          "data set %s has one kind of labels; expected data.labels=fine",
                          def->name);
    const size_t published = coarse ? def->coarse_classes : def->classes;
    status = classes_check(def, published, classes, err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset)
        return ctkd__fail(err, CTKD_ENOMEM, "data set %s: out of memory", spec);
    snprintf(dataset->name, sizeof dataset->name, "%s", def->name);
    dataset->classes = classes || def->classes_max ? classes : published;
    dataset->options = *options;
    memcpy(dataset->mean, def->mean, sizeof dataset->mean);
    memcpy(dataset->std, def->std, sizeof dataset->std);
    status = def->load(def, path, dataset, err);
    if (status != CTKD_OK) {
        ctkd__dataset_close(dataset);
        if (path == def->default_path)
            return ctkd__fail_within(
                err, status, "%s (in the place where a package installs it; %s:PATH names another)",
                def->name, def->name);
        return status;
    }
    *out = dataset;
    return CTKD_OK;
}

void ctkd__dataset_close(struct ctkd__dataset *dataset)
{
    if (!dataset)
        return;
    ctkd__images_free(&dataset->train);
    ctkd__images_free(&dataset->test);
    if (dataset->folder) {
        ctkd__layout_fini(&dataset->folder->layout);
        ctkd__tree_close(dataset->folder->tree);
        free(dataset->folder);
    }
    free(dataset);
}
