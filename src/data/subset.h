/* A part of a data set that looks like the whole. */
#ifndef CTKD_DATA_SUBSET_H
#define CTKD_DATA_SUBSET_H

#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

/*
 * The first `limit` ids of a seeded order of 0..count-1 of which every prefix has each class in its
 * proportion, within one sample (Webster's method: the j-th sample of a class of m stands at (j +
 * 1/2) / m); so a smaller choice is part of a larger one. `ids` [limit] ascends. limit <= count <
 * 2^32; labels >= 0. CTKD_ENOMEM is the only failure.
 */
ctkd_status ctkd__subset_choose(const int32_t *labels, size_t count, size_t limit, uint64_t seed,
                                uint32_t *ids);

/* The same in the order of `keys` [count] (of equal ones the lower id first) instead of a seeded
   one. */
ctkd_status ctkd__subset_by_keys(const int32_t *labels, size_t count, size_t limit,
                                 const uint64_t *keys, uint32_t *ids);

/* Fisher-Yates: the order that `seed` gives to round `round` (an epoch; 0 is the choice above). */
void ctkd__shuffle(uint64_t seed, uint64_t round, uint32_t *items, size_t count);

#endif
