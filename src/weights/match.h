/* Matches a file's tensors to the parameters of a network: by name, or by order if only the names
   differ. */
#ifndef CTKD_WEIGHTS_MATCH_H
#define CTKD_WEIGHTS_MATCH_H

#include "nn/graph.h"
#include "nn/models/models.h"
#include "util/tensors.h"

enum { CTKD__NOTE_BYTES = 640 };

/* Appends to a note, after "; " if it is not empty. */
void ctkd__note_add(char note[CTKD__NOTE_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says which of several sets of weights was taken, and the key that takes another; nothing when
   there is one or it was asked for. */
struct ctkd__sets;
void ctkd__note_sets(char note[CTKD__NOTE_BYTES], const struct ctkd__sets *sets, const char *key);

/*
 * Renames `tensors` to the graph's parameters, and puts them in their order. First by name, also
 * behind prefixes that wrappers leave ("module.", "module.student.", ...); what is left on both
 * sides is paired in order, if kinds (last part of the name) and shapes agree, and `note` says so.
 * Half-precision becomes F32.
 *
 * CTKD_ESHAPE: a readable difference (how many are missing, unexpected, misshapen, the first few of
 * each), and the list is unchanged except for prefixes.
 */
ctkd_status ctkd__match(const struct ctkd__graph *graph, struct ctkd__tensors *tensors,
                        char note[CTKD__NOTE_BYTES], ctkd_error *err);

/* The same for a network that starts training from weights which may have another number of
   classes: then its last layer keeps the values that it has in `drawn`, and `note` says so.
   `network` is the name of the network. */
ctkd_status ctkd__match_start(const char *network, const struct ctkd__graph *graph,
                              const struct ctkd__tensors *drawn, struct ctkd__tensors *tensors,
                              char note[CTKD__NOTE_BYTES], ctkd_error *err);

/* Removes the prefixes of wrappers; of several sets of weights keeps the preferred one (io/sets.h).
 */
ctkd_status ctkd__match_strip(struct ctkd__tensors *tensors, ctkd_error *err);

/* Channels and classes according to the first convolution and the last linear layer; false without
   these. */
bool ctkd__match_sizes(const struct ctkd__tensors *tensors, size_t *channels, size_t *classes);

/* Whether a list is exactly the parameters of a graph, by name and shape. */
bool ctkd__match_fits(const struct ctkd__graph *graph, const struct ctkd__tensors *tensors);

/* The networks whose parameters have exactly these names and shapes; at most `max` names. */
ctkd_status ctkd__match_networks(const struct ctkd__tensors *tensors, size_t max,
                                 const char **names, size_t *count, ctkd_error *err);

#endif
