#include <math.h>

#include "nn/compile/instructions.h"
#include "nn/graph_build.h"
#include "util/error.h"

int ctkd__graph_activate(struct ctkd__graph *graph, int x, enum ctkd__activation kind, float slope)
{
    if (!ctkd__build_usable(graph, x, "activate"))
        return -1;
    if ((int)kind < CTKD__RELU6 || kind > CTKD__HARD_SWISH || !isfinite(slope)) {
        graph->status = ctkd__fail(
            &graph->error, CTKD_EINVAL,
            "activate: found kind %d and slope %g, expected kind 0 to %d and a finite slope",
            (int)kind, (double)slope, (int)CTKD__HARD_SWISH);
        return -1;
    }
    const struct ctkd__node *const from = &graph->nodes[x];
    const int y = ctkd__build_after(graph, CTKD__OP_ACTIVATE, x, -1,
                                    (const size_t[3]){ from->c, from->h, from->w });
    if (y < 0)
        return -1;
    graph->nodes[y].activation = kind;
    graph->nodes[y].slope = slope;
    return y;
}

static void activate_forward(const struct ctkd__worker_view *v)
{
    const struct ctkd__node *const node = v->op->node;
    v->features->activate(ctkd__view_in_extent(v), node->c, node->activation, node->slope,
                          ctkd__view_x(v), ctkd__view_y(v));
}

static bool is_sigmoid(const struct ctkd__lowered *op)
{
    return op->node->activation == CTKD__SIGMOID;
}

static void activate_backward(const struct ctkd__worker_view *v)
{
    const struct ctkd__lowered *const op = v->op;
    const bool from_y = is_sigmoid(op);
    v->features->activate_backward(v->n * op->in_floats, op->node->activation, op->node->slope,
                                   from_y ? ctkd__view_y(v) : ctkd__view_x(v), ctkd__view_dy(v),
                                   ctkd__view_buffer(v, op->dx.base),
                                   ctkd__view_buffer(v, op->dx.out));
}

static unsigned activate_backward_reads(const struct ctkd__lowered *op)
{
    return is_sigmoid(op) ? CTKD__READS_Y : CTKD__READS_X;
}

const struct ctkd__instruction_def ctkd__instruction_activate = {
    .text = "activate",
    .backward_reads_of = activate_backward_reads,
    .dx = CTKD__DX_IN_PLACE,
    .forward = activate_forward,
    .backward = activate_backward,
    .infer = activate_forward,
};
