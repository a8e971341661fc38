/* Sizes rounded up to whole blocks or cache lines. */
#ifndef CTKD_NN_ROUND_H
#define CTKD_NN_ROUND_H

#include <stddef.h>

/* The smallest multiple of `to` that is at least x. */
static inline size_t ctkd__round_up(size_t x, size_t to)
{
    return (x + to - 1) / to * to;
}

#endif
