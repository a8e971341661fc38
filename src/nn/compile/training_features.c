/* Instructions that move, average, squash and multiply values, and those at the border of a
   training program. Where an instruction has two gradients, the residual's is first: it may be the
   base of the input's, when both are the same value. */
#include <string.h>

#include "nn/compile/training_view.h"

/* --- the border */

static void input_forward(const struct ctkd__view *v)
{
    const struct ctkd__node *const node = v->op->node;
    const float *const plain = node->op == CTKD__OP_INPUT
                                   ? v->training->x
                                   : v->training->side_inputs[v->op->instruction.node];
    v->features->block(ctkd__view_out_extent(v), node->c,
                       plain + v->first * node->c * v->op->out_hw, NULL,
                       ctkd__view_buffer(v, v->op->y));
}

static void input_backward(const struct ctkd__view *v)
{
    const struct ctkd__node *const node = v->op->node;
    float *const plain = v->training->dside_inputs[v->op->instruction.node];
    v->features->unblock(ctkd__view_out_extent(v), node->c, ctkd__view_buffer(v, v->op->dy),
                         plain + v->first * node->c * v->op->out_hw);
}

static void output_forward(const struct ctkd__view *v)
{
    const size_t c = v->op->node->c;
    v->features->unblock(ctkd__view_in_extent(v), c, ctkd__view_input(v),
                         v->training->output_values[v->op->instruction.index] +
                             v->first * c * v->op->in_hw);
}

static void output_backward(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const float *const plain = v->training->doutputs[op->instruction.index];
    const float *const base = ctkd__view_buffer(v, op->dx.base);
    float *const dx = ctkd__view_buffer(v, op->dx.out);
    if (plain)
        v->features->block(ctkd__view_in_extent(v), op->node->c,
                           plain + v->first * op->node->c * op->in_hw, base, dx);
    else if (!base)
        memset(dx, 0, v->n * op->in_floats * sizeof *dx);
    else if (base != dx)
        memcpy(dx, base, v->n * op->in_floats * sizeof *dx);
}

/* --- channels */

static void channels_forward(const struct ctkd__view *v)
{
    const float *const x[2] = { ctkd__view_input(v), ctkd__view_buffer(v, v->op->residual) };
    v->features->gather(v->n, v->op->in_hw, &v->op->channels, x, NULL,
                        ctkd__view_buffer(v, v->op->y));
}

static void channels_backward(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const float *const dy[2] = { ctkd__view_buffer(v, op->dy), NULL };
    const struct ctkd__gradient to[2] = { op->dx, op->dr };
    for (int i = 1; i >= 0; i--)
        if (to[i].out != CTKD__NO_BUFFER)
            v->features->gather(v->n, op->in_hw, &op->dchannels[i], dy,
                                ctkd__view_buffer(v, to[i].base), ctkd__view_buffer(v, to[i].out));
}

/* --- one value */

static void activate_forward(const struct ctkd__view *v)
{
    const struct ctkd__node *const node = v->op->node;
    v->features->activate(ctkd__view_in_extent(v), node->c, node->activation, node->slope,
                          ctkd__view_input(v), ctkd__view_buffer(v, v->op->y));
}

static void activate_backward(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const bool from_y = op->node->activation == CTKD__SIGMOID;
    v->features->activate_backward(v->n * op->in_floats, op->node->activation, op->node->slope,
                                   from_y ? ctkd__view_buffer(v, op->y) : ctkd__view_input(v),
                                   ctkd__view_buffer(v, op->dy), ctkd__view_buffer(v, op->dx.base),
                                   ctkd__view_buffer(v, op->dx.out));
}

static void average_forward(const struct ctkd__view *v)
{
    v->features->average(v->n * v->op->in_blocks, &v->op->windows, ctkd__view_input(v),
                         ctkd__view_buffer(v, v->op->y));
}

