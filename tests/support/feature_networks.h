/* Networks of ops on feature maps, with outputs and side inputs: what tests/test_features.c tries.
 * Channel counts are no multiples of a block, but where that is the point. */
#ifndef CTKD_TESTS_FEATURE_NETWORKS_H
#define CTKD_TESTS_FEATURE_NETWORKS_H

#include "nn/graph.h"

enum { OUTPUTS_MAX = 8 };

/* What a network under test declares beside its nodes. */
struct network {
    struct ctkd__graph *graph;
    int logits; /* -1: none */
    int outputs[OUTPUTS_MAX];
    size_t n_outputs;
    bool no_logits, training_only;
};

struct feature_network {
    const char *name;
    void (*build)(struct network *net);
};
extern const struct feature_network feature_networks[]; /* ends with a NULL name */

#endif
