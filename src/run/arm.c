#include "run/arm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/run_config.h"
#include "data/dataset.h"
#include "io/jsonl.h"
#include "util/error.h"
#include "util/options_inner.h"
#include "util/run_folders.h"
#include "util/text.h"

/* --- differences of configurations */

/* NAME:PATH names the same data wherever they lie. */
static bool equal(const struct ctkd__option_at *at, const char *a, const char *b)
{
    if (strcmp(at->key, "data.set") == 0) {
        const size_t n = ctkd__dataset_name_length(a);
        return strncmp(a, b, n) == 0 && (b[n] == ':' || b[n] == '\0');
    }
    return ctkd__config_same_value(at, a, b);
}

ctkd_status ctkd__arm_differences(const struct ctkd__config *a, const struct ctkd__config *b,
                                  ctkd__difference_found found, void *context, ctkd_error *err)
{
    struct ctkd__option_at x = { 0 }, y = { 0 };
    const struct ctkd__sections first = ctkd__config_sections(a), second = ctkd__config_sections(b);
    while (ctkd__options_next(first, &x) && ctkd__options_next(second, &y)) {
        char text[2][64];
        const char *const values[2] = { ctkd__option_value(&x, text[0], sizeof text[0]),
                                        ctkd__option_value(&y, text[1], sizeof text[1]) };
        if (ctkd__key_may_differ(x.key, CTKD__BETWEEN_RUNS_OF_ARM) ||
            equal(&x, values[0], values[1]))
            continue;
        const ctkd_status status = found(context, x.key, values[0], values[1], err);
        if (status)
            return status;
    }
    return CTKD_OK;
}

struct named_keys {
    char *text;
    size_t bytes, used;
};

static ctkd_status add_difference(void *context, const char *key, const char *a, const char *b,
                                  ctkd_error *err)
{
    (void)a, (void)err;
    struct named_keys *const d = context;
    ctkd__text_append(d->text, d->bytes, &d->used, "%s%s %s", d->used ? ", " : "", key,
                      b[0] ? b : "\"\"");
    return CTKD_OK;
}

void ctkd__arm_differences_text(const struct ctkd__config *a, const struct ctkd__config *b,
                                char *text, size_t bytes)
{
    struct named_keys d = { text, bytes, 0 };
    text[0] = '\0';
    ctkd__arm_differences(a, b, add_difference, &d, NULL); /* add_difference does not fail */
}

/* --- one run */

bool ctkd__arm_less_is_better(const char *metric)
{
    static const char *const costs[] = { "loss", "seconds", "_ms", "bytes", "misses", "damaged" };
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++)
        if (strstr(metric, costs[i]))
            return true;
    return false;
}

const char *ctkd__arm_choice_text(enum ctkd__arm_choice choice)
{
    static const char *const texts[] = {
        [CTKD__ARM_AUTO] = "",
        [CTKD__ARM_LAST] = "last epoch",
        [CTKD__ARM_BEST] = "best epoch, chosen on the test images (it flatters)",
        [CTKD__ARM_DEV] = "best epoch, chosen on the validation part (data.dev)"
    };
    return texts[choice];
}

static enum ctkd__arm_choice resolve(enum ctkd__arm_choice choice,
                                     const struct ctkd__config *config)
{
    if (choice == CTKD__ARM_LAST)
        return choice;
    return config->data.dev > 0       ? CTKD__ARM_DEV
           : choice == CTKD__ARM_AUTO ? CTKD__ARM_LAST
                                      : choice;
}

/* Whether train.max_steps has ended the run with this line, within an epoch or after one for which
   no evaluation is planned: a run with more steps resumes from before the line and replaces it, so
   that its evaluation neither ends the run nor may be chosen. If the only epoch has ended so, the
   log does not say whether that was its last step; then it counts as cut. */
static bool is_cut(const struct ctkd__config *config, const struct ctkd__json_rows *rows,
                   size_t row)
{
    const double limit = (double)config->train.max_steps;
    const double step = ctkd__json_rows_number(rows, row, "step");
    const double epoch = ctkd__json_rows_number(rows, row, "epoch");
    /* Of an epoch; the first line need not be of the first epoch, if lines were lost. */
    const double steps =
        ctkd__json_rows_number(rows, 0, "step") / ctkd__json_rows_number(rows, 0, "epoch");
    const bool whole = row > 0 && fmod(step, steps) == 0;
    const bool planned =
        fmod(epoch, (double)config->train.eval_every) == 0 || epoch == (double)config->train.epochs;
    return limit > 0 && step >= limit && !(whole && planned);
}

