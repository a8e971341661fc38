/* What all ranks must have in common before they compute together. */
#ifndef CTKD_DIST_DIST_COMPARE_H
#define CTKD_DIST_DIST_COMPARE_H

#include "dist/dist.h"

struct ctkd__tensors;

/* CTKD_EINVAL on all ranks if one has another value than rank 0 for a metadata item of rank 0's
   list, unless may_differ (NULL: nothing may). The message names the rank, the item and both
   values. All ranks call it, each with its own list. */
ctkd_status ctkd__dist_compare(struct ctkd__dist *dist, const struct ctkd__tensors *own,
                               bool (*may_differ)(const char *item), ctkd_error *err);

#endif
