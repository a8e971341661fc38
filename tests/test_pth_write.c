#include <stdlib.h>

#include "io/pth.h"
#include "support/check.h"
#include "support/scratch.h"
#include "util/file.h"

static void fill(struct ctkd__tensors *list)
{
    struct ctkd__tensor *tensor = NULL;
    ctkd_error err;
    const int64_t shape[] = { 2, 3, 1, 2 }, none[] = { 0, 3 };
    check_ok(ctkd__tensors_add(list, "conv.weight", CTKD__F32, 4, shape, &tensor, &err), &err);
    fill_normal(tensor->data, 12, 1);
    check_ok(ctkd__tensors_add(list, "bn.num_batches_tracked", CTKD__I64, 0, NULL, &tensor, &err),
             &err);
    *(int64_t *)tensor->data = 12345678901;
    check_ok(ctkd__tensors_add(list, "empty", CTKD__F32, 2, none, &tensor, &err), &err);
    check_ok(ctkd__tensors_set(list, "network", "resnet20", &err), &err);
    check_ok(ctkd__tensors_set(list, "top1", "71.25", &err), &err);
    check_ok(ctkd__tensors_set(list, "epoch", "240", &err), &err);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct ctkd__tensors a = { 0 }, b = { 0 };
    ctkd_error err;
    fill(&a);
    check_ok(ctkd__pth_write(scratch_path("a.pth"), &a, &err), &err);
    check_ok(ctkd__pth_read(scratch_path("a.pth"), &b, &err), &err);
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        assert_string_equal(a.items[i].name, b.items[i].name);
        assert_int_equal(a.items[i].type, b.items[i].type);
        assert_int_equal(a.items[i].rank, b.items[i].rank);
        assert_int_equal(a.items[i].bytes, b.items[i].bytes);
        assert_memory_equal(a.items[i].data, b.items[i].data, a.items[i].bytes);
    }
    for (size_t i = 0; i < a.n_metadata; i++)
        assert_string_equal(ctkd__tensors_get(&b, a.keys[i]), a.values[i]);
    assert_string_equal(ctkd__tensors_get(&b, "best_acc"), "71.25");
    ctkd__tensors_fini(&a);
    ctkd__tensors_fini(&b);
}

static void data_is_aligned_to_64_bytes(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    ctkd_error err;
    char *bytes = NULL;
    size_t size = 0;
    fill(&list);
    check_ok(ctkd__pth_write(scratch_path("b.pth"), &list, &err), &err);
    check_ok(ctkd__file_read(scratch_path("b.pth"), 100000, &bytes, &size, &err), &err);
    for (size_t i = 0; i < 2; i++) {
        const struct ctkd__tensor *tensor = &list.items[i];
        const char *at = memmem(bytes, size, tensor->data, tensor->bytes);
        assert_non_null(at);
        assert_int_equal((at - bytes) % 64, 0);
    }
    free(bytes);
    ctkd__tensors_fini(&list);
}

static void the_same_tensors_give_the_same_file(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    ctkd_error err;
    char *bytes[2];
    size_t size[2];
    fill(&list);
    for (int i = 0; i < 2; i++) {
        const char *path = scratch_path(i ? "c.pth" : "d.pth");
        check_ok(ctkd__pth_write(path, &list, &err), &err);
        check_ok(ctkd__file_read(path, 100000, &bytes[i], &size[i], &err), &err);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    free(bytes[0]);
    free(bytes[1]);
    ctkd__tensors_fini(&list);
}

static void names_that_are_not_utf8_are_refused(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    struct ctkd__tensor *tensor = NULL;
    ctkd_error err;
    check_ok(ctkd__tensors_add(&list, "\xff", CTKD__F32, 0, NULL, &tensor, &err), &err);
    assert_int_equal(ctkd__pth_write(scratch_path("e.pth"), &list, &err), CTKD_EINVAL);
    assert_non_null(strstr(err.message, "e.pth: name \\xFF: found text that is not UTF-8"));
    ctkd__tensors_fini(&list);
    check_ok(ctkd__tensors_set(&list, "k", "\xff", &err), &err);
    assert_int_equal(ctkd__pth_write(scratch_path("e.pth"), &list, &err), CTKD_EINVAL);
    ctkd__tensors_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(data_is_aligned_to_64_bytes),
        cmocka_unit_test(the_same_tensors_give_the_same_file),
        cmocka_unit_test(names_that_are_not_utf8_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
