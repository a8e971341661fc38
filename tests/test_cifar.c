#include "data/cifar.h"

#include <stdbool.h>
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
    return ctkd__dataset_open(spec, NULL, dataset, err);
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
        char text[160];
        snprintf(text, sizeof text,
                 "c100.tar: train.bin: found %zu bytes, expected a multiple of 3074", sizes[i]);
        write_cifar100(*state, "c100.tar", sizes[i], labels);
        check_refused("cifar100", temp_path(*state, "c100.tar"), CTKD_EFORMAT, text);
    }
}

static void a_label_out_of_range_is_named_with_its_record(void **state)
{
    const uint8_t fine[] = { 4, 57, 0, 100 }, coarse[] = { 20, 57, 0, 3 };
    write_cifar100(*state, "fine.tar", 2 * RECORD100, fine);
    check_refused("cifar100", temp_path(*state, "fine.tar"), CTKD_ERANGE,
                  "train.bin: record 1: found fine label 100, expected 0..99");
    write_cifar100(*state, "coarse.tar", 2 * RECORD100, coarse);
    check_refused("cifar100", temp_path(*state, "coarse.tar"), CTKD_ERANGE,
                  "train.bin: record 0: found coarse label 20, expected 0..19");
    struct set set;
    set10_make(&set, "");
    set.bytes[2][0] = 10; /* test_batch.bin is at 4 of the shuffled order, data_batch_2 at 2 */
    temp_write_tar(*state, "ten.tar.gz", set.files, 6);
    char text[160];
    snprintf(text, sizeof text, "%s: record 0: found label 10, expected 0..9", set.names[2]);
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
                  "found 30733073 bytes or more, expected at most 30730000");
    free(bytes);
    set10_free(&set);
}

/* --- the Python form, as Python 2 pickled the published files */

struct pickled {
    char bytes[16384];
    size_t size;
};

#define PUT(out, literal) put(out, literal, sizeof(literal) - 1)
static void put(struct pickled *out, const void *bytes, size_t n)
{
    assert_true(out->size + n <= sizeof out->bytes);
    memcpy(out->bytes + out->size, bytes, n);
    out->size += n;
}

static void put_labels(struct pickled *out, const char *key, size_t n, const uint8_t *labels,
                       size_t step)
{
    PUT(out, "U");
    put(out, (uint8_t[]){ (uint8_t)strlen(key) }, 1);
    put(out, key, strlen(key));
    PUT(out, "](");
    for (size_t i = 0; i < n; i++) {
        PUT(out, "K");
        put(out, labels + i * step, 1);
    }
    PUT(out, "e");
}

/* The images of records_make as a dict; CIFAR-100 has two labels for each. */
static void pickle_make(struct pickled *out, size_t file, size_t n, size_t label_count,
                        const uint8_t *labels, bool columns_first)
{
    static const char head[] = "\x80\x02}q\x01(U\x0b"
                               "batch_labelq\x02U\x05hello"
                               "U\x04"
                               "dataq\x03"
                               "cnumpy.core.multiarray\n_reconstruct\nq\x04"
                               "cnumpy\nndarray\nq\x05K\x00\x85U\x01"
                               "b\x87Rq\x06(K\x01K";
    static const char type[] = "M\x00\x0c\x86"
                               "cnumpy\ndtype\nq\x07U\x02u1K\x00K\x01\x87Rq\x08(K\x03U\x01|NNN"
                               "J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb";
    const uint32_t size = (uint32_t)(n * CTKD__CIFAR_PIXELS);
    out->size = 0;
    PUT(out, head);
    put(out, (uint8_t[]){ (uint8_t)n }, 1);
    PUT(out, type);
    put(out, columns_first ? "\x88T" : "\x89T", 2);
    put(out, &size, 4); /* little-endian, as this machine */
    for (size_t j = 0; j < size; j++) {
        const size_t i = columns_first ? j % n : j / CTKD__CIFAR_PIXELS;
        const size_t p = columns_first ? j / n : j % CTKD__CIFAR_PIXELS;
        put(out, (uint8_t[]){ pixel(file, i, p) }, 1);
    }
    PUT(out, "tbU\tfilenames](U\x05"
             "a.pngU\x05"
             "b.pnge");
    put_labels(out, label_count == 1 ? "labels" : "coarse_labels", n, labels, label_count);
    if (label_count == 2)
        put_labels(out, "fine_labels", n, labels + 1, 2);
    PUT(out, "u.");
}

