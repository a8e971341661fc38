/* Linear layers of every instruction set: values against double, and the same bits for a row, an
   output or an image alone as in the blocks of the kernels. */
#include "support/check.h"

#include <stdlib.h>

#include "nn/kernels/kernels.h"

enum { N = 11, IN = 1072, OUT = 9 }; /* behind whole blocks of rows, outputs, vectors and runs */

static float x[N * IN], w[OUT * IN], bias[OUT], dy[N * OUT], base[N * IN];
static float y[N * OUT], dx[N * IN], dw[OUT * IN], db[OUT];

static void fill(void)
{
    fill_uniform(x, N * IN, 1, -1, 1);
    fill_uniform(w, OUT * IN, 2, -1, 1);
    fill_uniform(bias, OUT, 3, -1, 1);
    fill_uniform(dy, N * OUT, 4, -1, 1);
    fill_uniform(base, N * IN, 5, -1, 1);
}

static void products_are_those_in_double(void **state)
{
    (void)state;
    fill();
    for (const struct ctkd__kernels *const *k = ctkd__kernels_list(); *k; k++) {
        (*k)->pointwise->linear(N, IN, OUT, x, w, bias, y);
        (*k)->pointwise->linear_backward(N, IN, OUT, x, w, dy, base, dx, dw, db);
        for (size_t i = 0; i < N; i++)
            for (size_t o = 0; o < OUT; o++) {
                double sum = (double)bias[o];
                for (size_t c = 0; c < IN; c++)
                    sum += (double)x[i * IN + c] * (double)w[o * IN + c];
                check_close(y[i * OUT + o], sum, 0, 2e-5);
            }
        for (size_t i = 0; i < N; i++)
            for (size_t c = 0; c < IN; c++) {
                double sum = (double)base[i * IN + c];
                for (size_t o = 0; o < OUT; o++)
                    sum += (double)dy[i * OUT + o] * (double)w[o * IN + c];
                check_close(dx[i * IN + c], sum, 0, 2e-6);
            }
        for (size_t o = 0; o < OUT; o++) {
            double total = 0;
            for (size_t i = 0; i < N; i++)
                total += (double)dy[i * OUT + o];
            check_close(db[o], total, 0, 2e-6);
            for (size_t c = 0; c < IN; c++) {
                double sum = 0;
                for (size_t i = 0; i < N; i++)
                    sum += (double)dy[i * OUT + o] * (double)x[i * IN + c];
                check_close(dw[o * IN + c], sum, 0, 2e-6);
            }
        }
    }
}

/* Whoever splits a batch among workers, or a layer among calls, finds the same bits. */
static void a_value_does_not_depend_on_its_block(void **state)
{
    (void)state;
    static float alone[N * IN];
    fill();
    for (const struct ctkd__kernels *const *k = ctkd__kernels_list(); *k; k++) {
        (*k)->pointwise->linear(N, IN, OUT, x, w, bias, y);
        (*k)->pointwise->linear_backward(N, IN, OUT, x, w, dy, NULL, dx, dw, db);
        for (size_t i = 0; i < N; i++) {
            float rest[OUT * IN], sums[OUT];
            (*k)->pointwise->linear(1, IN, OUT, x + i * IN, w, bias, alone);
            assert_memory_equal(alone, y + i * OUT, OUT * sizeof(float));
            (*k)->pointwise->linear_backward(1, IN, OUT, x + i * IN, w, dy + i * OUT, NULL, alone,
                                             rest, sums);
            assert_memory_equal(alone, dx + i * IN, IN * sizeof(float));
        }
        for (size_t o = 0; o < OUT; o++) {
            float column[N], sum;
            for (size_t i = 0; i < N; i++)
                column[i] = dy[i * OUT + o];
            (*k)->pointwise->linear_backward(N, IN, 1, x, w + o * IN, column, NULL, NULL, alone,
                                             &sum);
            assert_memory_equal(alone, dw + o * IN, IN * sizeof(float));
            assert_memory_equal(&sum, &db[o], sizeof sum);
            (*k)->pointwise->linear(N, IN, 1, x, w + o * IN, bias + o, column);
            for (size_t i = 0; i < N; i++)
                assert_memory_equal(&column[i], &y[i * OUT + o], sizeof(float));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_those_in_double),
        cmocka_unit_test(a_value_does_not_depend_on_its_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
