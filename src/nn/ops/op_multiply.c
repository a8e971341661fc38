#include "nn/compile/instructions.h"
#include "nn/graph_build.h"
#include "util/error.h"

int ctkd__graph_multiply(struct ctkd__graph *graph, int x, int y)
{
    if (!ctkd__build_usable(graph, x, "multiply") || !ctkd__build_usable(graph, y, "multiply"))
        return -1;
    const struct ctkd__node *const p = &graph->nodes[x], *const q = &graph->nodes[y];
    const bool same = p->h == q->h && p->w == q->w, vector = q->h == 1 && q->w == 1;
    if (p->c != q->c || (!same && !vector)) {
        graph->status = ctkd__fail(&graph->error, CTKD_ESHAPE,
                                   "multiply: %s is %zux%zux%zu and %s is %zux%zux%zu, expected "
                                   "the same shape or %zux1x1",
                                   p->name, p->c, p->h, p->w, q->name, q->c, q->h, q->w, p->c);
        return -1;
    }
    return ctkd__build_after(graph, CTKD__OP_MULTIPLY, x, y, (const size_t[3]){ p->c, p->h, p->w });
}

static bool by_vector(const struct ctkd__worker_view *v)
{
    return v->op->residual_floats != v->op->in_floats;
}

static void multiply_forward(const struct ctkd__worker_view *v)
{
    v->features->multiply(ctkd__view_in_extent(v), ctkd__view_x(v), ctkd__view_residual(v),
                          by_vector(v), NULL, ctkd__view_y(v));
}

/* The second gradient is first: it may be the base of the other, when both are the same value. */
static void multiply_backward(const struct ctkd__worker_view *v)
{
    const struct ctkd__lowered *const op = v->op;
    const float *const dy = ctkd__view_dy(v);
    if (op->dr.out != CTKD__NO_BUFFER && by_vector(v))
        v->features->multiply_sum(ctkd__view_in_extent(v), dy, ctkd__view_x(v),
                                  ctkd__view_buffer(v, op->dr.base),
                                  ctkd__view_buffer(v, op->dr.out));
    else if (op->dr.out != CTKD__NO_BUFFER)
        v->features->multiply(ctkd__view_in_extent(v), dy, ctkd__view_x(v), false,
                              ctkd__view_buffer(v, op->dr.base), ctkd__view_buffer(v, op->dr.out));
    if (op->dx.out != CTKD__NO_BUFFER)
        v->features->multiply(ctkd__view_in_extent(v), dy, ctkd__view_residual(v), by_vector(v),
                              ctkd__view_buffer(v, op->dx.base), ctkd__view_buffer(v, op->dx.out));
}

const struct ctkd__instruction_def ctkd__instruction_multiply = {
    .text = "multiply",
    .backward_reads = CTKD__READS_X | CTKD__READS_RESIDUAL,
    .dx = CTKD__DX_APART,
    .forward = multiply_forward,
    .backward = multiply_backward,
    .infer = multiply_forward,
};