static void python_archives_and_folders_hold_the_same_images(void **state)
{
    static struct pickled pickles[6];
    struct temp_file files[6];
    char names[6][64];
    for (size_t i = 0; i < 6; i++) { /* the names are those of the binary form without .bin */
        pickle_make(&pickles[i], i, counts10[i], 1, labels10[i], i == 3);
        snprintf(names[i], sizeof names[i], "cifar-10-batches-py/%.*s", (int)strlen(names10[i]) - 4,
                 names10[i]);
        files[i] = (struct temp_file){ names[i], pickles[i].bytes, pickles[i].size };
    }
    static const char *const archives[] = { "renamed.tar", "cifar-10-python.tar.xz",
                                            "cifar-10-python.tar.gz" };
    for (size_t i = 0; i < 3; i++) {
        temp_write_tar(*state, archives[i], files, 6);
        check_cifar10(temp_path(*state, archives[i]));
    }
    check_cifar10(*state);
    temp_folder_add(*state, "cifar-10-batches-py"); /* torchvision leaves folder and archive */
    check_refused("cifar10", *state, CTKD_ENOTFOUND, "data_batch_1");
    for (size_t i = 0; i < 6; i++)
        temp_write(*state, names[i], pickles[i].bytes, pickles[i].size);
    check_cifar10(*state);
    check_cifar10(temp_path(*state, "cifar-10-batches-py"));
}

static ctkd_status open_labels(const char *path, enum ctkd__labels labels,
                               struct ctkd__dataset **dataset, ctkd_error *err)
{
    char spec[1100];
    snprintf(spec, sizeof spec, "cifar100:%s", path);
    const struct ctkd__dataset_options options = { .labels = labels };
    return ctkd__dataset_open(spec, &options, dataset, err);
}

static void cifar100_has_fine_and_coarse_labels_in_both_forms(void **state)
{
    static struct pickled train, test;
    const uint8_t labels[] = { 4, 57, 0, 3 }, test_labels[] = { 19, 99 };
    pickle_make(&train, 0, 2, 2, labels, false);
    pickle_make(&test, 1, 1, 2, test_labels, true);
    const struct temp_file files[] = { { "cifar-100-python/meta", "\x80\x02}.", 4 },
                                       { "cifar-100-python/test", test.bytes, test.size },
                                       { "cifar-100-python/train", train.bytes, train.size } };
    temp_write_tar(*state, "python.tar.gz", files, 3);
    write_cifar100(*state, "binary.tar.gz", 2 * RECORD100, labels);
    for (int form = 0; form < 2; form++) {
        const char *const path = temp_path(*state, form ? "python.tar.gz" : "binary.tar.gz");
        for (int coarse = 0; coarse < 2; coarse++) {
            struct ctkd__dataset *dataset;
            ctkd_error err;
            const enum ctkd__labels kind = coarse ? CTKD__LABELS_COARSE : CTKD__LABELS_FINE;
            check_ok(open_labels(path, kind, &dataset, &err), &err);
            assert_int_equal(dataset->classes, coarse ? 20 : 100);
            assert_int_equal(dataset->train.count, 2);
            check_image(&dataset->train, 0, 0, 0, coarse ? 4 : 57);
            check_image(&dataset->train, 1, 0, 1, coarse ? 0 : 3);
            check_image(&dataset->test, 0, 1, 0, coarse ? 19 : 99);
            ctkd__dataset_close(dataset);
        }
    }
}

static void coarse_labels_of_another_set_are_refused(void **state)
{
    (void)state;
    struct ctkd__dataset *dataset;
    ctkd_error err;
    const struct ctkd__dataset_options coarse = { .labels = CTKD__LABELS_COARSE };
    assert_int_equal(ctkd__dataset_open("cifar10:x", &coarse, &dataset, &err), CTKD_EINVAL);
    assert_string_equal(err.message,
                        "data set cifar10 has one kind of labels; expected data.labels=fine");
    assert_null(dataset);
}

/* Files of tests/golden/make_images.py: Python 2's form, and Python 3's with numpy 2. */
static void what_newer_versions_pickle_is_read(void **state)
{
    static const char *const forms[] = { "python2", "protocol2", "protocol4", "protocol5" };
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        char path[1024];
        size_t size;
        snprintf(path, sizeof path, "%s/tests/golden/cifar/%s.pickle", CTKD_SOURCE_DIR, forms[f]);
        void *const bytes = temp_read(path, &size);
        const struct temp_file files[] = { { "train", bytes, size }, { "test", bytes, size } };
        temp_write_tar(*state, "form.tar", files, 2);
        free(bytes);
        struct ctkd__dataset *dataset;
        ctkd_error err;
        check_ok(open_at("cifar100", temp_path(*state, "form.tar"), &dataset, &err), &err);
        assert_int_equal(dataset->test.count, 2);
        assert_int_equal(dataset->test.labels[0], 99);
        assert_int_equal(dataset->test.labels[1], 0);
        for (size_t i = 0; i < 2; i++) /* as make_images.py says */
            for (size_t p = 0; p < CTKD__CIFAR_PIXELS; p++)
                assert_int_equal(dataset->test.pixels[i * CTKD__CIFAR_PIXELS + p],
                                 (p / 128 + 100 * i) % 256);
        ctkd__dataset_close(dataset);
    }
}

