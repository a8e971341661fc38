#include "support/summands.h"

#include <stdint.h>

float summand(size_t slice, size_t i)
{
    const uint32_t x = (uint32_t)(slice * 2654435761u + i * 40503u) * 2246822519u;
    const float wide = (float)(x >> 20) * (float)(1u << (x & 15));
    return (x & 16) ? -wide / 3 : wide / 7;
}

float summand_tree(size_t first, size_t count, size_t i)
{
    size_t left = 1;
    if (count == 1)
        return summand(first, i);
    while (2 * left < count)
        left *= 2;
    return summand_tree(first, left, i) + summand_tree(first + left, count - left, i);
}
