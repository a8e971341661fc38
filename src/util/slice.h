/* How a batch is cut: into slices of which threads and ranks own runs, and so into parts of ranks.
 */
#ifndef CTKD_UTIL_SLICE_H
#define CTKD_UTIL_SLICE_H

#include <stddef.h>

/* The first image of a slice in a batch of n: contiguous, as even as can be; slices may be empty.
   A run of slices / parts slices that begins at a multiple of that is the same part of `parts`. */
static inline size_t ctkd__slice_begin(size_t n, size_t slices, size_t slice)
{
    return n * slice / slices;
}

#endif
