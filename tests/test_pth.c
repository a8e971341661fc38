#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/pth.h"
#include "support/check.h"
#include "support/scratch.h"
#include "util/file.h"

static const char *golden_path(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/tests/golden/%s", CTKD_SOURCE_DIR, name);
    return path;
}

static char *golden_bytes(const char *name, size_t *size)
{
    char *bytes = NULL;
    ctkd_error err;
    check_ok(ctkd__file_read(golden_path(name), 1000000, &bytes, size, &err), &err);
    return bytes;
}

static const struct tensor_case {
    const char *name;
    int rank;
    int64_t shape[4];
} cases[] = {
    { "conv.weight", 4, { 2, 3, 1, 2 } },
    { "transposed", 2, { 4, 3 } },
    { "shared", 2, { 2, 2 } },
    { "expanded", 2, { 2, 3 } },
    { "half", 1, { 6 } },
    { "bfloat16", 1, { 5 } },
    { "double", 2, { 2, 2 } },
    { "int", 1, { 2 } },
    { "short", 1, { 2 } },
    { "char", 1, { 2 } },
    { "byte", 1, { 2 } },
    { "bool", 1, { 2 } },
    { "long", 1, { 1 } },
    { "empty", 2, { 0, 3 } },
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* The tensors are those of the golden values, bit for bit, in order. */
static void check_tensors(const struct ctkd__tensors *list)
{
    struct golden *golden = golden_open("pth.txt");
    assert_int_equal(list->count, N_CASES + 1);
    for (size_t i = 0; i < N_CASES; i++) {
        const struct ctkd__tensor *tensor = &list->items[i];
        const size_t n = ctkd__tensor_elements(tensor);
        assert_string_equal(tensor->name, cases[i].name);
        assert_int_equal(tensor->type, CTKD__F32);
        assert_int_equal(tensor->rank, cases[i].rank);
        assert_memory_equal(tensor->shape, cases[i].shape, (size_t)cases[i].rank * sizeof(int64_t));
        check_all_close(tensor->data, golden_get(golden, cases[i].name, n), n, 0, 0);
    }
    const struct ctkd__tensor *last = &list->items[N_CASES];
    assert_string_equal(last->name, "bn.num_batches_tracked");
    assert_int_equal(last->type, CTKD__I64);
    assert_int_equal(last->rank, 0);
    assert_true(*(int64_t *)last->data == 12345678901);
    golden_close(golden);
}

static void read_golden(const char *name, struct ctkd__tensors *list)
{
    ctkd_error err;
    *list = (struct ctkd__tensors){ 0 };
    check_ok(ctkd__pth_read(golden_path(name), list, &err), &err);
    check_tensors(list);
}

static void both_forms_give_tensors_and_the_values_beside_them(void **state)
{
    (void)state;
    const char *const files[] = { "zip.pth", "legacy.pth" };
    for (int i = 0; i < 2; i++) {
        struct ctkd__tensors list;
        read_golden(files[i], &list);
        assert_int_equal(list.n_metadata, 5);
        assert_string_equal(ctkd__tensors_get(&list, "epoch"), "7");
        assert_string_equal(ctkd__tensors_get(&list, "best_acc"), "71.5");
        assert_string_equal(ctkd__tensors_get(&list, "accuracy"), "71.25");
        assert_string_equal(ctkd__tensors_get(&list, "done"), "1");
        assert_string_equal(ctkd__tensors_get(&list, "name"), "Z\xc3\xbcrich");
        ctkd__tensors_fini(&list);
    }
}

static void plain_nested_compressed_distiller_and_zip64_files_are_read(void **state)
{
    (void)state;
    const char *const files[] = { "plain.pth", "nested.pth", "deflated.pth", "distiller.pth",
                                  "zip64.pth" };
    for (int i = 0; i < 5; i++) {
        struct ctkd__tensors list;
        read_golden(files[i], &list);
        assert_int_equal(list.n_metadata, 0);
        ctkd__tensors_fini(&list);
    }
}

/* tests/golden/make_sets.py: every value of a set is one number. */
static void sets_of_training_libraries_are_found_in_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *file, *wanted;
        float value;
        size_t count; /* sets */
    } asked[] = {
        { "average", "", 1, 2 },
        { "average", "model_ema", 2, 2 },
        { "average_legacy", "model", 1, 2 },
        { "average_legacy", "model_ema", 2, 2 },
        { "lightning", "", 1, 2 },
        { "lightning", "state_dict.ema_model", 2, 2 },
        { "distiller", "", 2, 2 },
        { "distiller", "state_dict.teacher", 1, 2 },
        { "module", "", 1, 1 },
        { "modules", "", 2, 3 },
        { "modules", "model.teacher", 1, 3 },
        { "modules", "ema", 3, 3 },
        { "attributes", "", 1, 1 },
    };
    static const char *const names[] = { "conv1.weight",    "bn1.weight",
                                         "bn1.bias",        "bn1.running_mean",
                                         "bn1.running_var", "bn1.num_batches_tracked",
                                         "fc.weight",       "fc.bias" };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct ctkd__tensors list = { 0 };
        struct ctkd__sets sets;
        ctkd_error err = { 0 };
        char file[64];
        snprintf(file, sizeof file, "sets_%s.pth", asked[i].file);
        check_ok(ctkd__pth_read_set(golden_path(file), asked[i].wanted, &list, &sets, &err), &err);
        assert_int_equal(sets.count, asked[i].count);
        assert_int_equal(list.count, sizeof names / sizeof *names);
        for (size_t k = 0; k < list.count; k++) {
            assert_string_equal(list.items[k].name, names[k]);
            for (size_t j = 0; j < ctkd__tensor_elements(&list.items[k]); j++)
                assert_true((list.items[k].type == CTKD__I64
                                 ? (float)((int64_t *)list.items[k].data)[j]
                                 : ((float *)list.items[k].data)[j]) == asked[i].value);
        }
        ctkd__tensors_fini(&list);
    }
}

