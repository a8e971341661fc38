/*
 * Computes a graph plainly in double, as the reference for the engine. The computation of each op
 * is in selftest_cases.c, beside its cases.
 */
#ifndef CTKD_SELFTEST_SELFTEST_REFERENCE_H
#define CTKD_SELFTEST_SELFTEST_REFERENCE_H

#include "nn/graph.h"

struct ctkd__reference {
    const struct ctkd__graph *graph; /* borrowed */
    double **parameters;             /* in the order of graph->parameters, row-major */
    double **side_inputs;            /* [nodes] of the batch, plain; NULL where there is none */
};

/* Copies: parameter i is float array plain[i]; NULL leaves it at zeros. */
ctkd_status ctkd__reference_create(const struct ctkd__graph *graph, float *const *plain,
                                   struct ctkd__reference **out);
void ctkd__reference_destroy(struct ctkd__reference *reference);

/* Copies `count` values of a parameter or of a side input. */
void ctkd__reference_parameter(struct ctkd__reference *reference, int parameter, size_t count,
                               const float *plain);
ctkd_status ctkd__reference_side_input(struct ctkd__reference *reference, int node, size_t count,
                                       const float *plain);

/* Every node's value for n images x (row-major), plain [n][c][h][w] (a parameter's: [c]); batch
   norms use the batch's statistics in training, else the running ones. Freed by
   ctkd__reference_free_values; NULL: out of memory. */
double **ctkd__reference_values(const struct ctkd__reference *reference, size_t n, const float *x,
                                bool training);
void ctkd__reference_free_values(const struct ctkd__reference *reference, double **values);

#endif
