#include "nn/compile/instructions.h"
#include "nn/graph_build.h"

int ctkd__graph_global_pool(struct ctkd__graph *graph, int x)
{
    if (!ctkd__build_usable(graph, x, "global_pool"))
        return -1;
    return ctkd__build_after(graph, CTKD__OP_GLOBAL_POOL, x, -1,
                             (const size_t[3]){ graph->nodes[x].c, 1, 1 });
}

static void global_pool_forward(const struct ctkd__worker_view *v)
{
    v->kernels->mean_pool(ctkd__view_in_extent(v), ctkd__view_x(v), ctkd__view_y(v));
}

static void global_pool_backward(const struct ctkd__worker_view *v)
{
    v->kernels->mean_pool_backward(ctkd__view_in_extent(v), ctkd__view_dy(v),
                                   ctkd__view_buffer(v, v->op->dx.base),
                                   ctkd__view_buffer(v, v->op->dx.out));
}

const struct ctkd__instruction_def ctkd__instruction_global_pool = {
    .text = "global pool",
    .backward_reads = CTKD__READS_NOTHING,
    .dx = CTKD__DX_APART,
    .forward = global_pool_forward,
    .backward = global_pool_backward,
    .infer = global_pool_forward,
};
