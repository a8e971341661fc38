/*
 * A run on several ranks: processes, on one machine or on several, that take the same steps, each
 * with its own part of every batch. Every rank holds all parameters and moves them by the same sum.
 *
 * The flow of a step: each rank has the images of its slices; logits are gathered
 * (ctkd__dist_gather), so that every rank computes the losses of all rows; moments of batch norms
 * are gathered by slice; gradients are summed in the fixed tree of sum.h; a control word
 * (ctkd__dist_max) makes all ranks stop behind the same step.
 *
 * NULL stands for a run of one process wherever a const struct ctkd__dist * is taken: rank 0 of 1.
 * Functions that exchange are called by all ranks in the same order, on each channel by one thread
 * at a time. A failure is not survived: the caller ends with ctkd__dist_abort.
 */
#ifndef CTKD_DIST_DIST_H
#define CTKD_DIST_DIST_H

#include <stdint.h>

#include "dist/transport.h"

struct ctkd__dist;

/* transport: kept, with what its open gives. All ranks learn each other's host names. */
ctkd_status ctkd__dist_open(const struct ctkd__transport *transport, struct ctkd__dist **out,
                            ctkd_error *err);
/* By all ranks, or by none. NULL is allowed. */
void ctkd__dist_close(struct ctkd__dist *dist);
/* Ends all ranks with an exit status: a rank that cannot go on. */
void ctkd__dist_abort(struct ctkd__dist *dist, int status);

size_t ctkd__dist_rank(const struct ctkd__dist *dist);
size_t ctkd__dist_size(const struct ctkd__dist *dist);
/* "rank 3 on node7"; "" in a run of one process. Until close. */
const char *ctkd__dist_who(const struct ctkd__dist *dist, size_t rank);
/* The implementation's and its library's name and version; "" in a run of one process. */
const char *ctkd__dist_version(const struct ctkd__dist *dist);
/* The longest that an exchange may take before the ranks that were not heard are named; 0: no
   limit. */
void ctkd__dist_set_timeout(struct ctkd__dist *dist, double seconds);

/*
 * Rows that every rank has a part of: rank r has filled rows [first[r], first[r + 1]) of `rows`, a
 * row having row_bytes bytes; afterwards all have all of them. A rank may have no rows.
 * @param first  [size + 1], the same on all ranks; first[0] = 0
 */
ctkd_status ctkd__dist_gather(struct ctkd__dist *dist, enum ctkd__dist_channel channel, void *rows,
                              size_t row_bytes, const size_t *first, ctkd_error *err);

/* The same for the n images of a batch, a row of `floats` for each, of which rank r has those from
   ctkd__slice_begin(n, ranks, r) on. On the main channel. */
ctkd_status ctkd__dist_gather_images(struct ctkd__dist *dist, size_t n, float *rows, size_t floats,
                                     ctkd_error *err);
/* The same for their logits of k classes, which count as such. */
ctkd_status ctkd__dist_gather_logits(struct ctkd__dist *dist, size_t n, float *logits, size_t k,
                                     ctkd_error *err);

/* Part r of `out` goes to rank r, whose part of `in` it becomes: bytes out[r].bytes must be what
   rank r has as in[own rank].bytes. The own part is copied. */
ctkd_status ctkd__dist_all_to_all(struct ctkd__dist *dist, enum ctkd__dist_channel channel,
                                  const struct ctkd__parcel *out, const struct ctkd__parcel *in,
                                  ctkd_error *err);

/* The bytes of rank `root` become those of all. */
ctkd_status ctkd__dist_broadcast(struct ctkd__dist *dist, enum ctkd__dist_channel channel,
                                 void *data, size_t bytes, size_t root, ctkd_error *err);

/* *word: the greatest over all ranks; also a barrier. */
ctkd_status ctkd__dist_max(struct ctkd__dist *dist, enum ctkd__dist_channel channel, uint64_t *word,
                           ctkd_error *err);

/*
 * Where something may fail on some ranks and not on others: all ranks return the status of the
 * first rank that failed, with its message after its name (without one where every rank failed with
 * the same message). In a run of one process `status` is returned and err is as it was.
 */
ctkd_status ctkd__dist_agree(struct ctkd__dist *dist, ctkd_status status, ctkd_error *err);
/* Whether it has returned a failure: then all ranks know of it and can leave together. */
bool ctkd__dist_failed_together(const struct ctkd__dist *dist);

/* What was exchanged so far on a channel, and the seconds that its callers waited for it. */
struct ctkd__dist_counts {
    uint64_t exchanges, bytes; /* bytes: sent by this rank */
    double seconds;
};
struct ctkd__dist_counts ctkd__dist_counts(const struct ctkd__dist *dist,
                                           enum ctkd__dist_channel channel);

/* What is exchanged, for the counts. */
enum ctkd__dist_topic {
    CTKD__TOPIC_OTHER, /* control words, features that methods compare, ... */
    CTKD__TOPIC_GRADIENTS,
    CTKD__TOPIC_NORMS,  /* sums of batch norms */
    CTKD__TOPIC_LOGITS, /* of student and teacher */
    CTKD__TOPICS
};
/* From now on exchanges of the channel count for the topic; returns the one before, to which the
   caller goes back. Of the thread that uses the channel. NULL is allowed. */
enum ctkd__dist_topic ctkd__dist_set_topic(struct ctkd__dist *dist, enum ctkd__dist_channel channel,
                                           enum ctkd__dist_topic topic);
/* The counts of a topic on all channels. */
struct ctkd__dist_counts ctkd__dist_topic_counts(const struct ctkd__dist *dist,
                                                 enum ctkd__dist_topic topic);

#endif
