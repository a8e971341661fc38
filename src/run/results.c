#include "run/results.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io/jsonl.h"
#include "run/arm.h"
#include "util/error.h"
#include "util/run_files.h"
#include "util/sha256.h"

enum { SETTINGS_MAX = 64, VALUES_MAX = 64, TAG_BYTES = 96 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- the row of the HParams table */

struct settings {
    struct ctkd__event_setting items[SETTINGS_MAX];
    char *texts[2 * SETTINGS_MAX]; /* keys and values, owned */
    size_t count;
    struct sha256_ctx sum; /* of all but the seed: names the group */
};

static ctkd_status add_setting(void *context, const char *key, const char *unused,
                               const char *value, ctkd_error *err)
{
    (void)unused;
    struct settings *const s = context;
    if (s->count == SETTINGS_MAX)
        return CTKD_OK; /* more columns than that make the table unreadable */
    char **const texts = s->texts + 2 * s->count, *end;
    texts[0] = strdup(key);
    texts[1] = strdup(value);
    if (!texts[0] || !texts[1])
        return ctkd__fail(err, CTKD_ENOMEM, "results: out of memory");
    sha256_update(&s->sum, strlen(key) + 1, (const uint8_t *)key);
    sha256_update(&s->sum, strlen(value) + 1, (const uint8_t *)value);
    const double number = strtod(value, &end);
    const bool is_number = end != value && *end == '\0';
    s->items[s->count++] =
        (struct ctkd__event_setting){ texts[0], is_number ? NULL : texts[1], number };
    return CTKD_OK;
}

static ctkd_status collect_settings(const struct ctkd__config *config, struct settings *out,
                                    char group[CTKD__SHA256_DIGITS + 1], ctkd_error *err)
{
    struct ctkd__config *defaults;
    char seed[32];
    *out = (struct settings){ .count = 0 };
    sha256_init(&out->sum);
    ctkd_status status = ctkd__config_create(&defaults, err);
    if (status != CTKD_OK)
        return status;
    status = ctkd__arm_differences(defaults, config, add_setting, out, err);
    ctkd__config_destroy(defaults);
    ctkd__sha256_text(&out->sum, group);
    snprintf(seed, sizeof seed, "%lld", (long long)config->train.seed);
    return status == CTKD_OK ? add_setting(out, "train.seed", "", seed, err) : status;
}

static ctkd_status write_settings(struct ctkd__results *r, ctkd_error *err)
{
    struct settings settings;
    char group[CTKD__SHA256_DIGITS + 1];
    ctkd_status status = collect_settings(r->config, &settings, group, err);
    if (status == CTKD_OK) {
        group[12] = '\0'; /* enough to tell the arms of an experiment apart */
        status = ctkd__events_write_settings(&r->events, now(), group, settings.items,
                                             settings.count, err);
    }
    for (size_t i = 0; i < 2 * SETTINGS_MAX; i++)
        free(settings.texts[i]);
    return status;
}

/* --- lines of the log */

static void make_tag(const char *key, const char *prefix, char tag[TAG_BYTES])
{
    static const char *const parts[] = { "train_", "test_", "dev_" };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const size_t n = strlen(parts[i]);
        if (strncmp(key, parts[i], n) == 0) {
            snprintf(tag, TAG_BYTES, "%s%.*s/%s", prefix, (int)n - 1, key, key + n);
            return;
        }
    }
    if (strcmp(key, "lr") == 0)
        snprintf(tag, TAG_BYTES, "%slr", prefix);
    else if (strncmp(key, "loss", 4) == 0)
        snprintf(tag, TAG_BYTES, "%strain/%s", prefix, key);
    else if (strcmp(key, "tau") == 0)
        snprintf(tag, TAG_BYTES, "%sctkd/tau_mean", prefix);
    else if (strcmp(key, "lambda") == 0 || strncmp(key, "tau_", 4) == 0)
        snprintf(tag, TAG_BYTES, "%sctkd/%s", prefix, key);
    else
        snprintf(tag, TAG_BYTES, "%sspeed/%s", prefix, key);
}

static bool is_counter(const char *key)
{
    return strcmp(key, "epoch") == 0 || strcmp(key, "step") == 0;
}

static ctkd_status record_line(struct ctkd__results *r, const struct ctkd__json_rows *line,
                               const struct ctkd__run_state *state, ctkd_error *err)
{
    struct ctkd__event_value values[VALUES_MAX];
    char tags[VALUES_MAX][TAG_BYTES];
    const char *key, *const kind = ctkd__json_rows_string(line, 0, "kind");
    const bool step = kind && strcmp(kind, "step") == 0;
    const char *const prefix = step ? "step/" : ctkd__json_rows_is_epoch(line, 0) ? "" : "initial/";
    size_t n = 0;
    for (size_t i = 0; n + 1 < VALUES_MAX && (key = ctkd__json_rows_key(line, 0, i)); i++) {
        const double value = ctkd__json_rows_number(line, 0, key);
        if (is_counter(key) || !isfinite(value))
            continue;
        make_tag(key, prefix, tags[n]);
        values[n] = (struct ctkd__event_value){ .tag = tags[n], .value = value };
        n++;
    }
    if (state && state->temperature && !step && !*prefix)
        values[n++] = (struct ctkd__event_value){
            .tag = "ctkd/tau",
            .counts = state->tau_counts,
            .n_counts = CTKD__TAU_BINS,
            .least = (double)r->config->temperature.tau_min,
            .width = (double)r->config->temperature.tau_span / CTKD__TAU_BINS,
        };
    const double at = ctkd__json_rows_number(line, 0, step ? "step" : "epoch");
    return ctkd__events_write(&r->events, now(), isfinite(at) ? (int64_t)at : 0, values, n, err);
}

