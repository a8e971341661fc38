/*
 * Labels of images that lie in one folder without classes, from a list beside them:
 *
 *   LOC_val_solution.csv     Kaggle's ImageNet: image, then class and boxes
 *   val_annotations.txt      Tiny-ImageNet: file, class and box, with tabs
 *   val.txt, val_labels.txt  file and class, with a blank, a tab or a comma
 *   ILSVRC2012_validation_ground_truth.txt, also in the development kit's .tar.gz: a number for
 *       each image in order. The numbers are not ranks of classes: meta.mat (of the kit) or
 *       map_clsloc.txt must say whose they are
 */
#ifndef CTKD_DATA_LABEL_LISTS_H
#define CTKD_DATA_LABEL_LISTS_H

#include "data/folder/tree.h"
#include "util/names.h"

/* Labels of files first to end - 1, -1 where the list does not name one. *found: whether there is a
   list at all; labels are written only then. CTKD_EFORMAT: a class that is none of `classes`,
   numbers without their meaning, a list of another length. */
ctkd_status ctkd__label_list_read(const struct ctkd__tree *tree, size_t first, size_t end,
                                  const struct ctkd__names *classes, int32_t *labels, bool *found,
                                  ctkd_error *err);

#endif
