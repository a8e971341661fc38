#include "nn/arena.h"
#include "nn/round.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20, LINE = 64 };

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Rounds up to whole pages, so that a protected block shares no page with another one. */
static size_t pages_size(size_t bytes)
{
    return ctkd__round_up(bytes ? bytes : 1, bytes >= HUGE_PAGE ? HUGE_PAGE : page_size());
}

void *ctkd__pages_allocate(size_t bytes)
{
    const int large = bytes >= HUGE_PAGE;
    const size_t size = pages_size(bytes);
    void *const memory = aligned_alloc(large ? HUGE_PAGE : page_size(), size);
    if (!memory)
        return NULL;
    if (large)
        madvise(memory, size, MADV_HUGEPAGE); /* only advice: it may fail */
    memset(memory, 0, size);
    return memory;
}

void ctkd__pages_release(void *memory, size_t bytes)
{
    (void)bytes;
    free(memory);
}

ctkd_status ctkd__pages_protect(void *memory, size_t bytes, int read_only)
{
    const int access = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    return !memory || mprotect(memory, pages_size(bytes), access) == 0 ? CTKD_OK : CTKD_EIO;
}

int ctkd__arena_add(struct ctkd__arena *arena, size_t bytes, size_t time)
{
    if (arena->count == arena->capacity) {
        const size_t capacity = arena->capacity ? 2 * arena->capacity : 64;
        struct ctkd__buffer *const buffers =
            realloc(arena->buffers, capacity * sizeof *arena->buffers);
        if (!buffers)
            return -1;
        arena->buffers = buffers;
        arena->capacity = capacity;
    }
    arena->buffers[arena->count] =
        (struct ctkd__buffer){ ctkd__round_up(bytes, LINE), SIZE_MAX, time, time, 0 };
    return (int)arena->count++;
}

void ctkd__arena_use(struct ctkd__arena *arena, int buffer, size_t time)
{
    struct ctkd__buffer *const b = &arena->buffers[buffer];
    b->first = time < b->first ? time : b->first;
    b->last = time > b->last ? time : b->last;
}

static int live_together(const struct ctkd__buffer *a, const struct ctkd__buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Lowest offset where `b` fits among the placed buffers that live with it. */
static size_t lowest_offset(const struct ctkd__arena *arena, const struct ctkd__buffer *b)
{
    size_t offset = 0;
    for (int moved = 1; moved;) {
        moved = 0;
        for (size_t i = 0; i < arena->count; i++) {
            const struct ctkd__buffer *const other = &arena->buffers[i];
            if (other == b || other->offset == SIZE_MAX || !live_together(other, b))
                continue;
            if (offset < other->offset + other->bytes && other->offset < offset + b->bytes) {
                offset = other->offset + other->bytes;
                moved = 1;
            }
        }
    }
    return offset;
}

void ctkd__arena_plan(struct ctkd__arena *arena)
{
    for (size_t placed = 0; placed < arena->count; placed++) {
        struct ctkd__buffer *largest = NULL; /* large ones first: the small ones fill the gaps */
        for (size_t i = 0; i < arena->count; i++)
            if (arena->buffers[i].offset == SIZE_MAX &&
                (!largest || arena->buffers[i].bytes > largest->bytes))
                largest = &arena->buffers[i];
        largest->offset = lowest_offset(arena, largest);
        if (largest->offset + largest->bytes > arena->bytes)
            arena->bytes = largest->offset + largest->bytes;
    }
}

ctkd_status ctkd__arena_allocate(struct ctkd__arena *arena)
{
    arena->memory = ctkd__pages_allocate(arena->bytes);
    return arena->memory ? CTKD_OK : CTKD_ENOMEM;
}

void *ctkd__arena_at(const struct ctkd__arena *arena, int buffer)
{
    return buffer < 0 ? NULL : arena->memory + arena->buffers[buffer].offset;
}

void ctkd__arena_fini(struct ctkd__arena *arena)
{
    ctkd__pages_release(arena->memory, arena->bytes);
    free(arena->buffers);
    *arena = (struct ctkd__arena){ 0 };
}
