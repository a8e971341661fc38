/* The part of the training images that is held out to choose by: data.dev. */
#ifndef CTKD_DATA_DEV_PART_H
#define CTKD_DATA_DEV_PART_H

#include "data/dataset.h"

/* Ids of both parts, ascending. */
struct ctkd__dev_part {
    uint32_t *dev, *rest;
    size_t n_dev, n_rest;
};

/*
 * Takes round(part * count) images, each class in its proportion. The choice depends only on the
 * pixels and labels, not on a seed nor on the order in which a data set holds the images. For image
 * files, whose pixels are not in memory, it depends on their index instead.
 *
 *   CTKD_ERANGE   one of the parts would be empty
 *   CTKD_ENOMEM
 */
ctkd_status ctkd__dev_part_choose(const struct ctkd__images *images, double part,
                                  struct ctkd__dev_part *out, ctkd_error *err);
void ctkd__dev_part_free(struct ctkd__dev_part *part);

#endif
