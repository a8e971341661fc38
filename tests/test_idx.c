#include "data/idx.h"

#include <stdio.h>
#include <unistd.h>

#include "data/images.h"
#include "support/check.h"
#include "support/temp_files.h"

/* Three images of 2x4 and their labels, in the published form. */
enum { PIXELS_SIZE = 16 + 3 * 2 * 4, LABELS_SIZE = 8 + 3 };
struct files {
    uint8_t pixels[PIXELS_SIZE + 1], labels[LABELS_SIZE + 1]; /* room for one byte too many */
    size_t pixels_size, labels_size;
};

static struct files files_make(void)
{
    struct files files = { { 0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 4 },
                           { 0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 9 },
                           PIXELS_SIZE,
                           LABELS_SIZE };
    for (size_t i = 0; i < 24; i++)
        files.pixels[16 + i] = (uint8_t)(10 * i);
    return files;
}

static ctkd_status parse(const struct files *files, struct ctkd__images *images, ctkd_error *err)
{
    *images = (struct ctkd__images){ 0 };
    return ctkd__idx_parse("IMAGES", files->pixels, files->pixels_size, "LABELS", files->labels,
                           files->labels_size, 10, images, err);
}

static void check_refused(const struct files *files, ctkd_status status, const char *message)
{
    struct ctkd__images images;
    ctkd_error err = { 0 };
    assert_int_equal(parse(files, &images, &err), status);
    assert_string_equal(err.message, message);
    assert_null(images.pixels);
    assert_null(images.labels);
}

static void pixels_and_labels_are_read_in_any_shape(void **state)
{
    (void)state;
    const struct files files = files_make();
    struct ctkd__images images;
    ctkd_error err;
    check_ok(parse(&files, &images, &err), &err);
    assert_int_equal(images.count, 3);
    assert_int_equal(images.channels, 1);
    assert_int_equal(images.height, 2);
    assert_int_equal(images.width, 4);
    assert_memory_equal(images.pixels, files.pixels + 16, 24);
    assert_int_equal(images.labels[0], 7);
    assert_int_equal(images.labels[1], 0);
    assert_int_equal(images.labels[2], 9);
    ctkd__images_free(&images);
}

static void files_cut_anywhere_or_one_byte_too_long_are_refused(void **state)
{
    (void)state;
    struct ctkd__images images;
    for (size_t size = 0; size <= PIXELS_SIZE + 1; size++) {
        struct files files = files_make();
        files.pixels_size = size;
        if (size != PIXELS_SIZE)
            assert_int_equal(parse(&files, &images, NULL), CTKD_EFORMAT);
    }
    for (size_t size = 0; size <= LABELS_SIZE + 1; size++) {
        struct files files = files_make();
        files.labels_size = size;
        if (size != LABELS_SIZE)
            assert_int_equal(parse(&files, &images, NULL), CTKD_EFORMAT);
    }
    struct files files = files_make();
    files.pixels_size = 15;
    check_refused(&files, CTKD_EFORMAT, "IMAGES: found 15 bytes, expected a header of 16");
}

static void a_wrong_magic_is_refused_with_both_values(void **state)
{
    (void)state;
    struct files files = files_make();
    files.pixels[3] = 1;
    check_refused(&files, CTKD_EFORMAT,
                  "IMAGES: found magic number 0x00000801, expected 0x00000803");
    files = files_make();
    files.labels[2] = 9; /* signed bytes */
    check_refused(&files, CTKD_EFORMAT,
                  "LABELS: found magic number 0x00000901, expected 0x00000801");
}

static void a_lying_count_is_refused(void **state)
{
    (void)state;
    struct files files = files_make();
    files.pixels[7] = 4;
    check_refused(
        &files, CTKD_EFORMAT,
        "IMAGES: found 24 bytes after the header, expected 32 for the 4 items that it states");
    files = files_make();
    files.labels[4] = 1;
    check_refused(&files, CTKD_EFORMAT,
                  "LABELS: found 3 bytes after the header, expected 16777219 for the 16777219 "
                  "items that it states");
    files = files_make();
    memset(files.pixels + 4, 0xff, 12); /* the product does not fit */
    assert_int_equal(parse(&files, &(struct ctkd__images){ 0 }, NULL), CTKD_EFORMAT);
    files = files_make();
    memset(files.pixels + 4, 0, 12);
    files.pixels_size = 16;
    check_refused(&files, CTKD_EFORMAT, "IMAGES: dimension 0 is 0, expected at least 1");
    files = files_make();
    files.labels[7] = 2;
    files.labels_size = LABELS_SIZE - 1;
    check_refused(&files, CTKD_EFORMAT, "LABELS: found 2 labels, expected 3 as IMAGES has images");
}

static void a_label_out_of_range_is_named_with_its_record(void **state)
{
    (void)state;
    struct files files = files_make();
    files.labels[9] = 12;
    check_refused(&files, CTKD_ERANGE, "LABELS: record 1: found label 12, expected 0..9");
}

static void write_part(const char *folder, const char *images, const char *labels,
                       const struct files *files)
{
    temp_write_gz(folder, images, files->pixels, files->pixels_size);
    temp_write(folder, labels, files->labels, files->labels_size);
}

