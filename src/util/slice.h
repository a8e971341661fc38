/* How a batch is cut into slices. Threads and ranks own runs of slices, which makes the parts of
   ranks. */
#ifndef CTKD_UTIL_SLICE_H
#define CTKD_UTIL_SLICE_H

#include <stdbool.h>
#include <stddef.h>

static inline size_t ctkd__least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The first image of a slice in a batch of n: slices are contiguous and as equal as possible, and
   may be empty. A run of slices / parts slices that begins at a multiple of that number is exactly
   one of `parts` slices. */
static inline size_t ctkd__slice_begin(size_t n, size_t slices, size_t slice)
{
    return n * slice / slices;
}

/* Whether sums over the slices of a batch have the bits of one rank: each of `ranks` has a power of
   two of them (dist/sum.h). */
static inline bool ctkd__slices_fit(size_t slices, size_t ranks)
{
    const size_t own = ranks ? slices / ranks : 0;
    return ranks == 1 || (own && (own & (own - 1)) == 0);
}

#endif
