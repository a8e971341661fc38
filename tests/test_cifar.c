#include "data/cifar.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"
#include "support/temp_files.h"

enum { RECORD10 = 3073, RECORD100 = 3074, RECORDS_MAX = 4 };

/* Byte p of image i, its own for every image of every file. */
static uint8_t pixel(size_t file, size_t i, size_t p)
{
    return (uint8_t)(p * 3 + p / 1024 * 50 + i * 17 + file * 71);
}

/* A file of `n` records whose labels are those given (two per record for CIFAR-100). */
static uint8_t *records_make(size_t file, size_t n, size_t label_bytes, const uint8_t *labels)
{
    uint8_t *bytes = malloc(n * (label_bytes + CTKD__CIFAR_PIXELS)), *out = bytes;
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < label_bytes; j++)
            *out++ = *labels++;
        for (size_t p = 0; p < CTKD__CIFAR_PIXELS; p++)
            *out++ = pixel(file, i, p);
    }
    return bytes;
}

/* CIFAR-10 with 1, 2, 1, 2, 1 training images and 2 test images, shuffled as members. */
static const char *const names10[6] = { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                        "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin" };
static const size_t counts10[6] = { 1, 2, 1, 2, 1, 2 };
static const uint8_t labels10[6][2] = { { 3 }, { 0, 9 }, { 5 }, { 1, 2 }, { 8 }, { 6, 7 } };

struct set {
    uint8_t *bytes[6];
    struct temp_file files[6];
    char names[6][64];
};

static void set10_make(struct set *set, const char *prefix)
{
    for (size_t i = 0; i < 6; i++) {
        const size_t file = (i * 5 + 3) % 6; /* any order */
        snprintf(set->names[i], sizeof set->names[i], "%s%s", prefix, names10[file]);
        set->bytes[i] = records_make(file, counts10[file], 1, labels10[file]);
        set->files[i] =
            (struct temp_file){ set->names[i], set->bytes[i], counts10[file] * RECORD10 };
    }
}

static void set10_free(struct set *set)
{
    for (size_t i = 0; i < 6; i++)
        free(set->bytes[i]);
}

static ctkd_status open_at(const char *name, const char *path, struct ctkd__dataset **dataset,
                           ctkd_error *err)
{
    char spec[1100];
    snprintf(spec, sizeof spec, "%s:%s", name, path);
    return ctkd__dataset_open(spec, dataset, err);
}

static void check_refused(const char *name, const char *path, ctkd_status status, const char *text)
{
    struct ctkd__dataset *dataset;
    ctkd_error err = { 0 };
    assert_int_equal(open_at(name, path, &dataset, &err), status);
    if (!strstr(err.message, text))
        fail_msg("'%s' lacks '%s'", err.message, text);
    assert_null(dataset);
}

static void check_image(const struct ctkd__images *images, size_t at, size_t file, size_t i,
                        int32_t label)
{
    assert_int_equal(images->labels[at], label);
    for (size_t p = 0; p < CTKD__CIFAR_PIXELS; p++)
        assert_int_equal(images->pixels[at * CTKD__CIFAR_PIXELS + p], pixel(file, i, p));
}

static void check_cifar10(const char *path)
{
    struct ctkd__dataset *dataset;
    ctkd_error err;
    check_ok(open_at("cifar10", path, &dataset, &err), &err);
    assert_int_equal(dataset->classes, 10);
    assert_int_equal(dataset->train.count, 7);
    assert_int_equal(dataset->test.count, 2);
    assert_int_equal(dataset->train.channels, 3);
    assert_int_equal(dataset->train.height, 32);
    assert_int_equal(dataset->train.width, 32);
    size_t at = 0;
    for (size_t file = 0; file < 5; file++)
        for (size_t i = 0; i < counts10[file]; i++)
            check_image(&dataset->train, at++, file, i, labels10[file][i]);
    check_image(&dataset->test, 0, 5, 0, 6);
    check_image(&dataset->test, 1, 5, 1, 7);
    ctkd__dataset_close(dataset);
}

