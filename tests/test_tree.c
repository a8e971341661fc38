#include "data/folder/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"
#include "support/photos.h"
#include "support/temp_files.h"

static struct ctkd__tree *open_tree(const char *path)
{
    struct ctkd__tree *tree;
    ctkd_error err;
    check_ok(ctkd__tree_open(path, NULL, &tree, &err), &err);
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
    photo_text(*state, "__MACOSX/a/._1.jpg",
               "x"); /* of an unpacked .zip; left out of archives too */
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

static const char *const formats[] = { "ustar", "pax", "gnutar", "zip", "zip:compression=store" };
enum { FORMATS = sizeof formats / sizeof *formats };

static void write_long_names(const char *folder)
{
    char name[400];
    snprintf(name, sizeof name, "a/%0150d/%0200d.jpg", 1, 2);
    photo_text(folder, name, "longer than the fields of a header");
    snprintf(name, sizeof name, "a/%0120d.jpg", 3);
    photo_text(folder, name, "longer than one of them");
    photo_text(folder, "b/empty.jpg", "");
}

static void archives_hold_the_same_files_as_their_folder(void **state)
{
    char folder[600], archive[700];
    snprintf(folder, sizeof folder, "%s/files", (char *)*state);
    write_files(folder);
    for (size_t f = 0; f < FORMATS; f++) {
        if (f == 1) /* ustar has no room for such names */
            write_long_names(folder);
        struct ctkd__tree *const expected = open_tree(folder);
        snprintf(archive, sizeof archive, "%s/archive%zu", (char *)*state, f);
        photo_archive(folder, formats[f], archive);
        struct ctkd__tree *const tree = open_tree(archive);
        assert_int_equal(ctkd__tree_count(tree), ctkd__tree_count(expected));
        for (size_t i = 0; i < ctkd__tree_count(tree); i++) {
            struct ctkd__tree_bytes bytes, wanted;
            ctkd_error err;
            assert_string_equal(ctkd__tree_name(tree, i), ctkd__tree_name(expected, i));
            check_ok(ctkd__tree_read(tree, i, 100, &bytes, &err), &err);
            check_ok(ctkd__tree_read(expected, i, 100, &wanted, &err), &err);
            assert_int_equal(bytes.size, wanted.size);
            assert_memory_equal(bytes.bytes, wanted.bytes, wanted.size + 1);
            ctkd__tree_bytes_free(&bytes);
            ctkd__tree_bytes_free(&wanted);
        }
        char place[1200];
        ctkd__tree_place(tree, 0, place, sizeof place);
        assert_non_null(strstr(place, ": a/"));
        ctkd__tree_close(expected);
        ctkd__tree_close(tree);
    }
}

static void a_tar_in_a_tar_is_a_folder(void **state)
{
    char folder[600], inner[800], outer[700];
    static const char *const names[] = { "n01/1.jpg", "n01/2.jpg", "n02/1.jpg", "no.tar" };
    snprintf(folder, sizeof folder, "%s/one", (char *)*state);
    snprintf(outer, sizeof outer, "%s/outer", (char *)*state);
    photo_text(folder, "1.jpg", "first");
    photo_text(outer, "no.tar", "none");
    snprintf(inner, sizeof inner, "%s/n02.tar", outer);
    photo_archive(folder, "ustar", inner);
    photo_text(folder, "2.jpg", "second");
    snprintf(inner, sizeof inner, "%s/n01.tar", outer);
    photo_archive(folder, "gnutar", inner);
    snprintf(inner, sizeof inner, "%s/all.tar", (char *)*state);
    photo_archive(outer, "ustar", inner);
    struct ctkd__tree *tree = open_tree(inner);
    check_names(tree, names, 4);
    struct ctkd__tree_bytes bytes;
    ctkd_error err;
    check_ok(ctkd__tree_read(tree, 1, 100, &bytes, &err), &err);
    assert_string_equal((char *)bytes.bytes, "second");
    ctkd__tree_bytes_free(&bytes);
    ctkd__tree_close(tree);
    /* The same in a folder, below another name. */
    const struct ctkd__tree_mount mounts[] = { { "absent.tar", "val" },
                                               { "all.tar", "train" },
                                               { NULL, NULL } };
    check_ok(ctkd__tree_open(*state, mounts, &tree, &err), &err);
    assert_int_not_equal(ctkd__tree_find(tree, "train/n01/2.jpg"), ctkd__tree_count(tree));
    ctkd__tree_close(tree);
}

/* As Python's zipfile and tarfile write them (tests/golden/trees.py). */
static void archives_of_others_are_read(void **state)
{
    static const char *const archives[] = { "deflated.zip", "stored.zip", "large.zip",
                                            "gnu.tar",      "pax.tar",    "ustar.tar" };
    static const char *const nested[] = { "train/ant/1.jpg", "train/bee/1.jpg", "train/bee/2.jpg",
                                          "val/ant/1.jpg", "val/bee/1.png" };
    char path[1024];
    struct ctkd__tree_bytes bytes;
    ctkd_error err;
    (void)state;
    for (size_t i = 0; i < sizeof archives / sizeof *archives; i++) {
        snprintf(path, sizeof path, "%s/tests/golden/trees/%s", CTKD_SOURCE_DIR, archives[i]);
        struct ctkd__tree *const tree = open_tree(path);
        assert_int_equal(ctkd__tree_count(tree), 6); /* without the hidden ones */
        assert_string_equal(ctkd__tree_name(tree, 0), "train/ant/1.jpg");
        assert_non_null(strstr(ctkd__tree_name(tree, 1), "deep/deep/long.jpg"));
        const size_t bee = ctkd__tree_find(tree, "train/bee/2.jpg"),
                     png = ctkd__tree_find(tree, "val/bee/1.png");
        check_ok(ctkd__tree_read(tree, bee, 1000, &bytes, &err), &err);
        assert_int_equal(bytes.size, 20 * 15);
        assert_memory_equal(bytes.bytes + 285, "the second bee ", 15);
        ctkd__tree_bytes_free(&bytes);
        check_ok(ctkd__tree_read(tree, png, 1000, &bytes, &err), &err);
        assert_int_equal(bytes.size, 256);
        for (size_t b = 0; b < 256; b++)
            assert_int_equal(bytes.bytes[b], b);
        ctkd__tree_bytes_free(&bytes);
        ctkd__tree_close(tree);
    }
    snprintf(path, sizeof path, "%s/tests/golden/trees/nested.tar", CTKD_SOURCE_DIR);
    struct ctkd__tree *const tree = open_tree(path);
    check_names(tree, nested, 5);
    ctkd__tree_close(tree);
}

/* An archive cut at every length is either refused or holds fewer files; none is read beyond it. */
static void a_cut_archive_is_refused(void **state)
{
    char folder[600], path[700];
    snprintf(folder, sizeof folder, "%s/files", (char *)*state);
    write_files(folder);
    write_long_names(folder);
    for (size_t f = 1; f < FORMATS; f++) {
        size_t size, refused = 0;
        snprintf(path, sizeof path, "%s/archive", (char *)*state);
        photo_archive(folder, formats[f], path);
        char *const bytes = temp_read(path, &size);
        while (size > 1024 && f < 3 && !bytes[size - 1]) /* zeros end a .tar */
            size--;
        for (size_t cut = size; cut-- > 0;) {
            struct ctkd__tree *tree;
            struct ctkd__tree_bytes file;
            ctkd_error err;
            assert_int_equal(truncate(path, (off_t)cut), 0);
            const ctkd_status status = ctkd__tree_open(path, NULL, &tree, &err);
            refused += status != CTKD_OK;
            assert_int_equal(status == CTKD_OK, tree != NULL);
            for (size_t i = 0; tree && i < ctkd__tree_count(tree); i++) {
                check_ok(ctkd__tree_read(tree, i, 1000, &file, &err), &err);
                ctkd__tree_bytes_free(&file);
            }
            ctkd__tree_close(tree);
        }
        assert_true(f < 3 ? refused > size / 4 : refused == size);
        free(bytes);
    }
}

static void other_files_are_no_archives(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        { "",
          "found a file that begins with bytes 00 00 00 00, expected a folder, a .zip or a .tar" },
        { "\x1f\x8b\x08...........", "found a compressed file, from which images cannot be read" },
        { "PK\3\4....", "damaged .zip: no directory at its end (it may be cut off)" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctkd__tree *tree;
        ctkd_error err;
        photo_text(*state, "file", cases[i].bytes);
        assert_int_equal(ctkd__tree_open(temp_path(*state, "file"), NULL, &tree, &err),
                         CTKD_EFORMAT);
        if (!strstr(err.message, cases[i].text))
            fail_msg("'%s' lacks '%s'", err.message, cases[i].text);
    }
}

static void a_changed_byte_in_a_zip_is_noticed(void **state)
{
    char folder[600], path[700];
    size_t size;
    snprintf(folder, sizeof folder, "%s/files", (char *)*state);
    snprintf(path, sizeof path, "%s/a.zip", (char *)*state);
    photo_text(folder, "a/1.jpg", "an image, as it were, of some bytes");
    photo_archive(folder, "zip:compression=store", path);
    char *const bytes = temp_read(path, &size);
    char *const at = memmem(bytes, size, "as it were", 10);
    assert_non_null(at);
    *at ^= 1;
    temp_write(*state, "a.zip", bytes, size);
    struct ctkd__tree *const tree = open_tree(path);
    struct ctkd__tree_bytes file;
    ctkd_error err;
    assert_int_equal(ctkd__tree_read(tree, 0, 1000, &file, &err), CTKD_EFORMAT);
    assert_non_null(
        strstr(err.message, "a.zip: a/1.jpg: damaged .zip: its checksum does not match"));
    ctkd__tree_close(tree);
    free(bytes);
}

/* Found by fuzzing: memory was taken for what the directory said of a file. */
static void sizes_beyond_a_zip_are_refused_before_memory_is_taken(void **state)
{
    static const struct {
        size_t field;
        uint32_t value;
    } cases[] = { { 20, 0x7fffffff }, { 24, 0x30000000 } }; /* packed, and not */
    for (size_t i = 0; i < 2; i++) {
        char path[1100];
        size_t size;
        snprintf(path, sizeof path, "%s/tests/golden/trees/deflated.zip", CTKD_SOURCE_DIR);
        char *const bytes = temp_read(path, &size), *const entry = memmem(bytes, size, "PK\1\2", 4);
        assert_non_null(entry); /* the first one is of train/bee/2.jpg */
        memcpy(entry + cases[i].field, &cases[i].value, 4);
        temp_write(*state, "a.zip", bytes, size);
        struct ctkd__tree *const tree = open_tree(temp_path(*state, "a.zip"));
        struct ctkd__tree_bytes file;
        ctkd_error err;
        assert_int_equal(
            ctkd__tree_read(tree, ctkd__tree_find(tree, "train/bee/2.jpg"), 1 << 30, &file, &err),
            CTKD_EFORMAT);
        assert_non_null(strstr(err.message, "its sizes do not fit the archive"));
        ctkd__tree_close(tree);
        free(bytes);
    }
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
    assert_int_equal(ctkd__tree_open(folder, NULL, &tree, &err), CTKD_EFORMAT);
    assert_null(tree);
    assert_non_null(strstr(err.message, "class/up: this link leads back to a folder above it"));
}

static void what_cannot_be_read_is_named(void **state)
{
    const char *const folder = *state;
    struct ctkd__tree *tree;
    ctkd_error err;
    assert_int_equal(ctkd__tree_open(temp_path(folder, "absent"), NULL, &tree, &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "absent: No such file or directory"));
    photo_text(folder, "locked/1.jpg", "x");
    assert_int_equal(chmod(temp_path(folder, "locked"), 0), 0);
    if (geteuid() != 0) { /* root may read anything */
        assert_int_equal(ctkd__tree_open(folder, NULL, &tree, &err), CTKD_EIO);
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
        TEST(archives_hold_the_same_files_as_their_folder),
        TEST(a_tar_in_a_tar_is_a_folder),
        cmocka_unit_test(archives_of_others_are_read),
        TEST(a_cut_archive_is_refused),
        TEST(other_files_are_no_archives),
        TEST(a_changed_byte_in_a_zip_is_noticed),
        TEST(sizes_beyond_a_zip_are_refused_before_memory_is_taken),
        TEST(links_are_followed_but_not_in_a_circle),
        TEST(what_cannot_be_read_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