static void both_parts_come_from_a_folder_or_an_archive(void **state)
{
    const struct files train = files_make();
    struct files test = files_make();
    test.pixels[16] = 255;
    write_part(*state, "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte", &train);
    write_part(*state, "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte", &test);
    const struct temp_file files[] = {
        { "raw/t10k-images-idx3-ubyte", test.pixels, test.pixels_size },
        { "raw/t10k-labels-idx1-ubyte", test.labels, test.labels_size },
        { "raw/train-images-idx3-ubyte", train.pixels, train.pixels_size },
        { "raw/train-labels-idx1-ubyte", train.labels, train.labels_size },
    };
    temp_write_tar(*state, "mnist.tar.gz", files, 4);
    const char *const sources[] = { *state, temp_path(*state, "mnist.tar.gz") };
    for (size_t i = 0; i < 2; i++) {
        char spec[1100];
        snprintf(spec, sizeof spec, "mnist:%s", sources[i]);
        struct ctkd__dataset *dataset;
        ctkd_error err;
        check_ok(ctkd__dataset_open(spec, NULL, &dataset, &err), &err);
        assert_string_equal(dataset->name, "mnist");
        assert_int_equal(dataset->classes, 10);
        assert_int_equal(dataset->train.count, 3);
        assert_int_equal(dataset->train.pixels[0], 0);
        assert_int_equal(dataset->test.pixels[0], 255);
        check_close(dataset->mean[0], 0.1307, 1e-6, 0);
        ctkd__dataset_close(dataset);
    }
}

static void open_folder(const char *folder, size_t classes, struct ctkd__dataset **dataset)
{
    char spec[1100];
    ctkd_error err;
    snprintf(spec, sizeof spec, "mnist:%s", folder);
    const struct ctkd__dataset_options options = { .classes = classes };
    check_ok(ctkd__dataset_open(spec, &options, dataset, &err), &err);
}

static void labels_say_the_classes_where_nothing_else_does(void **state)
{
    static const struct {
        uint8_t train, test;
        size_t asked, expected;
    } cases[] = { { 1, 0, 0, 2 },     { 1, 1, 0, 2 },        { 0, 2, 0, 3 }, { 4, 1, 0, 5 },
                  { 255, 9, 0, 256 }, { 1, 0, 10, 10 },      { 1, 1, 2, 2 }, { 0, 0, 0, 1 },
                  { 9, 9, 0, 10 },    { 255, 255, 256, 256 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct files train = files_make(), test = files_make();
        struct ctkd__dataset *dataset;
        memset(train.labels + 8, 0, 3);
        memset(test.labels + 8, 0, 3);
        train.labels[9] = cases[i].train;
        test.labels[8] = cases[i].test;
        write_part(*state, "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte", &train);
        write_part(*state, "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte", &test);
        open_folder(*state, cases[i].asked, &dataset);
        assert_int_equal(dataset->classes, cases[i].expected);
        assert_int_equal(dataset->classes_open, cases[i].asked == 0);
        ctkd__dataset_close(dataset);
    }
}

static void names_with_a_dot_are_known(void **state)
{
    const struct files train = files_make(), test = files_make();
    struct ctkd__dataset *dataset;
    write_part(*state, "train-images.idx3-ubyte.gz", "train-labels.idx1-ubyte", &train);
    write_part(*state, "t10k-images.idx3-ubyte.gz", "t10k-labels-idx1-ubyte", &test);
    open_folder(*state, 0, &dataset);
    assert_int_equal(dataset->train.count, 3);
    ctkd__dataset_close(dataset);
    const struct temp_file files[] = {
        { "train-images.idx3-ubyte", train.pixels, train.pixels_size },
        { "train-labels.idx1-ubyte", train.labels, train.labels_size },
        { "t10k-images.idx3-ubyte", test.pixels, test.pixels_size },
        { "t10k-labels.idx1-ubyte", test.labels, test.labels_size },
    };
    temp_write_tar(*state, "dots.tar", files, 4);
    open_folder(temp_path(*state, "dots.tar"), 0, &dataset);
    assert_int_equal(dataset->test.count, 3);
    ctkd__dataset_close(dataset);
}

/* Two images of 3 channels, 5x6: the value of a byte is its place in [n][c][y][x], times 3. */
enum { CHANNELS = 3, HEIGHT = 5, WIDTH = 6, COLOURS = 2 * CHANNELS * HEIGHT * WIDTH };

static void colours_make(bool interleaved, uint8_t file[20 + COLOURS])
{
    const uint8_t planes[] = { 0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 6 };
    const uint8_t pixels[] = { 0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 3 };
    size_t place = 0;
    memcpy(file, interleaved ? pixels : planes, 20);
    for (size_t n = 0; n < 2; n++)
        for (size_t c = 0; c < CHANNELS; c++)
            for (size_t p = 0; p < HEIGHT * WIDTH; p++, place++)
                file[20 + (interleaved ? (n * HEIGHT * WIDTH + p) * CHANNELS + c : place)] =
                    (uint8_t)(3 * place);
}

static void images_of_several_channels_are_read_as_planes_or_interleaved(void **state)
{
    const uint8_t labels[] = { 0, 0, 8, 1, 0, 0, 0, 2, 0, 1 };
    uint8_t file[20 + COLOURS];
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        struct ctkd__images images = { 0 };
        ctkd_error err;
        colours_make(interleaved, file);
        check_ok(
            ctkd__idx_parse("I", file, sizeof file, "L", labels, sizeof labels, 2, &images, &err),
            &err);
        assert_int_equal(images.count, 2);
        assert_int_equal(images.channels, CHANNELS);
        assert_int_equal(images.height, HEIGHT);
        assert_int_equal(images.width, WIDTH);
        for (size_t i = 0; i < COLOURS; i++)
            assert_int_equal(images.pixels[i], (uint8_t)(3 * i));
        ctkd__images_free(&images);
    }
    temp_write(*state, "train-images-idx4-ubyte", file, sizeof file);
    temp_write(*state, "t10k-images.idx4-ubyte", file, sizeof file);
    temp_write(*state, "train-labels-idx1-ubyte", labels, sizeof labels);
    temp_write(*state, "t10k-labels-idx1-ubyte", labels, sizeof labels);
    struct ctkd__dataset *dataset;
    open_folder(*state, 0, &dataset);
    assert_int_equal(dataset->test.channels, CHANNELS);
    check_close(dataset->std[2], 0.3081, 1e-6, 0); /* as the grey channel has */
    ctkd__dataset_close(dataset);
    file[19] = 5;
    file[11] = 5;
    file[15] = 3;
    file[7] = 1;
    ctkd_error err;
    struct ctkd__images images = { 0 };
    assert_int_equal(
        ctkd__idx_parse("I", file, 20 + 75, "L", labels, sizeof labels, 2, &images, &err),
        CTKD_EFORMAT);
    assert_string_equal(err.message,
                        "I: found images of 5x3x5, expected 1..4 channels first or last");
}

