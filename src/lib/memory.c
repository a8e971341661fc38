#include "lib/memory.h"

#include <stdint.h>
#include <stdlib.h>

void *ctkd__allocate(const ctkd_allocator *allocator, size_t bytes)
{
    return allocator->allocate ? allocator->allocate(allocator->context, bytes) : malloc(bytes);
}

void ctkd__release(const ctkd_allocator *allocator, void *memory)
{
    if (allocator->release)
        allocator->release(allocator->context, memory);
    else
        free(memory);
}

bool ctkd__add_product(size_t *sum, size_t a, size_t b)
{
    const size_t limit = SIZE_MAX / 2;
    if (b != 0 && a > (limit - *sum) / b)
        return false;
    *sum += a * b;
    return true;
}
