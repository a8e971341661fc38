#include "data/folder/layout.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"
#include "support/photos.h"
#include "support/temp_files.h"

static const struct ctkd__layout_options defaults = { .holdout = 0.1 };

struct found {
    struct ctkd__tree *tree;
    struct ctkd__layout layout;
};

static struct found find(const char *folder, const struct ctkd__layout_options *options)
{
    struct found found;
    ctkd_error err;
    check_ok(ctkd__tree_open(folder, NULL, &found.tree, &err), &err);
    check_ok(ctkd__layout_find(found.tree, options, &found.layout, &err), &err);
    return found;
}

static void found_close(struct found *found)
{
    ctkd__layout_fini(&found->layout);
    ctkd__tree_close(found->tree);
}

static void check_refused(const char *folder, const struct ctkd__layout_options *options,
                          const char *text)
{
    struct ctkd__tree *tree;
    struct ctkd__layout layout;
    ctkd_error err;
    check_ok(ctkd__tree_open(folder, NULL, &tree, &err), &err);
    const ctkd_status status = ctkd__layout_find(tree, options, &layout, &err);
    if (status == CTKD_OK || !strstr(err.message, text))
        fail_msg("status %d, '%s' lacks '%s'", (int)status, status ? err.message : "", text);
    assert_null(layout.train.files);
    ctkd__tree_close(tree);
}

/* "LABEL:NAME ..." of a part. */
static const char *text_of(const struct found *found, const struct ctkd__layout_part *part)
{
    static char text[2000];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < part->count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%d:%s", i ? " " : "",
                                 part->labels[i], ctkd__tree_name(found->tree, part->files[i]));
    return text;
}

static void write_two_parts(const char *folder, const char *train, const char *val)
{
    static const char *const names[] = { "10/a.JPG", "10/b.png", "2/a.jpeg", "2/deep/er/c.ppm" };
    char name[128];
    for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s/%s", train, names[i]);
        photo_text(folder, name, "x");
        snprintf(name, sizeof name, "%s/%s", val, names[i]);
        if (i % 2 == 0)
            photo_text(folder, name, "x");
    }
}

static void classes_are_folders_in_the_order_of_their_bytes(void **state)
{
    static const char *const vals[] = { "val", "valid", "validation", "test", "Val" };
    for (size_t i = 0; i < 5; i++) {
        char folder[600];
        snprintf(folder, sizeof folder, "%s/%zu", (char *)*state, i);
        write_two_parts(folder, "train", vals[i]);
        photo_text(folder, "train/10/notes.txt", "x");
        photo_text(folder, "train/10/x.GIF", "x");
        photo_text(folder, "train/2/x.gif", "x");
        photo_text(folder, "train/2/x.tif", "x");
        photo_text(folder, "README.md", "x");
        struct found found = find(folder, &defaults);
        assert_string_equal(found.layout.classes->text, "10\n2\n");
        assert_string_equal(text_of(&found, &found.layout.train),
                            "0:train/10/a.JPG 0:train/10/b.png 1:train/2/a.jpeg "
                            "1:train/2/deep/er/c.ppm");
        assert_int_equal(found.layout.test.count, 2);
        assert_string_equal(found.layout.not_read, "2 GIF, 1 TIFF");
        assert_false(found.layout.held_out);
        found_close(&found);
    }
}

static void other_orders_are_asked_for(void **state)
{
    const char *const folder = *state;
    char names[600], wrong[600];
    write_two_parts(folder, "data/train", "data/val");
    snprintf(names, sizeof names, "%s/names", folder);
    photo_text(folder, "names", "2\n10\n");
    struct ctkd__layout_options options = { .class_order = CTKD__CLASS_ORDER_NATURAL };
    struct found found = find(folder, &options);
    assert_string_equal(found.layout.classes->text, "2\n10\n");
    assert_string_equal(text_of(&found, &found.layout.test),
                        "0:data/val/2/a.jpeg 1:data/val/10/a.JPG");
    found_close(&found);
    options = (struct ctkd__layout_options){ .class_file = names };
    found = find(folder, &options);
    assert_string_equal(found.layout.classes->text, "2\n10\n");
    found_close(&found);

    snprintf(wrong, sizeof wrong, "%s/wrong", folder);
    options.class_file = wrong;
    photo_text(folder, "wrong", "2\n3\n");
    check_refused(folder, &options, "data/train: found 1 folder that is no class of");
    photo_text(folder, "wrong", "2\n10\n3\n");
    check_refused(folder, &options, "data/train: found no folder for 1 of 3 classes (3), expected");
    options.allow_empty = true;
    found = find(folder, &options);
    assert_int_equal(found.layout.classes->count, 3);
    found_close(&found);
    photo_text(folder, "wrong", "2\n2\n");
    check_refused(folder, &options, "wrong: found '2' twice");
}

