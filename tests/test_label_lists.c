#include "data/folder/label_lists.h"

#include <stdio.h>
#include <stdlib.h>

#include "data/dataset.h"
#include "support/check.h"
#include "support/photos.h"
#include "support/temp_files.h"

/* Three classes; the published numbers 3, 1, 2 are theirs in this order. */
static const char *const classes[] = { "n01440764", "n02100735", "n02119789" };

static void write_training(const char *folder)
{
    for (unsigned k = 0; k < 3; k++)
        for (unsigned i = 0; i < 2; i++) {
            char name[128];
            snprintf(name, sizeof name, "%s/%s_%u.JPEG", classes[k], classes[k], i);
            photo_write(folder, name, 100, 100, k, i);
        }
}

/* Six images without classes: 1 and 4 are of the first class, 2 and 5 of the second, ... */
static void write_validation(const char *folder)
{
    for (unsigned i = 1; i <= 6; i++) {
        char name[64];
        snprintf(name, sizeof name, "ILSVRC2012_val_%08u.JPEG", i);
        photo_write(folder, name, 100, 100, (i - 1) % 3, i);
    }
}

static void check_opens(const char *spec)
{
    struct ctkd__dataset *dataset;
    ctkd_error err;
    check_ok(ctkd__dataset_open(spec, NULL, &dataset, &err), &err);
    assert_int_equal(dataset->train.count, 6);
    assert_int_equal(dataset->test.count, 6);
    assert_string_equal(dataset->class_names->text, "n01440764\nn02100735\nn02119789\n");
    for (size_t i = 0; i < 6; i++) {
        static const char *const numbers[] = { "1.JPEG", "4.JPEG", "2.JPEG",
                                               "5.JPEG", "3.JPEG", "6.JPEG" };
        const uint32_t file = dataset->folder->layout.test.files[i];
        assert_int_equal(dataset->test.labels[i], i / 2);
        assert_non_null(strstr(ctkd__tree_name(dataset->folder->tree, file), numbers[i]));
    }
    ctkd__dataset_close(dataset);
}

static void check_refused(const char *spec, const char *text)
{
    struct ctkd__dataset *dataset;
    ctkd_error err = { 0 };
    const ctkd_status status = ctkd__dataset_open(spec, NULL, &dataset, &err);
    if (status == CTKD_OK || !strstr(err.message, text))
        fail_msg("status %d, '%s' lacks '%s'", (int)status, err.message, text);
    assert_null(dataset);
}

static const char *spec_of(const char *name, const char *path)
{
    static char spec[900];
    snprintf(spec, sizeof spec, "%s:%s", name, path);
    return spec;
}

/* Text with the six images, a label by `name` of each class. */
static void write_list(const char *folder, const char *file, const char *begin, const char *format,
                       const char *const *names)
{
    char text[1000];
    size_t n = (size_t)snprintf(text, sizeof text, "%s", begin);
    for (unsigned i = 6; i >= 1; i--)
        n += (size_t)snprintf(text + n, sizeof text - n, format, i, names[(i - 1) % 3]);
    photo_text(folder, file, text);
}

