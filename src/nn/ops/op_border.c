/* Values that come from outside and values that are read from outside: ops without an operand, and
   the instructions at the border of a program. */
#include <string.h>

#include "nn/compile/training_internal.h"
#include "nn/graph_build.h"
#include "util/error.h"

int ctkd__graph_input(struct ctkd__graph *graph, size_t c, size_t h, size_t w)
{
    if (graph->status)
        return -1;
    if (graph->n_nodes != 0) {
        graph->status = ctkd__fail(&graph->error, CTKD_EINVAL,
                                   "input: found it at node %d, expected it to be the first node",
                                   graph->n_nodes);
        return -1;
    }
    return ctkd__build_node(graph, CTKD__OP_INPUT, "input", -1, -1, (const size_t[3]){ c, h, w });
}

int ctkd__graph_parameter(struct ctkd__graph *graph, const char *name, size_t count, float value)
{
    const size_t shape[4] = { count, 1, 1 };
    const int y = ctkd__build_node(graph, CTKD__OP_PARAMETER, name, -1, -1, shape);
    if (y >= 0)
        ctkd__build_parameter(graph, CTKD__ROLE_WEIGHT, "", 1, shape, CTKD__INIT_CONSTANT, value);
    return graph->status ? -1 : y;
}

int ctkd__graph_side_input(struct ctkd__graph *graph, const char *name, size_t c, size_t h,
                           size_t w)
{
    return ctkd__build_node(graph, CTKD__OP_SIDE_INPUT, name, -1, -1, (const size_t[3]){ c, h, w });
}

/* --- plain to blocked */

const float *ctkd__view_images(const struct ctkd__worker_view *v, int buffer)
{
    const struct ctkd__node *const in = v->op->in;
    const size_t plane = in->h * in->w, at = v->first * in->c * plane;
    if (v->images.values)
        return v->images.values + at;
    float *const values = ctkd__view_buffer(v, buffer);
    ctkd__batch_images_write(ctkd__batch_images_from(v->images, at), v->n, in->c, plane, values);
    return values;
}

/* plain: of the view's images */
static void block_values(const struct ctkd__worker_view *v, const float *plain)
{
    v->features->block(ctkd__view_out_extent(v), v->op->node->c, plain, NULL, ctkd__view_y(v));
}

static void input_infer(const struct ctkd__worker_view *v)
{
    block_values(v, ctkd__view_images(v, v->op->images[0]));
}

static void input_forward(const struct ctkd__worker_view *v)
{
    const size_t first = v->first * v->op->node->c * v->op->out_hw;
    if (v->op->node->op == CTKD__OP_INPUT)
        input_infer(v);
    else
        block_values(v, v->training->side_inputs[v->op->instruction.node] + first);
}

static void input_backward(const struct ctkd__worker_view *v)
{
    const struct ctkd__node *const node = v->op->node;
    float *const plain = v->training->dside_inputs[v->op->instruction.node];
    v->features->unblock(ctkd__view_out_extent(v), node->c, ctkd__view_dy(v),
                         plain + v->first * node->c * v->op->out_hw);
}

const struct ctkd__instruction_def ctkd__instruction_input = {
    .text = "input",
    .backward_reads = CTKD__READS_NOTHING,
    .dx = CTKD__DX_APART,
    .forward = input_forward,
    .backward = input_backward,
    .infer = input_infer,
};

/* --- blocked to plain */

static void output_forward(const struct ctkd__worker_view *v)
{
    const size_t c = v->op->node->c;
    if (v->outputs)
        v->features->unblock(ctkd__view_in_extent(v), c, ctkd__view_x(v),
                             v->outputs[v->op->instruction.index] + v->first * c * v->op->in_hw);
}

static void output_backward(const struct ctkd__worker_view *v)
{
    const struct ctkd__lowered *const op = v->op;
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

const struct ctkd__instruction_def ctkd__instruction_output = {
    .text = "output",
    .backward_reads = CTKD__READS_NOTHING,
    .dx = CTKD__DX_APART,
    .forward = output_forward,
    .backward = output_backward,
    .infer = output_forward,
};
