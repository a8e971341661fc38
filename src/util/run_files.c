#include "util/run_files.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

const char *ctkd__run_file_name(enum ctkd__run_file file)
{
#define NAME(word, name) name,
    static const char *const names[] = { CTKD__RUN_FILE_LIST(NAME) };
#undef NAME
    return names[file];
}

const char *ctkd__run_file_path(const char *dir, enum ctkd__run_file file, char *out, size_t bytes)
{
    snprintf(out, bytes, "%s/%s", dir, ctkd__run_file_name(file));
    return out;
}

bool ctkd__run_file_exists(const char *dir, enum ctkd__run_file file)
{
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/%s", dir, ctkd__run_file_name(file));
    return n > 0 && (size_t)n < sizeof path && access(path, F_OK) == 0;
}
