/* Checkpoint files: what was written is read back, and no damage passes. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/safetensors.h"
#include "io/sealed.h"
#include "support/temp_files.h"

static const char *write_sealed(const char *folder)
{
    static char path[512];
    const int64_t shape[] = { 2, 3 };
    struct ctkd__tensors list = { 0 };
    struct ctkd__tensor *tensor;
    ctkd_error err = { 0 };
    check_ok(ctkd__tensors_add(&list, "x", CTKD__F32, 2, shape, &tensor, &err), &err);
    fill_uniform(tensor->data, 6, 1, -1, 1);
    check_ok(ctkd__tensors_add(&list, "y", CTKD__F64, 1, shape, &tensor, &err), &err);
    ((double *)tensor->data)[1] = -1.5;
    check_ok(ctkd__tensors_set(&list, "note", "two\nlines", &err), &err);
    snprintf(path, sizeof path, "%s", temp_path(folder, "a.ckpt"));
    check_ok(ctkd__sealed_write(path, &list, &err), &err);
    ctkd__tensors_fini(&list);
    return path;
}

static void what_was_written_is_read_back(void **state)
{
    struct ctkd__tensors list = { 0 };
    ctkd_error err = { 0 };
    float expected[6];
    fill_uniform(expected, 6, 1, -1, 1);
    check_ok(ctkd__sealed_read(write_sealed(*state), &list, &err), &err);
    assert_memory_equal(ctkd__tensors_find(&list, "x")->data, expected, sizeof expected);
    assert_true(((double *)ctkd__tensors_find(&list, "y")->data)[1] == -1.5);
    assert_string_equal(ctkd__tensors_get(&list, "note"), "two\nlines");
    ctkd__tensors_fini(&list);
}

static void every_changed_byte_and_every_length_is_noticed(void **state)
{
    size_t size;
    char path[512];
    snprintf(path, sizeof path, "%s", write_sealed(*state));
    char *bytes = temp_read(path, &size);
    for (size_t i = 0; i < size; i++) {
        struct ctkd__tensors list = { 0 };
        ctkd_error err = { 0 };
        bytes[i] = (char)(bytes[i] ^ 1);
        temp_write(*state, "b.ckpt", bytes, size);
        bytes[i] = (char)(bytes[i] ^ 1);
        const ctkd_status status = ctkd__sealed_read(temp_path(*state, "b.ckpt"), &list, &err);
        assert_true(status != CTKD_OK && list.count == 0 && err.message[0]);
        temp_write(*state, "b.ckpt", bytes, i);
        assert_true(ctkd__sealed_read(temp_path(*state, "b.ckpt"), &list, &err) != CTKD_OK);
    }
    free(bytes);
}

static void a_file_without_checksum_is_refused(void **state)
{
    struct ctkd__tensors list = { 0 };
    ctkd_error err = { 0 };
    check_ok(ctkd__safetensors_write(temp_path(*state, "c.ckpt"), &list, &err), &err);
    assert_int_equal(ctkd__sealed_read(temp_path(*state, "c.ckpt"), &list, &err), CTKD_EFORMAT);
    assert_non_null(strstr(err.message, "c.ckpt: found no checksum in the metadata"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read_back, temp_folder_make,
                                        temp_folder_remove),
        cmocka_unit_test_setup_teardown(every_changed_byte_and_every_length_is_noticed,
                                        temp_folder_make, temp_folder_remove),
        cmocka_unit_test_setup_teardown(a_file_without_checksum_is_refused, temp_folder_make,
                                        temp_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
