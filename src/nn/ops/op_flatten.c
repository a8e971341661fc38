#include "nn/compile/training_internal.h"
#include "nn/graph_build.h"

int ctkd__graph_flatten(struct ctkd__graph *graph, int x)
{
    if (!ctkd__build_usable(graph, x, "flatten"))
        return -1;
    const struct ctkd__node *const from = &graph->nodes[x];
    if (from->h == 1 && from->w == 1)
        return x;
    return ctkd__build_after(graph, CTKD__OP_FLATTEN, x, -1,
                             (const size_t[3]){ from->c * from->h * from->w, 1, 1 });
}

/* Both passes go through the plain layout, which is the same for map and vector, one image at a
   time. */
static void flatten_forward(const struct ctkd__worker_view *v)
{
    const struct ctkd__lowered *const op = v->op;
    const struct ctkd__extent from = { 1, op->in_blocks, op->in_hw }, to = { 1, op->out_blocks, 1 };
    float *const plain = ctkd__view_scratch(v);
    for (size_t n = 0; n < v->n; n++) {
        v->features->unblock(from, op->in->c, ctkd__view_x(v) + n * op->in_floats, plain);
        v->features->block(to, op->node->c, plain, NULL, ctkd__view_y(v) + n * op->out_floats);
    }
}

static void flatten_backward(const struct ctkd__worker_view *v)
{
    const struct ctkd__lowered *const op = v->op;
    const struct ctkd__extent to = { 1, op->in_blocks, op->in_hw }, from = { 1, op->out_blocks, 1 };
    const float *const base = ctkd__view_buffer(v, op->dx.base);
    float *const plain = ctkd__view_scratch(v), *const dx = ctkd__view_buffer(v, op->dx.out);
    for (size_t n = 0; n < v->n; n++) {
        const size_t at = n * op->in_floats;
        v->features->unblock(from, op->node->c, ctkd__view_dy(v) + n * op->out_floats, plain);
        v->features->block(to, op->in->c, plain, base ? base + at : NULL, dx + at);
    }
}

const struct ctkd__instruction_def ctkd__instruction_flatten = {
    .text = "flatten",
    .backward_reads = CTKD__READS_NOTHING,
    .dx = CTKD__DX_APART,
    .forward = flatten_forward,
    .backward = flatten_backward,
    .infer = flatten_forward,
};
