/* Metrics of logits against scikit-learn and torchmetrics (tests/golden/metrics.py). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/metrics_write.h"
#include "support/check.h"

struct golden_table {
    char key[32];
    size_t count;
    double *values;
};

static struct golden_table *tables;
static size_t n_tables;

static int read_tables(void **state)
{
    (void)state;
    FILE *const file = fopen(CTKD_SOURCE_DIR "/tests/golden/metrics.txt", "r");
    char comment[256];
    struct golden_table table;
    assert_non_null(file);
    assert_non_null(fgets(comment, sizeof comment, file)); /* versions */
    while (fscanf(file, "%31s %zu", table.key, &table.count) == 2) {
        table.values = calloc(table.count, sizeof *table.values);
        assert_non_null(table.values);
        for (size_t i = 0; i < table.count; i++)
            assert_int_equal(fscanf(file, "%lf", &table.values[i]), 1);
        tables = realloc(tables, (n_tables + 1) * sizeof *tables);
        assert_non_null(tables);
        tables[n_tables++] = table;
    }
    fclose(file);
    return 0;
}

static int free_tables(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_tables; i++)
        free(tables[i].values);
    free(tables);
    return 0;
}

static const struct golden_table *find(const char *name, const char *part)
{
    char key[32];
    snprintf(key, sizeof key, "%s.%s", name, part);
    for (size_t i = 0; i < n_tables; i++)
        if (strcmp(tables[i].key, key) == 0)
            return &tables[i];
    fail_msg("metrics.txt has no %s", key);
    return NULL;
}

static float *as_floats(const struct golden_table *table)
{
    float *const out = calloc(table->count, sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < table->count; i++)
        out[i] = (float)table->values[i];
    return out;
}

/* NaN equals NaN. */
static void check_within(const char *name, double found, double expected, double tolerance)
{
    if (isnan(expected) ? isnan(found)
                        : fabs(found - expected) <= tolerance * fmax(1, fabs(expected)))
        return;
    fail_msg("%s: found %.12g, expected %.12g", name, found, expected);
}

static void check_equal(const char *name, double found, double expected)
{
    check_within(name, found, expected, 1e-9);
}

static void check_case(const char *name)
{
    const struct golden_table *const labels = find(name, "labels"), *const s = find(name, "logits");
    const size_t n = labels->count, k = s->count / n;
    float *const student = as_floats(s), *const teacher = as_floats(find(name, "teacher"));
    int32_t *const y = calloc(n, sizeof *y);
    struct ctkd__metrics m;
    ctkd_error err = { 0 };
    assert_non_null(y);
    for (size_t i = 0; i < n; i++)
        y[i] = (int32_t)labels->values[i];
    check_ok(ctkd__metrics(n, k, student, y, teacher, &m, &err), &err);

    const double scores[] = { m.top1, m.nll, m.brier, m.ece, m.precision, m.recall, m.f1 };
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) /* torchmetrics' ECE is in float */
        check_within(name, scores[i], find(name, "scores")->values[i],
                     scores + i == &scores[3] ? 1e-6 : 1e-9);
    for (size_t c = 0; c < k; c++) {
        check_equal("precision", m.by_class[c].precision, find(name, "precision")->values[c]);
        check_equal("recall", m.by_class[c].recall, find(name, "recall")->values[c]);
        check_equal("f1", m.by_class[c].f1, find(name, "f1")->values[c]);
    }
    size_t next = 0; /* of the pairs, which are in the order of the matrix without its diagonal */
    for (size_t i = 0; i < k * k; i++) {
        const double images = find(name, "confusion")->values[i];
        if (images == 0 || i / k == i % k)
            continue;
        assert_true(next < m.n_confusions);
        assert_int_equal(m.confusions[next].label * k + m.confusions[next].predicted, i);
        check_equal("confusion", (double)m.confusions[next++].images, images);
    }
    assert_int_equal(next, m.n_confusions);
    const double *expected = find(name, "agreement")->values;
    for (size_t p = 0; p < CTKD__AGREEMENT_PARTS; p++, expected += 4) {
        const struct ctkd__agreement *const a = &m.agreement[p];
        check_equal("agreement n", (double)a->n, expected[0]);
        check_equal("same", a->same, expected[1]);
        check_equal("kl", a->kl, expected[2]);
        check_equal("student", a->student, expected[3]);
    }
    ctkd__metrics_free(&m);
    free(student);
    free(teacher);
    free(y);
}