static void average_backward(const struct ctkd__view *v)
{
    v->features->average_backward(
        v->n * v->op->in_blocks, &v->op->windows, ctkd__view_buffer(v, v->op->dy),
        ctkd__view_buffer(v, v->op->dx.base), ctkd__view_buffer(v, v->op->dx.out));
}

/* --- products */

static size_t gate_blocks(const struct ctkd__view *v)
{
    return v->op->residual_floats / v->op->in_hw / v->training->config.kernels->block;
}

static void scale_by_forward(const struct ctkd__view *v)
{
    v->features->scale_by(ctkd__view_in_extent(v), ctkd__view_input(v), gate_blocks(v),
                          ctkd__view_buffer(v, v->op->residual), v->op->node->channel, NULL,
                          ctkd__view_buffer(v, v->op->y));
}

static void scale_by_backward(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const float *const dy = ctkd__view_buffer(v, op->dy);
    if (op->dr.out != CTKD__NO_BUFFER)
        v->features->scale_by_gate(ctkd__view_in_extent(v), ctkd__view_input(v), dy, gate_blocks(v),
                                   op->node->channel, ctkd__view_buffer(v, op->dr.base),
                                   ctkd__view_buffer(v, op->dr.out));
    if (op->dx.out != CTKD__NO_BUFFER)
        v->features->scale_by(ctkd__view_in_extent(v), dy, gate_blocks(v),
                              ctkd__view_buffer(v, op->residual), op->node->channel,
                              ctkd__view_buffer(v, op->dx.base), ctkd__view_buffer(v, op->dx.out));
}

static bool by_vector(const struct ctkd__view *v)
{
    return v->op->residual_floats != v->op->in_floats;
}

static void multiply_forward(const struct ctkd__view *v)
{
    v->features->multiply(ctkd__view_in_extent(v), ctkd__view_input(v),
                          ctkd__view_buffer(v, v->op->residual), by_vector(v), NULL,
                          ctkd__view_buffer(v, v->op->y));
}

static void multiply_backward(const struct ctkd__view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const float *const dy = ctkd__view_buffer(v, op->dy);
    if (op->dr.out != CTKD__NO_BUFFER && by_vector(v))
        v->features->multiply_sum(ctkd__view_in_extent(v), dy, ctkd__view_input(v),
                                  ctkd__view_buffer(v, op->dr.base),
                                  ctkd__view_buffer(v, op->dr.out));
    else if (op->dr.out != CTKD__NO_BUFFER)
        v->features->multiply(ctkd__view_in_extent(v), dy, ctkd__view_input(v), false,
                              ctkd__view_buffer(v, op->dr.base), ctkd__view_buffer(v, op->dr.out));
    if (op->dx.out != CTKD__NO_BUFFER)
        v->features->multiply(ctkd__view_in_extent(v), dy, ctkd__view_buffer(v, op->residual),
                              by_vector(v), ctkd__view_buffer(v, op->dx.base),
                              ctkd__view_buffer(v, op->dx.out));
}

const struct ctkd__passes *ctkd__feature_passes(enum ctkd__instruction_kind kind)
{
    static const struct ctkd__passes table[CTKD__INSTRUCTION_KINDS] = {
        [CTKD__INSTRUCTION_INPUT] = { input_forward, input_backward },
        [CTKD__INSTRUCTION_CHANNELS] = { channels_forward, channels_backward },
        [CTKD__INSTRUCTION_ACTIVATE] = { activate_forward, activate_backward },
        [CTKD__INSTRUCTION_AVERAGE] = { average_forward, average_backward },
        [CTKD__INSTRUCTION_SCALE_BY] = { scale_by_forward, scale_by_backward },
        [CTKD__INSTRUCTION_MULTIPLY] = { multiply_forward, multiply_backward },
        [CTKD__INSTRUCTION_OUTPUT] = { output_forward, output_backward },
    };
    return table[kind].forward ? &table[kind] : NULL;
}
