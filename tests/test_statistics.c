/* Statistics of runs against SciPy (tests/golden/run_statistics.py). */
#include <stdio.h>
#include <stdlib.h>

#include "ctkd/random.h"
#include "report/statistics.h"
#include "support/check.h"

enum { VALUES_MAX = 16 };

struct line {
    char key[32];
    size_t count;
    double values[VALUES_MAX];
};

static struct line *lines;
static size_t n_lines;

static int read_lines(void **state)
{
    (void)state;
    FILE *const file = fopen(CTKD_SOURCE_DIR "/tests/golden/statistics.txt", "r");
    assert_non_null(file);
    char comment[256];
    assert_non_null(fgets(comment, sizeof comment, file)); /* versions */
    struct line line;
    while (fscanf(file, "%31s %zu", line.key, &line.count) == 2) {
        assert_true(line.count <= VALUES_MAX);
        for (size_t i = 0; i < line.count; i++)
            assert_int_equal(fscanf(file, "%lf", &line.values[i]), 1);
        lines = realloc(lines, (n_lines + 1) * sizeof *lines);
        assert_non_null(lines);
        lines[n_lines++] = line;
    }
    fclose(file);
    return 0;
}

static int free_lines(void **state)
{
    (void)state;
    free(lines);
    return 0;
}

static const struct line *find(const char *format, int index)
{
    char key[32];
    snprintf(key, sizeof key, format, index);
    for (size_t i = 0; i < n_lines; i++)
        if (strcmp(lines[i].key, key) == 0)
            return &lines[i];
    return NULL;
}

static size_t differences(int table, double d[VALUES_MAX])
{
    const struct line *const x = find("table%d.x", table), *const y = find("table%d.y", table);
    for (size_t i = 0; i < x->count; i++)
        d[i] = x->values[i] - y->values[i];
    return x->count;
}

static void tables_are_as_scipy_sees_them(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        const struct line *const x = find("table%d.x", i), *const y = find("table%d.y", i);
        const struct line *const expected = find("table%d.results", i);
        assert_true(x && y && expected);
        double d[VALUES_MAX];
        const size_t n = differences(i, d);
        const struct ctkd__spread arm = ctkd__spread(x->values, n), pair = ctkd__spread(d, n);
        const struct ctkd__interval interval = ctkd__t_interval(d, n, 0.95);
        const double actual[] = { arm.mean,
                                  arm.deviation,
                                  interval.low,
                                  interval.high,
                                  ctkd__t_test_p(d, n),
                                  ctkd__sign_flip_p(d, n, 20, 0, 1),
                                  ctkd__correlation(x->values, y->values, n),
                                  ctkd__detectable(pair.deviation, n, 0.05, 0.8),
                                  (double)ctkd__pairs_needed(pair.mean, pair.deviation, 0.05,
                                                             0.8) };
        for (size_t j = 0; j < sizeof actual / sizeof *actual; j++)
            check_close_at(actual[j], expected->values[j], 1e-9, 1e-9, (size_t)i * 100 + j,
                           __FILE__, __LINE__);
    }
}

/* Within four times the error that SciPy's own draws have at this number, at both ends. */
static void bootstrap_intervals_agree_within_their_error(void **state)
{
    (void)state;
    int compared = 0;
    for (int i = 0; i < 200; i++) {
        const struct line *const expected = find("table%d.bca", i);
        if (!expected)
            continue;
        double d[VALUES_MAX];
        struct ctkd__interval interval;
        const size_t n = differences(i, d);
        assert_int_equal(ctkd__bca_interval(d, n, 0.95, 20000, 7, &interval), CTKD_OK);
        const double floor = 1e-3 * (expected->values[1] - expected->values[0]);
        check_close(interval.low, expected->values[0], 0, 4 * expected->values[2] + floor);
        check_close(interval.high, expected->values[1], 0, 4 * expected->values[3] + floor);
        compared++;
    }
    assert_true(compared >= 5);
}

static void quantiles_are_scipys(void **state)
{
    (void)state;
    const struct line *const p = find("probabilities", 0), *const normal = find("normal", 0);
    for (size_t i = 0; i < p->count; i++)
        check_close(ctkd__normal_quantile(p->values[i]), normal->values[i], 1e-10, 1e-12);
    const int freedoms[] = { 1, 2, 3, 7, 30, 1000 };
    for (size_t f = 0; f < sizeof freedoms / sizeof *freedoms; f++) {
        const struct line *const t = find("t%d", freedoms[f]);
        for (size_t i = 0; i < p->count; i++) {
            const double quantile = ctkd__t_quantile(p->values[i], freedoms[f]);
            check_close(quantile, t->values[i], 1e-9, 1e-12);
            check_close(ctkd__t_cdf(quantile, freedoms[f]), p->values[i], 1e-9, 0);
        }
    }
}

