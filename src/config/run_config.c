#include "config/run_config.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "util/error.h"
#include "util/file.h"
#include "util/run_files.h"

enum { PATH_BYTES = 4096 };

/* The directory of `path` if that is the config.yaml of a run. Weights beside it do not show that:
   they may also lie beside a recipe. */
static bool find_run(const char *path, char *dir, size_t bytes)
{
    static const enum ctkd__run_file marks[] = { CTKD__RUN_LOG, CTKD__RUN_SUMMARY,
                                                 CTKD__RUN_CHECKPOINT, CTKD__RUN_PREVIOUS,
                                                 CTKD__RUN_LOCK };
    const char *const slash = strrchr(path, '/'), *const name = slash ? slash + 1 : path;
    const int n = slash == path ? snprintf(dir, bytes, "/")
                  : slash       ? snprintf(dir, bytes, "%.*s", (int)(slash - path), path)
                                : snprintf(dir, bytes, ".");
    if (strcmp(name, ctkd__run_file_name(CTKD__RUN_CONFIG)) != 0 || n < 0 || (size_t)n >= bytes)
        return false;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (ctkd__run_file_exists(dir, marks[i]))
            return true;
    return false;
}

static bool is_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* If the path in `value` lies below `from`, moves it below `to`; of NAME:PATH only PATH. */
static ctkd_status move_path(struct ctkd__config *config, const char *key, const char *value,
                             const char *from, const char *to, ctkd_error *err)
{
    const size_t n = strlen(from);
    const char *const colon = strcmp(key, "data.set") == 0 ? strchr(value, ':') : NULL;
    const char *const path = colon ? colon + 1 : value;
    if (strncmp(path, from, n) != 0 || path[n] != '/')
        return CTKD_OK;
    char text[2 * PATH_BYTES];
    const int length =
        snprintf(text, sizeof text, "%.*s%s%s", (int)(path - value), value, to, path + n);
    if (length < 0 || (size_t)length >= sizeof text)
        return ctkd__fail(err, CTKD_ERANGE, "%s: '%.60s...' is too long", key, value);
    return ctkd__sections_set(ctkd__config_sections(config), "config.yaml", key, text, err);
}

static ctkd_status move_run(struct ctkd__config *config, const char *to, ctkd_error *err)
{
    char from[PATH_BYTES];
    if (snprintf(from, sizeof from, "%s", config->run.dir) >= (int)sizeof from)
        return ctkd__fail(err, CTKD_ERANGE, "run.dir: the name is too long");
    const struct {
        const char *key, *value;
    } paths[] = { { "data.set", config->data.set },
                  { "data.classes", config->data.classes },
                  { "data.exclude", config->data.exclude },
                  { "teacher.path", config->teacher.path },
                  { "teacher.classes", config->teacher.classes },
                  { "teacher.store", config->teacher.store },
                  { "student.init", config->student.init },
                  { "train.choices", config->train.choices } };
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < sizeof paths / sizeof *paths && status == CTKD_OK; i++)
        status = move_path(config, paths[i].key, paths[i].value, from, to, err);
    return status == CTKD_OK ? ctkd__sections_set(ctkd__config_sections(config), "config.yaml",
                                                  "run.dir", to, err)
                             : status;
}

ctkd_status ctkd__run_config_read(const char *path, struct ctkd__config *config, ctkd_error *err)
{
    char inside[PATH_BYTES], dir[PATH_BYTES];
    if (ctkd__is_folder(path)) {
        const size_t length = strlen(path);
        const char *const slash = length && path[length - 1] == '/' ? "" : "/";
        const int n = snprintf(inside, sizeof inside, "%s%s%s", path, slash,
                               ctkd__run_file_name(CTKD__RUN_CONFIG));
        if (n < 0 || (size_t)n >= sizeof inside)
            return ctkd__fail(err, CTKD_ERANGE, "%s: the file name is too long", path);
        path = inside;
    }
    const struct ctkd__sections sections = ctkd__config_sections(config);
    const ctkd_status status = ctkd__sections_read_yaml(sections, path, err);
    const bool of_run = status == CTKD_OK && find_run(path, dir, sizeof dir);
    if (of_run || ctkd__sections_all_given(sections)) /* of_run: an older version had fewer keys */
        ctkd__sections_forget_given(sections);
    /* A recipe that is named config.yaml has no run.dir, or names another one on purpose. */
    return of_run && config->run.dir[0] && !is_same(config->run.dir, dir)
               ? move_run(config, dir, err)
               : status;
}
