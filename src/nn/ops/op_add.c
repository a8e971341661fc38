/* A sum of two values, with the ReLU behind it. */
#include "nn/compile/instructions.h"
#include "nn/graph_build.h"
#include "util/error.h"

int ctkd__graph_add(struct ctkd__graph *graph, int a, int b)
{
    if (!ctkd__build_usable(graph, a, "add") || !ctkd__build_usable(graph, b, "add"))
        return -1;
    const struct ctkd__node *const p = &graph->nodes[a], *const q = &graph->nodes[b];
    if (p->c != q->c || p->h != q->h || p->w != q->w) {
        graph->status =
            ctkd__fail(&graph->error, CTKD_ESHAPE,
                       "add: %s is %zux%zux%zu and %s is %zux%zux%zu, expected the same shape",
                       p->name, p->c, p->h, p->w, q->name, q->c, q->h, q->w);
        return -1;
    }
    return ctkd__build_after(graph, CTKD__OP_ADD, a, b, (const size_t[3]){ p->c, p->h, p->w });
}

static void add_forward(const struct ctkd__worker_view *v)
{
    v->kernels->add(v->n * v->op->out_floats, ctkd__view_x(v), ctkd__view_residual(v),
                    v->op->instruction.relu, ctkd__view_y(v));
}

void ctkd__view_add_gradient(const struct ctkd__worker_view *v, struct ctkd__gradient dr,
                             int masked)
{
    if (dr.out == CTKD__NO_BUFFER || (dr.out == masked && dr.base == CTKD__NO_BUFFER))
        return; /* shared, not copied */
    v->kernels->add(v->n * v->op->out_floats, ctkd__view_buffer(v, dr.base),
                    ctkd__view_buffer(v, masked), false, ctkd__view_buffer(v, dr.out));
}

static void add_backward(const struct ctkd__worker_view *v)
{
    const struct ctkd__lowered *const op = v->op;
    if (op->instruction.relu)
        v->kernels->relu_backward(v->n * op->out_floats, ctkd__view_y(v), ctkd__view_dy(v), NULL,
                                  ctkd__view_buffer(v, op->masked));
    ctkd__view_add_gradient(v, op->dx, op->masked);
    ctkd__view_add_gradient(v, op->dr, op->masked);
}

static unsigned add_backward_reads(const struct ctkd__lowered *op)
{
    return op->instruction.relu ? CTKD__READS_Y : CTKD__READS_NOTHING;
}

const struct ctkd__instruction_def ctkd__instruction_add = {
    .text = "add",
    .backward_reads_of = add_backward_reads,
    .dx = CTKD__DX_IS_DY,
    .adds_residual = true,
    .forward = add_forward,
    .backward = add_backward,
    .infer = add_forward,
};