static void all_cases(void **state)
{
    (void)state;
    size_t cases = 0;
    for (size_t i = 0; i < n_tables; i++) {
        char *const dot = strrchr(tables[i].key, '.');
        if (strcmp(dot, ".logits") != 0)
            continue;
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)(dot - tables[i].key), tables[i].key);
        check_case(name);
        cases++;
    }
    assert_int_equal(cases, 7);
}

static void bins_hold_every_image(void **state)
{
    (void)state;
    /* confidences 0.5 (bin 7), almost 1 and 1 (bin 14) */
    const float logits[] = { 0, 0, 12, 0, 90, 0 };
    const int32_t labels[] = { 0, 0, 1 };
    struct ctkd__metrics m;
    ctkd_error err = { 0 };
    check_ok(ctkd__metrics(3, 2, logits, labels, NULL, &m, &err), &err);
    assert_int_equal(m.bins[7].n, 1);
    assert_int_equal(m.bins[14].n, 2);
    check_equal("accuracy", m.bins[14].accuracy, 0.5);
    check_equal("confidence", m.bins[7].confidence, 0.5);
    assert_true(isnan(m.bins[0].accuracy));
    assert_int_equal(m.agreement[CTKD__AGREEMENT_ALL].n, 0);
    ctkd__metrics_free(&m);
}

/* A matrix of so many classes would take 3.8 GB. */
static void confusions_of_many_classes_take_little_memory(void **state)
{
    (void)state;
    enum { CLASSES = 21841, IMAGES = 5 };
    static const int32_t labels[IMAGES] = { 7, 21840, 3, 21840, 21840 };
    static const size_t predicted[IMAGES] = { 21840, 3, 3, 3, 0 };
    float *const logits = calloc((size_t)IMAGES * CLASSES, sizeof *logits);
    assert_non_null(logits);
    for (size_t i = 0; i < IMAGES; i++)
        logits[i * CLASSES + predicted[i]] = 1;
    struct ctkd__metrics m;
    ctkd_error err = { 0 };
    check_ok(ctkd__metrics(IMAGES, CLASSES, logits, labels, NULL, &m, &err), &err);
    static const struct ctkd__confusion expected[] = { { 7, 21840, 1 },
                                                       { 21840, 0, 1 },
                                                       { 21840, 3, 2 } };
    assert_int_equal(m.n_confusions, 3);
    assert_memory_equal(m.confusions, expected, sizeof expected);
    struct ctkd__confusion most[2];
    assert_int_equal(ctkd__metrics_confusions(&m, most, 2), 2);
    assert_memory_equal(&most[0], &expected[2], sizeof *most);
    assert_memory_equal(&most[1], &expected[0], sizeof *most);
    ctkd__metrics_free(&m);
    free(logits);
}

static void wrong_input_is_named(void **state)
{
    (void)state;
    const float logits[] = { 0, 1, NAN, 2 }, good[] = { 0, 1, 1, 2 };
    const int32_t labels[] = { 0, 1 }, beyond[] = { 0, 2 };
    struct ctkd__metrics m;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__metrics(2, 2, logits, labels, NULL, &m, &err), CTKD_ENAN);
    assert_string_equal(err.message, "metrics: logit 0 of image 1 is nan, expected a finite one");
    assert_int_equal(ctkd__metrics(2, 2, good, labels, logits, &m, &err), CTKD_ENAN);
    assert_int_equal(ctkd__metrics(2, 2, good, beyond, NULL, &m, &err), CTKD_ERANGE);
    assert_string_equal(err.message, "metrics: label 2 of image 1, expected 0 to 1");
    ctkd__metrics_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_cases),
        cmocka_unit_test(bins_hold_every_image),
        cmocka_unit_test(confusions_of_many_classes_take_little_memory),
        cmocka_unit_test(wrong_input_is_named),
    };
    return cmocka_run_group_tests(tests, read_tables, free_tables);
}
