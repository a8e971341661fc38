#include <stdio.h>

#include "ctkd/loss.h"
#include "support/check.h"

enum { N = 6, K = 9, NK = N * K };

static void value_and_gradient_agree_with_pytorch(void **state)
{
    (void)state;
    const char *const scales[] = { "1", "5", "50" };
    struct golden *golden = golden_open("losses.txt");
    for (size_t c = 0; c < 3; c++) {
        char key[4][32];
        const char *const format[] = { "s.%s", "labels.%s", "ce.%s.loss", "ce.%s.ds" };
        for (size_t i = 0; i < 4; i++)
            snprintf(key[i], sizeof key[i], format[i], scales[c]);
        int32_t labels[N];
        float loss, ds[NK];
        for (size_t i = 0; i < N; i++)
            labels[i] = (int32_t)golden_get(golden, key[1], N)[i];
        const float *s = golden_get(golden, key[0], NK);
        assert_int_equal(ctkd_cross_entropy(N, K, s, labels, &loss, ds), CTKD_OK);
        check_close(loss, *golden_get(golden, key[2], 1), 3e-7, 0);
        check_relative(ds, golden_get(golden, key[3], NK), NK, 1e-6);
    }
    golden_close(golden);
}

static void equal_logits_give_log_k_and_extreme_logits_stay_finite(void **state)
{
    (void)state;
    const float s[2][4] = { { 3, 3, 3, 3 }, { 1e4f, -1e4f, 0, 1e4f } };
    const float expected[2][4] = { { 0.25f, 0.25f, -0.75f, 0.25f }, { 0.5f, -1, 0, 0.5f } };
    const int32_t labels[2] = { 2, 1 };
    float loss, ds[4];
    assert_int_equal(ctkd_cross_entropy(1, 4, s[0], labels, &loss, ds), CTKD_OK);
    check_close(loss, log(4), 1e-7, 0);
    check_all_close(ds, expected[0], 4, 1e-7, 0);
    assert_int_equal(ctkd_cross_entropy(1, 4, s[1], labels + 1, &loss, ds), CTKD_OK);
    check_close(loss, 2e4 + log(2), 1e-7, 0);
    check_all_close(ds, expected[1], 4, 1e-7, 0);
}

static void bad_arguments_are_refused_and_write_nothing(void **state)
{
    (void)state;
    const float s[4] = { 1, 2, 3, 4 };
    const int32_t good[2] = { 0, 1 }, low[2] = { 0, -1 }, high[2] = { 0, 2 };
    float loss = 7, ds[4] = { 7, 7, 7, 7 };
    assert_int_equal(ctkd_cross_entropy(0, 2, s, good, &loss, ds), CTKD_EINVAL);
    assert_int_equal(ctkd_cross_entropy(2, 0, s, good, &loss, ds), CTKD_EINVAL);
    assert_int_equal(ctkd_cross_entropy(2, 2, NULL, good, &loss, ds), CTKD_EINVAL);
    assert_int_equal(ctkd_cross_entropy(2, 2, s, NULL, &loss, ds), CTKD_EINVAL);
    assert_int_equal(ctkd_cross_entropy(2, 2, s, good, NULL, ds), CTKD_EINVAL);
    assert_int_equal(ctkd_cross_entropy(2, 2, s, low, &loss, ds), CTKD_ERANGE);
    assert_int_equal(ctkd_cross_entropy(2, 2, s, high, &loss, ds), CTKD_ERANGE);
    assert_true(loss == 7 && ds[0] == 7 && ds[1] == 7 && ds[2] == 7 && ds[3] == 7);
    assert_int_equal(ctkd_cross_entropy(2, 2, s, good, &loss, NULL), CTKD_OK);
}

/* Against the mixture of two losses of hard labels, and a row that sums to 3. */
static void soft_labels_mix_hard_ones(void **state)
{
    (void)state;
    enum { ROWS = 5, CLASSES = 300 };
    float s[ROWS * CLASSES], y[ROWS * CLASSES] = { 0 }, ds[ROWS * CLASSES], one[ROWS * CLASSES],
                                      two[ROWS * CLASSES], loss, loss_one, loss_two;
    int32_t first[ROWS], second[ROWS];
    fill_uniform(s, ROWS * CLASSES, 4, -9, 9);
    for (size_t i = 0; i < ROWS; i++) {
        first[i] = (int32_t)(60 * i);
        second[i] = (int32_t)(299 - 7 * i);
        y[i * CLASSES + (size_t)first[i]] = 0.25f;
        y[i * CLASSES + (size_t)second[i]] = 2.75f;
    }
    assert_int_equal(ctkd_cross_entropy_soft(ROWS, CLASSES, s, y, &loss, ds), CTKD_OK);
    assert_int_equal(ctkd_cross_entropy(ROWS, CLASSES, s, first, &loss_one, one), CTKD_OK);
    assert_int_equal(ctkd_cross_entropy(ROWS, CLASSES, s, second, &loss_two, two), CTKD_OK);
    check_close(loss, 0.25 * (double)loss_one + 2.75 * (double)loss_two, 1e-6, 0);
    for (size_t i = 0; i < ROWS * CLASSES; i++)
        check_close(ds[i], 0.25 * (double)one[i] + 2.75 * (double)two[i], 1e-5, 1e-9);
    y[7] = -1e-9f;
    ds[0] = loss = 7;
    assert_int_equal(ctkd_cross_entropy_soft(ROWS, CLASSES, s, y, &loss, ds), CTKD_ERANGE);
    y[7] = INFINITY;
    assert_int_equal(ctkd_cross_entropy_soft(ROWS, CLASSES, s, y, &loss, ds), CTKD_ERANGE);
    assert_int_equal(ctkd_cross_entropy_soft(ROWS, CLASSES, s, NULL, &loss, ds), CTKD_EINVAL);
    assert_true(ds[0] == 7 && loss == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_and_gradient_agree_with_pytorch),
        cmocka_unit_test(equal_logits_give_log_k_and_extreme_logits_stay_finite),
        cmocka_unit_test(soft_labels_mix_hard_ones),
        cmocka_unit_test(bad_arguments_are_refused_and_write_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
