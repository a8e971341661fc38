/*
 * What the selftest and the tests know about each op, independently of its file: graphs that try
 * it, each with one op on sources that are side inputs (or images), a block of several ops, and the
 * result of the op in double.
 */
#ifndef CTKD_SELFTEST_SELFTEST_CASES_H
#define CTKD_SELFTEST_SELFTEST_CASES_H

#include "selftest/selftest_reference.h"

struct ctkd__op_case {
    const char *name;
    enum ctkd__op op; /* CTKD__OP_COUNT: a block of several */
    size_t c, h, w;   /* of each source */
    bool two, images; /* two sources instead of one; images that the op reads itself */
    enum ctkd__activation activation;
    struct ctkd__conv_args conv;
    bool vector, counted; /* multiply: by c x 1 x 1; average_pool: with its padding */
    bool kinks;           /* sources keep away from multiples of 0.5 and from each other */
    bool relu_behind;     /* the output is that of a ReLU on the op */
    bool read_outside;    /* the first source is an output too: gradients are added there */
};

/* Ends with a NULL name. */
const struct ctkd__op_case *ctkd__selftest_cases(void);

/* A case as a graph for training, whose sources are side inputs, or for inference, whose sources
   are channels of images. */
struct ctkd__built_case {
    struct ctkd__graph *graph;
    int sources[2], outputs[2];
    size_t n_outputs;
};

/* out->graph is destroyed by the caller, whatever the status. */
ctkd_status ctkd__selftest_build(const struct ctkd__op_case *tested, bool inference,
                                 struct ctkd__built_case *out, ctkd_error *err);

/* y = the value of a node for n images, computed plainly from the values of the nodes before it;
   y, [n][c][h][w], holds zeros, or the images of an input. */
void ctkd__selftest_compute(const struct ctkd__reference *reference, const struct ctkd__node *node,
                            size_t n, bool training, double *const *values, double *y);

#endif
