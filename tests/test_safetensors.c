#include <stdio.h>
#include <stdlib.h>

#include "io/safetensors.h"
#include "support/check.h"
#include "support/scratch.h"
#include "util/file.h"

static const char small[] = CTKD_SOURCE_DIR "/tests/golden/small.safetensors";

/* A file of this header and `n` bytes of data, all 1. */
static const char *craft(const char *header, size_t n)
{
    char bytes[2048];
    const size_t length = strlen(header);
    assert_true(8 + length + n <= sizeof bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(length >> 8 * i & 0xff);
    memcpy(bytes + 8, header, length);
    memset(bytes + 8 + length, 1, n);
    return scratch_write("crafted", bytes, 8 + length + n);
}

static ctkd_error read_error(const char *path)
{
    struct ctkd__tensors list = { 0 };
    ctkd_error err = { .status = CTKD_OK };
    const ctkd_status status = ctkd__safetensors_read(path, &list, &err);
    assert_int_equal(status, err.status);
    if (err.status != CTKD_OK)
        assert_true(list.count == 0 && !list.items && list.n_metadata == 0);
    ctkd__tensors_fini(&list);
    return err;
}

static void check_refused(const char *header, size_t n, const char *message)
{
    const ctkd_error err = read_error(craft(header, n));
    if (err.status == CTKD_OK || !strstr(err.message, message))
        fail_msg("%s: \"%s\", expected \"%s\"", header, err.message, message);
}

static void a_file_of_the_reference_implementation_is_read(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    ctkd_error err;
    check_ok(ctkd__safetensors_read(small, &list, &err), &err);
    assert_int_equal(list.count, 6);
    assert_string_equal(ctkd__tensors_get(&list, "network"), "resnet20");
    assert_string_equal(ctkd__tensors_get(&list, "name"), "Z\xc3\xbcrich");
    const struct ctkd__tensor *conv = ctkd__tensors_find(&list, "conv.weight");
    assert_true(conv && conv->type == CTKD__F32 && conv->rank == 4 && conv->shape[1] == 3);
    for (size_t i = 0; i < 12; i++)
        check_close(((float *)conv->data)[i], (double)i / 4 - 1, 0, 0);
    const struct ctkd__tensor *count = ctkd__tensors_find(&list, "bn.num_batches_tracked");
    assert_true(count && count->type == CTKD__I64 && count->rank == 0);
    assert_int_equal(*(int64_t *)count->data, -5);
    assert_int_equal(ctkd__tensors_find(&list, "half")->type, CTKD__F16);
    assert_memory_equal(ctkd__tensors_find(&list, "flags")->data, "\1\0\1", 3);
    assert_memory_equal(ctkd__tensors_find(&list, "bytes")->data, "\1\377\7", 3);
    assert_int_equal(ctkd__tensors_find(&list, "none")->bytes, 0);
    ctkd__tensors_fini(&list);
}

static void fill(struct ctkd__tensors *list)
{
    struct ctkd__tensor *tensor = NULL;
    ctkd_error err;
    for (int type = 0; type < CTKD__DTYPE_COUNT; type++) {
        char name[32];
        const int64_t shape[] = { type % 3, 2, 1 };
        snprintf(name, sizeof name, "t\"%d\xc3\xa9", type);
        check_ok(ctkd__tensors_add(list, name, (enum ctkd__dtype)((type + 5) % CTKD__DTYPE_COUNT),
                                   type % 4, shape, &tensor, &err),
                 &err);
        memset(tensor->data, type + 1, tensor->bytes);
    }
    check_ok(ctkd__tensors_set(list, "network", "resnet20", &err), &err);
    check_ok(ctkd__tensors_set(list, "text", "a\n\"b\"\xc3\xa9", &err), &err);
}

static void what_is_written_is_read_in_the_same_order(void **state)
{
    (void)state;
    struct ctkd__tensors a = { 0 }, b = { 0 };
    ctkd_error err;
    fill(&a);
    check_ok(ctkd__safetensors_write(scratch_path("round"), &a, &err), &err);
    check_ok(ctkd__safetensors_read(scratch_path("round"), &b, &err), &err);
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        const struct ctkd__tensor *x = &a.items[i], *y = &b.items[i];
        assert_string_equal(x->name, y->name);
        assert_true(x->type == y->type && x->rank == y->rank && x->bytes == y->bytes);
        assert_memory_equal(x->shape, y->shape, (size_t)x->rank * sizeof x->shape[0]);
        assert_memory_equal(x->data, y->data, x->bytes);
    }
    assert_int_equal(b.n_metadata, 2);
    assert_string_equal(b.keys[1], "text");
    assert_string_equal(b.values[1], "a\n\"b\"\xc3\xa9");
    ctkd__tensors_fini(&a);
    ctkd__tensors_fini(&b);
}

