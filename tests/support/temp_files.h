/* Files that tests write: a folder of their own, plain and gzip files, tar archives. Failures end
 * the test. */
#ifndef CTKD_TESTS_TEMP_FILES_H
#define CTKD_TESTS_TEMP_FILES_H

#include <stddef.h>

/* cmocka fixtures: *state is the path (char *) of a new empty folder, removed with all that is in
 * it. */
int temp_folder_make(void **state);
int temp_folder_remove(void **state);

struct temp_file {
    const char *name;
    const void *bytes;
    size_t size;
};

/* FOLDER/NAME in a static buffer, one of four in turn. */
const char *temp_path(const char *folder, const char *name);
void temp_folder_add(const char *folder, const char *name);
void temp_write(const char *folder, const char *name, const void *bytes, size_t size);
void temp_write_gz(const char *folder, const char *name, const void *bytes, size_t size);
/* The compression is by the ending of `name`: .tar, .tar.gz, .tar.xz. */
void temp_write_tar(const char *folder, const char *name, const struct temp_file *files,
                    size_t count);
/* The whole of a file, freed by the caller. */
void *temp_read(const char *path, size_t *size);

#endif
