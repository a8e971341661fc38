#include "report/curves.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"
#include "util/run_folders.h"

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

/* Adds a run that has finished an epoch. A sweep has begun the others just now. */
static ctkd_status add_run(void *context, const char *dir, ctkd_error *err)
{
    struct ctkd__curves *const curves = context;
    char path[PATH_BYTES + 64];
    struct ctkd__curve_log log;
    const ctkd_status status =
        read_log(ctkd__run_file_path(dir, CTKD__RUN_LOG, path, sizeof path), &log, err);
    if (status != CTKD_OK)
        return status;
    if (log.n_epochs == 0) {
        free_log(&log);
        return CTKD_OK;
    }
    if (curves->n_runs == 0)
        snprintf(curves->first, sizeof curves->first, "%s", dir);
    return keep_log(curves, &log, err);
}

ctkd_status ctkd__curves_read(const char *path, struct ctkd__curves *out, ctkd_error *err)
{
    *out = (struct ctkd__curves){ 0 };
    const size_t length = strlen(path), room = sizeof out->name - 1;
    snprintf(out->name, sizeof out->name, "%s", length > room ? path + length - room : path);
    const ctkd_status status =
        ctkd__runs_walk(path, CTKD__RUN_LOG, CTKD__RUNS_OF_ARM, add_run, out, err);
    if (status == CTKD_OK && out->n_runs == 0)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found no finished epoch, expected one or more",
                          path);
    return status;
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
