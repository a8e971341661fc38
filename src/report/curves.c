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

static void free_log(struct ctkd__curve_log *log)
{
    ctkd__json_rows_destroy(log->rows);
    free(log->epochs);
}

void ctkd__curves_free(struct ctkd__curves *curves)
{
    for (size_t r = 0; r < curves->n_runs; r++)
        free_log(&curves->log[r]);
    free(curves->log);
    *curves = (struct ctkd__curves){ 0 };
}

static ctkd_status read_log(const char *path, struct ctkd__curve_log *out, ctkd_error *err)
{
    *out = (struct ctkd__curve_log){ 0 };
    const ctkd_status status = ctkd__jsonl_read(path, &out->rows, err);
    if (status != CTKD_OK)
        return status;
    const size_t rows = ctkd__json_rows_count(out->rows);
    out->epochs = calloc(rows + 1, sizeof *out->epochs);
    if (!out->epochs) {
        free_log(out);
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    }
    for (size_t i = 0; i < rows; i++)
        if (ctkd__json_rows_is_epoch(out->rows, i))
            out->epochs[out->n_epochs++] = i;
    return CTKD_OK;
}

/* Takes over `log`, also on failure. */
static ctkd_status keep_log(struct ctkd__curves *curves, struct ctkd__curve_log *log,
                            ctkd_error *err)
{
    struct ctkd__curve_log *const logs =
        realloc(curves->log, (curves->n_runs + 1) * sizeof *curves->log);
    if (!logs) {
        free_log(log);
        return ctkd__fail(err, CTKD_ENOMEM, "curves: out of memory");
    }
    if (curves->n_runs == 0 || log->n_epochs < curves->n_common)
        curves->n_common = log->n_epochs;
    if (log->n_epochs > curves->n_epochs)
        curves->n_epochs = log->n_epochs;
    curves->log = logs;
    logs[curves->n_runs++] = *log;
    return CTKD_OK;
}

/* Adds a run; *finished is false and nothing is added if it has not finished an epoch yet. */
static ctkd_status add_run(struct ctkd__curves *curves, const char *dir, bool *finished,
                           ctkd_error *err)
{
    char path[PATH_BYTES + 64];
    struct ctkd__curve_log log;
    const ctkd_status status =
        read_log(ctkd__run_file_path(dir, CTKD__RUN_LOG, path, sizeof path), &log, err);
    if (status != CTKD_OK)
        return status;
    *finished = log.n_epochs > 0;
    if (!*finished) {
        free_log(&log);
        return CTKD_OK;
    }
    if (curves->n_runs == 0)
        snprintf(curves->first, sizeof curves->first, "%s", dir);
    return keep_log(curves, &log, err);
}

static ctkd_status no_epoch(const char *path, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_EFORMAT, "%s: found no finished epoch, expected one or more", path);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The run directories in a folder, in byte order, so that the same folder gives the same picture.
   Those without a finished epoch are left out: a sweep has begun them just now. */
static ctkd_status add_arm(struct ctkd__curves *curves, const char *path, ctkd_error *err)
{
    struct dirent **entries;
    const int n = scandir(path, &entries, is_visible, alphasort);
    ctkd_status status = CTKD_OK;
    bool found = false, finished;
    if (n < 0)
        return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        char dir[PATH_BYTES];
        const int used = snprintf(dir, sizeof dir, "%s/%s", path, entries[i]->d_name);
        if (status == CTKD_OK && used > 0 && (size_t)used < sizeof dir &&
            ctkd__run_file_exists(dir, CTKD__RUN_LOG)) {
            found = true;
            status = add_run(curves, dir, &finished, err);
        }
        free(entries[i]);
    }
    free(entries);
    if (status == CTKD_OK && !found)
        return ctkd__fail(err, CTKD_EIO,
                          "%s: found no %s here or one folder below, expected a run or an arm",
                          path, ctkd__run_file_name(CTKD__RUN_LOG));
    return status != CTKD_OK || curves->n_runs ? status : no_epoch(path, err);
}

ctkd_status ctkd__curves_read(const char *path, struct ctkd__curves *out, ctkd_error *err)
{
    *out = (struct ctkd__curves){ 0 };
    const size_t length = strlen(path), room = sizeof out->name - 1;
    char log[PATH_BYTES + 64];
    bool finished;
    snprintf(out->name, sizeof out->name, "%s", length > room ? path + length - room : path);
    if (!ctkd__run_file_exists(path, CTKD__RUN_LOG))
        return add_arm(out, path, err);
    const ctkd_status status = add_run(out, path, &finished, err);
    return status != CTKD_OK || finished
               ? status
               : no_epoch(ctkd__run_file_path(path, CTKD__RUN_LOG, log, sizeof log), err);
}

double ctkd__curves_epoch(const struct ctkd__curves *curves, size_t at)
{
    size_t run = 0;
    while (curves->log[run].n_epochs <= at)
        run++;
    return ctkd__json_rows_number(curves->log[run].rows, curves->log[run].epochs[at], "epoch");
}

static double value_in(const struct ctkd__curve_log *log, size_t at, const char *key)
{
    return key && at < log->n_epochs ? ctkd__json_rows_number(log->rows, log->epochs[at], key)
                                     : (double)NAN;
}

struct ctkd__curve_point ctkd__curves_point(const struct ctkd__curves *curves, size_t at,
                                            const char *key, const char *low, const char *high)
{
    if (curves->n_runs == 1)
        return (struct ctkd__curve_point){ value_in(curves->log, at, key),
                                           value_in(curves->log, at, low),
                                           value_in(curves->log, at, high) };
    struct ctkd__curve_point point = { 0, INFINITY, -INFINITY };
    size_t n = 0;
    for (size_t r = 0; r < curves->n_runs; r++) {
        const double value = value_in(&curves->log[r], at, key);
        if (!isfinite(value))
            continue;
        n++;
        point.value += value;
        point.low = fmin(point.low, value);
        point.high = fmax(point.high, value);
    }
    point.value /= (double)n;
    return n ? point : (struct ctkd__curve_point){ NAN, NAN, NAN };
}