/* What the epochs of a run give. */
struct chosen {
    double value; /* the metric in the epoch that counts, NaN when no epoch has it */
    double epochs, last_dev_epoch;   /* numbers of the last epoch, and of the last with dev_top1 */
    double best_dev_epoch, best_dev; /* best epoch by dev_top1 */
};

static void see_epoch(const struct ctkd__json_rows *rows, size_t row, const char *metric,
                      enum ctkd__arm_choice choice, struct chosen *out)
{
    const double now = ctkd__json_rows_number(rows, row, metric);
    const double epoch = ctkd__json_rows_number(rows, row, "epoch");
    const double dev = ctkd__json_rows_number(rows, row, "dev_top1");
    const bool better = isnan(out->value) ||
                        (ctkd__arm_less_is_better(metric) ? now < out->value : now > out->value);
    const bool better_dev = isfinite(dev) && (isnan(out->best_dev) || dev > out->best_dev);
    out->epochs = fmax(out->epochs, epoch);
    if (isfinite(dev))
        out->last_dev_epoch = fmax(out->last_dev_epoch, epoch);
    if (better_dev) {
        out->best_dev = dev;
        out->best_dev_epoch = epoch;
    }
    if (choice == CTKD__ARM_DEV ? better_dev
                                : isfinite(now) && (choice == CTKD__ARM_LAST || better))
        out->value = now;
}

/* Whether a run has ended: after its epochs, or with the evaluation that found its patience
   over. */
static bool has_finished(const struct ctkd__config *config, const struct chosen *chosen)
{
    const double patience = (double)config->train.patience;
    return chosen->epochs >= (double)config->train.epochs ||
           (patience > 0 && chosen->best_dev_epoch > 0 &&
            chosen->last_dev_epoch >= chosen->best_dev_epoch + patience);
}

/* *finished is false for a run that can be resumed: it has neither reached its last epoch nor run
   out of patience. */
static ctkd_status read_run(const char *dir, const char *metric, enum ctkd__arm_choice choice,
                            struct ctkd__arm_run *out, bool *finished, ctkd_error *err)
{
    struct ctkd__json_rows *rows = NULL;
    char log[CTKD__RUN_PATH_BYTES];
    struct chosen chosen = { .value = (double)NAN, .best_dev = (double)NAN };
    snprintf(out->dir, sizeof out->dir, "%s", dir);
    ctkd__run_file_path(dir, CTKD__RUN_LOG, log, sizeof log);
    ctkd_status status = ctkd__config_create(&out->config, err);
    if (!status)
        status = ctkd__run_config_read(dir, out->config, err);
    if (!status)
        status = ctkd__jsonl_read_epochs(log, &rows, err);
    if (status)
        return status;
    for (size_t i = 0; i < ctkd__json_rows_count(rows); i++)
        if (ctkd__json_rows_is_epoch(rows, i) && !is_cut(out->config, rows, i))
            see_epoch(rows, i, metric, resolve(choice, out->config), &chosen);
    ctkd__json_rows_destroy(rows);
    out->value = chosen.value;
    *finished = has_finished(out->config, &chosen);
    if (*finished && !isfinite(out->value))
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found no number %s in an epoch, expected one",
                          log, metric);
    return CTKD_OK;
}

/* --- an arm */

/* What the runs of an arm are read into. */
struct reading {
    struct ctkd__arm *arm;
    const char *metric;
    enum ctkd__arm_choice choice;
};

static ctkd_status add_run(void *context, const char *dir, ctkd_error *err)
{
    const struct reading *const reading = context;
    struct ctkd__arm *const arm = reading->arm;
    struct ctkd__arm_run run = { .value = 0 };
    bool finished = false;
    if (!ctkd__run_file_exists(dir, CTKD__RUN_CONFIG))
        return CTKD_OK; /* a log alone is no run */
    if (strlen(dir) >= sizeof run.dir)
        return ctkd__fail(err, CTKD_ERANGE, "%s: the name is too long", dir);
    struct ctkd__arm_run *const runs = realloc(arm->runs, (arm->count + 1) * sizeof *arm->runs);
    if (!runs)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", dir);
    arm->runs = runs;
    const ctkd_status status =
        read_run(dir, reading->metric, reading->choice, &run, &finished, err);
    if (status || !finished) {
        ctkd__config_destroy(run.config);
        arm->unfinished += !status;
        return status;
    }
    arm->runs[arm->count++] = run;
    return CTKD_OK;
}

