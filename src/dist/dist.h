/*
 * A run on several ranks: processes, on one or several machines, that take the same steps, each
 * with its own part of every batch. Every rank holds all parameters and updates them by the same
 * sum.
 *
 * In a step each rank has the images of its slices. Logits are gathered (ctkd__dist_gather), so
 * that every rank computes the losses of all rows, and so are the features of losses that compare
 * images; of a loss that is a sum over images each rank computes the terms of its own; moments of
 * batch norms are gathered by slice; gradients are summed in the fixed tree of sum.h; a control
 * word (ctkd__dist_max) makes all ranks stop after the same step.
 *
 * NULL stands for a run of one process, rank 0 of 1, in every function here. Functions that
 * exchange must be called by all ranks in the same order, and on each channel by one thread at a
 * time. After a failed exchange the ranks are out of step: later exchanges fail at once with the
 * message of the first, and the caller must end the ranks with ctkd__dist_abort.
 */
#ifndef CTKD_DIST_DIST_H
#define CTKD_DIST_DIST_H

#include <stdint.h>

#include "dist/transport.h"

struct ctkd__dist;

/* Opens the transport, which is kept until close; the ranks learn each other's host names. All
   ranks call it. */
ctkd_status ctkd__dist_open(const struct ctkd__transport *transport, struct ctkd__dist **out,
                            ctkd_error *err);
/* Called by all ranks or by none. */
void ctkd__dist_close(struct ctkd__dist *dist);
/* Ends all ranks with an exit status, when one rank cannot continue. */
void ctkd__dist_abort(struct ctkd__dist *dist, int status);

size_t ctkd__dist_rank(const struct ctkd__dist *dist);
size_t ctkd__dist_size(const struct ctkd__dist *dist);
/* "rank 3 on node7"; "" in a run of one process. Valid until close. */
const char *ctkd__dist_who(const struct ctkd__dist *dist, size_t rank);
/* The implementation's and its library's name and version; "" in a run of one process. */
const char *ctkd__dist_version(const struct ctkd__dist *dist);
/* Whether two threads may exchange at once, each on a channel of its own; if not, all exchanges
   must come from the main thread. True in a run of one process. */
bool ctkd__dist_concurrent(const struct ctkd__dist *dist);
/* The longest time that an exchange may take, after which it fails and names the ranks that did not
   answer; 0: no limit. */
void ctkd__dist_set_timeout(struct ctkd__dist *dist, double seconds);

/*
 * Gathers rows: rank r has filled rows [first[r], first[r + 1]) of `rows`, each of row_bytes bytes;
 * afterwards every rank has all of them. A rank may have no rows.
 * @param first  [size + 1], the same on all ranks; first[0] = 0
 */
ctkd_status ctkd__dist_gather(struct ctkd__dist *dist, enum ctkd__dist_channel channel, void *rows,
                              size_t row_bytes, const size_t *first, ctkd_error *err);

/* The same for n rows in shares as equal as those of the n images of a batch: the rows of rank r
   begin at ctkd__slice_begin(n, ranks, r), so that with as many rows as ranks each has its own. On
   the main channel. */
ctkd_status ctkd__dist_gather_shares(struct ctkd__dist *dist, size_t n, void *rows,
                                     size_t row_bytes, ctkd_error *err);
/* The same for the logits of n images and k classes, which count as such. */
ctkd_status ctkd__dist_gather_logits(struct ctkd__dist *dist, size_t n, float *logits, size_t k,
                                     ctkd_error *err);

/* Sends out[r] to rank r and receives in[r] from it: out[r].bytes must equal in[own rank].bytes on
   rank r. A rank's own part is copied, in[own].bytes of it. */
ctkd_status ctkd__dist_all_to_all(struct ctkd__dist *dist, enum ctkd__dist_channel channel,
                                  const struct ctkd__parcel *out, const struct ctkd__parcel *in,
                                  ctkd_error *err);

/* Copies `bytes` bytes of rank `root` to all ranks. */
ctkd_status ctkd__dist_broadcast(struct ctkd__dist *dist, enum ctkd__dist_channel channel,
                                 void *data, size_t bytes, size_t root, ctkd_error *err);

/* Sets *word to its greatest value over all ranks; also a barrier. */
ctkd_status ctkd__dist_max(struct ctkd__dist *dist, enum ctkd__dist_channel channel, uint64_t *word,
                           ctkd_error *err);

/*
 * For work that may fail on some ranks only: every rank passes its own status and message, and all
 * return the status of the first rank that failed, with its message after its name (without the
 * name if every rank failed with the same message). In a run of one process it returns `status` and
 * leaves err unchanged.
 */
ctkd_status ctkd__dist_agree(struct ctkd__dist *dist, ctkd_status status, ctkd_error *err);
/* Whether _agree has returned a failure: then all ranks know of it and can leave together. */
bool ctkd__dist_failed_together(const struct ctkd__dist *dist);

/* What was exchanged so far on a channel. */
struct ctkd__dist_counts {
    uint64_t exchanges, bytes; /* bytes: sent by this rank */
    double seconds;            /* that the exchanges took */
    double waited;             /* that the main thread waited for them */
};
struct ctkd__dist_counts ctkd__dist_counts(const struct ctkd__dist *dist,
                                           enum ctkd__dist_channel channel);

/* What is exchanged, for the counts. */
enum ctkd__dist_topic {
    CTKD__TOPIC_OTHER, /* control words, features that methods compare, terms of losses, ... */
    CTKD__TOPIC_GRADIENTS,
    CTKD__TOPIC_NORMS,  /* sums of batch norms */
    CTKD__TOPIC_LOGITS, /* of student and teacher */
    CTKD__TOPICS
};
/* From now on exchanges of the channel count for the topic; returns the one before, to which the
   caller goes back. Of the thread that uses the channel. NULL is allowed. */
enum ctkd__dist_topic ctkd__dist_set_topic(struct ctkd__dist *dist, enum ctkd__dist_channel channel,
                                           enum ctkd__dist_topic topic);
/* The main thread has waited for exchanges of the gradient channel's thread, for `seconds`. */
void ctkd__dist_add_wait(struct ctkd__dist *dist, enum ctkd__dist_topic topic, double seconds);
/* The counts of a topic on all channels. No exchange may be under way. */
struct ctkd__dist_counts ctkd__dist_topic_counts(const struct ctkd__dist *dist,
                                                 enum ctkd__dist_topic topic);

#endif
