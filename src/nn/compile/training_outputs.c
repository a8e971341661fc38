/* What crosses the border of a training program beside images and logits: outputs, side inputs and
   their gradients, all plain. */
#include <stdlib.h>
#include <string.h>

#include "nn/compile/training_internal.h"
#include "util/error.h"

static size_t image_floats(const struct ctkd__node *node)
{
    return node->c * node->h * node->w;
}

static bool is_parameter(const struct ctkd__training *t, size_t index)
{
    return t->lowering.graph->nodes[t->outputs[index]].op == CTKD__OP_PARAMETER;
}

static size_t parameter_offset(const struct ctkd__training *t, size_t index)
{
    const struct ctkd__node *const node = &t->lowering.graph->nodes[t->outputs[index]];
    return t->weights->offsets[node->parameters[CTKD__ROLE_WEIGHT]];
}

static size_t plain_bytes(const struct ctkd__training *t, int node)
{
    return t->config.batch_max * image_floats(&t->lowering.graph->nodes[node]) * sizeof(float);
}

static ctkd_status allocate_outputs(struct ctkd__training *t)
{
    const size_t count = t->config.n_outputs;
    t->outputs = calloc(count + 1, sizeof *t->outputs);
    t->output_values = calloc(count + 1, sizeof *t->output_values);
    t->doutputs = calloc(count + 1, sizeof *t->doutputs);
    if (!t->outputs || !t->output_values || !t->doutputs)
        return CTKD_ENOMEM;
    for (size_t i = 0; i < count; i++)
        t->outputs[i] = t->config.outputs[i];
    t->config.outputs = t->outputs;
    for (size_t i = 0; i < count; i++) {
        if (is_parameter(t, i))
            continue;
        t->output_values[i] = ctkd__pages_allocate(plain_bytes(t, t->outputs[i]));
        if (!t->output_values[i])
            return CTKD_ENOMEM;
    }
    return CTKD_OK;
}

static ctkd_status allocate_side_inputs(struct ctkd__training *t)
{
    const size_t nodes = (size_t)t->lowering.graph->n_nodes;
    t->side_inputs = calloc(nodes, sizeof *t->side_inputs);
    t->dside_inputs = calloc(nodes, sizeof *t->dside_inputs);
    if (!t->side_inputs || !t->dside_inputs)
        return CTKD_ENOMEM;
    for (int i = 0; i < t->lowering.graph->n_nodes && t->config.input_gradients; i++) {
        if (t->lowering.graph->nodes[i].op != CTKD__OP_SIDE_INPUT || t->lowering.value_op[i] < 0)
            continue;
        t->dside_inputs[i] = ctkd__pages_allocate(plain_bytes(t, i));
        if (!t->dside_inputs[i])
            return CTKD_ENOMEM;
    }
    return CTKD_OK;
}

ctkd_status ctkd__training_outputs_create(struct ctkd__training *t, ctkd_error *err)
{
    if (allocate_outputs(t) || allocate_side_inputs(t))
        return ctkd__fail(err, CTKD_ENOMEM, "training: out of memory for outputs of a batch of %zu",
                          t->config.batch_max);
    return CTKD_OK;
}

void ctkd__training_outputs_destroy(struct ctkd__training *t)
{
    for (size_t i = 0; t->outputs && t->output_values && i < t->config.n_outputs; i++)
        ctkd__pages_release(t->output_values[i], plain_bytes(t, t->outputs[i]));
    for (int i = 0; t->dside_inputs && i < t->lowering.graph->n_nodes; i++)
        ctkd__pages_release(t->dside_inputs[i], plain_bytes(t, i));
    free(t->outputs);
    free(t->output_values);
    free(t->doutputs);
    free(t->side_inputs);
    free(t->dside_inputs);
}

size_t ctkd__training_outputs_bytes(const struct ctkd__training *t)
{
    size_t bytes = 0;
    for (size_t i = 0; i < t->config.n_outputs; i++)
        bytes += t->output_values[i] ? plain_bytes(t, t->outputs[i]) : 0;
    for (int i = 0; i < t->lowering.graph->n_nodes; i++)
        bytes += t->dside_inputs[i] ? plain_bytes(t, i) : 0;
    return bytes;
}

ctkd_status ctkd__training_outputs_check(const struct ctkd__training *t, ctkd_error *err)
{
    for (int i = 0; i < t->lowering.graph->n_nodes; i++)
        if (t->lowering.graph->nodes[i].op == CTKD__OP_SIDE_INPUT && t->lowering.value_op[i] >= 0 &&
            !t->side_inputs[i])
            return ctkd__fail(err, CTKD_EINVAL,
                              "training: side input %s: found no value, expected one for this step",
                              t->lowering.graph->nodes[i].name);
    return CTKD_OK;
}

void ctkd__training_outputs_forget(struct ctkd__training *t)
{
    for (size_t i = 0; i < t->config.n_outputs; i++)
        t->doutputs[i] = NULL;
    for (int i = 0; i < t->lowering.graph->n_nodes; i++)
        t->side_inputs[i] = NULL;
}

void ctkd__training_parameter_gradients(struct ctkd__training *t)
{
    for (size_t i = 0; i < t->config.n_outputs; i++)
        if (is_parameter(t, i))
            memset(t->gradients[0] + parameter_offset(t, i), 0,
                   t->lowering.graph->nodes[t->outputs[i]].c * sizeof(float));
    if (t->first_slice > 0) /* not a sum over slices: one rank adds it */
        return;
    for (size_t i = 0; i < t->config.n_outputs; i++) /* one parameter may be two outputs */
        for (size_t c = 0;
             is_parameter(t, i) && t->doutputs[i] && c < t->lowering.graph->nodes[t->outputs[i]].c;
             c++)
            t->gradients[0][parameter_offset(t, i) + c] += t->doutputs[i][c];
}

ctkd_status ctkd__training_share_output(struct ctkd__training *t, size_t index, ctkd_error *err)
{
    if (is_parameter(t, index))
        return CTKD_OK;
    const size_t floats = image_floats(&t->lowering.graph->nodes[t->outputs[index]]);
    return ctkd__dist_gather_shares(t->config.dist, t->n, t->output_values[index],
                                    floats * sizeof(float), err);
}

const float *ctkd__training_output(const struct ctkd__training *t, size_t index)
{
    return is_parameter(t, index) ? t->weights->values + parameter_offset(t, index)
                                  : t->output_values[index];
}

void ctkd__training_output_gradient(struct ctkd__training *t, size_t index, const float *plain)
{
    t->doutputs[index] = plain;
}

void ctkd__training_input(struct ctkd__training *t, int node, const float *plain)
{
    t->side_inputs[node] = plain;
}

const float *ctkd__training_input_gradient(const struct ctkd__training *t, int node)
{
    return t->dside_inputs[node];
}