static int by_seed(const void *a, const void *b)
{
    const int64_t x = ((const struct ctkd__arm_run *)a)->config->train.seed;
    const int64_t y = ((const struct ctkd__arm_run *)b)->config->train.seed;
    return (x > y) - (x < y);
}

struct two_runs {
    const char *a, *b;
};

static ctkd_status refuse_difference(void *context, const char *key, const char *a, const char *b,
                                     ctkd_error *err)
{
    const struct two_runs *const runs = context;
    return ctkd__fail(err, CTKD_EINVAL,
                      "%s and %s differ in %s ('%s' and '%s'), expected runs of one arm to differ "
                      "in train.seed alone",
                      runs->a, runs->b, key, a, b);
}

static ctkd_status check_runs(const struct ctkd__arm *arm, ctkd_error *err)
{
    for (size_t i = 1; i < arm->count; i++) {
        const struct ctkd__arm_run *const a = &arm->runs[i - 1], *const b = &arm->runs[i];
        struct two_runs runs = { a->dir, b->dir };
        if (a->config->train.seed == b->config->train.seed)
            return ctkd__fail(err, CTKD_EFORMAT,
                              "%s and %s have the same train.seed %lld, expected one run of a seed",
                              a->dir, b->dir, (long long)a->config->train.seed);
        const ctkd_status status =
            ctkd__arm_differences(a->config, b->config, refuse_difference, &runs, err);
        if (status)
            return status;
    }
    return CTKD_OK;
}

ctkd_status ctkd__arm_read(const char *path, const char *metric, enum ctkd__arm_choice choice,
                           struct ctkd__arm *out, ctkd_error *err)
{
    struct reading reading = { out, metric, choice };
    *out = (struct ctkd__arm){ .count = 0 };
    ctkd__last_part(path, out->name, sizeof out->name);
    ctkd_status status =
        ctkd__runs_walk(path, CTKD__RUN_LOG, CTKD__RUNS_OF_ARM, add_run, &reading, err);
    if (!status && out->count == 0)
        status = ctkd__fail(err, CTKD_EINVAL,
                            "%s: found no finished run (%zu unfinished), expected a run directory "
                            "or a folder of them",
                            path, out->unfinished);
    if (!status) {
        out->choice = resolve(choice, out->runs->config);
        qsort(out->runs, out->count, sizeof *out->runs, by_seed);
        status = check_runs(out, err);
    }
    if (status)
        ctkd__arm_free(out);
    return status;
}

void ctkd__arm_free(struct ctkd__arm *arm)
{
    for (size_t i = 0; i < arm->count; i++)
        ctkd__config_destroy(arm->runs[i].config);
    free(arm->runs);
    *arm = (struct ctkd__arm){ .count = 0 };
}

void ctkd__arms_tell_apart(struct ctkd__arm *arms, const char *const *paths, size_t count)
{
    bool same = false;
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            same = same || strcmp(arms[i].name, arms[j].name) == 0;
    for (size_t i = 0; i < count && same; i++) {
        const size_t length = strlen(paths[i]), room = sizeof arms[i].name - 1;
        snprintf(arms[i].name, sizeof arms[i].name, "%s",
                 length > room ? paths[i] + length - room : paths[i]);
    }
}

ctkd_status ctkd__arm_describe(const struct ctkd__arm *arm, struct ctkd__compared_arm *out,
                               ctkd_error *err)
{
    int64_t *const seeds = calloc(arm->count, sizeof *seeds);
    double *const values = calloc(arm->count, sizeof *values);
    for (size_t i = 0; seeds && values && i < arm->count; i++) {
        seeds[i] = arm->runs[i].config->train.seed;
        values[i] = arm->runs[i].value;
    }
    *out = (struct ctkd__compared_arm){ arm->name, seeds, values, arm->count, arm->unfinished };
    return seeds && values ? CTKD_OK : ctkd__fail(err, CTKD_ENOMEM, "comparison: out of memory");
}

void ctkd__arm_describe_free(struct ctkd__compared_arm *described)
{
    free((void *)(uintptr_t)described->seeds);
    free((void *)(uintptr_t)described->values);
    *described = (struct ctkd__compared_arm){ 0 };
}