static void check_pickle_refused(void **state, const struct pickled *test, ctkd_status status,
                                 const char *text)
{
    static struct pickled train;
    const uint8_t labels[] = { 4, 57 };
    pickle_make(&train, 0, 1, 2, labels, false);
    const struct temp_file files[] = { { "train", train.bytes, train.size },
                                       { "test", test->bytes, test->size } };
    temp_write_tar(*state, "bad.tar", files, 2);
    check_refused("cifar100", temp_path(*state, "bad.tar"), status, text);
}

/* The good test file with `from` replaced by as many bytes. */
static void check_changed(void **state, const char *from, const char *to, size_t n,
                          ctkd_status status, const char *text)
{
    static struct pickled test;
    const uint8_t labels[] = { 19, 99, 3, 3 };
    pickle_make(&test, 1, 2, 2, labels, false);
    char *const at = memmem(test.bytes, test.size, from, n);
    assert_non_null(at);
    memcpy(at, to, n);
    check_pickle_refused(state, &test, status, text);
}

static void a_python_file_that_lies_is_refused_with_its_field(void **state)
{
#define OBJECT "an object of numpy.core.multiarray._reconstruct"
#define ARRAY(found) "bad.tar: test: data: found " found ", expected an array of bytes [n, 3072]"
    check_changed(state,
                  "U\x04"
                  "data",
                  "U\x04"
                  "dat_",
                  6, CTKD_EFORMAT, "bad.tar: test: data: found none");
    check_changed(state, "M\x00\x0c\x86", "M\x01\x0c\x86", 4, CTKD_EFORMAT, ARRAY(OBJECT));
    check_changed(state, "K\x02M\x00\x0c", "K\x03M\x00\x0c", 5, CTKD_EFORMAT, ARRAY(OBJECT));
    check_changed(state, "u1K", "i1K", 3, CTKD_EFORMAT,
                  ARRAY("an array of rank 2, 6144 elements of kind i1"));
    check_changed(state, "u1K", "u2K", 3, CTKD_EFORMAT, ARRAY(OBJECT));
    check_changed(state, "u1K", "u0K", 3, CTKD_EFORMAT, ARRAY(OBJECT));
    check_changed(state, "_reconstruct", "_reconstrucT", 12, CTKD_EFORMAT,
                  ARRAY("an object of numpy.core.multiarray._reconstrucT"));
    check_changed(state, "fine_labels", "fine_label_", 11, CTKD_EFORMAT,
                  "bad.tar: test: fine_labels: found none, expected a list of labels");
    check_changed(state, "](K\x13K\x03", "}(K\x13K\x03", 6, CTKD_EFORMAT, "not a container");
    check_changed(state,
                  "K\x13K\x03"
                  "e",
                  "K\x13N0e", 5, CTKD_EFORMAT,
                  "bad.tar: test: found 1 coarse_labels, expected 2 as data has rows");
    check_changed(state, "K\x13K\x03", "NNNN", 4, CTKD_EFORMAT,
                  "bad.tar: test: found 4 coarse_labels, expected 2 as data has rows");
    check_changed(state,
                  "K\x63K\x03"
                  "e",
                  "NN0Ne", 5, CTKD_ERANGE,
                  "bad.tar: test: record 0: found fine label -1, expected 0..99");
    check_changed(state, "K\x63", "K\x64", 2, CTKD_ERANGE,
                  "bad.tar: test: record 0: found fine label 100, expected 0..99");
    check_changed(state, "K\x13", "K\x14", 2, CTKD_ERANGE,
                  "bad.tar: test: record 0: found coarse label 20, expected 0..19");
    struct pickled plain = { .size = 0 };
    PUT(&plain, "\x80\x02N.");
    check_pickle_refused(state, &plain, CTKD_EFORMAT,
                         "bad.tar: test: found a pickle without a dict, expected a dict with data");
    plain.size--;
    check_pickle_refused(state, &plain, CTKD_EFORMAT, "bad.tar: test: pickle, byte 3: cut off");
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
        FOLDER_TEST(python_archives_and_folders_hold_the_same_images),
        FOLDER_TEST(cifar100_has_fine_and_coarse_labels_in_both_forms),
        cmocka_unit_test(coarse_labels_of_another_set_are_refused),
        FOLDER_TEST(what_newer_versions_pickle_is_read),
        FOLDER_TEST(a_python_file_that_lies_is_refused_with_its_field),
        FOLDER_TEST(the_archive_of_another_set_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
