/* How a batch is cut into slices. Threads and ranks own runs of slices, which makes the parts of
   ranks. */
#ifndef CTKD_UTIL_SLICE_H
#define CTKD_UTIL_SLICE_H

#include <stddef.h>

/* The first image of a slice in a batch of n: slices are contiguous and as equal as possible, and
   may be empty. A run of slices / parts slices that begins at a multiple of that number is exactly
   one of `parts` slices. */
static inline size_t ctkd__slice_begin(size_t n, size_t slices, size_t slice)
{
    return n * slice / slices;
}

#endif
