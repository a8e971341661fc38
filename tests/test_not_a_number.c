/* NaN goes through every kernel of every instruction set, as in PyTorch: relu(NaN) is NaN, a NaN
   wins a maximum, clamps keep it. What is finite, -0.0 too, keeps its bits. */
#include "support/check.h"

#include <stdlib.h>
#include <string.h>

#include "nn/kernels/kernels.h"

enum { SIDE = 8, HW = SIDE * SIDE, BLOCK = CTKD__BLOCK_MAX, PLANE = HW * BLOCK };

/* Pixel (3, 5), lane 2 of the only block. */
static const size_t pixel = 3 * SIDE + 5, lane = 2;

static void for_all_kernels(void (*test)(const struct ctkd__kernels *kernels))
{
    assert_non_null(ctkd__kernels_list()[0]);
    for (size_t i = 0; ctkd__kernels_list()[i]; i++)
        test(ctkd__kernels_list()[i]);
}

/* Both signs, and one NaN. */
static void fill(float *x, size_t count, size_t nan_at)
{
    for (size_t i = 0; i < count; i++)
        x[i] = (float)(i % 7) - 3;
    x[nan_at] = NAN;
}

/* NaN at one place and nowhere else. */
static void check_one_nan(const float *y, size_t count, size_t at)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(isnan(y[i]) ? 1 : 0, i == at ? 1 : 0);
}

static void pointwise(const struct ctkd__kernels *k)
{
    const size_t b = k->block, at = pixel * b + lane, count = HW * b;
    const struct ctkd__extent extent = { 1, 1, HW };
    float x[PLANE], ones[PLANE], dy[PLANE], y[PLANE], scale[BLOCK], shift[BLOCK];
    fill(x, count, at);
    for (size_t i = 0; i < PLANE; i++)
        ones[i] = 1;
    for (size_t i = 0; i < b; i++) {
        scale[i] = -1;
        shift[i] = 0.5f;
    }
    const struct ctkd__affine affine = { scale, shift, true };
    k->pointwise->relu(count, x, y);
    check_one_nan(y, count, at);
    k->pointwise->add(count, x, ones, true, y);
    check_one_nan(y, count, at);
    k->pointwise->add(count, ones, x, true, y);
    check_one_nan(y, count, at);
    k->pointwise->affine(extent, x, &affine, NULL, y);
    check_one_nan(y, count, at);
    k->pointwise->affine(extent, x, &affine, ones, y);
    check_one_nan(y, count, at);
    k->pointwise->affine(extent, ones, &affine, x, y);
    check_one_nan(y, count, at);
    k->pointwise->relu_backward(count, ones, x, NULL, y); /* where y > 0, dy itself */
    check_one_nan(y, count, at);
    /* PyTorch 2.13: 3 goes back through relu(NaN), 0 through relu of what is not above 0. */
    for (size_t i = 0; i < PLANE; i++)
        dy[i] = 3;
    fill(x, count, at);
    x[at == 0 ? 1 : 0] = -1;
    k->pointwise->relu_backward(count, x, dy, NULL, y);
    for (size_t i = 0; i < count; i++)
        assert_true(y[i] == (i == at || x[i] > 0 ? 3.0f : 0.0f));
}

static void passes_of_one_value_keep_nan(void **state)
{
    (void)state;
    for_all_kernels(pointwise);
}

static void activations(const struct ctkd__kernels *k)
{
    const size_t b = k->block, at = pixel * b + lane, count = HW * b;
    const struct ctkd__extent extent = { 1, 1, HW };
    float x[PLANE], y[PLANE];
    fill(x, count, at);
    for (int kind = CTKD__RELU6; kind <= CTKD__HARD_SWISH; kind++) {
        k->features->activate(extent, b, (enum ctkd__activation)kind, 0.1f, x, y);
        check_one_nan(y, count, at);
    }
}

static void activations_and_clamps_keep_nan(void **state)
{
    (void)state;
    for_all_kernels(activations);
}

static void pools(const struct ctkd__kernels *k)
{
    const size_t b = k->block;
    const struct ctkd__max_pool pool = { SIDE, SIDE, SIDE / 2, SIDE / 2, 2, 2, 0 };
    const size_t count = HW / 4 * b, out = (3 / 2 * (SIDE / 2) + 5 / 2) * b + lane;
    float x[PLANE], y[PLANE];
    uint8_t index[PLANE];
    /* each of the window's pixels: a larger number before or behind the NaN does not hide it */
    for (size_t dy = 2; dy < 4; dy++)
        for (size_t dx = 4; dx < 6; dx++) {
            fill(x, HW * b, (dy * SIDE + dx) * b + lane);
            k->pointwise->max_pool(1, &pool, x, y, index);
            check_one_nan(y, count, out);
            assert_int_equal(index[out], (dy - 2) * 2 + dx - 4);
            k->pointwise->max_pool(1, &pool, x, y, NULL);
            check_one_nan(y, count, out);
        }
}

static void a_maximum_with_nan_is_nan(void **state)
{
    (void)state;
    for_all_kernels(pools);
}

/* The outputs that read the pixel are NaN; Winograd's tiles may take neighbours along. */
static void check_around(const float *y, size_t b, size_t radius, size_t from, size_t to)
{
    for (size_t i = 3 - radius; i <= 3 + radius; i++)
        for (size_t j = 5 - radius; j <= 5 + radius; j++)
            for (size_t c = from; c < to; c++)
                assert_true(isnan(y[(i * SIDE + j) * b + c]));
    assert_true(y[0] >= 0); /* far away */
}

