/*
 * Seconds to open a data set of image files: by scanning its names and sorting them into classes,
 * and from the index that the first scan leaves.
 *     bench_tree PATH        a folder of train/CLASS/... or CLASS/...; file contents do not matter
 * The index is kept in a folder of its own below $TMPDIR and removed at the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "data/folder/layout.h"
#include "util/clock.h"

enum { STARTS = 4 };

static int start(const char *path, int number)
{
    const struct ctkd__layout_options options = { .holdout = 0.1 };
    struct ctkd__layout layout;
    struct ctkd__tree *tree;
    ctkd_error err;
    const double begin = ctkd__clock_seconds();
    if (ctkd__tree_open(path, NULL, &tree, &err) != CTKD_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const double opened = ctkd__clock_seconds();
    const ctkd_status status = ctkd__layout_find(tree, &options, &layout, &err);
    const double end = ctkd__clock_seconds();
    if (status == CTKD_OK)
        printf("start %d  names %7.3f s  classes %7.3f s  (%zu training and %zu test images of %zu "
               "classes)\n",
               number, opened - begin, end - opened, layout.train.count, layout.test.count,
               layout.classes->count);
    else
        fprintf(stderr, "%s\n", err.message);
    ctkd__layout_fini(&layout);
    ctkd__tree_close(tree);
    return status != CTKD_OK;
}

int main(int argc, char **argv)
{
    char cache[512], command[600];
    const char *const temp = getenv("TMPDIR");
    struct rusage usage;
    if (argc != 2) {
        fprintf(stderr, "usage: bench_tree PATH\n");
        return 2;
    }
    snprintf(cache, sizeof cache, "%.400s/bench_tree_XXXXXX", temp ? temp : "/tmp");
    if (!mkdtemp(cache) || setenv("XDG_CACHE_HOME", cache, 1) != 0)
        return 1;
    int result = 0;
    for (int i = 1; i <= STARTS && result == 0; i++)
        result = start(argv[1], i);
    snprintf(command, sizeof command, "rm -r '%s'", cache);
    if (system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", cache);
    if (result == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        printf("peak memory %.0f MB\n", (double)usage.ru_maxrss / 1024);
    return result;
}
