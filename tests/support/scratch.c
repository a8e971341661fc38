#include "support/scratch.h"

#include <stdlib.h>

#include "support/check.h"
#include "support/temp_files.h"

static void *folder;

static void remove_folder(void)
{
    temp_folder_remove(&folder);
}

const char *scratch_path(const char *name)
{
    if (!folder) {
        assert_int_equal(temp_folder_make(&folder), 0);
        atexit(remove_folder);
    }
    return temp_path(folder, name);
}

const char *scratch_write(const char *name, const void *bytes, size_t n)
{
    const char *path = scratch_path(name);
    temp_write(folder, name, bytes, n);
    return path;
}

const char *scratch_text(const char *name, const char *text)
{
    return scratch_write(name, text, strlen(text));
}
