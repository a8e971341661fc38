/* What all ranks must have in common before they compute together. */
#ifndef CTKD_DIST_DIST_COMPARE_H
#define CTKD_DIST_DIST_COMPARE_H

#include "dist/dist.h"

struct ctkd__names;
struct ctkd__tensors;

/* Adds what ranks must have in common whatever they do: the program and the names of the classes
   (NULL: there are none). */
ctkd_status ctkd__dist_describe(const struct ctkd__names *classes, struct ctkd__tensors *list,
                                ctkd_error *err);

/* CTKD_EINVAL on all ranks if one has another value than rank 0 for a metadata item of rank 0's
   list, unless may_differ (NULL: nothing may). The message names the rank, the item and both
   values. All ranks call it, each with its own list. */
ctkd_status ctkd__dist_compare(struct ctkd__dist *dist, const struct ctkd__tensors *own,
                               bool (*may_differ)(const char *item), ctkd_error *err);

#endif