static void cifar10_archives_join_their_batches_in_order(void **state)
{
    static const char *const archives[] = { "renamed.tar.xz", "cifar-10-binary.tar.gz",
                                            "cifar-10-binary.tar" };
    struct set set;
    set10_make(&set, "cifar-10-batches-bin/");
    for (size_t i = 0; i < 3; i++) {
        temp_write_tar(*state, archives[i], set.files, 6);
        check_cifar10(temp_path(*state, archives[i]));
    }
    check_cifar10(*state); /* the folder with the archives as downloaded */
    set10_free(&set);
}

static void cifar10_folders_are_read_directly_or_from_above(void **state)
{
    struct set set;
    set10_make(&set, "");
    temp_folder_add(*state, "cifar-10-batches-bin");
    for (size_t i = 0; i < 6; i++)
        temp_write(temp_path(*state, "cifar-10-batches-bin"), set.files[i].name, set.files[i].bytes,
                   set.files[i].size);
    check_cifar10(*state);
    check_cifar10(temp_path(*state, "cifar-10-batches-bin"));
    set10_free(&set);
}

static void a_missing_batch_is_named(void **state)
{
    struct set set;
    set10_make(&set, "");
    for (size_t skipped = 0; skipped < 6; skipped++) {
        struct temp_file files[5];
        for (size_t i = 0; i < 5; i++)
            files[i] = set.files[i < skipped ? i : i + 1];
        temp_write_tar(*state, "part.tar.gz", files, 5);
        check_refused("cifar10", temp_path(*state, "part.tar.gz"), CTKD_ENOTFOUND,
                      set.names[skipped]);
    }
    set10_free(&set);
}

static void write_cifar100(const char *folder, const char *archive, size_t train_size,
                           const uint8_t labels[4])
{
    uint8_t *train = records_make(0, 2, 2, labels);
    const uint8_t test_labels[] = { 19, 99 };
    uint8_t *test = records_make(1, 1, 2, test_labels);
    const struct temp_file files[] = { { "cifar-100-binary/test.bin", test, RECORD100 },
                                       { "cifar-100-binary/train.bin", train, train_size } };
    temp_write_tar(folder, archive, files, 2);
    free(train);
    free(test);
}

static void cifar100_uses_the_fine_label(void **state)
{
    const uint8_t labels[] = { 4, 57, 0, 3 };
    write_cifar100(*state, "cifar-100-binary.tar.gz", 2 * RECORD100, labels);
    struct ctkd__dataset *dataset;
    ctkd_error err;
    check_ok(open_at("cifar100", *state, &dataset, &err), &err);
    assert_int_equal(dataset->classes, 100);
    assert_int_equal(dataset->train.count, 2);
    assert_int_equal(dataset->test.count, 1);
    check_image(&dataset->train, 0, 0, 0, 57);
    check_image(&dataset->train, 1, 0, 1, 3);
    check_image(&dataset->test, 0, 1, 0, 99);
    check_close(dataset->mean[0], 0.5071, 1e-6, 0);
    check_close(dataset->std[2], 0.2761, 1e-6, 0);
    ctkd__dataset_close(dataset);
}

static void a_fraction_of_a_record_is_refused_with_both_sizes(void **state)
{
    static const size_t sizes[] = { 0, 1, 2, RECORD100 - 1, RECORD100 + 1, 2 * RECORD100 - 1 };
    const uint8_t labels[] = { 4, 57, 0, 3 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char text[100];
        snprintf(text, sizeof text, "c100.tar: train.bin: %zu bytes, expected a multiple of 3074",
                 sizes[i]);
        write_cifar100(*state, "c100.tar", sizes[i], labels);
        check_refused("cifar100", temp_path(*state, "c100.tar"), CTKD_EFORMAT, text);
    }
}