/* The golden file with `from` replaced by as many bytes of `to`, all occurrences; read for its
 * error. */
static ctkd_error read_changed(const char *name, const char *from, const char *to, size_t n)
{
    struct ctkd__tensors list = { 0 };
    ctkd_error err = { .status = CTKD_OK };
    size_t size = 0;
    bool found = false;
    char *bytes = golden_bytes(name, &size);
    for (char *at = bytes; (at = memmem(at, size - (size_t)(at - bytes), from, n)) != NULL;
         at += n, found = true)
        memcpy(at, to, n);
    assert_true(found);
    const ctkd_status status = ctkd__pth_read_bytes("x.pth", bytes, size, &list, &err);
    assert_int_equal(status, err.status);
    assert_true(status == CTKD_OK || !list.items);
    ctkd__tensors_fini(&list);
    free(bytes);
    return err;
}

static void check_changed(const char *from, const char *to, size_t n, const char *message)
{
    assert_string_equal(read_changed("plain.pth", from, to, n).message, message);
}

static void damage_is_named(void **state)
{
    (void)state;
    check_changed("\x6c\xfc\x9c", "\x6c\xfc\x9d", 3,
                  "x.pth: found a pickle without PyTorch's magic number, expected a checkpoint");
    check_changed("M\xe9\x03.", "M\xea\x03.", 4, "x.pth: found protocol 1002, expected 1001");
    check_changed("little_endian", "little_endiaN", 13,
                  "x.pth: found no mark of byte order, expected little_endian: True");
    check_changed(
        "_rebuild_tensor_v2", "_rebuild_qtensorXX", 18,
        "x.pth: conv.weight: found a tensor of torch._utils._rebuild_qtensorXX, expected a dense "
        "tensor");
    check_changed("torch._utils", "torch._otils", 12,
                  "x.pth: found no named tensors in dicts or modules, expected a state dict");
    check_changed("transposed", "trans\xffosed", 10,
                  "x.pth: trans\\xFFosed: found a name of 10 bytes, expected at most 511 of UTF-8 "
                  "text, in one "
                  "line");
}

/* A legacy file of this object and one storage "0" of four floats, read for its error. */
static ctkd_error read_object(struct ctkd__tensors *list, const char *object, size_t n)
{
    static const char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
                               "\x80\x02M\xe9\x03."
                               "\x80\x02}U\x0dlittle_endian\x88s.\x80\x02";
    static const char tail[] = "\x80\x02]U\x01"
                               "0a.\x04\x00\x00\x00\x00\x00\x00\x00"
                               "\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40\x00\x00\x80\x40";
    char bytes[2048];
    ctkd_error err = { .status = CTKD_OK };
    const size_t n_head = sizeof head - 1, n_tail = sizeof tail - 1;
    assert_true(n_head + n + n_tail <= sizeof bytes);
    memcpy(bytes, head, n_head);
    memcpy(bytes + n_head, object, n);
    memcpy(bytes + n_head + n, tail, n_tail);
    const ctkd_status status =
        ctkd__pth_read_bytes("x.pth", bytes, n_head + n + n_tail, list, &err);
    assert_int_equal(status, err.status);
    return err;
}

