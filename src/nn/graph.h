/*
 * A network as a small graph: nodes with one output each, named parameters, named taps. Built once,
 * then compiled by training.h or inference.h. Nothing here depends on layouts, batches or threads.
 * Its nodes, and the functions that build them, are in ops.h.
 */
#ifndef CTKD_NN_GRAPH_H
#define CTKD_NN_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"
#include "nn/ops.h"

/* Added to the variance in every batch norm (doc/methods.md, "Layers and their gradients"). */
#define CTKD__BATCH_NORM_EPSILON 1e-5

struct ctkd__parameter {
    char name[112]; /* as in the published state dict: "layer1.0.conv1.weight" */
    int node;
    enum ctkd__role role;
    int rank;
    size_t shape[4];
    enum ctkd__init init;
    float value;
};

struct ctkd__tap {
    char name[16]; /* "f0" ... "fN", "pre1" ... : doc/methods.md, "Taps" */
    int node;
};

struct ctkd__graph {
    struct ctkd__node *nodes;
    struct ctkd__parameter *parameters;
    struct ctkd__tap *taps;
    int n_nodes, n_parameters, n_taps;
    int output; /* the logits: a LINEAR node; -1: none, the graph is read through its taps */
    ctkd_status status;
    ctkd_error error;
};

ctkd_status ctkd__graph_create(struct ctkd__graph **out);
void ctkd__graph_destroy(struct ctkd__graph *graph);

/* Moves the parameters of x behind all others so far: nodes are in order of computation (a shortcut
   before the last batch norm of its block), parameters in the published order (shortcut last). */
void ctkd__graph_list_last(struct ctkd__graph *graph, int x);
void ctkd__graph_tap(struct ctkd__graph *graph, const char *name, int x);
/* Declares the logits and checks the graph: every other node must be read by a node or be a tap.
   logits -1: there are none, and the graph ends in its taps. */
ctkd_status ctkd__graph_finish(struct ctkd__graph *graph, int logits, ctkd_error *err);

/* Value of ctkd__conv_args for two rules of doc/methods.md, "Initial values". */
float ctkd__init_he_out(size_t kernel, size_t out); /* NORMAL: sqrt(2 / (k k out)) */
float ctkd__init_default(size_t fan_in);            /* UNIFORM: 1 / sqrt(fan_in) */

/* The first `nodes` nodes, `parameters` parameters and `taps` taps of a graph as a graph of its
   own, with the same logits: a network without what was added to it later. It borrows them, so the
   original graph must not grow any more; nothing needs to be freed. */
struct ctkd__graph ctkd__graph_first(const struct ctkd__graph *graph, int nodes, int parameters,
                                     int taps);

size_t ctkd__parameter_elements(const struct ctkd__parameter *parameter);
size_t ctkd__graph_trainable(const struct ctkd__graph *graph); /* elements of weights and biases */
/* Multiply-adds of convolutions and linear layers for one image. */
size_t ctkd__graph_macs(const struct ctkd__graph *graph);
size_t ctkd__graph_state_tensors(const struct ctkd__graph *graph); /* with num_batches_tracked */
int ctkd__graph_find_tap(const struct ctkd__graph *graph, const char *name); /* node or -1 */

#endif
