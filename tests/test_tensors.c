#include <math.h>
#include <stdio.h>

#include "support/check.h"
#include "util/tensors.h"

static void a_tensor_is_added_with_zeros_and_found(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    struct ctkd__tensor *tensor = NULL;
    ctkd_error err;
    char text[64];
    const int64_t shape[] = { 2, 3 };
    check_ok(ctkd__tensors_add(&list, "fc.weight", CTKD__F32, 2, shape, &tensor, &err), &err);
    assert_int_equal(tensor->bytes, 24);
    assert_int_equal(ctkd__tensor_elements(tensor), 6);
    for (size_t i = 0; i < 6; i++)
        assert_true(((float *)tensor->data)[i] == 0.0f);
    assert_string_equal(ctkd__tensor_shape_text(tensor, text, sizeof text), "[2, 3]");
    assert_ptr_equal(ctkd__tensors_find(&list, "fc.weight"), tensor);
    assert_null(ctkd__tensors_find(&list, "fc"));
    ctkd__tensors_fini(&list);
    assert_int_equal(list.count, 0);
}

static void a_scalar_and_an_empty_tensor_are_tensors(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    struct ctkd__tensor *tensor = NULL;
    ctkd_error err;
    char text[64];
    check_ok(ctkd__tensors_add(&list, "n", CTKD__I64, 0, NULL, &tensor, &err), &err);
    assert_int_equal(ctkd__tensor_elements(tensor), 1);
    assert_string_equal(ctkd__tensor_shape_text(tensor, text, sizeof text), "[]");
    const int64_t huge_and_none[] = { INT64_MAX, INT64_MAX, 0 };
    check_ok(ctkd__tensors_add(&list, "e", CTKD__F32, 3, huge_and_none, &tensor, &err), &err);
    assert_int_equal(tensor->bytes, 0);
    ctkd__tensors_fini(&list);
}

static void bad_shapes_and_taken_names_are_refused(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    struct ctkd__tensor *tensor = NULL;
    ctkd_error err;
    const int64_t negative[] = { 2, -1 }, huge[] = { INT64_MAX, 8 }, one[9] = { 1 };
    assert_int_equal(ctkd__tensors_add(&list, "a", CTKD__F32, 2, negative, &tensor, &err),
                     CTKD_EINVAL);
    assert_string_equal(err.message, "a: dimension 1 is -1, expected >= 0");
    assert_int_equal(ctkd__tensors_add(&list, "a", CTKD__F32, 2, huge, &tensor, &err), CTKD_EINVAL);
    assert_int_equal(ctkd__tensors_add(&list, "a", CTKD__F32, 9, one, &tensor, &err), CTKD_EINVAL);
    assert_string_equal(err.message, "a: found rank 9, expected 0 to 8");
    assert_int_equal(list.count, 0);
    check_ok(ctkd__tensors_add(&list, "a", CTKD__U8, 1, one, &tensor, &err), &err);
    assert_int_equal(ctkd__tensors_add(&list, "a", CTKD__U8, 1, one, &tensor, &err), CTKD_EEXIST);
    assert_int_equal(list.count, 1);
    ctkd__tensors_fini(&list);
}

static void a_shape_text_fits_its_buffer(void **state)
{
    (void)state;
    const struct ctkd__tensor tensor = { .rank = 3, .shape = { 123, 456, 789 } };
    char text[16];
    for (size_t n = 1; n <= sizeof text; n++) {
        ctkd__tensor_shape_text(&tensor, text, n);
        assert_int_equal(strlen(text), (n < 16 ? n : 16) - 1);
        assert_memory_equal(text, "[123, 456, 789]", strlen(text));
    }
}

/* Every half: by its definition in double, one by one and in a row. */
static void every_half_becomes_its_float(void **state)
{
    (void)state;
    enum { N = 1 << 16 };
    static uint16_t halves[N];
    static float row[N];
    for (uint32_t i = 0; i < N; i++)
        halves[i] = (uint16_t)i;
    ctkd__dtype_load_all(CTKD__F16, halves, N, row);
    for (uint32_t i = 0; i < N; i++) {
        const int exponent = (int)(i >> 10 & 31), fraction = (int)(i & 1023);
        double expected = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        if (exponent == 31)
            expected = fraction ? (double)NAN : (double)INFINITY;
        const float one = ctkd__dtype_load(CTKD__F16, &halves[i]);
        assert_int_equal(signbit(row[i]) != 0, i >> 15);
        assert_memory_equal(&one, &row[i], sizeof one);
        if (isnan(expected))
            assert_true(isnan(row[i]));
        else
            assert_true((double)fabsf(row[i]) == expected);
    }
}