static void check_object(const char *object, size_t n, const char *message)
{
    struct ctkd__tensors list = { 0 };
    const ctkd_error err = read_object(&list, object, n);
    assert_string_equal(err.status == CTKD_OK ? "" : err.message, message);
    ctkd__tensors_fini(&list);
}
#define CHECK_OBJECT(object, message) check_object(object, sizeof(object) - 1, message)

/* Parts of pickles: arguments that begin with a storage; a dict {"a": tensor} of them; a storage
   that is named and dropped, so that its kind is known. */
#define STORAGE(class, key)                                                                        \
    "((U\x07storagectorch\n" class "\nU\x01" key "U\x03"                                           \
                                   "cpuK\x04tQ"
#define FLOATS STORAGE("FloatStorage", "0")
#define TENSOR(storage, offset, sizes, strides)                                                    \
    "}U\x01"                                                                                       \
    "actorch._utils\n_rebuild_tensor_v2\n" storage offset "(" sizes "t(" strides "t\x89}tRs."
#define NAMED FLOATS "1"

#define BAD(offset, size, stride)                                                                  \
    "x.pth: a: found offset " offset ", size " size " and stride " stride                          \
    ", expected a number and two tuples of at most 8, none below 0"

static void lying_sizes_are_refused_before_memory_is_taken(void **state)
{
    (void)state;
    const char *const beyond = "x.pth: a: the tensor reaches beyond the 4 elements of its storage";
    const char *const more = "x.pth: a: found more elements than a file of this size can hold";
    CHECK_OBJECT(TENSOR(FLOATS, "K\x00", "K\x04", "K\x01"), "");
    CHECK_OBJECT(TENSOR(FLOATS, "K\x03", "K\x01", "K\x63"), "");
    CHECK_OBJECT(TENSOR(FLOATS, "K\xff", "K\x00", "K\x01"), ""); /* no elements, no reach */
    CHECK_OBJECT(TENSOR(FLOATS, "K\x01", "K\x04", "K\x01"), beyond);
    CHECK_OBJECT(TENSOR(FLOATS, "K\x00", "K\x02K\x02", "K\x03K\x01"), beyond);
    CHECK_OBJECT(TENSOR(FLOATS, "K\x04", "", ""), beyond);
    CHECK_OBJECT(TENSOR(FLOATS, "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", "K\x04", "K\x01"),
                 beyond);
    CHECK_OBJECT(TENSOR(FLOATS, "K\x00", "K\x05\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
                        "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x01"),
                 beyond);
    CHECK_OBJECT(TENSOR(FLOATS, "J\xff\xff\xff\xff", "K\x04", "K\x01"),
                 BAD("-1", "a tuple of 1", "a tuple of 1"));
    CHECK_OBJECT(TENSOR(FLOATS, "K\x00", "J\xff\xff\xff\xff", "K\x01"),
                 BAD("0", "a tuple of 1", "a tuple of 1"));
    CHECK_OBJECT(TENSOR(FLOATS, "K\x00", "K\x01", "J\xff\xff\xff\xff"),
                 BAD("0", "a tuple of 1", "a tuple of 1"));
    CHECK_OBJECT(TENSOR(FLOATS, "K\x00", "K\x01", "K\x01K\x01"),
                 BAD("0", "a tuple of 1", "a tuple of 2"));
    CHECK_OBJECT(TENSOR(FLOATS, "K\x00", "NNNNNNNNN", "NNNNNNNNN"),
                 BAD("0", "a tuple of 9", "a tuple of 9"));
    CHECK_OBJECT(TENSOR(FLOATS, "K\x00", "J\xff\xff\xff\x7fJ\xff\xff\xff\x7f", "K\x00K\x00"), more);
    CHECK_OBJECT(TENSOR(FLOATS, "K\x00", "J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f",
                        "K\x00K\x00K\x00"),
                 more);
}

