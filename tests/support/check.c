#include "support/check.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctkd/random.h"

void check_close_at(double actual, double expected, double rtol, double atol, size_t index,
                    const char *file, int line)
{
    const double difference = fabs(actual - expected);
    if (isfinite(actual) && isfinite(expected) && difference <= atol + rtol * fabs(expected))
        return;
    print_error("[%zu]: %.9g, expected %.9g, difference %.3g\n", index, actual, expected,
                difference);
    _fail(file, line);
}

void check_all_close_at(const float *actual, const float *expected, size_t n, double rtol,
                        double atol, const char *file, int line)
{
    for (size_t i = 0; i < n; i++)
        check_close_at((double)actual[i], (double)expected[i], rtol, atol, i, file, line);
}

void check_relative_at(const float *actual, const float *expected, size_t n, double tolerance,
                       const char *file, int line)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)actual[i] - (double)expected[i];
        difference += d * d;
        norm += (double)expected[i] * (double)expected[i];
    }
    const double ratio = sqrt(difference) / (sqrt(norm) + 1e-30);
    if (isfinite(ratio) && ratio <= tolerance)
        return;
    print_error("relative error %.3g over %zu values, expected at most %.3g\n", ratio, n,
                tolerance);
    _fail(file, line);
}

void check_ok_at(ctkd_status status, const ctkd_error *err, const char *file, int line)
{
    if (status == CTKD_OK)
        return;
    print_error("%s: %s\n", ctkd_status_text(status), err ? err->message : "");
    _fail(file, line);
}

void fill_uniform(float *out, size_t n, uint64_t seed, float lo, float hi)
{
    for (size_t i = 0; i < n; i++)
        out[i] = lo + (hi - lo) * ctkd_random_uniform(seed, CTKD_RANDOM_TEST, 0, i);
}

void fill_normal(float *out, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        out[i] = ctkd_random_normal(seed, CTKD_RANDOM_TEST, 1, i);
}

struct golden_entry {
    char key[160];
    size_t count;
    float *values;
    bool read;
};
struct golden {
    char path[1024];
    struct golden_entry *entries;
    size_t count;
};

struct golden *golden_open(const char *name)
{
    struct golden *golden = calloc(1, sizeof *golden);
    assert_non_null(golden);
    snprintf(golden->path, sizeof golden->path, "%s/tests/golden/%s", CTKD_SOURCE_DIR, name);
    FILE *file = fopen(golden->path, "r");
    if (!file)
        fail_msg("%s: golden values are missing", golden->path);
    struct golden_entry entry = { 0 };
    while (fscanf(file, "%159s", entry.key) == 1) {
        if (entry.key[0] == '#') { /* what the values were made with */
            for (int c = 0; c != EOF && c != '\n';)
                c = fgetc(file);
            continue;
        }
        if (fscanf(file, "%zu", &entry.count) != 1)
            fail_msg("%s: %s: a count is missing", golden->path, entry.key);
        entry.values = malloc((entry.count + 1) * sizeof *entry.values);
        assert_non_null(entry.values);
        for (size_t i = 0; i < entry.count; i++)
            if (fscanf(file, "%f", &entry.values[i]) != 1)
                fail_msg("%s: %s: value %zu of %zu is missing", golden->path, entry.key, i,
                         entry.count);
        golden->entries = realloc(golden->entries, (golden->count + 1) * sizeof *golden->entries);
        assert_non_null(golden->entries);
        golden->entries[golden->count++] = entry;
    }
    fclose(file);
    if (golden->count == 0)
        fail_msg("%s: no golden values", golden->path);
    return golden;
}

void golden_close(struct golden *golden)
{
    for (size_t i = 0; i < golden->count; i++)
        free(golden->entries[i].values);
    free(golden->entries);
    free(golden);
}

size_t golden_count(struct golden *golden, const char *key)
{
    for (size_t i = 0; i < golden->count; i++)
        if (strcmp(golden->entries[i].key, key) == 0)
            return golden->entries[i].count;
    return 0;
}

const float *golden_get(struct golden *golden, const char *key, size_t count)
{
    for (size_t i = 0; i < golden->count; i++)
        if (strcmp(golden->entries[i].key, key) == 0) {
            if (golden->entries[i].count != count)
                fail_msg("%s: %s has %zu values, expected %zu", golden->path, key,
                         golden->entries[i].count, count);
            golden->entries[i].read = true;
            return golden->entries[i].values;
        }
    fail_msg("%s: %s is missing", golden->path, key);
    return NULL;
}

void golden_check_all_read(const struct golden *golden)
{
    for (size_t i = 0; i < golden->count; i++)
        if (!golden->entries[i].read)
            fail_msg("%s: nothing was compared with %s", golden->path, golden->entries[i].key);
}
