/* How a tree is made: of a folder (tree_folder.c) or an archive (tree_zip.c, tree_tar.c). */
#ifndef CTKD_DATA_TREE_BUILD_H
#define CTKD_DATA_TREE_BUILD_H

#include "data/folder/tree.h"

enum { CTKD__TREE_NAME_MAX = 4096 };

/* A file. In an archive its bytes lie at `offset`, `packed` of them; deflated they become `size`.
 */
struct ctkd__tree_file {
    uint64_t offset;
    uint32_t size, packed;
    uint32_t name; /* offset in the text */
    bool deflated;
};

struct ctkd__tree {
    char *path;
    int archive; /* descriptor; -1: a folder */
    size_t count, capacity;
    struct ctkd__tree_file *files;
    size_t n_folders, folders_capacity;
    uint32_t *folders; /* offsets of names in the text */
    char *text;
    size_t text_bytes, text_capacity;
};

/* Adds a file or a folder; the name is copied, file->name is set here. CTKD_ERANGE: more than 4 GB
   of names. */
ctkd_status ctkd__tree_add_file(struct ctkd__tree *tree, const char *name,
                                const struct ctkd__tree_file *file, ctkd_error *err);
ctkd_status ctkd__tree_add_folder(struct ctkd__tree *tree, const char *name, ctkd_error *err);

/* The order of names: by bytes, with a slash before all others. */
int ctkd__tree_compare(const char *a, const char *b);
/* Sorts files and folders by name; a name that occurs twice is CTKD_EFORMAT. */
ctkd_status ctkd__tree_sort(struct ctkd__tree *tree, ctkd_error *err);

/* Fill an empty tree of tree->path. */
ctkd_status ctkd__tree_scan_folder(struct ctkd__tree *tree, ctkd_error *err);
ctkd_status ctkd__tree_scan_zip(struct ctkd__tree *tree, ctkd_error *err);
ctkd_status ctkd__tree_scan_tar(struct ctkd__tree *tree, ctkd_error *err);

#endif
