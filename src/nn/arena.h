/* Memory planned once: buffers with lifetimes share one block of huge pages. */
#ifndef CTKD_NN_ARENA_H
#define CTKD_NN_ARENA_H

#include <stddef.h>

#include "ctkd/status.h"

/* Allocates whole pages, zeroed; from 2 MB on, huge pages aligned to 2 MB. NULL: out of memory. */
void *ctkd__pages_allocate(size_t bytes);
void ctkd__pages_release(void *memory, size_t bytes);

/* Makes a block of ctkd__pages_allocate read-only: a write to it ends the process at that place.
   Undo it before the block is written or released. CTKD_EIO with errno on failure. */
ctkd_status ctkd__pages_protect(void *memory, size_t bytes, int read_only);

struct ctkd__buffer {
    size_t bytes, offset;
    size_t first, last; /* times during which it is in use, inclusive */
    size_t image_bytes; /* distance between images; only the owner uses it */
};

struct ctkd__arena {
    struct ctkd__buffer *buffers;
    size_t count, capacity;
    size_t bytes; /* planned */
    char *memory;
};

/* Adds a buffer that is in use at `time`; returns its index, or -1 when out of memory. */
int ctkd__arena_add(struct ctkd__arena *arena, size_t bytes, size_t time);
/* Extends the buffer's lifetime to `time`. */
void ctkd__arena_use(struct ctkd__arena *arena, int buffer, size_t time);
/* Gives every buffer an offset such that no two that live at the same time overlap. */
void ctkd__arena_plan(struct ctkd__arena *arena);
/* Allocates the block after planning. */
ctkd_status ctkd__arena_allocate(struct ctkd__arena *arena);
void *ctkd__arena_at(const struct ctkd__arena *arena, int buffer);
void ctkd__arena_fini(struct ctkd__arena *arena);

#endif
