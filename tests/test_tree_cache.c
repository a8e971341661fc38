#include "data/folder/tree_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support/check.h"
#include "support/photos.h"
#include "support/temp_files.h"

/* Above the number from which a tree is kept, and few enough to write. */
enum { FOLDERS = 3, FILES = 3500 };

static char images[600], cache[600];

/* A folder's time some minutes ago, as that of one that is no longer written. */
static void settle(const char *path, int minutes)
{
    const struct timespec then = { time(NULL) - 60 * minutes, 5 };
    const struct timespec times[2] = { then, then };
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void settle_all(int minutes)
{
    char path[700];
    settle(images, minutes);
    for (int k = 0; k < FOLDERS; k++) {
        snprintf(path, sizeof path, "%s/%d", images, k);
        settle(path, minutes);
    }
}

static int make(void **state)
{
    if (temp_folder_make(state) != 0)
        return -1;
    snprintf(images, sizeof images, "%s/images", (char *)*state);
    snprintf(cache, sizeof cache, "%s/cache", (char *)*state);
    for (int k = 0; k < FOLDERS; k++) {
        char path[700];
        snprintf(path, sizeof path, "%d/0.jpg", k);
        photo_text(images, path, "x");
        for (int i = 1; i < FILES; i++) {
            snprintf(path, sizeof path, "%s/%d/%d.jpg", images, k, i);
            const int file = open(path, O_CREAT | O_WRONLY, 0644);
            if (file < 0)
                return -1;
            close(file);
        }
    }
    settle_all(10);
    return setenv("XDG_CACHE_HOME", cache, 1);
}

/* The kept file; "": none. */
static const char *kept(void)
{
    static char path[1000];
    char folder[700];
    snprintf(folder, sizeof folder, "%s/ctkd", cache);
    DIR *const dir = opendir(folder);
    path[0] = '\0';
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (dir)
        closedir(dir);
    return path;
}

/* Whether the next open would take what is kept. */
static bool holds(const char *path)
{
    struct ctkd__tree tree = { .path = (char *)(uintptr_t)path };
    const bool read = ctkd__tree_cache_read(&tree);
    ctkd__tree_clear(&tree);
    return read;
}

static void check_open(const char *path, size_t count)
{
    struct ctkd__tree *tree;
    struct ctkd__tree_bytes bytes;
    ctkd_error err;
    check_ok(ctkd__tree_open(path, NULL, &tree, &err), &err);
    assert_int_equal(ctkd__tree_count(tree), count);
    assert_string_equal(ctkd__tree_name(tree, 0), "0/0.jpg");
    assert_int_equal(ctkd__tree_find(tree, "2/17.jpg") < count, true);
    check_ok(ctkd__tree_read(tree, 0, 10, &bytes, &err), &err);
    assert_int_equal(bytes.size, 1);
    ctkd__tree_bytes_free(&bytes);
    ctkd__tree_close(tree);
}

static void a_large_tree_is_kept_until_a_folder_changes(void **state)
{
    char path[700];
    (void)state;
    assert_false(holds(images));
    check_open(images, FOLDERS * FILES);
    assert_true(holds(images));
    check_open(images, FOLDERS * FILES);
    snprintf(path, sizeof path, "%s/1/new.jpg", images);
    photo_text(images, "1/new.jpg", "x");
    assert_false(holds(images));
    check_open(images, FOLDERS * FILES + 1);
    assert_false(holds(images)); /* it changed just now: it might do so again unnoticed */
    settle_all(9);
    check_open(images, FOLDERS * FILES + 1);
    assert_true(holds(images));
    remove(path);
    settle_all(8);
    check_open(images, FOLDERS * FILES);
}

/* As folders from an archive that was made to be the same everywhere. */
static void folders_of_1970_are_watched_as_others(void **state)
{
    static const struct timespec zeros[2] = { { 0 } };
    char path[700];
    (void)state;
    snprintf(path, sizeof path, "%s/1", images);
    assert_int_equal(utimensat(AT_FDCWD, images, zeros, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, zeros, 0), 0);
    check_open(images, FOLDERS * FILES);
    assert_true(holds(images));
    snprintf(path, sizeof path, "%s/1/new.jpg", images);
    photo_text(images, "1/new.jpg", "x");
    assert_false(holds(images));
    remove(path);
    settle_all(7);
}

static void a_damaged_file_is_not_used(void **state)
{
    (void)state;
    check_open(images, FOLDERS * FILES);
    const char *const path = kept();
    assert_true(path[0] && holds(images));
    size_t size;
    char *const bytes = temp_read(path, &size);
    for (size_t i = 0; i < 24; i++) { /* the head, and places all over it */
        const size_t at = i < 20 ? i * 4 : i * (size / 25);
        bytes[at] ^= 0x55;
        FILE *const file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, size, file), size);
        assert_int_equal(fclose(file), 0);
        assert_false(holds(images));
        bytes[at] ^= 0x55;
    }
    for (size_t cut = 0; cut < size; cut += size / 6 + 1) {
        assert_int_equal(truncate(path, (off_t)(size - 1 - cut)), 0);
        assert_false(holds(images));
    }
    check_open(images, FOLDERS * FILES);
    assert_true(holds(images));
    free(bytes);
}

static void an_archive_is_kept_by_its_time_and_size(void **state)
{
    char path[700];
    snprintf(path, sizeof path, "%s/all.tar", (char *)*state);
    photo_archive(images, "ustar", path);
    check_open(path, FOLDERS * FILES);
    assert_false(holds(path));
    settle(path, 5);
    check_open(path, FOLDERS * FILES);
    assert_true(holds(path));
    check_open(path, FOLDERS * FILES);
    settle(path, 4);
    assert_false(holds(path));
}

static void without_a_place_for_it_a_tree_is_scanned(void **state)
{
    char file[700];
    snprintf(file, sizeof file, "%s/file", (char *)*state);
    photo_text(*state, "file", "x");
    setenv("XDG_CACHE_HOME", file, 1); /* no folder */
    check_open(images, FOLDERS * FILES);
    assert_false(holds(images));
    setenv("XDG_CACHE_HOME", "relative", 1); /* to be passed over, says the standard */
    setenv("HOME", "", 1);
    check_open(images, FOLDERS * FILES);
    assert_false(holds(images));
    setenv("XDG_CACHE_HOME", cache, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_tree_is_kept_until_a_folder_changes),
        cmocka_unit_test(folders_of_1970_are_watched_as_others),
        cmocka_unit_test(a_damaged_file_is_not_used),
        cmocka_unit_test(an_archive_is_kept_by_its_time_and_size),
        cmocka_unit_test(without_a_place_for_it_a_tree_is_scanned),
    };
    return cmocka_run_group_tests(tests, make, temp_folder_remove);
}
