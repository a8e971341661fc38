/* A graph as a list of fused instructions, in order of execution: what training and inference are
 * compiled from. */
#ifndef CTKD_NN_PROGRAM_H
#define CTKD_NN_PROGRAM_H

#include <stdint.h>

#include "nn/graph.h"

/* Where a channel comes from: the instruction's input (0) or its residual (1), and which channel
 * there. */
struct ctkd__channel {
    uint32_t operand, channel;
};

/* Values are named by the node that computes them; only values that an instruction writes exist. */
struct ctkd__instruction {
    enum ctkd__instruction_kind kind;
    int node; /* whose parameters and attributes the instruction has (the conv, the batch norm, ...)
               */
    int norm; /* CONV: the batch norm folded into it, or -1 */
    int input;    /* INPUT: -1 */
    int residual; /* the second operand; of CONV and NORM: added before ReLU; or -1 */
    int output;   /* OUTPUT: -1 */
    bool relu;
    size_t index;                         /* OUTPUT: which of the request */
    const struct ctkd__channel *channels; /* CHANNELS: of each output channel */
};

struct ctkd__program {
    struct ctkd__instruction *instructions;
    int count;
    struct ctkd__channel *channels; /* of all instructions */
};

struct ctkd__program_request {
    bool inference; /* fold batch norms into convolutions */
    bool no_logits;
    const int *outputs; /* nodes whose values must exist; each gets an OUTPUT instruction where it
                           is made, except parameters, which no instruction computes */
    size_t n_outputs;
};

/* Instructions that neither the logits nor an output need are left out. */
ctkd_status ctkd__program_create(const struct ctkd__graph *graph,
                                 const struct ctkd__program_request *request,
                                 struct ctkd__program *out);
/* Whether instruction `norm` is a batch norm without residual that only convolutions read, each of
   which can apply it while it reads (`takes` says whether): then its output need not be stored. */
bool ctkd__program_read_by_convs(const struct ctkd__program *program, int norm,
                                 bool (*takes)(void *context, int instruction), void *context);
/* Channel `c` of the output of a CHANNELS op in terms of its operands. op_channels.c */
struct ctkd__channel ctkd__direct_channel(const struct ctkd__graph *graph, int node, size_t c);
void ctkd__program_fini(struct ctkd__program *program);

#endif
