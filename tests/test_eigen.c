/* Eigenvectors of small symmetric matrices. */
#include "support/check.h"

#include "lib/math/eigen.h"

enum { MOST = 33 };

/* Random symmetric matrix of rank at most `rank`, by x^T x. */
static void fill_gram(size_t n, size_t rank, uint64_t seed, double *a)
{
    float x[MOST * MOST];
    double scratch[4 * MOST];
    fill_uniform(x, rank * n, seed, -1, 1);
    ctkd__gram(rank, n, x, a, scratch);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t r = 0; r < rank; r++)
                sum += (double)x[r * n + i] * (double)x[r * n + j];
            check_close(a[i * n + j], sum, 0, 1e-13);
        }
}

static void check_decomposition(size_t n, const double *a)
{
    double rows[MOST * MOST], values[MOST], scratch[MOST * MOST + 2 * MOST], size = 0;
    memcpy(rows, a, n * n * sizeof *rows);
    ctkd__eigen(n, rows, values, scratch);
    for (size_t i = 0; i < n; i++)
        size = fmax(size, fabs(values[i]));
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double product = 0, entry = 0;
            for (size_t m = 0; m < n; m++) {
                product += rows[i * n + m] * rows[j * n + m];
                entry += values[m] * rows[m * n + i] * rows[m * n + j];
            }
            check_close(product, i == j, 0, 1e-13);
            check_close(entry, a[i * n + j], 0, 1e-13 * size);
            assert_true(j == 0 || values[j] <= values[j - 1]);
        }
}

static void matrices_of_any_size_and_rank_are_decomposed(void **state)
{
    (void)state;
    double a[MOST * MOST];
    const size_t sizes[] = { 1, 2, 3, 4, 7, 8, 16, 32, 33 };
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++)
        for (size_t rank = 1; rank <= sizes[c]; rank += 1 + sizes[c] / 5) {
            fill_gram(sizes[c], rank, 10 * c + rank, a);
            check_decomposition(sizes[c], a);
            for (size_t i = 0; i < sizes[c]; i++) /* not only positive values */
                a[i * sizes[c] + i] -= 0.5 * (double)rank;
            check_decomposition(sizes[c], a);
        }
}

static void known_and_degenerate_matrices_are_decomposed(void **state)
{
    (void)state;
    double values[3], scratch[15];
    double a[9] = { 2, 1, 0, 1, 2, 0, 0, 0, 5 };
    check_decomposition(3, a);
    ctkd__eigen(3, a, values, scratch);
    check_close(values[0], 5, 1e-14, 0);
    check_close(values[1], 3, 1e-14, 0);
    check_close(values[2], 1, 1e-14, 0);
    check_close(fabs(a[3]), sqrt(0.5), 1e-14, 0);
    const double zero[9] = { 0 }, equal[9] = { 3, 0, 0, 0, 3, 0, 0, 0, 3 };
    const double tiny[9] = { 1e-90, 0, 1e-91, 0, 0, 0, 1e-91, 0, 1e-90 };
    check_decomposition(3, zero);
    check_decomposition(3, equal);
    check_decomposition(3, tiny);
}

static void a_matrix_with_nan_ends(void **state)
{
    (void)state;
    double a[16], values[4], scratch[24];
    for (size_t i = 0; i < 16; i++)
        a[i] = NAN;
    ctkd__eigen(4, a, values, scratch);
    assert_true(isnan(values[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrices_of_any_size_and_rank_are_decomposed),
        cmocka_unit_test(known_and_degenerate_matrices_are_decomposed),
        cmocka_unit_test(a_matrix_with_nan_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
