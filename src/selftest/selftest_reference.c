#include "selftest/selftest_reference.h"

#include <stdlib.h>

#include "selftest/selftest_cases.h"

ctkd_status ctkd__reference_create(const struct ctkd__graph *graph, float *const *plain,
                                   struct ctkd__reference **out)
{
    struct ctkd__reference *const r = *out = calloc(1, sizeof *r);
    if (!r)
        return CTKD_ENOMEM;
    r->graph = graph;
    r->parameters = calloc((size_t)graph->n_parameters + 1, sizeof *r->parameters);
    r->side_inputs = calloc((size_t)graph->n_nodes + 1, sizeof *r->side_inputs);
    if (!r->parameters || !r->side_inputs)
        goto fail;
    for (int i = 0; i < graph->n_parameters; i++) {
        const size_t count = ctkd__parameter_elements(&graph->parameters[i]);
        r->parameters[i] = calloc(count, sizeof **r->parameters);
        if (!r->parameters[i])
            goto fail;
        if (plain)
            ctkd__reference_parameter(r, i, count, plain[i]);
    }
    return CTKD_OK;
fail:
    ctkd__reference_destroy(r);
    *out = NULL;
    return CTKD_ENOMEM;
}

void ctkd__reference_destroy(struct ctkd__reference *r)
{
    if (!r)
        return;
    for (int i = 0; r->parameters && i < r->graph->n_parameters; i++)
        free(r->parameters[i]);
    for (int i = 0; r->side_inputs && i < r->graph->n_nodes; i++)
        free(r->side_inputs[i]);
    free(r->parameters);
    free(r->side_inputs);
    free(r);
}

static void widen(double *out, size_t count, const float *plain)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (double)plain[i];
}

void ctkd__reference_parameter(struct ctkd__reference *r, int parameter, size_t count,
                               const float *plain)
{
    widen(r->parameters[parameter], count, plain);
}

ctkd_status ctkd__reference_side_input(struct ctkd__reference *r, int node, size_t count,
                                       const float *plain)
{
    double *const larger = realloc(r->side_inputs[node], count * sizeof *larger);
    if (!larger)
        return CTKD_ENOMEM;
    r->side_inputs[node] = larger;
    widen(larger, count, plain);
    return CTKD_OK;
}

double **ctkd__reference_values(const struct ctkd__reference *r, size_t n, const float *x,
                                bool training)
{
    const struct ctkd__graph *const g = r->graph;
    double **const values = calloc((size_t)g->n_nodes, sizeof *values);
    for (int i = 0; values && i < g->n_nodes; i++) {
        const struct ctkd__node *const node = &g->nodes[i];
        const size_t count = n * node->c * node->h * node->w;
        values[i] = calloc(count, sizeof **values);
        if (!values[i]) {
            ctkd__reference_free_values(r, values);
            return NULL;
        }
        if (node->op == CTKD__OP_INPUT)
            widen(values[i], count, x);
        ctkd__selftest_compute(r, node, n, training, values, values[i]);
    }
    return values;
}

void ctkd__reference_free_values(const struct ctkd__reference *r, double **values)
{
    for (int i = 0; values && i < r->graph->n_nodes; i++)
        free(values[i]);
    free(values);
}
