#include "support/allocator.h"

#include <stdlib.h>

static void *allocate(void *context, size_t bytes)
{
    struct counting *counting = context;
    if (++counting->requests == counting->fail_at)
        return NULL;
    void *memory = malloc(bytes);
    counting->live += memory != NULL;
    return memory;
}

static void release(void *context, void *memory)
{
    struct counting *counting = context;
    counting->live -= memory != NULL;
    free(memory);
}

ctkd_allocator counting_allocator(struct counting *counting)
{
    return (ctkd_allocator){ allocate, release, counting };
}
