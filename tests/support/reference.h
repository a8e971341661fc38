/* A graph computed in double, plainly: what the engine is compared with. */
#ifndef CTKD_TESTS_REFERENCE_H
#define CTKD_TESTS_REFERENCE_H

#include "nn/graph.h"

/* Values of every parameter of a graph, row-major, in the order of graph->parameters. */
struct reference {
    const struct ctkd__graph *graph;
    double **parameters;
    double **side_inputs; /* [nodes] of the batch, plain; NULL where there is none */
};

/* Copies: parameter i is float array plain[i]. */
struct reference *reference_create(const struct ctkd__graph *graph, float *const *plain);
void reference_destroy(struct reference *reference);

/* Copies `count` values of side input `node`. */
void reference_side_input(struct reference *reference, int node, size_t count, const float *plain);
/* Every node's value, plain [n][c][h][w] (a parameter's: [c]); freed by reference_free_values. */
double **reference_values(const struct reference *reference, size_t n, const float *x,
                          int training);
void reference_free_values(const struct reference *reference, double **values);

/* Logits of n images (row-major), batch norm with batch statistics (training) or running ones. */
void reference_forward(const struct reference *reference, size_t n, const float *x, int training,
                       double *logits);
/* sum(logits * weights) in training mode. */
double reference_loss(const struct reference *reference, size_t n, const float *x,
                      const float *weights);

#endif
