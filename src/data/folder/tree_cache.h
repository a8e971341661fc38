/*
 * A cache of scanned trees: $XDG_CACHE_HOME/ctkd (~/.cache/ctkd) has a file for each large tree. A
 * file is valid as long as the tree's folders and archives keep their times and sizes; without a
 * cache folder, or if a file is damaged, trees are scanned as usual.
 */
#ifndef CTKD_DATA_TREE_CACHE_H
#define CTKD_DATA_TREE_CACHE_H

#include "data/folder/tree_build.h"

/* Fills an empty tree whose path and mounts are set, and opens its archives; false if the cache has
   nothing valid: the tree is then empty. */
bool ctkd__tree_cache_read(struct ctkd__tree *tree);
/* Keeps a tree that was scanned from `began` on (seconds since 1970), unless one of its folders
   changed so shortly before that its time would not show another change. */
void ctkd__tree_cache_write(const struct ctkd__tree *tree, int64_t began);

#endif