/* 40 images of each of two classes. */
static void write_flat(const char *folder)
{
    for (int i = 0; i < 80; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%d.jpg", i % 2 ? "bee" : "ant", i / 2);
        photo_text(folder, name, "x");
    }
}

static bool is_test(const struct found *found, const char *name)
{
    for (size_t i = 0; i < found->layout.test.count; i++)
        if (strcmp(ctkd__tree_name(found->tree, found->layout.test.files[i]), name) == 0)
            return true;
    return false;
}

static void a_share_of_each_class_is_held_out_by_name(void **state)
{
    const char *const folder = *state;
    write_flat(folder);
    struct found before = find(folder, &defaults);
    assert_true(before.layout.held_out);
    assert_int_equal(before.layout.train.count, 72);
    assert_int_equal(before.layout.test.count, 8);
    size_t ants = 0;
    for (size_t i = 0; i < 8; i++)
        ants += before.layout.test.labels[i] == 0;
    assert_int_equal(ants, 4);
    /* A file more moves at most one other. */
    photo_text(folder, "ant/new.jpg", "x");
    struct found after = find(folder, &defaults);
    size_t moved = 0;
    for (int i = 0; i < 80; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%d.jpg", i % 2 ? "bee" : "ant", i / 2);
        moved += is_test(&before, name) != is_test(&after, name);
    }
    assert_in_range(moved, 0, 1);
    assert_string_not_equal(before.layout.train.sha256, after.layout.train.sha256);
    found_close(&after);
    found_close(&before);

    const struct ctkd__layout_options most = { .holdout = 0.9 };
    for (int i = 1; i < 40; i++) {
        char name[64];
        snprintf(name, sizeof name, "ant/%d.jpg", i);
        remove(temp_path(folder, name));
    }
    after = find(folder, &most); /* two ants are left: one on each side */
    assert_int_equal(after.layout.test.count, 1 + 36);
    found_close(&after);
    remove(temp_path(folder, "ant/new.jpg"));
    check_refused(folder, &defaults, "ant: found 1 image, expected at least 2 of each class");

    const struct ctkd__layout_options allowed = { .holdout = 0.1, .allow_empty = true };
    after = find(folder, &allowed); /* it stays a training image */
    assert_int_equal(after.layout.train.count, 1 + 36);
    assert_int_equal(after.layout.test.count, 4);
    found_close(&after);
    for (int i = 1; i < 40; i++) {
        char name[64];
        snprintf(name, sizeof name, "bee/%d.jpg", i);
        remove(temp_path(folder, name));
    }
    check_refused(folder, &allowed, "found no test image, expected at least one");
}

static void listed_files_are_left_out(void **state)
{
    const char *const folder = *state;
    char list[600];
    write_two_parts(folder, "train", "val");
    snprintf(list, sizeof list, "%s/list", folder);
    photo_text(folder, "list", "train/10/b.png\r\nval/2/a.jpeg\n");
    struct ctkd__layout_options options = { .exclude = list, .allow_empty = true };
    struct found found = find(folder, &options);
    assert_int_equal(found.layout.excluded, 2);
    assert_string_equal(text_of(&found, &found.layout.test), "0:val/10/a.JPG");
    assert_int_equal(found.layout.train.count, 3);
    found_close(&found);
    options.allow_empty = false;
    check_refused(folder, &options, "val/2: found no JPEG, PNG, WebP or PPM image");
    photo_text(folder, "list", "train/11/b.png\n");
    check_refused(folder, &options, "found 'train/11/b.png', expected the name of a file in");
}

/* "NAME: WHY; ..." of what is left out. */
static const char *text_of_left_out(const struct found *found)
{
    static char text[2000];
    size_t used = 0;
    for (size_t i = 0; i < found->layout.left_out.count; i++) {
        const struct ctkd__left_out *const item = &found->layout.left_out.items[i];
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s: %s", i ? "; " : "",
                                 ctkd__tree_name(found->tree, item->file), item->why);
    }
    return text;
}