static void the_bytes_written_are_these(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    struct ctkd__tensor *tensor = NULL;
    ctkd_error err;
    char *text = NULL;
    size_t bytes = 0;
    check_ok(ctkd__tensors_add(&list, "f", CTKD__F32, 0, NULL, &tensor, &err), &err);
    memcpy(tensor->data, "FFFF", 4);
    check_ok(ctkd__tensors_add(&list, "i", CTKD__I64, 0, NULL, &tensor, &err), &err);
    memcpy(tensor->data, "IIIIIIII", 8);
    check_ok(ctkd__safetensors_write(scratch_path("bytes"), &list, &err), &err);
    check_ok(ctkd__file_read(scratch_path("bytes"), 1000, &text, &bytes, &err), &err);
    /* listed as given, laid out so that the eight bytes are aligned */
    assert_int_equal(text[0], 112);
    assert_string_equal(text + 8, "{\"f\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]},"
                                  "\"i\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}"
                                  "      IIIIIIIIFFFF");
    free(text);
    ctkd__tensors_fini(&list);
}

static void an_empty_list_is_a_file(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    ctkd_error err;
    check_ok(ctkd__safetensors_write(scratch_path("empty"), &list, &err), &err);
    assert_int_equal(read_error(scratch_path("empty")).status, CTKD_OK);
}

static void a_name_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    struct ctkd__tensor *tensor = NULL;
    ctkd_error err;
    check_ok(ctkd__tensors_add(&list, "\xff", CTKD__F32, 0, NULL, &tensor, &err), &err);
    assert_int_not_equal(ctkd__safetensors_write(scratch_path("name"), &list, &err), CTKD_OK);
    ctkd__tensors_fini(&list);
}

static void bad_entries_are_named(void **state)
{
    (void)state;
    const char *const one = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    assert_int_equal(read_error(craft(one, 4)).status, CTKD_OK);
    check_refused(one, 3, "a: data_offsets: found [0,4], expected begin <= end <= 3");
    check_refused(one, 5, "found 5 bytes of data, expected 4 as the tensors cover");
    check_refused("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
                  "a: found dtype F8_E4M3, expected F32, ");
    check_refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a: found dtype none");
    check_refused("{\"a\":3}", 0, "a: found dtype none");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4,
                  "a: shape: found [-1], expected");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4,
                  "a: shape: found [1.0], expected");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],"
                  "\"data_offsets\":[0,4]}}",
                  4, "a: shape: found [1,1,1,1,1,1,1,1,1], expected at most 8");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
                  "a: found data_offsets of 4 bytes, expected 8");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],"
                  "\"data_offsets\":[0,4]}}",
                  4, "a: found data_offsets of 4 bytes, expected");
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 4,
                  "a: data_offsets: found [1,0], expected begin <= end");
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2,
                  "a: found data beginning at 1, expected 0");
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                  "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
                  3, "b: the tensors up to here overlap");
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                  "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
                  4, "b: found data beginning at 1, expected 2");
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                  "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                  2, "duplicate object key");
    check_refused("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__: a: found 1, expected a string");
    check_refused(
        "{\"__metadata__\":{\"a\":[\"a list whose text is longer than a message shows\"]}}", 0,
        "__metadata__: a: found [\"a list whose text is longer than a message..., expected");
    check_refused(
        "{\"__metadata__\":{\"a\":[\"a list with a character of two bytes there:\xc3\xa4\"]}}", 0,
        "__metadata__: a: found [\"a list with a character of two bytes there..., expected");
    check_refused("{\"__metadata__\":[]}", 0, "__metadata__: found [], expected a map of strings");
    check_refused("[]", 0, "header: not a JSON object");
    check_refused("{", 0, "header: ");
}

static void a_header_length_is_not_believed(void **state)
{
    (void)state;
    ctkd_error err = read_error(scratch_write("long", "\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10));
    assert_non_null(strstr(err.message, "header length 9223372036854775807, expected at most 2"));
    err = read_error(scratch_path("none"));
    assert_int_equal(err.status, CTKD_EIO);
    assert_int_equal(read_error(".").status, CTKD_EIO);
}

static void a_file_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    ctkd_error err;
    check_ok(ctkd__file_read(small, 100000, &text, &bytes, &err), &err);
    for (size_t n = 0; n < bytes; n++)
        assert_int_equal(read_error(scratch_write("cut", text, n)).status, CTKD_EFORMAT);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_the_reference_implementation_is_read),
        cmocka_unit_test(what_is_written_is_read_in_the_same_order),
        cmocka_unit_test(the_bytes_written_are_these),
        cmocka_unit_test(an_empty_list_is_a_file),
        cmocka_unit_test(a_name_that_is_not_utf8_is_refused),
        cmocka_unit_test(bad_entries_are_named),
        cmocka_unit_test(a_header_length_is_not_believed),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
