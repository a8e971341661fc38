#include "support/photos.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/folder/tree.h"
#include "support/check.h"
#include "support/temp_files.h"
#include "util/file.h"

static void path_make(const char *folder, const char *name, char path[1024])
{
    ctkd_error err;
    snprintf(path, 1024, "%s/%s", folder, name);
    char *const slash = strrchr(path, '/');
    *slash = '\0';
    check_ok(ctkd__folders_create(path, &err), &err);
    *slash = '/';
}

static void write_bytes(const char *folder, const char *name, const void *bytes, size_t n)
{
    char path[1024];
    path_make(folder, name, path);
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

void photo_write(const char *folder, const char *name, size_t width, size_t height, unsigned kind,
                 unsigned id)
{
    char *const bytes = malloc(32 + 3 * width * height);
    assert_non_null(bytes);
    size_t n = (size_t)sprintf(bytes, "P6\n%zu %zu\n255\n", width, height);
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            for (size_t c = 0; c < 3; c++)
                bytes[n++] = (char)(y * (kind + 1) * 2 / height % 2 ? 200 + 10 * c
                                                                    : (x * 7 + id * 31 + c) % 90);
    write_bytes(folder, name, bytes, n);
    free(bytes);
}

void photo_copy(const char *folder, const char *name, const char *golden)
{
    char path[1024];
    size_t n;
    snprintf(path, sizeof path, "%s/tests/golden/pictures/%s", CTKD_SOURCE_DIR, golden);
    void *const bytes = temp_read(path, &n);
    write_bytes(folder, name, bytes, n);
    free(bytes);
}

void photo_text(const char *folder, const char *name, const char *bytes)
{
    write_bytes(folder, name, bytes, strlen(bytes));
}

static void archive_file(struct archive *archive, const char *name, const void *bytes, size_t n)
{
    struct archive_entry *const entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (la_int64_t)n);
    assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(archive, bytes, n), n);
    archive_entry_free(entry);
}

void photo_archive(const char *folder, const char *format, const char *path)
{
    char name[32];
    struct ctkd__tree *tree;
    struct ctkd__tree_bytes bytes;
    ctkd_error err;
    const size_t n = strcspn(format, ":");
    struct archive *const archive = archive_write_new();
    snprintf(name, sizeof name, "%.*s", (int)n, format);
    assert_int_equal(archive_write_set_format_by_name(archive, name), ARCHIVE_OK);
    if (format[n])
        assert_int_equal(archive_write_set_options(archive, format + n + 1), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
    check_ok(ctkd__tree_open(folder, NULL, &tree, &err), &err);
    for (size_t i = ctkd__tree_count(tree); i-- > 0;) {
        check_ok(ctkd__tree_read(tree, i, 1 << 20, &bytes, &err), &err);
        archive_file(archive, ctkd__tree_name(tree, i), bytes.bytes, bytes.size);
        ctkd__tree_bytes_free(&bytes);
    }
    ctkd__tree_close(tree);
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
}

void photo_folder_write(const char *folder, size_t n_train, size_t n_test)
{
    static const char *const parts[] = { "train", "val" }, *const classes[] = { "ant", "bee" };
    for (unsigned p = 0; p < 2; p++)
        for (unsigned k = 0; k < 2; k++)
            for (unsigned i = 0; i < (p ? n_test : n_train); i++) {
                char name[64];
                snprintf(name, sizeof name, "%s/%s/%u.ppm", parts[p], classes[k], i);
                photo_write(folder, name, 40 + i * 13 % 31, 40 + i * 7 % 31, k, 2 * i + p);
            }
}
