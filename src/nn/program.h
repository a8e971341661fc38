/* A graph as a list of fused steps, in order of execution: what training and inference are compiled
 * from. */
#ifndef CTKD_NN_PROGRAM_H
#define CTKD_NN_PROGRAM_H

#include "nn/graph.h"

enum ctkd__step_kind {
    CTKD__STEP_CONV, /* inference: with batch norm folded, residual and ReLU */
    CTKD__STEP_NORM, /* batch norm, then residual, then ReLU */
    CTKD__STEP_ADD,  /* add, then ReLU */
    CTKD__STEP_RELU,
    CTKD__STEP_MAX_POOL,
    CTKD__STEP_GLOBAL_POOL,
    CTKD__STEP_LINEAR,
    CTKD__STEP_SUBSAMPLE,
    CTKD__STEP_KINDS
};

/* Values are named by the node that computes them; only values that a step writes exist. */
struct ctkd__step {
    enum ctkd__step_kind kind;
    int node; /* whose parameters and attributes the step has (the conv, the batch norm, ...) */
    int norm; /* CONV: the batch norm folded into it, or -1 */
    int input;
    int residual; /* second operand of ADD, added before ReLU in CONV and NORM; or -1 */
    int output;
    bool relu;
};

struct ctkd__program {
    struct ctkd__step *steps;
    int count;
    int input, output;
};

/* inference: fold batch norms into convolutions. keep[node]: the node's value must exist (a tap
   that is asked for); NULL keeps none. */
ctkd_status ctkd__program_create(const struct ctkd__graph *graph, bool inference, const bool *keep,
                                 struct ctkd__program *out);
/* Whether step `norm` is a batch norm without residual that only convolutions read, each of which
   can apply it while it reads (`takes` tells): then its output need not be stored. */
bool ctkd__program_read_by_convs(const struct ctkd__program *program, int norm,
                                 bool (*takes)(void *context, int step), void *context);
void ctkd__program_fini(struct ctkd__program *program);

#endif