static void files_that_may_be_images_are_not_left_out_in_silence(void **state)
{
    const char *const folder = *state;
    char list[600];
    write_two_parts(folder, "train", "val");
    photo_text(folder, "train/cover.jpg", "x");
    photo_text(folder, "train/10/0001", "x");
    photo_text(folder, "train/2/deep/0002", "x");
    photo_text(folder, "train/2/x.bmp", "x");
    photo_text(folder, "val/2/.hidden", "x");
    photo_text(folder, "val/notes", "x"); /* beside the classes only images count */
    photo_text(folder, "val/logo.gif", "x");
    photo_text(folder, "test/images/1.jpg", "x"); /* as in Tiny-ImageNet: no classes */
    struct found found = find(folder, &defaults);
    assert_string_equal(text_of_left_out(&found),
                        "train/10/0001: it has no ending such as .jpg; train/2/deep/0002: it has "
                        "no ending such as .jpg; train/2/x.bmp: BMP; train/cover.jpg: it is in no "
                        "folder of a class; val/logo.gif: it is in no folder of a class");
    assert_string_equal(found.layout.not_read,
                        "2 files without an ending, 1 BMP, 2 images in no class");
    assert_string_equal(found.layout.unused, "");
    assert_int_equal(found.layout.train.count, 4);
    found_close(&found);

    /* A list names what one knows of. */
    snprintf(list, sizeof list, "%s/list", folder);
    photo_text(folder, "list", "train/cover.jpg\ntrain/10/0001\ntrain/2/x.bmp\nval/logo.gif\n");
    const struct ctkd__layout_options options = { .exclude = list };
    photo_text(folder, "test/10/1.jpg", "x");
    found = find(folder, &options);
    assert_string_equal(found.layout.not_read, "1 file without an ending");
    assert_string_equal(found.layout.unused, "test/");
    found_close(&found);
}

static void other_folders_of_classes_are_named(void **state)
{
    const char *const folder = *state;
    write_two_parts(folder, "Training", "Testing");
    struct found found = find(folder, &defaults);
    assert_false(found.layout.held_out);
    assert_int_equal(found.layout.test.count, 2);
    assert_string_equal(found.layout.unused, "");
    found_close(&found);
    photo_text(folder, "eval/10/1.jpg", "x");
    photo_text(folder, "more/deep/2/1.jpg", "x");
    photo_text(folder, "test/2/1.jpg", "x"); /* comes before testing */
    photo_text(folder, "test/10/1.jpg", "x");
    found = find(folder, &defaults);
    assert_string_equal(found.layout.unused, "Testing/, eval/");
    found_close(&found);
    photo_text(folder, "a folder with a name of sixty bytes, which is much for a list/2/1.jpg",
               "x");
    photo_text(folder, "zz/2/1.jpg", "x");
    found = find(folder, &defaults); /* names are whole */
    assert_string_equal(
        found.layout.unused,
        "Testing/, a folder with a name of sixty bytes, which is much for a list/, ...");
    found_close(&found);
}

static void what_is_no_layout_is_explained(void **state)
{
    static const struct {
        const char *files[5], *text;
    } cases[] = {
        { { "1.jpg", "2.jpg" }, "found 2 files and no folders of classes, expected train/CLASS" },
        { { "train/1.jpg", "val/a/1.jpg" }, "train: found 1 file and no folders of classes" },
        { { "train/a/1.jpg", "train/b/1.jpg", "val/1.jpg" },
          "val: found 1 file and no folders of classes" },
        { { "val/a/1.jpg", "b/1.jpg" }, "found val/ and no train/, expected both" },
        { { "train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg" },
          "val: found no folder for 1 of 2 classes (b), expected images of each" },
        { { "train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/c/1.jpg", "val/b/1.jpg" },
          "val: found 1 folder that is no class of the training images (c)" },
        { { "train/a/1.gif", "train/b/1.jpg", "val/a/1.jpg", "val/b/1.jpg" },
          "train/a: found no JPEG, PNG, WebP or PPM image (1.gif is not read: GIF), expected at "
          "least one" },
        { { "train/a/1", "train/b/1.jpg", "val/a/1.jpg", "val/b/1.jpg" },
          "train/a: found no JPEG, PNG, WebP or PPM image (1 is not read: it has no ending such as "
          ".jpg), expected at least one" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[600];
        snprintf(folder, sizeof folder, "%s/%zu", (char *)*state, i);
        for (size_t f = 0; f < 5 && cases[i].files[f]; f++)
            photo_text(folder, cases[i].files[f], "x");
        check_refused(folder, &defaults, cases[i].text);
    }
    temp_folder_add(*state, "empty");
    check_refused(temp_path(*state, "empty"), &defaults,
                  "empty: found 0 files and no folders of classes");
}

static void an_empty_folder_of_a_class_is_an_error_unless_allowed(void **state)
{
    const char *const folder = *state;
    struct ctkd__layout_options options = defaults;
    write_two_parts(folder, "train", "val");
    temp_folder_add(folder, "train/zebra");
    temp_folder_add(folder, "val/zebra");
    check_refused(folder, &options, "train/zebra: found no JPEG");
    options.allow_empty = true;
    struct found found = find(folder, &options);
    assert_int_equal(found.layout.classes->count, 3);
    found_close(&found);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(classes_are_folders_in_the_order_of_their_bytes),
        TEST(other_orders_are_asked_for),
        TEST(a_share_of_each_class_is_held_out_by_name),
        TEST(listed_files_are_left_out),
        TEST(files_that_may_be_images_are_not_left_out_in_silence),
        TEST(other_folders_of_classes_are_named),
        TEST(what_is_no_layout_is_explained),
        TEST(an_empty_folder_of_a_class_is_an_error_unless_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
