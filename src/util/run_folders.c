#include "util/run_folders.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"
#include "util/file.h"
#include "util/text.h"

/* --- runs below a folder */

/* Room for a name in run.dir, which is shorter than 1024 bytes. */
enum { PATH_BYTES = 1024 + 256 };

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* "folder/name"; false where that is too long for a run. */
static bool join(const char *folder, const char *name, char out[PATH_BYTES])
{
    const int n =
        snprintf(out, PATH_BYTES, "%s%s%s", folder, ctkd__text_ends(folder, "/") ? "" : "/", name);
    return n > 0 && n < PATH_BYTES;
}

struct run_walk {
    enum ctkd__run_file file;
    ctkd__run_found found;
    void *context;
};

/* *read: whether `path` is a run or a folder. */
static ctkd_status walk_down(const struct run_walk *walk, const char *path, int depth, bool *read,
                             ctkd_error *err)
{
    struct dirent **entries;
    ctkd_status status = CTKD_OK;
    *read = true;
    if (ctkd__run_file_exists(path, walk->file))
        return walk->found(walk->context, path, err);
    if (depth == 0)
        return CTKD_OK;
    const int n = scandir(path, &entries, is_visible, alphasort);
    *read = n >= 0;
    for (int i = 0; i < n; i++) {
        char below[PATH_BYTES];
        bool unused; /* most are files */
        if (status == CTKD_OK && join(path, entries[i]->d_name, below))
            status = walk_down(walk, below, depth - 1, &unused, err);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return status;
}

ctkd_status ctkd__runs_walk(const char *path, enum ctkd__run_file file, int depth,
                            ctkd__run_found found, void *context, ctkd_error *err)
{
    const struct run_walk walk = { file, found, context };
    bool read;
    errno = 0;
    const ctkd_status status = walk_down(&walk, path, depth, &read, err);
    if (status == CTKD_OK && !read)
        return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", path, strerror(errno));
    return status;
}

/* --- arms */

void ctkd__arm_folders_free(struct ctkd__arm_folders *arms)
{
    for (size_t i = 0; i < arms->count; i++)
        free(arms->paths[i]);
    free(arms->paths);
    *arms = (struct ctkd__arm_folders){ 0 };
}

static ctkd_status add(struct ctkd__arm_folders *arms, const char *path, ctkd_error *err)
{
    char **const paths = realloc(arms->paths, (arms->count + 1) * sizeof *paths);
    if (paths)
        arms->paths = paths;
    char *const copy = paths ? strdup(path) : NULL;
    if (!copy)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    paths[arms->count++] = copy;
    return CTKD_OK;
}

static bool has(const struct ctkd__arm_folders *arms, const char *path)
{
    for (size_t i = 0; i < arms->count; i++)
        if (ctkd__is_same_file(arms->paths[i], path))
            return true;
    return false;
}

static ctkd_status count_run(void *context, const char *dir, ctkd_error *err)
{
    (void)dir, (void)err;
    ++*(size_t *)context;
    return CTKD_OK;
}

/* Adds the folder of a run, that of an arm, unless it is there. */
static ctkd_status add_folder_of(void *context, const char *dir, ctkd_error *err)
{
    char folder[PATH_BYTES];
    const size_t length = (size_t)(ctkd__base_name(dir) - dir);
    snprintf(folder, sizeof folder, "%.*s", (int)(length - 1), dir);
    return has(context, folder) ? CTKD_OK : add(context, folder, err);
}

ctkd_status ctkd__arm_folders_add(struct ctkd__arm_folders *arms, const char *path, ctkd_error *err)
{
    size_t runs = 0;
    ctkd_status status =
        ctkd__runs_walk(path, CTKD__RUN_LOG, CTKD__RUNS_OF_ARM, count_run, &runs, err);
    if (status == CTKD_OK && runs > 0)
        return add(arms, path, err);
    if (status == CTKD_OK)
        status = ctkd__runs_walk(path, CTKD__RUN_LOG, CTKD__RUNS_OF_SWEEP, count_run, &runs, err);
    if (status == CTKD_OK && runs == 0)
        return ctkd__fail(err, CTKD_EINVAL, CTKD__NO_RUN, path, ctkd__run_file_name(CTKD__RUN_LOG));
    return status ? status
                  : ctkd__runs_walk(path, CTKD__RUN_LOG, CTKD__RUNS_OF_SWEEP, add_folder_of, arms,
                                    err);
}
