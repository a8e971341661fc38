#include "nn/compile/instructions.h"
#include "nn/graph_build.h"

int ctkd__graph_max_pool(struct ctkd__graph *graph, int x, const struct ctkd__pool_args *args)
{
    return ctkd__build_pool(graph, CTKD__OP_MAX_POOL, x, args);
}

static struct ctkd__max_pool pool_of(const struct ctkd__worker_view *v)
{
    const struct ctkd__node *const node = v->op->node;
    const struct ctkd__node *const from = v->op->in;
    return (struct ctkd__max_pool){ from->h,      from->w,      node->h,      node->w,
                                    node->kernel, node->stride, node->padding };
}

static void max_pool_forward(const struct ctkd__worker_view *v)
{
    const struct ctkd__max_pool pool = pool_of(v);
    v->kernels->max_pool(v->n * v->op->in_blocks, &pool, ctkd__view_x(v), ctkd__view_y(v),
                         ctkd__view_buffer(v, v->op->index));
}

static void max_pool_backward(const struct ctkd__worker_view *v)
{
    const struct ctkd__max_pool pool = pool_of(v);
    v->kernels->max_pool_backward(
        v->n * v->op->in_blocks, &pool, ctkd__view_dy(v), ctkd__view_buffer(v, v->op->index),
        ctkd__view_buffer(v, v->op->dx.base), ctkd__view_buffer(v, v->op->dx.out));
}

const struct ctkd__instruction_def ctkd__instruction_max_pool = {
    .text = "max pool",
    .backward_reads = CTKD__READS_NOTHING,
    .dx = CTKD__DX_APART,
    .keeps_index = true,
    .forward = max_pool_forward,
    .backward = max_pool_backward,
    .infer = max_pool_forward,
};
