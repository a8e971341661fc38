/* Steps that move, average, squash and multiply values, and those at the border of a training
   program. Where a step has two gradients, the residual's is first: it may be the base of the
   input's, when both are the same value. */
#include <string.h>

#include "nn/compile/training_view.h"

/* --- the border */

static void input_forward(const struct view *v)
{
    const struct ctkd__node *const node = v->op->node;
    const float *const plain =
        node->op == CTKD__OP_INPUT ? v->training->x : v->training->side_inputs[v->op->step.node];
    v->features->block(out_extent(v), node->c, plain + v->first * node->c * v->op->out_hw, NULL,
                       at(v, v->op->y));
}

static void input_backward(const struct view *v)
{
    const struct ctkd__node *const node = v->op->node;
    float *const plain = v->training->dside_inputs[v->op->step.node];
    v->features->unblock(out_extent(v), node->c, at(v, v->op->dy),
                         plain + v->first * node->c * v->op->out_hw);
}

static void output_forward(const struct view *v)
{
    const size_t c = v->op->node->c;
    v->features->unblock(in_extent(v), c, input_of(v),
                         v->training->output_values[v->op->step.index] +
                             v->first * c * v->op->in_hw);
}

static void output_backward(const struct view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const float *const plain = v->training->doutputs[op->step.index];
    const float *const base = at(v, op->dx.base);
    float *const dx = at(v, op->dx.out);
    if (plain)
        v->features->block(in_extent(v), op->node->c, plain + v->first * op->node->c * op->in_hw,
                           base, dx);
    else if (!base)
        memset(dx, 0, v->n * op->in_floats * sizeof *dx);
    else if (base != dx)
        memcpy(dx, base, v->n * op->in_floats * sizeof *dx);
}

/* --- channels */

static void channels_forward(const struct view *v)
{
    const float *const x[2] = { input_of(v), at(v, v->op->residual) };
    v->features->gather(v->n, v->op->in_hw, &v->op->channels, x, NULL, at(v, v->op->y));
}

static void channels_backward(const struct view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const float *const dy[2] = { at(v, op->dy), NULL };
    const struct ctkd__gradient to[2] = { op->dx, op->dr };
    for (int i = 1; i >= 0; i--)
        if (to[i].out != CTKD__NO_BUFFER)
            v->features->gather(v->n, op->in_hw, &op->dchannels[i], dy, at(v, to[i].base),
                                at(v, to[i].out));
}

/* --- one value */

static void activate_forward(const struct view *v)
{
    const struct ctkd__node *const node = v->op->node;
    v->features->activate(in_extent(v), node->c, node->activation, node->slope, input_of(v),
                          at(v, v->op->y));
}

static void activate_backward(const struct view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const bool from_y = op->node->activation == CTKD__SIGMOID;
    v->features->activate_backward(v->n * op->in_floats, op->node->activation, op->node->slope,
                                   from_y ? at(v, op->y) : input_of(v), at(v, op->dy),
                                   at(v, op->dx.base), at(v, op->dx.out));
}

static void average_forward(const struct view *v)
{
    v->features->average(v->n * v->op->in_blocks, &v->op->windows, input_of(v), at(v, v->op->y));
}

static void average_backward(const struct view *v)
{
    v->features->average_backward(v->n * v->op->in_blocks, &v->op->windows, at(v, v->op->dy),
                                  at(v, v->op->dx.base), at(v, v->op->dx.out));
}

/* --- products */

static size_t gate_blocks(const struct view *v)
{
    return v->op->residual_floats / v->op->in_hw / v->training->config.kernels->block;
}

static void scale_by_forward(const struct view *v)
{
    v->features->scale_by(in_extent(v), input_of(v), gate_blocks(v), at(v, v->op->residual),
                          v->op->node->channel, NULL, at(v, v->op->y));
}

static void scale_by_backward(const struct view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const float *const dy = at(v, op->dy);
    if (op->dr.out != CTKD__NO_BUFFER)
        v->features->scale_by_gate(in_extent(v), input_of(v), dy, gate_blocks(v), op->node->channel,
                                   at(v, op->dr.base), at(v, op->dr.out));
    if (op->dx.out != CTKD__NO_BUFFER)
        v->features->scale_by(in_extent(v), dy, gate_blocks(v), at(v, op->residual),
                              op->node->channel, at(v, op->dx.base), at(v, op->dx.out));
}

static bool by_vector(const struct view *v)
{
    return v->op->residual_floats != v->op->in_floats;
}

static void multiply_forward(const struct view *v)
{
    v->features->multiply(in_extent(v), input_of(v), at(v, v->op->residual), by_vector(v), NULL,
                          at(v, v->op->y));
}

static void multiply_backward(const struct view *v)
{
    const struct ctkd__training_op *const op = v->op;
    const float *const dy = at(v, op->dy);
    if (op->dr.out != CTKD__NO_BUFFER && by_vector(v))
        v->features->multiply_sum(in_extent(v), dy, input_of(v), at(v, op->dr.base),
                                  at(v, op->dr.out));
    else if (op->dr.out != CTKD__NO_BUFFER)
        v->features->multiply(in_extent(v), dy, input_of(v), false, at(v, op->dr.base),
                              at(v, op->dr.out));
    if (op->dx.out != CTKD__NO_BUFFER)
        v->features->multiply(in_extent(v), dy, at(v, op->residual), by_vector(v),
                              at(v, op->dx.base), at(v, op->dx.out));
}

const struct ctkd__step_functions *ctkd__feature_step(enum ctkd__step_kind kind)
{
    static const struct ctkd__step_functions table[CTKD__STEP_KINDS] = {
        [CTKD__STEP_INPUT] = { input_forward, input_backward },
        [CTKD__STEP_CHANNELS] = { channels_forward, channels_backward },
        [CTKD__STEP_ACTIVATE] = { activate_forward, activate_backward },
        [CTKD__STEP_AVERAGE] = { average_forward, average_backward },
        [CTKD__STEP_SCALE_BY] = { scale_by_forward, scale_by_backward },
        [CTKD__STEP_MULTIPLY] = { multiply_forward, multiply_backward },
        [CTKD__STEP_OUTPUT] = { output_forward, output_backward },
    };
    return table[kind].forward ? &table[kind] : NULL;
}