static void every_known_list_gives_the_labels(void **state)
{
    static const struct {
        const char *set, *train, *val, *list, *begin, *format;
    } cases[] = {
        { "imagenet", "ILSVRC/Data/CLS-LOC/train", "ILSVRC/Data/CLS-LOC/val",
          "LOC_val_solution.csv", "ImageId,PredictionString\r\n",
          "ILSVRC2012_val_%08u,%s 85 1 499 272 \r\n" },
        { "tiny-imagenet", "tiny-imagenet-200/train", "tiny-imagenet-200/val/images",
          "tiny-imagenet-200/val/val_annotations.txt", "",
          "ILSVRC2012_val_%08u.JPEG\t%s\t0\t32\t44\t62\n" },
        { "imagefolder", "train", "val", "val.txt", "# file class\n",
          "val/ILSVRC2012_val_%08u.JPEG %s\n" },
        { "imagenet", "train", "val", "val_labels.txt", "", "ILSVRC2012_val_%08u.JPEG,%s\n" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[600], part[700];
        snprintf(folder, sizeof folder, "%s/%zu", (char *)*state, i);
        snprintf(part, sizeof part, "%s/%s", folder, cases[i].train);
        write_training(part);
        snprintf(part, sizeof part, "%s/%s", folder, cases[i].val);
        write_validation(part);
        write_list(folder, cases[i].list, cases[i].begin, cases[i].format, classes);
        check_opens(spec_of(cases[i].set, folder));
    }
}

static void a_list_must_fit(void **state)
{
    const char *const folder = *state;
    static const char *const wrong[] = { "n01440764", "n02100735", "n1" };
    char part[700];
    snprintf(part, sizeof part, "%s/train", folder);
    write_training(part);
    snprintf(part, sizeof part, "%s/val", folder);
    write_validation(part);
    check_refused(spec_of("imagenet", folder), "val: found 6 files and no folders of classes");
    write_list(folder, "val.txt", "", "ILSVRC2012_val_%08u.JPEG %s\n", wrong);
    check_refused(
        spec_of("imagenet", folder),
        "val.txt: line 1: found class 'n1', expected one of the 3 classes of the training "
        "images (n01440764, ...)");
    photo_text(folder, "val.txt", "ILSVRC2012_val_00000001.JPEG n01440764\n");
    check_refused(spec_of("imagenet", folder),
                  "ILSVRC2012_val_00000002.JPEG: found no label for it in the list");
    photo_text(folder, "val.txt", "ILSVRC2012_val_00000001.JPEG\n");
    check_refused(spec_of("imagenet", folder),
                  "val.txt: line 1: found 'ILSVRC2012_val_00000001.JPEG', expected FILE CLASS");
    remove(temp_path(folder, "val.txt"));
    write_list(folder, "val.txt", "", "ILSVRC2012_val_%08u.JPEG %s\n", classes);
    for (unsigned i = 2; i <= 5; i += 3) {
        char name[64];
        snprintf(name, sizeof name, "val/ILSVRC2012_val_%08u.JPEG", i);
        remove(temp_path(folder, name));
    }
    check_refused(spec_of("imagenet", folder), "val: the list has no image of class n02100735");
}

/* The numbers 3, 2, 1 are those of meta.mat for the classes in their order. */
static const char truth[] = "3\n2\n1\n3\n2\n1\n";
static const char truth_name[] = "ILSVRC2012_validation_ground_truth.txt";

static void numbers_need_their_meaning(void **state)
{
    const char *const folder = *state;
    char part[700];
    snprintf(part, sizeof part, "%s/train", folder);
    write_training(part);
    snprintf(part, sizeof part, "%s/val", folder);
    write_validation(part);
    photo_text(folder, truth_name, truth);
    check_refused(spec_of("imagenet", folder),
                  "ILSVRC2012_validation_ground_truth.txt: its numbers are not the ranks of the "
                  "classes; expected meta.mat or map_clsloc.txt");
    photo_text(folder, "devkit/map_clsloc.txt",
               "n02119789 1 kit_fox\nn02100735 2 English_setter\nn01440764 3 tench\n");
    check_opens(spec_of("imagenet", folder));
    photo_text(folder, "devkit/map_clsloc.txt", "kit_fox\n");
    check_refused(spec_of("imagenet", folder), "line 1: found 'kit_fox");
    remove(temp_path(folder, "devkit/map_clsloc.txt"));

    size_t size;
    snprintf(part, sizeof part, "%s/tests/golden/mat/meta.mat", CTKD_SOURCE_DIR);
    void *const mat = temp_read(part, &size);
    temp_write(folder, "meta.mat", mat, size);
    check_opens(spec_of("imagenet", folder));
    photo_text(folder, truth_name, "3\n2\n1\n3\n2\n300\n");
    check_refused(spec_of("imagenet", folder), "line 6: found number 300, expected that of one of");
    photo_text(folder, truth_name, "3\n2\n1\n");
    check_refused(spec_of("imagenet", folder), "found 3 numbers, expected 6, one for each image");
    photo_text(folder, truth_name, "3\n2\n1\n3\n2\n1\n1\n");
    check_refused(spec_of("imagenet", folder), "found more numbers than the 6 images");
    photo_text(folder, truth_name, "3\n2\nx\n");
    check_refused(spec_of("imagenet", folder), "line 3: found 'x");
    free(mat);
}

static void the_published_archives_are_read_in_place(void **state)
{
    char folder[600], work[600], path[800];
    size_t size;
    snprintf(folder, sizeof folder, "%s/published", (char *)*state);
    snprintf(work, sizeof work, "%s/work", (char *)*state);
    photo_text(folder, "README", "x");
    write_training(work);
    for (unsigned k = 0; k < 3; k++) {
        char from[800];
        snprintf(from, sizeof from, "%s/%s", work, classes[k]);
        snprintf(path, sizeof path, "%s/tars/%s.tar", (char *)*state, classes[k]);
        photo_text(*state, "tars/note", "x");
        photo_archive(from, "ustar", path);
    }
    snprintf(work, sizeof work, "%s/tars", (char *)*state);
    snprintf(path, sizeof path, "%s/ILSVRC2012_img_train.tar", folder);
    photo_archive(work, "ustar", path);
    snprintf(work, sizeof work, "%s/val", (char *)*state);
    write_validation(work);
    snprintf(path, sizeof path, "%s/ILSVRC2012_img_val.tar", folder);
    photo_archive(work, "gnutar", path);
    snprintf(path, sizeof path, "%s/tests/golden/mat/meta.mat", CTKD_SOURCE_DIR);
    void *const mat = temp_read(path, &size);
    const struct temp_file files[] = {
        { "ILSVRC2012_devkit_t12/data/meta.mat", mat, size },
        { "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth,
          sizeof truth - 1 },
    };
    temp_write_tar(folder, "ILSVRC2012_devkit_t12.tar.gz", files, 2);
    check_opens(spec_of("imagenet", folder));

    /* The same folder packed: nothing reads the kit in it. */
    snprintf(work, sizeof work, "%s/packed", (char *)*state);
    snprintf(path, sizeof path, "%s/train", work);
    write_training(path);
    snprintf(path, sizeof path, "%s/val", work);
    write_validation(path);
    temp_write_tar(work, "ILSVRC2012_devkit_t12.tar.gz", files, 2);
    snprintf(path, sizeof path, "%s/packed.tar", (char *)*state);
    photo_archive(work, "ustar", path);
    check_refused(
        spec_of("imagenet", path),
        "ILSVRC2012_devkit_t12.tar.gz: an archive within an archive is not read; expected "
        "its files (ILSVRC2012_validation_ground_truth.txt, meta.mat) beside the images");
    free(mat);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_known_list_gives_the_labels),
        TEST(a_list_must_fit),
        TEST(numbers_need_their_meaning),
        TEST(the_published_archives_are_read_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
