#include "report/curves.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"
#include "util/run_files.h"

enum { PATH_BYTES = 1024 + 256 };

void ctkd__curves_free(struct ctkd__curves *curves)
{
    for (size_t r = 0; r < curves->n_runs; r++) {
        ctkd__json_rows_destroy(curves->log[r]);
        free(curves->epochs[r]);
    }
    free(curves->log);
    free(curves->epochs);
    *curves = (struct ctkd__curves){ 0 };
}

/* The rows of a log that are epochs. */
static size_t *find_epochs(const struct ctkd__json_rows *log, size_t *count)
{
    const size_t rows = ctkd__json_rows_count(log);
    size_t *const found = calloc(rows + 1, sizeof *found);
    *count = 0;
    for (size_t i = 0; found && i < rows; i++)
        if (ctkd__json_rows_is_epoch(log, i))
            found[(*count)++] = i;
    return found;
}

static ctkd_status add_run(struct ctkd__curves *curves, const char *dir, ctkd_error *err)
{
    char path[PATH_BYTES + 64];
    struct ctkd__json_rows *log;
    ctkd__run_file_path(dir, CTKD__RUN_LOG, path, sizeof path);
    if (curves->n_runs == 0)
        snprintf(curves->first, sizeof curves->first, "%s", dir);
    const ctkd_status status = ctkd__jsonl_read(path, &log, err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__json_rows **const logs =
        realloc(curves->log, (curves->n_runs + 1) * sizeof(struct ctkd__json_rows *));
    size_t **const epochs = realloc(curves->epochs, (curves->n_runs + 1) * sizeof(size_t *));
    size_t n = 0, *const rows = logs && epochs ? find_epochs(log, &n) : NULL;
    curves->log = logs ? logs : curves->log;
    curves->epochs = epochs ? epochs : curves->epochs;
    if (!rows) {
        ctkd__json_rows_destroy(log);
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    }
    curves->n_epochs = curves->n_runs == 0 || n < curves->n_epochs ? n : curves->n_epochs;
    logs[curves->n_runs] = log;
    epochs[curves->n_runs++] = rows;
    if (n == 0)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found no finished epoch, expected one or more",
                          path);
    return CTKD_OK;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The run directories in a folder, in byte order, so that the same folder gives the same picture.
 */
static ctkd_status add_arm(struct ctkd__curves *curves, const char *path, ctkd_error *err)
{
    struct dirent **entries;
    const int n = scandir(path, &entries, is_visible, alphasort);
    ctkd_status status = CTKD_OK;
    if (n < 0)
        return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        char dir[PATH_BYTES];
        const int used = snprintf(dir, sizeof dir, "%s/%s", path, entries[i]->d_name);
        if (status == CTKD_OK && used > 0 && (size_t)used < sizeof dir &&
            ctkd__run_file_exists(dir, CTKD__RUN_LOG))
            status = add_run(curves, dir, err);
        free(entries[i]);
    }
    free(entries);
    if (status == CTKD_OK && curves->n_runs == 0)
        return ctkd__fail(err, CTKD_EIO,
                          "%s: found no %s here or one folder below, expected a run or an arm",
                          path, ctkd__run_file_name(CTKD__RUN_LOG));
    return status;
}

ctkd_status ctkd__curves_read(const char *path, struct ctkd__curves *out, ctkd_error *err)
{
    *out = (struct ctkd__curves){ 0 };
    const size_t length = strlen(path), room = sizeof out->name - 1;
    snprintf(out->name, sizeof out->name, "%s", length > room ? path + length - room : path);
    return ctkd__run_file_exists(path, CTKD__RUN_LOG) ? add_run(out, path, err)
                                                      : add_arm(out, path, err);
}

double ctkd__curves_epoch(const struct ctkd__curves *curves, size_t at)
{
    return ctkd__json_rows_number(curves->log[0], curves->epochs[0][at], "epoch");
}

static double value_in(const struct ctkd__curves *curves, size_t run, size_t at, const char *key)
{
    return key ? ctkd__json_rows_number(curves->log[run], curves->epochs[run][at], key)
               : (double)NAN;
}

struct ctkd__curve_point ctkd__curves_point(const struct ctkd__curves *curves, size_t at,
                                            const char *key, const char *low, const char *high)
{
    if (curves->n_runs == 1)
        return (struct ctkd__curve_point){ value_in(curves, 0, at, key),
                                           value_in(curves, 0, at, low),
                                           value_in(curves, 0, at, high) };
    struct ctkd__curve_point point = { 0, INFINITY, -INFINITY };
    for (size_t r = 0; r < curves->n_runs; r++) {
        const double value = value_in(curves, r, at, key);
        point.value += value / (double)curves->n_runs;
        point.low = fmin(point.low, value);
        point.high = fmax(point.high, value);
    }
    return point;
}
