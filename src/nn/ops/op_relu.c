#include "nn/compile/instructions.h"
#include "nn/graph_build.h"

int ctkd__graph_relu(struct ctkd__graph *graph, int x)
{
    if (!ctkd__build_usable(graph, x, "relu"))
        return -1;
    const struct ctkd__node *const from = &graph->nodes[x];
    return ctkd__build_after(graph, CTKD__OP_RELU, x, -1,
                             (const size_t[3]){ from->c, from->h, from->w });
}

static void relu_forward(const struct ctkd__worker_view *v)
{
    v->kernels->relu(v->n * v->op->out_floats, ctkd__view_x(v), ctkd__view_y(v));
}

static void relu_backward(const struct ctkd__worker_view *v)
{
    v->kernels->relu_backward(v->n * v->op->out_floats, ctkd__view_y(v), ctkd__view_dy(v),
                              ctkd__view_buffer(v, v->op->dx.base),
                              ctkd__view_buffer(v, v->op->dx.out));
}

const struct ctkd__instruction_def ctkd__instruction_relu = {
    .text = "relu",
    .backward_reads = CTKD__READS_Y,
    .dx = CTKD__DX_IN_PLACE,
    .forward = relu_forward,
    .backward = relu_backward,
    .infer = relu_forward,
};
