#include "support/temp_files.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>

#include "support/check.h"

int temp_folder_make(void **state)
{
    const char *parent = getenv("TMPDIR");
    char path[1024];
    snprintf(path, sizeof path, "%s/ctkd-test-XXXXXX", parent && *parent ? parent : P_tmpdir);
    if (!mkdtemp(path))
        return -1;
    *state = strdup(path);
    return *state ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

int temp_folder_remove(void **state)
{
    const int result = nftw(*state, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return result;
}

const char *temp_path(const char *folder, const char *name)
{
    static char paths[4][1024];
    static unsigned turn;
    char *const path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void temp_folder_add(const char *folder, const char *name)
{
    assert_int_equal(mkdir(temp_path(folder, name), 0755), 0);
}

void temp_write(const char *folder, const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(temp_path(folder, name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void archive_write(const char *path, struct archive *writer, const struct temp_file *files,
                          size_t count)
{
    assert_int_equal(archive_write_open_filename(writer, path), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, files[i].name);
        archive_entry_set_size(entry, (la_int64_t)files[i].size);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        assert_int_equal(archive_write_header(writer, entry), ARCHIVE_OK);
        assert_int_equal(archive_write_data(writer, files[i].bytes, files[i].size), files[i].size);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(writer), ARCHIVE_OK);
    archive_write_free(writer);
}

void temp_write_gz(const char *folder, const char *name, const void *bytes, size_t size)
{
    struct archive *writer = archive_write_new();
    archive_write_add_filter_gzip(writer);
    archive_write_set_format_raw(writer);
    const struct temp_file file = { "data", bytes, size };
    archive_write(temp_path(folder, name), writer, &file, 1);
}

void temp_write_tar(const char *folder, const char *name, const struct temp_file *files,
                    size_t count)
{
    struct archive *writer = archive_write_new();
    const char *ending = strrchr(name, '.');
    if (strcmp(ending, ".gz") == 0)
        archive_write_add_filter_gzip(writer);
    else if (strcmp(ending, ".xz") == 0)
        archive_write_add_filter_xz(writer);
    archive_write_set_format_ustar(writer);
    archive_write(temp_path(folder, name), writer, files, count);
}

void *temp_read(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    void *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}
