/*
 * Trees that were scanned before: in $XDG_CACHE_HOME/ctkd (~/.cache/ctkd) lies a file for each
 * large one. It holds for as long as its folders and archives have the times and sizes that they
 * had; without a folder for it, or with a damaged one, trees are scanned as ever.
 */
#ifndef CTKD_DATA_TREE_CACHE_H
#define CTKD_DATA_TREE_CACHE_H

#include "data/folder/tree_build.h"

/* Fills an empty tree of tree->path and tree->mounts, archives opened; false where nothing that
   holds was kept: the tree is then empty. */
bool ctkd__tree_cache_read(struct ctkd__tree *tree);
/* Keeps a tree that was scanned from `began` on (seconds since 1970), unless one of its folders
   changed so shortly before that its time would not show another change. */
void ctkd__tree_cache_write(const struct ctkd__tree *tree, int64_t began);

#endif
