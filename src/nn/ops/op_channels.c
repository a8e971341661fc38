/* Maps of channels: concat, slice and shuffle, each of which may stand for a chain of them
   (program.c). */
#include "nn/compile/instructions.h"
#include "nn/graph_build.h"
#include "util/error.h"

/* --- nodes */

int ctkd__graph_concat(struct ctkd__graph *graph, int a, int b)
{
    if (!ctkd__build_usable(graph, a, "concat") || !ctkd__build_usable(graph, b, "concat") ||
        !ctkd__build_same_size(graph, "concat", a, b))
        return -1;
    const struct ctkd__node *const p = &graph->nodes[a], *const q = &graph->nodes[b];
    return ctkd__build_after(graph, CTKD__OP_CONCAT, a, b,
                             (const size_t[3]){ p->c + q->c, p->h, p->w });
}

int ctkd__graph_slice(struct ctkd__graph *graph, int x, size_t first, size_t count)
{
    if (!ctkd__build_usable(graph, x, "slice"))
        return -1;
    const struct ctkd__node *const from = &graph->nodes[x];
    if (count == 0 || first >= from->c || count > from->c - first) {
        graph->status = ctkd__fail(
            &graph->error, CTKD_ESHAPE,
            "slice: found %zu channels from channel %zu of %s, expected some of its %zu channels",
            count, first, from->name, from->c);
        return -1;
    }
    const int y = ctkd__build_after(graph, CTKD__OP_SLICE, x, -1,
                                    (const size_t[3]){ count, from->h, from->w });
    if (y >= 0)
        graph->nodes[y].channel = first;
    return y;
}

int ctkd__graph_shuffle(struct ctkd__graph *graph, int x, size_t groups)
{
    if (!ctkd__build_usable(graph, x, "shuffle"))
        return -1;
    const struct ctkd__node *const from = &graph->nodes[x];
    if (groups == 0 || from->c % groups != 0) {
        graph->status = ctkd__fail(
            &graph->error, CTKD_ESHAPE,
            "shuffle: found %zu channels of %s in %zu groups, expected a multiple of the groups",
            from->c, from->name, groups);
        return -1;
    }
    const int y = ctkd__build_after(graph, CTKD__OP_SHUFFLE, x, -1,
                                    (const size_t[3]){ from->c, from->h, from->w });
    if (y >= 0)
        graph->nodes[y].groups = groups;
    return y;
}

/* Channel `c` of a map's output, in terms of its direct operands. */
struct ctkd__channel ctkd__direct_channel(const struct ctkd__graph *graph, int node, size_t c)
{
    const struct ctkd__node *const n = &graph->nodes[node];
    const size_t first = graph->nodes[n->inputs[0]].c;
    size_t from = c;
    uint32_t operand = 0;
    if (n->op == CTKD__OP_SLICE) {
        from = n->channel + c;
    } else if (n->op == CTKD__OP_SHUFFLE) { /* [groups][c / groups] transposed */
        from = c % n->groups * (n->c / n->groups) + c / n->groups;
    } else if (c >= first) {
        from = c - first;
        operand = 1;
    }
    return (struct ctkd__channel){ operand, (uint32_t)from };
}

/* --- the instruction */

static ctkd_status channels_create_maps(const struct ctkd__lowering *l, struct ctkd__lowered *op)
{
    const struct ctkd__instruction *const i = &op->instruction;
    const size_t block = l->kernels->block, count = op->out->c;
    const size_t c[2] = { op->in->c, i->residual >= 0 ? l->graph->nodes[i->residual].c : 0 };
    ctkd_status status = ctkd__channel_plan_forward(i->channels, count, c, block, &op->channels);
    for (uint32_t operand = 0; operand < 2 && !status && !l->inference; operand++)
        status = ctkd__channel_plan_backward(i->channels, count, operand, c[operand], block,
                                             &op->dchannels[operand]);
    return status;
}

static void channels_forward(const struct ctkd__worker_view *v)
{
    const float *const x[2] = { ctkd__view_x(v), ctkd__view_residual(v) };
    v->features->gather(v->n, v->op->in_hw, &v->op->channels, x, NULL, ctkd__view_y(v));
}

/* The residual's gradient is first: it may be the base of the input's, when both are the same
   value. */
static void channels_backward(const struct ctkd__worker_view *v)
{
    const struct ctkd__lowered *const op = v->op;
    const float *const dy[2] = { ctkd__view_dy(v), NULL };
    const struct ctkd__gradient to[2] = { op->dx, op->dr };
    for (int i = 1; i >= 0; i--)
        if (to[i].out != CTKD__NO_BUFFER)
            v->features->gather(v->n, op->in_hw, &op->dchannels[i], dy,
                                ctkd__view_buffer(v, to[i].base), ctkd__view_buffer(v, to[i].out));
}

const struct ctkd__instruction_def ctkd__instruction_channels = {
    .text = "channels",
    .backward_reads = CTKD__READS_NOTHING,
    .dx = CTKD__DX_APART,
    .create_maps = channels_create_maps,
    .forward = channels_forward,
    .backward = channels_backward,
    .infer = channels_forward,
};
