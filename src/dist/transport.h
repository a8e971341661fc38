/*
 * How parcels travel between the ranks of a run: the interface that an implementation provides. MPI
 * is a module that is loaded on demand (dist_mpi.c); in tests the ranks are threads of one process
 * (tests/support/thread_ranks.h).
 */
#ifndef CTKD_DIST_TRANSPORT_H
#define CTKD_DIST_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/status.h"

/* Two threads may exchange at the same time on different channels, which never mix, where the
   transport is `concurrent`. */
enum ctkd__dist_channel {
    CTKD__CHANNEL_MAIN,      /* of the main thread: logits, moments, control words */
    CTKD__CHANNEL_GRADIENTS, /* of the thread that sums gradients */
    CTKD__CHANNELS
};

/* Bytes for, or from, one rank. */
struct ctkd__parcel {
    void *data;
    size_t bytes;
};

/* Every function but open takes the object that open created. */
struct ctkd__transport {
    const char *name;     /* of the implementation: "MPI", "threads" */
    const char *made_for; /* CTKD_VERSION_STRING when it was compiled */
    ctkd_status (*open)(void **out, ctkd_error *err);
    size_t (*rank)(const void *transport);
    size_t (*size)(const void *transport);
    const char *(*version)(const void *transport); /* of the library behind it, one line */
    /* Whether two threads may exchange at once, each on a channel of its own; otherwise all
       exchanges must come from the thread that called open. */
    bool (*concurrent)(const void *transport);
    /*
     * Sends out[r] to rank r and fills in[r] with what rank r sent here, for every rank but the
     * own; blocks until everything has been sent and received. What rank a sends to rank b must
     * have the length that b expects. CTKD_EBACKEND: it was not complete after `seconds` (0: no
     * limit); late[r] is set for the ranks that did not answer. A failed exchange cannot be
     * repeated.
     */
    ctkd_status (*exchange)(void *transport, enum ctkd__dist_channel channel,
                            const struct ctkd__parcel *out, const struct ctkd__parcel *in,
                            double seconds, bool *late, ctkd_error *err);
    /* Ends all ranks with an exit status. Does not return where ranks are processes. */
    void (*abort)(void *transport, int status);
    /* together: all ranks close at the same time and wait for each other. Otherwise only this one
       leaves, and where ranks are processes its exit status must end the others. */
    void (*close)(void *transport, bool together);
};

#endif
