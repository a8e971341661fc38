#include "nn/compile/instructions.h"
#include "nn/graph_build.h"
#include "util/error.h"

int ctkd__graph_scale_by(struct ctkd__graph *graph, int x, int gate, size_t channel)
{
    if (!ctkd__build_usable(graph, x, "scale_by") || !ctkd__build_usable(graph, gate, "scale_by") ||
        !ctkd__build_same_size(graph, "scale_by", x, gate))
        return -1;
    const struct ctkd__node *const from = &graph->nodes[x];
    if (channel >= graph->nodes[gate].c) {
        graph->status =
            ctkd__fail(&graph->error, CTKD_ESHAPE,
                       "scale_by: found channel %zu of %s, expected a channel below %zu", channel,
                       graph->nodes[gate].name, graph->nodes[gate].c);
        return -1;
    }
    const int y = ctkd__build_after(graph, CTKD__OP_SCALE_BY, x, gate,
                                    (const size_t[3]){ from->c, from->h, from->w });
    if (y >= 0)
        graph->nodes[y].channel = channel;
    return y;
}

static size_t gate_blocks(const struct ctkd__worker_view *v)
{
    return v->op->residual_floats / v->op->in_hw / v->lowering->kernels->block;
}

static void scale_by_forward(const struct ctkd__worker_view *v)
{
    v->features->scale_by(ctkd__view_in_extent(v), ctkd__view_x(v), gate_blocks(v),
                          ctkd__view_residual(v), v->op->node->channel, NULL, ctkd__view_y(v));
}

/* The gate's gradient is first: it may be the base of the input's, when both are the same value. */
static void scale_by_backward(const struct ctkd__worker_view *v)
{
    const struct ctkd__lowered *const op = v->op;
    const float *const dy = ctkd__view_dy(v);
    if (op->dr.out != CTKD__NO_BUFFER)
        v->features->scale_by_gate(ctkd__view_in_extent(v), ctkd__view_x(v), dy, gate_blocks(v),
                                   op->node->channel, ctkd__view_buffer(v, op->dr.base),
                                   ctkd__view_buffer(v, op->dr.out));
    if (op->dx.out != CTKD__NO_BUFFER)
        v->features->scale_by(ctkd__view_in_extent(v), dy, gate_blocks(v), ctkd__view_residual(v),
                              op->node->channel, ctkd__view_buffer(v, op->dx.base),
                              ctkd__view_buffer(v, op->dx.out));
}

const struct ctkd__instruction_def ctkd__instruction_scale_by = {
    .text = "scale by",
    .backward_reads = CTKD__READS_X | CTKD__READS_RESIDUAL,
    .dx = CTKD__DX_APART,
    .forward = scale_by_forward,
    .backward = scale_by_backward,
    .infer = scale_by_forward,
};
