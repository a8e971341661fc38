/*
 * Files read ahead in a known order by threads that only wait for the disk or the network, so that
 * decoders find the bytes in memory.
 */
#ifndef CTKD_DATA_READ_AHEAD_H
#define CTKD_DATA_READ_AHEAD_H

#include "data/source.h"

struct ctkd__read_ahead_config {
    size_t threads;   /* >= 1 */
    size_t window;    /* files ahead of the first that was not taken */
    size_t bytes_max; /* bytes of files that were read and not given back; may be exceeded by about
                         a file per thread */
};

struct ctkd__read_ahead;

/* `source` is kept. The threads inherit the caller's processors and take no signals. */
ctkd_status ctkd__read_ahead_create(const struct ctkd__image_source *source,
                                    const struct ctkd__read_ahead_config *config,
                                    struct ctkd__read_ahead **out, ctkd_error *err);
void ctkd__read_ahead_destroy(struct ctkd__read_ahead *ahead);

/* Forgets what was read and begins with ids[first], until ids[count - 1]; they are read until the
   next start. Everything that was taken must have been given back. */
void ctkd__read_ahead_start(struct ctkd__read_ahead *ahead, const uint32_t *ids, size_t count,
                            size_t first);

/* The file of ids[position], waited for; each position once, by any thread, and the positions that
   several threads take at a time must lie close together. Errors of ctkd__image_source_read. */
ctkd_status ctkd__read_ahead_take(struct ctkd__read_ahead *ahead, size_t position,
                                  struct ctkd__tree_bytes *out, ctkd_error *err);
/* Frees what was taken. */
void ctkd__read_ahead_give(struct ctkd__read_ahead *ahead, struct ctkd__tree_bytes *bytes);
/* Nanoseconds that _take has waited, of all threads. */
uint64_t ctkd__read_ahead_waited_ns(struct ctkd__read_ahead *ahead);

#endif
