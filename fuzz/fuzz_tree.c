#include <stdlib.h>
#include <string.h>

#include "data/folder/layout.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The input as an archive: its names are in order, its files can be read or are refused with a
   reason, and it may be a data set. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct ctkd__tree *tree;
    ctkd_error err = { .status = CTKD_OK };
    const ctkd_status status = ctkd__tree_open(memory_file(bytes, n), NULL, &tree, &err);
    if (status != err.status || (status == CTKD_OK) != (tree != NULL))
        abort();
    if (!tree)
        return 0;
    for (size_t i = 0; i < ctkd__tree_count(tree); i++) {
        struct ctkd__tree_bytes file;
        size_t end;
        err.status = CTKD_OK;
        if (ctkd__tree_read(tree, i, 1 << 20, &file, &err) != err.status ||
            (err.status == CTKD_OK) != (file.bytes != NULL) ||
            ctkd__tree_find(tree, ctkd__tree_name(tree, i)) != i ||
            ctkd__tree_below(tree, ctkd__tree_name(tree, i), &end) > end)
            abort();
        ctkd__tree_bytes_free(&file);
    }
    const struct ctkd__layout_options options = { .holdout = 0.5, .allow_empty = n & 1 };
    struct ctkd__layout layout;
    err.status = CTKD_OK;
    if (ctkd__layout_find(tree, &options, &layout, &err) != err.status)
        abort();
    for (size_t i = 0; i < layout.train.count; i++)
        if (layout.train.files[i] >= ctkd__tree_count(tree) || layout.train.labels[i] < 0 ||
            (size_t)layout.train.labels[i] >= layout.classes->count)
            abort();
    ctkd__layout_fini(&layout);
    ctkd__tree_close(tree);
    return 0;
}
