/** @file memory.h  The caller's allocator, and size computations that detect overflow. */
#ifndef CTKD_LIB_MEMORY_H
#define CTKD_LIB_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/temperature.h"

void *ctkd__allocate(const ctkd_allocator *allocator, size_t bytes);
void ctkd__release(const ctkd_allocator *allocator, void *memory);

/** *sum += a * b; false when the result does not fit in half of size_t's range. */
bool ctkd__add_product(size_t *sum, size_t a, size_t b);

#endif
