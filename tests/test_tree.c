#include "data/folder/tree.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"
#include "support/photos.h"
#include "support/temp_files.h"

static struct ctkd__tree *open_tree(const char *path)
{
    struct ctkd__tree *tree;
    ctkd_error err;
    check_ok(ctkd__tree_open(path, &tree, &err), &err);
    return tree;
}

static void check_names(const struct ctkd__tree *tree, const char *const *names, size_t count)
{
    assert_int_equal(ctkd__tree_count(tree), count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(ctkd__tree_name(tree, i), names[i]);
        assert_int_equal(ctkd__tree_find(tree, names[i]), i);
    }
}

static const char *const files[] = { "a/y.jpg", "a/z/1.jpg", "a-b/1.jpg", "a-b/2.jpg", "b.txt" };
enum { FILES = sizeof files / sizeof *files };

static void write_files(const char *folder)
{
    for (size_t i = 0; i < FILES; i++)
        photo_text(folder, files[i], files[i]); /* their contents are their names */
}

static void names_come_in_order_without_hidden_ones(void **state)
{
    write_files(*state);
    photo_text(*state, ".DS_Store", "x");
    photo_text(*state, "a/.ipynb_checkpoints/1.jpg", "x");
    temp_folder_add(*state, "empty");
    struct ctkd__tree *const tree = open_tree(*state);
    check_names(tree, files, FILES);
    assert_int_equal(ctkd__tree_find(tree, "a"), FILES);
    assert_int_equal(ctkd__tree_find(tree, "zzz"), FILES);
    assert_int_equal(ctkd__tree_folders(tree), 4);
    assert_string_equal(ctkd__tree_folder(tree, 3), "empty");
    ctkd__tree_close(tree);
    ctkd__tree_close(NULL);
}

static void a_folder_is_a_range_of_files(void **state)
{
    static const struct {
        const char *folder;
        size_t first, end;
    } cases[] = { { "", 0, FILES }, { "a", 0, 2 },     { "a/z", 1, 2 }, { "a-b", 2, 4 },
                  { "a-", 2, 2 },   { "b.txt", 5, 5 }, { "zz", 5, 5 },  { "a/y.jp", 0, 0 } };
    write_files(*state);
    struct ctkd__tree *const tree = open_tree(*state);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t end;
        const size_t first = ctkd__tree_below(tree, cases[i].folder, &end);
        assert_int_equal(first, cases[i].first);
        assert_int_equal(end, cases[i].end);
    }
    ctkd__tree_close(tree);
}

static void every_file_is_read_and_a_long_one_refused(void **state)
{
    write_files(*state);
    struct ctkd__tree *const tree = open_tree(*state);
    struct ctkd__tree_bytes bytes;
    ctkd_error err;
    char place[1200], wanted[1200];
    for (size_t i = 0; i < FILES; i++) {
        check_ok(ctkd__tree_read(tree, i, 100, &bytes, &err), &err);
        assert_int_equal(bytes.size, strlen(files[i]));
        assert_string_equal((char *)bytes.bytes, files[i]);
        ctkd__tree_bytes_free(&bytes);
        assert_int_equal(ctkd__tree_read(tree, i, strlen(files[i]) - 1, &bytes, &err), CTKD_ERANGE);
        assert_null(bytes.bytes);
        ctkd__tree_place(tree, i, place, sizeof place);
        snprintf(wanted, sizeof wanted, "%s/%s", ctkd__tree_path(tree), files[i]);
        assert_string_equal(place, wanted);
    }
    unlink(wanted);
    assert_int_equal(ctkd__tree_read(tree, FILES - 1, 100, &bytes, &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "b.txt: No such file or directory"));
    ctkd__tree_close(tree);
}

static void links_are_followed_but_not_in_a_circle(void **state)
{
    const char *const folder = *state;
    struct ctkd__tree *tree;
    ctkd_error err;
    photo_text(folder, "real/1.jpg", "x");
    assert_int_equal(symlink("real", temp_path(folder, "class")), 0);
    assert_int_equal(symlink("../real/1.jpg", temp_path(folder, "real/2.jpg")), 0);
    assert_int_equal(symlink("nowhere", temp_path(folder, "real/3.jpg")), 0);
    static const char *const names[] = { "class/1.jpg", "class/2.jpg", "class/3.jpg",
                                         "real/1.jpg",  "real/2.jpg",  "real/3.jpg" };
    tree = open_tree(folder);
    check_names(tree, names, 6);
    ctkd__tree_close(tree);
    assert_int_equal(symlink("..", temp_path(folder, "real/up")), 0);
    assert_int_equal(ctkd__tree_open(folder, &tree, &err), CTKD_EFORMAT);
    assert_null(tree);
    assert_non_null(strstr(err.message, "class/up: this link leads back to a folder above it"));
}

static void what_cannot_be_read_is_named(void **state)
{
    const char *const folder = *state;
    struct ctkd__tree *tree;
    ctkd_error err;
    assert_int_equal(ctkd__tree_open(temp_path(folder, "absent"), &tree, &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "absent: No such file or directory"));
    photo_text(folder, "locked/1.jpg", "x");
    assert_int_equal(chmod(temp_path(folder, "locked"), 0), 0);
    if (geteuid() != 0) { /* root may read anything */
        assert_int_equal(ctkd__tree_open(folder, &tree, &err), CTKD_EIO);
        assert_non_null(strstr(err.message, "locked: Permission denied"));
    }
    chmod(temp_path(folder, "locked"), 0700);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_come_in_order_without_hidden_ones),
        TEST(a_folder_is_a_range_of_files),
        TEST(every_file_is_read_and_a_long_one_refused),
        TEST(links_are_followed_but_not_in_a_circle),
        TEST(what_cannot_be_read_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