static void holm_adjusts_in_order_of_p(void **state)
{
    (void)state;
    struct line p = *find("holm.p", 0);
    assert_int_equal(ctkd__holm(p.values, p.count), CTKD_OK);
    const struct line *const expected = find("holm", 0);
    for (size_t i = 0; i < p.count; i++)
        check_close(p.values[i], expected->values[i], 1e-12, 0);
}

/* Under a true null every test rejects at most as often as its level says. */
static void a_true_null_is_rejected_at_most_as_often_as_allowed(void **state)
{
    (void)state;
    enum { TABLES = 4000, N = 8 };
    double rejected_t = 0, rejected_flips = 0;
    for (uint64_t table = 0; table < TABLES; table++) {
        double d[N];
        for (uint64_t i = 0; i < N; i++)
            d[i] = (double)ctkd_random_normal(3, CTKD_RANDOM_TEST, table, i);
        rejected_t += ctkd__t_test_p(d, N) <= 0.05;
        rejected_flips += ctkd__sign_flip_p(d, N, 20, 0, 1) <= 0.05;
    }
    const double sigma = sqrt(0.05 * 0.95 / TABLES);
    assert_true(rejected_t / TABLES < 0.05 + 3 * sigma && rejected_t / TABLES > 0.05 - 3 * sigma);
    assert_true(rejected_flips / TABLES < 0.05 + 3 * sigma && rejected_flips > 0);
}

/* Three arms that are all like the reference: in at most 5 % of such comparisons is one of them
   declared different after Holm's adjustment. */
static void a_family_of_true_nulls_is_rejected_at_most_as_often_as_allowed(void **state)
{
    (void)state;
    enum { FAMILIES = 2000, ARMS = 3, N = 8 };
    double rejected = 0;
    for (uint64_t family = 0; family < FAMILIES; family++) {
        double p[ARMS], least = 1;
        for (uint64_t arm = 0; arm < ARMS; arm++) {
            double d[N]; /* all against the same reference, so that the arms depend on each other */
            for (uint64_t i = 0; i < N; i++)
                d[i] = (double)ctkd_random_normal(4 + arm, CTKD_RANDOM_TEST, family, i) -
                       (double)ctkd_random_normal(9, CTKD_RANDOM_TEST, family, i);
            p[arm] = ctkd__sign_flip_p(d, N, 20, 0, 1);
        }
        assert_int_equal(ctkd__holm(p, ARMS), CTKD_OK);
        for (size_t arm = 0; arm < ARMS; arm++)
            least = fmin(least, p[arm]);
        rejected += least <= 0.05;
    }
    const double sigma = sqrt(0.05 * 0.95 / FAMILIES);
    assert_true(rejected > 0 && rejected / FAMILIES < 0.05 + 3 * sigma);
}

static void sampled_signs_come_near_the_exact_ones(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        double d[VALUES_MAX];
        const size_t n = differences(i, d);
        const double exact = ctkd__sign_flip_p(d, n, 20, 0, 1);
        const double sampled = ctkd__sign_flip_p(d, n, 0, 20000, 5);
        check_close(sampled, exact, 0, 4 * sqrt(exact * (1 - exact) / 20000) + 1e-4);
    }
}

static void too_few_or_equal_values_are_said_not_guessed(void **state)
{
    (void)state;
    const double one[] = { 3 }, equal[] = { 2, 2, 2 }, zero[] = { 0, 0 };
    struct ctkd__interval interval;
    assert_true(isnan(ctkd__spread(one, 1).deviation) && isnan(ctkd__t_test_p(one, 1)));
    assert_true(isnan(ctkd__t_interval(one, 1, 0.95).low));
    assert_int_equal(ctkd__bca_interval(one, 1, 0.95, 100, 1, &interval), CTKD_OK);
    assert_true(isnan(interval.low));
    assert_int_equal(ctkd__bca_interval(equal, 3, 0.95, 100, 1, &interval), CTKD_OK);
    assert_true(interval.low == 2 && interval.high == 2);
    assert_true(ctkd__t_test_p(equal, 3) == 0 && ctkd__t_test_p(zero, 2) == 1);
    assert_true(ctkd__sign_flip_p(zero, 2, 20, 0, 1) == 1);
    assert_true(isnan(ctkd__correlation(equal, equal, 3)));
    assert_true(isnan(ctkd__detectable(1, 1, 0.05, 0.8)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_as_scipy_sees_them),
        cmocka_unit_test(bootstrap_intervals_agree_within_their_error),
        cmocka_unit_test(quantiles_are_scipys),
        cmocka_unit_test(holm_adjusts_in_order_of_p),
        cmocka_unit_test(a_true_null_is_rejected_at_most_as_often_as_allowed),
        cmocka_unit_test(a_family_of_true_nulls_is_rejected_at_most_as_often_as_allowed),
        cmocka_unit_test(sampled_signs_come_near_the_exact_ones),
        cmocka_unit_test(too_few_or_equal_values_are_said_not_guessed),
    };
    return cmocka_run_group_tests(tests, read_lines, free_lines);
}