static void products(const struct ctkd__kernels *k)
{
    const size_t b = k->block;
    const struct ctkd__gemm_range all = { 0, b, 0 };
    const struct ctkd__gemm_shape shape = { 1, 1, HW, &all, b * b };
    const struct ctkd__epilogue epilogue = { NULL, NULL, true };
    float x[PLANE], y[PLANE], weights[BLOCK * BLOCK], scale[BLOCK], shift[BLOCK] = { 0 };
    void *scratch = aligned_alloc(64, (k->gemm->scratch_bytes(&shape) + 64) / 64 * 64);
    assert_non_null(scratch);
    fill(x, HW * b, pixel * b + lane);
    for (size_t i = 0; i < BLOCK * BLOCK; i++)
        weights[i] = (float)(i % 5) - 2.5f;
    for (size_t i = 0; i < BLOCK; i++)
        scale[i] = 1;
    const struct ctkd__affine prologue = { scale, shift, true };
    k->gemm->multiply(&shape, 1, x, NULL, weights, &epilogue, y, scratch);
    check_around(y, b, 0, 0, b);
    k->gemm->multiply(&shape, 1, x, &prologue, weights, &epilogue, y, scratch);
    check_around(y, b, 0, 0, b);
    free(scratch);
}

static void depthwise(const struct ctkd__kernels *k)
{
    const size_t b = k->block;
    const struct ctkd__depthwise_shape shape = { 1, SIDE, SIDE, SIDE, SIDE, 3, 1, 1 };
    const struct ctkd__epilogue epilogue = { NULL, NULL, true };
    float x[PLANE], y[PLANE], weights[9 * BLOCK], scale[BLOCK], shift[BLOCK] = { 0 };
    void *scratch = aligned_alloc(64, (k->depthwise->scratch_bytes(&shape) + 64) / 64 * 64);
    assert_non_null(scratch);
    fill(x, HW * b, pixel * b + lane);
    for (size_t i = 0; i < 9 * BLOCK; i++)
        weights[i] = (float)(i % 5) - 2.5f;
    for (size_t i = 0; i < BLOCK; i++)
        scale[i] = 1;
    const struct ctkd__affine prologue = { scale, shift, true };
    k->depthwise->forward(&shape, 1, x, NULL, weights, &epilogue, y, scratch);
    check_around(y, b, 1, lane, lane + 1);
    k->depthwise->forward(&shape, 1, x, &prologue, weights, &epilogue, y, scratch);
    check_around(y, b, 1, lane, lane + 1);
    free(scratch);
}

static void winograd(const struct ctkd__kernels *k)
{
    const size_t b = k->block;
    for (int deep = 0; deep < 2; deep++) {
        const struct ctkd__winograd_shape shape = { b, b, SIDE, SIDE, 0, deep != 0 };
        const struct ctkd__winograd_epilogue epilogue = { NULL, NULL, true };
        const size_t packed_bytes = (k->winograd->packed_floats(&shape) * sizeof(float) + 64);
        float x[PLANE], y[PLANE], scale[BLOCK], shift[BLOCK] = { 0 };
        float *const weights = aligned_alloc(64, 9 * BLOCK * BLOCK * sizeof *weights);
        float *const packed = aligned_alloc(64, packed_bytes / 64 * 64 + 64);
        void *const scratch =
            aligned_alloc(64, (k->winograd->scratch_bytes(&shape) + 64) / 64 * 64);
        assert_true(weights && packed && scratch);
        fill(x, HW * b, pixel * b + lane);
        for (size_t i = 0; i < 9 * BLOCK * BLOCK; i++)
            weights[i] = (float)(i % 5) - 2.5f;
        for (size_t i = 0; i < BLOCK; i++)
            scale[i] = 1;
        const struct ctkd__winograd_prologue prologue = { scale, shift, true };
        if (!deep)
            k->winograd->pack_forward(&shape, weights, packed, 0, 1);
        const float *const given = deep ? weights : packed;
        k->winograd->forward(&shape, 1, x, NULL, given, &epilogue, y, scratch);
        check_around(y, b, 1, 0, b);
        k->winograd->forward(&shape, 1, x, &prologue, given, &epilogue, y, scratch);
        check_around(y, b, 1, 0, b);
        free(scratch);
        free(packed);
        free(weights);
    }
}

static void convolutions_with_a_relu_behind_or_before_keep_nan(void **state)
{
    (void)state;
    for_all_kernels(products);
    for_all_kernels(depthwise);
    for_all_kernels(winograd);
}

static void zeros(const struct ctkd__kernels *k)
{
    float x[BLOCK], y[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        x[i] = i % 2 ? 0x1p-149f : -INFINITY;
    k->pointwise->relu(k->block, x, y);
    for (size_t i = 0; i < k->block; i++)
        assert_true(y[i] == (i % 2 ? 0x1p-149f : 0) && !signbit(y[i]));
}

static void numbers_at_the_ends_are_kept_or_zero(void **state)
{
    (void)state;
    for_all_kernels(zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_of_one_value_keep_nan),
        cmocka_unit_test(activations_and_clamps_keep_nan),
        cmocka_unit_test(a_maximum_with_nan_is_nan),
        cmocka_unit_test(convolutions_with_a_relu_behind_or_before_keep_nan),
        cmocka_unit_test(numbers_at_the_ends_are_kept_or_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
