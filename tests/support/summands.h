/* What tests of sums over slices add up, and the sum that they expect. */
#ifndef SUPPORT_SUMMANDS_H
#define SUPPORT_SUMMANDS_H

#include <stddef.h>

/* Element i of a slice; the sum of several slices in float depends on the order. */
float summand(size_t slice, size_t i);
/* The sum of element i of `count` slices in the tree that dist/sum.h describes. */
float summand_tree(size_t first, size_t count, size_t i);

#endif
