/* Sizes that blocks and cache lines fill. */
#ifndef CTKD_NN_ROUND_H
#define CTKD_NN_ROUND_H

#include <stddef.h>

/* The least multiple of `to` that is not below x. */
static inline size_t ctkd__round_up(size_t x, size_t to)
{
    return (x + to - 1) / to * to;
}

#endif