/* One row of results.csv: the names of the columns, or the values; null is an empty field, and so
   is what another version of ctkd has not written. */
static void write_row(struct ctkd__results *r, const struct ctkd__json_rows *line, bool names)
{
    const char *key, *comma = "";
    for (size_t i = 0; (key = ctkd__json_rows_key(r->head, 0, i)); i++) {
        if (strcmp(key, "kind") == 0 || strcmp(key, "stage") == 0)
            continue;
        const double value = ctkd__json_rows_number(line, 0, key);
        fputs(comma, r->csv);
        if (names)
            fputs(key, r->csv);
        else if (isfinite(value))
            fprintf(r->csv, "%.9g", value);
        comma = ",";
    }
    fputc('\n', r->csv);
}

static ctkd_status follow_line(struct ctkd__results *r, const char *text, size_t bytes,
                               const struct ctkd__run_state *state, ctkd_error *err)
{
    struct ctkd__json_rows *line;
    ctkd_status status = ctkd__jsonl_parse(r->log_path, text, bytes, &line, err);
    if (status != CTKD_OK)
        return status;
    if (ctkd__json_rows_count(line) == 1 && ctkd__json_rows_is_epoch(line, 0)) {
        if (!r->head) {
            r->head = line;
            write_row(r, line, true);
        }
        write_row(r, line, false);
    }
    if (r->recorded)
        r->recorded--;
    else if (ctkd__json_rows_count(line) == 1)
        status = record_line(r, line, state, err);
    if (line != r->head)
        ctkd__json_rows_destroy(line);
    return status;
}

ctkd_status ctkd__results_follow(struct ctkd__results *r, const struct ctkd__run_state *state,
                                 ctkd_error *err)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t bytes;
    ctkd_status status = CTKD_OK;
    clearerr(r->log); /* the file may have grown since the end was reached */
    while (status == CTKD_OK && (bytes = getline(&text, &room, r->log)) > 0 &&
           text[bytes - 1] == '\n')
        status = follow_line(r, text, (size_t)bytes, state, err);
    free(text);
    if (status == CTKD_OK && ferror(r->log))
        status = ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", r->log_path, strerror(errno));
    if (status == CTKD_OK && (fflush(r->csv) != 0 || ferror(r->csv)))
        status = ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", r->csv_path, strerror(errno));
    return status;
}

/* --- opening */

static size_t count_lines(FILE *file)
{
    size_t lines = 0;
    for (int c; (c = getc(file)) != EOF;)
        lines += c == '\n';
    rewind(file);
    return lines;
}

ctkd_status ctkd__results_open(struct ctkd__results *results, const char *dir,
                               const struct ctkd__config *config, ctkd_error *err)
{
    char events[sizeof results->log_path];
    size_t kept = 0; /* records in the events file: the settings, then one for each line */
    *results = (struct ctkd__results){ .config = config };
    ctkd__run_file_path(dir, CTKD__RUN_LOG, results->log_path, sizeof results->log_path);
    ctkd__run_file_path(dir, CTKD__RUN_RESULTS, results->csv_path, sizeof results->csv_path);
    ctkd__run_file_path(dir, CTKD__RUN_EVENTS, events, sizeof events);
    results->log = fopen(results->log_path, "re");
    results->csv = fopen(results->csv_path, "we");
    ctkd_status status = CTKD_OK;
    if (!results->log)
        status =
            ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", results->log_path, strerror(errno));
    if (status == CTKD_OK && !results->csv)
        status =
            ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", results->csv_path, strerror(errno));
    if (status == CTKD_OK)
        status =
            ctkd__events_open(&results->events, events, 1 + count_lines(results->log), &kept, err);
    if (status == CTKD_OK && kept == 0)
        status = write_settings(results, err);
    results->recorded = kept ? kept - 1 : 0;
    if (status == CTKD_OK)
        status = ctkd__results_follow(results, NULL, err);
    if (status != CTKD_OK)
        ctkd__results_close(results);
    return status;
}

void ctkd__results_close(struct ctkd__results *results)
{
    ctkd__events_close(&results->events);
    ctkd__json_rows_destroy(results->head);
    results->head = NULL;
    if (results->csv)
        fclose(results->csv);
    if (results->log)
        fclose(results->log);
    results->csv = results->log = NULL;
}
