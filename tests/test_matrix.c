/* Products and unit rows of the losses of features. */
#include "support/check.h"

#include <stdlib.h>

#include "lib/each.h"
#include "lib/math/matrix.h"

/* Sizes below, at and above the tiles' and tasks' edges. */
static const size_t sizes[] = { 1, 3, 4, 8, 17, 33, 257, 300 };
enum { LARGEST = 300 };

/* A pool that runs backwards: what depends on the order shows. */
static void run_backwards(void *context, size_t count, void (*body)(void *argument, size_t i),
                          void *argument)
{
    *(size_t *)context += count;
    for (size_t i = count; i-- > 0;)
        body(argument, i);
}

static float *random_matrix(uint64_t seed)
{
    float *x = malloc((size_t)LARGEST * LARGEST * sizeof *x);
    assert_non_null(x);
    fill_uniform(x, (size_t)LARGEST * LARGEST, seed, -1, 1);
    return x;
}

static void check_product(size_t m, size_t n, size_t k, struct ctkd__matrix a,
                          struct ctkd__matrix b)
{
    float *out = malloc(m * n * sizeof *out), *again = malloc(m * n * sizeof *again);
    assert_true(out && again);
    size_t tasks = 0;
    const ctkd_pool pool = { &tasks, run_backwards };
    ctkd__multiply((struct ctkd__means){ 0 }, m, n, k, a, b, out);
    ctkd__multiply((struct ctkd__means){ .pool = &pool }, m, n, k, a, b, again);
    assert_memory_equal(out, again, m * n * sizeof *out);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t p = 0; p < k; p++)
                sum +=
                    (double)a.x[i * a.row + p * a.column] * (double)b.x[p * b.row + j * b.column];
            check_close(out[i * n + j], sum, 0, 2e-7 * (double)k);
        }
    free(out);
    free(again);
}

static void products_of_any_size_and_layout_are_right_in_any_order(void **state)
{
    (void)state;
    float *a = random_matrix(1), *b = random_matrix(2);
    enum { COUNT = sizeof sizes / sizeof *sizes };
    for (size_t c = 0; c < COUNT * COUNT; c++) {
        const size_t m = sizes[c % COUNT], n = sizes[c / COUNT], k = sizes[(3 * c + 1) % COUNT];
        check_product(m, n, k, ctkd__rows(a, k), ctkd__rows(b, n));
        check_product(m, n, k, ctkd__rows(a, k), ctkd__columns(b, k));
        check_product(m, n, k, ctkd__columns(a, m), ctkd__rows(b, n));
    }
    free(a);
    free(b);
}

static void long_sums_keep_their_digits(void **state)
{
    (void)state;
    enum { LONG = 100000 };
    float *x = malloc(LONG * sizeof *x), square;
    assert_non_null(x);
    for (size_t i = 0; i < LONG; i++)
        x[i] = 0.1f;
    const double expected = LONG * (double)x[0] * (double)x[0];
    ctkd__multiply((struct ctkd__means){ 0 }, 1, 1, LONG, ctkd__rows(x, LONG),
                   ctkd__columns(x, LONG), &square);
    check_close(square, expected, 2e-5, 0);
    check_close(ctkd__dot(LONG, x, x), expected, 1e-12, 0);
    free(x);
}

static void distances_come_from_the_differences(void **state)
{
    (void)state;
    const float a[10] = { 4096, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    const float b[10] = { 4096.5f, 1, 2, 3, 4, 5, 6, 7, 8, 9.25f };
    check_close(ctkd__distance_squared(10, a, b), 0.25 + 0.0625, 1e-15, 0);
    check_close(ctkd__distance_squared(10, a, a), 0, 0, 0);
}

static double unit_loss(const float *x, const float *g)
{
    float unit[9];
    (void)ctkd__normalise(9, x, unit);
    return ctkd__dot(9, unit, g);
}

static void rows_are_normalised_and_their_gradients_match_central_differences(void **state)
{
    (void)state;
    float x[9], g[9], unit[9], dx[9], expected[9];
    fill_uniform(x, 9, 3, -2, 2);
    fill_uniform(g, 9, 4, -1, 1);
    const double length = ctkd__normalise(9, x, unit);
    check_close(ctkd__dot(9, unit, unit), 1, 1e-6, 0);
    check_close(length, sqrt(ctkd__dot(9, x, x)), 1e-12, 0);
    ctkd__through_normalise(9, unit, length, g, dx);
    for (size_t i = 0; i < 9; i++) {
        const float at = x[i], h = 0.015625f;
        x[i] = at + h;
        const double high = unit_loss(x, g);
        x[i] = at - h;
        expected[i] = (float)((high - unit_loss(x, g)) / (2 * (double)h));
        x[i] = at;
    }
    check_relative(dx, expected, 9, 1e-3);
    double x_double[9], g_double[9], unit_double[9], dx_double[9];
    for (size_t i = 0; i < 9; i++) {
        x_double[i] = (double)x[i];
        g_double[i] = (double)g[i];
    }
    check_close(ctkd__normalise_double(9, x_double, unit_double), length, 1e-12, 0);
    ctkd__through_normalise_double(9, unit_double, length, g_double, dx_double);
    for (size_t i = 0; i < 9; i++) {
        check_close(unit_double[i], unit[i], 1e-6, 0);
        check_close(dx_double[i], dx[i], 1e-5, 1e-7);
    }
}

static void a_row_of_zeros_stays_one_and_passes_no_gradient(void **state)
{
    (void)state;
    const float zero[3] = { 0 }, g[3] = { 1, -2, 0 };
    const double zero_double[3] = { 0 }, g_double[3] = { 1, -2, 0 };
    float unit[3], dx[3];
    double unit_double[3], dx_double[3];
    const double length = ctkd__normalise(3, zero, unit);
    check_all_close(unit, zero, 3, 0, 0);
    ctkd__through_normalise(3, unit, length, g, dx);
    assert_true(length == ctkd__normalise_double(3, zero_double, unit_double));
    ctkd__through_normalise_double(3, unit_double, length, g_double, dx_double);
    for (size_t i = 0; i < 3; i++)
        assert_true(dx[i] == 0 && dx_double[i] == 0);
}

static void count_up(void *argument, size_t i)
{
    ((size_t *)argument)[i]++;
}

static void each_index_is_visited_once_with_and_without_a_pool(void **state)
{
    (void)state;
    size_t seen[5] = { 0 }, used = 0;
    const ctkd_pool pool = { &used, run_backwards };
    ctkd__each(NULL, 4, count_up, seen);
    ctkd__each(&pool, 4, count_up, seen);
    assert_int_equal(used, 4);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(seen[i], i < 4 ? 2 : 0);
    ctkd__each(&pool, 0, count_up, seen);
    assert_int_equal(used, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_any_size_and_layout_are_right_in_any_order),
        cmocka_unit_test(long_sums_keep_their_digits),
        cmocka_unit_test(distances_come_from_the_differences),
        cmocka_unit_test(rows_are_normalised_and_their_gradients_match_central_differences),
        cmocka_unit_test(a_row_of_zeros_stays_one_and_passes_no_gradient),
        cmocka_unit_test(each_index_is_visited_once_with_and_without_a_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
