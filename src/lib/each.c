#include "lib/each.h"

void ctkd__each(const ctkd_pool *pool, size_t count, void (*body)(void *argument, size_t i),
                void *argument)
{
    if (pool && count > 1) {
        pool->run(pool->context, count, body, argument);
        return;
    }
    for (size_t i = 0; i < count; i++)
        body(argument, i);
}
