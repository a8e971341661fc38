#include "nn/compile/instructions.h"
#include "nn/graph_build.h"
#include "util/error.h"

int ctkd__graph_subsample(struct ctkd__graph *graph, int x, size_t out, size_t stride)
{
    if (!ctkd__build_usable(graph, x, "subsample"))
        return -1;
    const struct ctkd__node *const from = &graph->nodes[x];
    if (stride == 0 || out < from->c) {
        graph->status = ctkd__fail(&graph->error, CTKD_EINVAL,
                                   "subsample: found %zu to %zu channels and stride %zu, expected "
                                   "at least as many channels and a stride of at least 1",
                                   from->c, out, stride);
        return -1;
    }
    const size_t shape[3] = { out, (from->h - 1) / stride + 1, (from->w - 1) / stride + 1 };
    const int y = ctkd__build_after(graph, CTKD__OP_SUBSAMPLE, x, -1, shape);
    if (y >= 0)
        graph->nodes[y].stride = stride;
    return y;
}

static struct ctkd__subsample subsample_of(const struct ctkd__worker_view *v)
{
    const struct ctkd__node *const node = v->op->node;
    const struct ctkd__node *const from = v->op->in;
    return (struct ctkd__subsample){ from->c, v->op->in_blocks,  from->h,
                                     from->w, v->op->out_blocks, node->h,
                                     node->w, node->stride,      (node->c - from->c) / 2 };
}

static void subsample_forward(const struct ctkd__worker_view *v)
{
    const struct ctkd__subsample shape = subsample_of(v);
    v->kernels->subsample(v->n, &shape, ctkd__view_x(v), ctkd__view_y(v));
}

static void subsample_backward(const struct ctkd__worker_view *v)
{
    const struct ctkd__subsample shape = subsample_of(v);
    v->kernels->subsample_backward(v->n, &shape, ctkd__view_dy(v),
                                   ctkd__view_buffer(v, v->op->dx.base),
                                   ctkd__view_buffer(v, v->op->dx.out));
}

const struct ctkd__instruction_def ctkd__instruction_subsample = {
    .text = "subsample",
    .backward_reads = CTKD__READS_NOTHING,
    .dx = CTKD__DX_APART,
    .forward = subsample_forward,
    .backward = subsample_backward,
    .infer = subsample_forward,
};
