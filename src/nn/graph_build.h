/*
 * The checks and steps that the builders of ops (src/nn/ops) share. All do nothing once the graph
 * has failed.
 */
#ifndef CTKD_NN_GRAPH_BUILD_H
#define CTKD_NN_GRAPH_BUILD_H

#include "nn/graph.h"

/* False when the graph has failed before, or fails now because x is no node of it that another node
   may read. `what` begins the message. */
bool ctkd__build_usable(struct ctkd__graph *graph, int x, const char *what);
/* Whether a and b have the same height and width. */
bool ctkd__build_same_size(struct ctkd__graph *graph, const char *what, int a, int b);
/* Checks windows over x and gives the output's size. */
bool ctkd__build_window(struct ctkd__graph *graph, int x, const char *name,
                        const struct ctkd__pool_args *args, size_t *h, size_t *w);

/* Appends a node with its output's shape; -1 after an error. b is -1 for ops with one input. */
int ctkd__build_node(struct ctkd__graph *graph, enum ctkd__op op, const char *name, int a, int b,
                     const size_t shape[3]);
/* Appends a node without a name of its own: "layer1.0.bn2" becomes "layer1.0.bn2.add". */
int ctkd__build_after(struct ctkd__graph *graph, enum ctkd__op op, int a, int b,
                      const size_t shape[3]);
/* A pool of windows over x. */
int ctkd__build_pool(struct ctkd__graph *graph, enum ctkd__op op, int x,
                     const struct ctkd__pool_args *args);
/* A parameter of the last node. `suffix` completes its name: ".weight", or "". */
void ctkd__build_parameter(struct ctkd__graph *graph, enum ctkd__role role, const char *suffix,
                           int rank, const size_t shape[4], enum ctkd__init init, float value);

#endif