static void parts_of_different_shapes_are_refused(void **state)
{
    const struct files train = files_make();
    struct files test = files_make();
    test.pixels[11] = 4;
    test.pixels[15] = 2;
    write_part(*state, "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte", &train);
    write_part(*state, "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte", &test);
    char spec[1100];
    snprintf(spec, sizeof spec, "mnist:%s", (const char *)*state);
    struct ctkd__dataset *dataset;
    ctkd_error err;
    assert_int_equal(ctkd__dataset_open(spec, NULL, &dataset, &err), CTKD_ESHAPE);
    assert_non_null(
        strstr(err.message, "t10k-images-idx3-ubyte.gz: found images of 1x4x2, expected 1x2x4"));
    assert_null(dataset);
}

static void the_packaged_fashion_mnist_is_what_was_published(void **state)
{
    (void)state;
    if (access(ctkd__dataset_find("fashion-mnist")->default_path, R_OK) != 0) {
        print_message("Debian's dataset-fashion-mnist is not installed\n");
        skip();
    }
    struct ctkd__dataset *dataset;
    ctkd_error err;
    check_ok(ctkd__dataset_open("fashion-mnist", NULL, &dataset, &err), &err);
    const struct ctkd__images *train = &dataset->train;
    assert_int_equal(train->count, 60000);
    assert_int_equal(dataset->test.count, 10000);
    assert_int_equal(train->height, 28);
    assert_int_equal(train->width, 28);
    static const int32_t first[] = { 9, 0, 0, 3 };
    assert_memory_equal(train->labels, first, sizeof first);
    double sum = 0;
    const size_t n = 60000 * 28 * 28;
    for (size_t i = 0; i < n; i++)
        sum += train->pixels[i];
    check_close(sum / 255 / (double)n, 0.2860, 0, 5e-5);
    size_t per_class[10] = { 0 };
    for (size_t i = 0; i < 60000; i++)
        per_class[train->labels[i]]++;
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(per_class[i], 6000);
    ctkd__dataset_close(dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_and_labels_are_read_in_any_shape),
        cmocka_unit_test(files_cut_anywhere_or_one_byte_too_long_are_refused),
        cmocka_unit_test(a_wrong_magic_is_refused_with_both_values),
        cmocka_unit_test(a_lying_count_is_refused),
        cmocka_unit_test(a_label_out_of_range_is_named_with_its_record),
        cmocka_unit_test_setup_teardown(both_parts_come_from_a_folder_or_an_archive,
                                        temp_folder_make, temp_folder_remove),
        cmocka_unit_test_setup_teardown(labels_say_the_classes_where_nothing_else_does,
                                        temp_folder_make, temp_folder_remove),
        cmocka_unit_test_setup_teardown(names_with_a_dot_are_known, temp_folder_make,
                                        temp_folder_remove),
        cmocka_unit_test_setup_teardown(
            images_of_several_channels_are_read_as_planes_or_interleaved, temp_folder_make,
            temp_folder_remove),
        cmocka_unit_test_setup_teardown(parts_of_different_shapes_are_refused, temp_folder_make,
                                        temp_folder_remove),
        cmocka_unit_test(the_packaged_fashion_mnist_is_what_was_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