static void a_row_of_any_type_is_loaded_as_one_by_one(void **state)
{
    (void)state;
    enum { N = 9 };
    unsigned char bytes[N * 8 + 1];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 37 + 5);
    for (int type = 0; type < CTKD__DTYPE_COUNT; type++) {
        float row[N];
        const size_t size = ctkd__dtype_bytes((enum ctkd__dtype)type);
        ctkd__dtype_load_all((enum ctkd__dtype)type, bytes + 1, N, row); /* not aligned */
        for (size_t i = 0; i < N; i++) {
            const float one = ctkd__dtype_load((enum ctkd__dtype)type, bytes + 1 + i * size);
            assert_memory_equal(&one, &row[i], sizeof one);
        }
    }
}

static void a_list_is_bounded(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    struct ctkd__tensor *tensor = NULL;
    ctkd_error err;
    char name[16];
    ctkd_status status = CTKD_OK;
    for (int i = 0; i <= 16384 && status == CTKD_OK; i++) {
        snprintf(name, sizeof name, "%d", i);
        status = ctkd__tensors_add(&list, name, CTKD__U8, 0, NULL, &tensor, &err);
    }
    assert_int_equal(status, CTKD_EINVAL);
    assert_int_equal(list.count, 16384);
    ctkd__tensors_fini(&list);
}

static void what_is_not_finite_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum ctkd__dtype type;
        uint64_t bits;
        const char *message; /* NULL: fine */
    } cases[] = {
        { "w", CTKD__F32, 0x7fc00000, "f: w: element 1500 is nan, expected a finite number" },
        { "w", CTKD__F32, 0xff800000, "f: w: element 1500 is -inf, expected a finite number" },
        { "w", CTKD__F32, 0xff7fffff, NULL },
        { "w", CTKD__F64, 0x7ff8000000000000,
          "f: w: element 1500 is nan, expected a finite number" },
        { "w", CTKD__F64, 0x7e37e43c8800759c,
          "f: w: element 1500 is inf, expected a finite number" },
        { "w", CTKD__F16, 0x7c00, "f: w: element 1500 is inf, expected a finite number" },
        { "w", CTKD__F16, 0xfbff, NULL },
        { "w", CTKD__BF16, 0x7fc0, "f: w: element 1500 is nan, expected a finite number" },
        { "bn.running_var", CTKD__F32, 0xbf000000,
          "f: bn.running_var: element 1500 is -0.5, expected a variance of at least 0" },
        { "bn.running_var", CTKD__F32, 0x80000000, NULL }, /* -0 */
        { "bn.running_mean", CTKD__F32, 0xbf000000, NULL },
        { "n", CTKD__I64, UINT64_MAX, NULL },
        { "n", CTKD__I32, 0x7fc00000, NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctkd__tensors list = { 0 };
        struct ctkd__tensor *tensor = NULL;
        ctkd_error err = { 0 };
        const int64_t shape[] = { 2, 1000 };
        check_ok(ctkd__tensors_add(&list, "before", CTKD__F32, 2, shape, &tensor, &err), &err);
        check_ok(ctkd__tensors_add(&list, cases[i].name, cases[i].type, 2, shape, &tensor, &err),
                 &err);
        const size_t each = ctkd__dtype_bytes(cases[i].type);
        memcpy((char *)tensor->data + 1500 * each, &cases[i].bits, each);
        assert_int_equal(ctkd__tensors_check_finite("f", &list, &err),
                         cases[i].message ? CTKD_ENAN : CTKD_OK);
        if (cases[i].message)
            assert_string_equal(err.message, cases[i].message);
        ctkd__tensors_fini(&list);
    }
}

static void metadata_is_kept_in_order_and_replaced(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    ctkd_error err;
    check_ok(ctkd__tensors_set(&list, "network", "resnet20", &err), &err);
    check_ok(ctkd__tensors_set(&list, "top1", "71.3", &err), &err);
    check_ok(ctkd__tensors_set(&list, "network", "resnet56", &err), &err);
    assert_int_equal(list.n_metadata, 2);
    assert_string_equal(list.keys[0], "network");
    assert_string_equal(ctkd__tensors_get(&list, "network"), "resnet56");
    assert_string_equal(ctkd__tensors_get(&list, "top1"), "71.3");
    assert_null(ctkd__tensors_get(&list, "top5"));
    ctkd__tensors_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tensor_is_added_with_zeros_and_found),
        cmocka_unit_test(a_scalar_and_an_empty_tensor_are_tensors),
        cmocka_unit_test(bad_shapes_and_taken_names_are_refused),
        cmocka_unit_test(a_shape_text_fits_its_buffer),
        cmocka_unit_test(every_half_becomes_its_float),
        cmocka_unit_test(a_row_of_any_type_is_loaded_as_one_by_one),
        cmocka_unit_test(a_list_is_bounded),
        cmocka_unit_test(what_is_not_finite_is_named),
        cmocka_unit_test(metadata_is_kept_in_order_and_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