static void storages_must_be_there_and_known(void **state)
{
    (void)state;
#define KINDS "expected one of float, double, half, bfloat16, integers or bool"
    const char *const unused = "x.pth: storage '0': found no tensor that uses it, " KINDS;
    CHECK_OBJECT(TENSOR(STORAGE("FloatStorage", "1"), "K\x00", "K\x04", "K\x01"), unused);
    CHECK_OBJECT(TENSOR(STORAGE("OddStorage", "0"), "K\x00", "K\x04", "K\x01"), unused);
    CHECK_OBJECT(NAMED TENSOR(STORAGE("FloatStorage", "1"), "K\x00", "K\x04", "K\x01"),
                 "x.pth: a: the file lacks its storage 1");
    CHECK_OBJECT(NAMED TENSOR(STORAGE("OddStorage", "0"), "K\x00", "K\x04", "K\x01"),
                 "x.pth: a: storage: found torch.OddStorage, " KINDS);
    CHECK_OBJECT(TENSOR(STORAGE("DoubleStorage", "0"), "K\x00", "K\x04", "K\x01"),
                 "x.pth: storage 0: truncated, found 4 elements of 8 bytes in 24 bytes");
}

static void a_part_of_a_storage_begins_at_its_offset(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    static const char object[] = "}U\x01"
                                 "actorch._utils\n_rebuild_tensor\n((U\x07storagectorch\n"
                                 "FloatStorage\nU\x01"
                                 "0U\x03"
                                 "cpuK\x04U\x01vK\x02K\x02\x87tQ"
                                 "K\x01(K\x01t(K\x01ttRs.";
    const ctkd_error err = read_object(&list, object, sizeof object - 1);
    check_ok(err.status, &err);
    check_close(*(float *)list.items[0].data, 4, 0, 0);
    ctkd__tensors_fini(&list);
}

static void files_without_a_state_dict_and_cycles_are_refused(void **state)
{
    (void)state;
    const char *const none =
        "x.pth: found no named tensors in dicts or modules, expected a state dict";
    CHECK_OBJECT(NAMED "}q\x01(U\x05modelh\x01U\x03neth\x01K\x01h\x01u.", none);
    CHECK_OBJECT(NAMED "N.", none);
    CHECK_OBJECT(NAMED "}(K\x01NNK\x02u.", none);
}

static void a_file_cut_at_any_byte_is_refused_in_one_line(void **state)
{
    (void)state;
    const char *const files[] = { "zip.pth", "legacy.pth", "deflated.pth", "zip64.pth" };
    for (int i = 0; i < 4; i++) {
        size_t size = 0;
        char *bytes = golden_bytes(files[i], &size);
        for (size_t n = 0; n < size; n++) {
            struct ctkd__tensors list = { 0 };
            ctkd_error err = { .status = CTKD_OK };
            char *cut = malloc(n + 1); /* its own size, so that a sanitizer sees reads behind it */
            assert_non_null(cut);
            memcpy(cut, bytes, n);
            cut = realloc(cut, n ? n : 1);
            const ctkd_status status = ctkd__pth_read_bytes("x.pth", cut, n, &list, &err);
            if (status == CTKD_OK)
                fail_msg("%s: cut to %zu of %zu bytes, was read", files[i], n, size);
            assert_int_equal(strncmp(err.message, "x.pth: ", 7), 0);
            free(cut);
        }
        free(bytes);
    }
}

static void a_file_with_any_byte_changed_is_safe(void **state)
{
    (void)state;
    const char *const files[] = { "zip.pth", "legacy.pth" };
    for (int i = 0; i < 2; i++) {
        size_t size = 0;
        char *bytes = golden_bytes(files[i], &size);
        for (size_t n = 0; n < size; n++) {
            struct ctkd__tensors list = { 0 };
            ctkd_error err = { .status = CTKD_OK };
            const char old = bytes[n];
            bytes[n] = (char)(old ^ 0x55);
            const ctkd_status status = ctkd__pth_read_bytes("x.pth", bytes, size, &list, &err);
            assert_int_equal(status, err.status);
            bytes[n] = old;
            ctkd__tensors_fini(&list);
        }
        free(bytes);
    }
}

/* Every bit of an archive: the file is refused, or its tensors are what they were. */
static void no_flipped_bit_of_the_zip_form_changes_a_weight(void **state)
{
    (void)state;
    const char *const files[] = { "zip.pth", "deflated.pth", "zip64.pth" };
    for (int i = 0; i < 3; i++) {
        size_t size = 0;
        char *bytes = golden_bytes(files[i], &size);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            struct ctkd__tensors list = { 0 };
            ctkd_error err = { .status = CTKD_OK };
            const char old = bytes[bit / 8];
            bytes[bit / 8] = (char)((unsigned char)old ^ 1u << bit % 8);
            if (ctkd__pth_read_bytes("x.pth", bytes, size, &list, &err) == CTKD_OK)
                check_tensors(&list);
            else
                assert_int_equal(strncmp(err.message, "x.pth: ", 7), 0);
            bytes[bit / 8] = old;
            ctkd__tensors_fini(&list);
        }
        free(bytes);
    }
}

