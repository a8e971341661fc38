#include "config/run_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"
#include "util/options_inner.h"
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

/* --- paths of a run that is read from another folder */

/* Where the paths of a run lead. */
struct places {
    const char *from, *to;  /* run.dir as the run knew it, and its directory now */
    char began[PATH_BYTES]; /* the folder in which it began; "": unknown */
};

/* A relative run.dir tells the folder in which the run began, if its directory still lies there:
   runs/x in /project/runs/x began in /project. */
static void find_beginning(struct places *places)
{
    const char *from = places->from;
    char *const real = realpath(places->to, NULL);
    while (strncmp(from, "./", 2) == 0)
        from += 2;
    size_t length = strlen(from), all = real ? strlen(real) : 0;
    while (length > 0 && from[length - 1] == '/')
        length--;
    places->began[0] = '\0';
    if (from[0] != '/' && length > 0 && all > length + 1 && all < PATH_BYTES &&
        real[all - length - 1] == '/' && strncmp(real + all - length, from, length) == 0)
        snprintf(places->began, sizeof places->began, "%.*s", (int)(all - length - 1), real);
    free(real);
}

/* The path in the value of a key: of NAME:PATH only PATH; NULL: it has none. */
static const char *path_in(const char *key, const char *value)
{
    const char *const colon = strcmp(key, "data.set") == 0 ? strchr(value, ':') : NULL;
    const bool word = (strcmp(key, "data.set") == 0 && !colon) ||
                      (strcmp(key, "teacher.store") == 0 && strcmp(value, "off") == 0) ||
                      strspn(value, "0123456789") == strlen(value); /* of data.classes */
    return word ? NULL : colon ? colon + 1 : value;
}

/* Moves the path in a value: what lay below the run's directory lies there now, and another
   relative one is that of the folder in which the run began, if there is such a file. */
static ctkd_status move_path(struct ctkd__config *config, const char *key, const char *value,
                             const struct places *places, ctkd_error *err)
{
    char text[2 * PATH_BYTES], moved[2 * PATH_BYTES];
    const size_t n = strlen(places->from);
    const char *const path = path_in(key, value);
    int length = -1;
    if (!path)
        return CTKD_OK;
    if (strncmp(path, places->from, n) == 0 && path[n] == '/')
        length = snprintf(moved, sizeof moved, "%s%s", places->to, path + n);
    else if (path[0] != '/' && places->began[0]) {
        length = snprintf(moved, sizeof moved, "%s/%s", places->began, path);
        if (access(moved, F_OK) != 0)
            return CTKD_OK;
    } else
        return CTKD_OK;
    const int all = snprintf(text, sizeof text, "%.*s%s", (int)(path - value), value, moved);
    if (length < 0 || (size_t)length >= sizeof moved || (size_t)all >= sizeof text)
        return ctkd__fail(err, CTKD_ERANGE, "%s: '%.60s...' is too long", key, value);
    return ctkd__sections_set(ctkd__config_sections(config), "config.yaml", key, text, err);
}

static ctkd_status move_run(struct ctkd__config *config, const char *to, ctkd_error *err)
{
    char from[PATH_BYTES];
    if (snprintf(from, sizeof from, "%s", config->run.dir) >= (int)sizeof from)
        return ctkd__fail(err, CTKD_ERANGE, "run.dir: the name is too long");
    struct places places = { .from = from, .to = to };
    find_beginning(&places);
    const struct ctkd__sections sections = ctkd__config_sections(config);
    struct ctkd__option_at at = { 0 };
    ctkd_status status = CTKD_OK;
    while (status == CTKD_OK && ctkd__options_next(sections, &at)) {
        char unused[64];
        if (at.option->type == CTKD_OPTION_PATH && strcmp(at.key, "run.dir") != 0)
            status = move_path(config, at.key, ctkd__option_value(&at, unused, sizeof unused),
                               &places, err);
    }
    return status == CTKD_OK ? ctkd__sections_set(sections, "config.yaml", "run.dir", to, err)
                             : status;
}

bool ctkd__config_same_value(const struct ctkd__option_at *at, const char *a, const char *b)
{
    const size_t m = strlen(a), n = strlen(b);
    if (at->option->type != CTKD_OPTION_PATH || m == n)
        return strcmp(a, b) == 0;
    const char *const longer = m > n ? a : b, *const shorter = m > n ? b : a;
    const char *const rest = longer + (m > n ? m - n : n - m);
    return longer[0] == '/' && shorter[0] && rest[-1] == '/' && strcmp(rest, shorter) == 0;
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
    return of_run && config->run.dir[0] && !ctkd__is_same_file(config->run.dir, dir)
               ? move_run(config, dir, err)
               : status;
}