static void a_label_out_of_range_is_named_with_its_record(void **state)
{
    const uint8_t fine[] = { 4, 57, 0, 100 }, coarse[] = { 20, 57, 0, 3 };
    write_cifar100(*state, "fine.tar", 2 * RECORD100, fine);
    check_refused("cifar100", temp_path(*state, "fine.tar"), CTKD_ERANGE,
                  "train.bin: record 1: fine label 100, expected 0..99");
    write_cifar100(*state, "coarse.tar", 2 * RECORD100, coarse);
    check_refused("cifar100", temp_path(*state, "coarse.tar"), CTKD_ERANGE,
                  "train.bin: record 0: coarse label 20, expected 0..19");
    struct set set;
    set10_make(&set, "");
    set.bytes[2][0] = 10; /* test_batch.bin is at 4 of the shuffled order, data_batch_2 at 2 */
    temp_write_tar(*state, "ten.tar.gz", set.files, 6);
    char text[100];
    snprintf(text, sizeof text, "%s: record 0: label 10, expected 0..9", set.names[2]);
    check_refused("cifar10", temp_path(*state, "ten.tar.gz"), CTKD_ERANGE, text);
    set10_free(&set);
}

static void a_file_larger_than_published_is_refused(void **state)
{
    struct set set;
    set10_make(&set, "");
    uint8_t *const bytes = calloc(10001, RECORD10);
    assert_non_null(bytes);
    set.files[0].bytes = bytes;
    set.files[0].size = (size_t)10001 * RECORD10;
    temp_write_tar(*state, "large.tar.gz", set.files, 6);
    check_refused("cifar10", temp_path(*state, "large.tar.gz"), CTKD_EFORMAT,
                  "30733073 bytes or more, expected at most 30730000");
    free(bytes);
    set10_free(&set);
}

static void the_python_form_is_recognised_and_named(void **state)
{
    const struct temp_file ten = { "cifar-10-batches-py/data_batch_1", "\x80\x02", 2 };
    const struct temp_file hundred = { "cifar-100-python/train", "\x80\x02", 2 };
    temp_write_tar(*state, "cifar-10-python.tar.gz", &ten, 1);
    temp_write_tar(*state, "cifar-100-python.tar.gz", &hundred, 1);
    static const char text10[] = "cifar-10-python.tar.gz: the Python form is not read; use the "
                                 "binary archive (cifar-10-binary.tar.gz)";
    static const char text100[] = "cifar-100-python.tar.gz: the Python form is not read; use the "
                                  "binary archive (cifar-100-binary.tar.gz)";
    check_refused("cifar10", *state, CTKD_EUNSUPPORTED, text10);
    check_refused("cifar100", *state, CTKD_EUNSUPPORTED, text100);
    check_refused("cifar10", temp_path(*state, "cifar-10-python.tar.gz"), CTKD_EUNSUPPORTED,
                  text10);
    check_refused("cifar100", temp_path(*state, "cifar-100-python.tar.gz"), CTKD_EUNSUPPORTED,
                  text100);
}

static void the_archive_of_another_set_is_refused(void **state)
{
    const uint8_t labels[] = { 4, 57, 0, 3 };
    write_cifar100(*state, "c100.tar.gz", 2 * RECORD100, labels);
    check_refused("cifar10", temp_path(*state, "c100.tar.gz"), CTKD_ENOTFOUND, "data_batch_1.bin");
}

#define FOLDER_TEST(name)                                                                          \
    cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(cifar10_archives_join_their_batches_in_order),
        FOLDER_TEST(cifar10_folders_are_read_directly_or_from_above),
        FOLDER_TEST(a_missing_batch_is_named),
        FOLDER_TEST(cifar100_uses_the_fine_label),
        FOLDER_TEST(a_fraction_of_a_record_is_refused_with_both_sizes),
        FOLDER_TEST(a_label_out_of_range_is_named_with_its_record),
        FOLDER_TEST(a_file_larger_than_published_is_refused),
        FOLDER_TEST(the_python_form_is_recognised_and_named),
        FOLDER_TEST(the_archive_of_another_set_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