/* The sums of the zip form say so: damage to a weight is never silent. */
static void a_changed_weight_of_the_zip_form_is_noticed(void **state)
{
    (void)state;
    const char *const files[] = { "zip.pth", "zip64.pth" };
    for (int i = 0; i < 2; i++) {
        const ctkd_error err =
            read_changed(files[i], "\x00\x3c\x54\xb5", "\x01\x3c\x54\xb5", 4); /* "half" */
        assert_int_equal(err.status, CTKD_EFORMAT);
        if (!strstr(err.message, "x.pth: the zip archive is damaged: ZIP bad CRC"))
            fail_msg("%s", err.message);
    }
}

/* The pages of a large storage are given back when its last tensor was read, not before. */
static void large_storages_that_tensors_share_are_read_from_a_file(void **state)
{
    (void)state;
    enum { N = 1 << 18 };
    static const char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
                               "\x80\x02M\xe9\x03."
                               "\x80\x02}U\x0dlittle_endian\x88s.\x80\x02";
#define LARGE(offset, size)                                                                        \
    "ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x01"                 \
    "0U\x03"                                                                                       \
    "cpuJ\x00\x00\x04\x00tQJ" offset "(J" size "t(K\x01t\x89}tR"
    static const char object[] =
        "}(U\x04"
        "best" LARGE(
            "\xff\xff\x03\x00",
            "\x01\x00\x00\x00") "U\x05model}(U\x01"
                                "a" LARGE(
                                    "\x00\x00\x00\x00",
                                    "\x00\x00\x04\x00") "U\x01"
                                                        "b" LARGE(
                                                            "\x00\x00\x02\x00",
                                                            "\x00\x00\x02\x00") "uu."
                                                                                "\x80\x02]U\x01"
                                                                                "0a."
                                                                                "\x00\x00\x04\x00"
                                                                                "\x00\x00\x00\x00";
    FILE *const out = fopen(scratch_path("large.pth"), "wb");
    assert_non_null(out);
    fwrite(head, 1, sizeof head - 1, out);
    fwrite(object, 1, sizeof object - 1, out);
    for (int i = 0; i < N; i++)
        fwrite(&(float){ (float)i }, sizeof(float), 1, out);
    assert_int_equal(fclose(out), 0);
    struct ctkd__tensors list = { 0 };
    ctkd_error err;
    check_ok(ctkd__pth_read(scratch_path("large.pth"), &list, &err), &err);
    assert_string_equal(ctkd__tensors_get(&list, "best"), "262143");
    const float *const a = list.items[0].data, *const b = list.items[1].data;
    for (int i = 0; i < N; i++)
        assert_true(a[i] == (float)i);
    for (int i = 0; i < N / 2; i++)
        assert_true(b[i] == (float)(i + N / 2));
    ctkd__tensors_fini(&list);
}

static void other_files_are_named(void **state)
{
    (void)state;
    struct ctkd__tensors list = { 0 };
    ctkd_error err;
    assert_int_equal(ctkd__pth_read(scratch_text("text.pth", "hello"), &list, &err), CTKD_EFORMAT);
    assert_non_null(strstr(err.message, "text.pth: found a text file, expected a PyTorch "
                                        "checkpoint"));
    assert_int_equal(ctkd__pth_read(scratch_path("none.pth"), &list, &err), CTKD_EIO);
    assert_int_equal(
        ctkd__pth_read_bytes("x", "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22, &list, NULL),
        CTKD_EFORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_give_tensors_and_the_values_beside_them),
        cmocka_unit_test(plain_nested_compressed_distiller_and_zip64_files_are_read),
        cmocka_unit_test(sets_of_training_libraries_are_found_in_every_form),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(lying_sizes_are_refused_before_memory_is_taken),
        cmocka_unit_test(storages_must_be_there_and_known),
        cmocka_unit_test(a_part_of_a_storage_begins_at_its_offset),
        cmocka_unit_test(files_without_a_state_dict_and_cycles_are_refused),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused_in_one_line),
        cmocka_unit_test(a_file_with_any_byte_changed_is_safe),
        cmocka_unit_test(no_flipped_bit_of_the_zip_form_changes_a_weight),
        cmocka_unit_test(a_changed_weight_of_the_zip_form_is_noticed),
        cmocka_unit_test(large_storages_that_tensors_share_are_read_from_a_file),
        cmocka_unit_test(other_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
