/* Means over windows of pixels: average pool, pool to a size, resize to the nearest pixel. */
#include <stdlib.h>

#include "nn/compile/instructions.h"
#include "nn/graph_build.h"

/* --- nodes */

int ctkd__graph_average_pool(struct ctkd__graph *graph, int x, const struct ctkd__pool_args *args)
{
    return ctkd__build_pool(graph, CTKD__OP_AVERAGE_POOL, x, args);
}

static int to_size(struct ctkd__graph *graph, enum ctkd__op op, int x, size_t h, size_t w)
{
    if (!ctkd__build_usable(graph, x, ctkd__op_text(op)))
        return -1;
    const struct ctkd__node *const from = &graph->nodes[x];
    if (from->h == h && from->w == w)
        return x;
    return ctkd__build_after(graph, op, x, -1, (const size_t[3]){ from->c, h, w });
}

int ctkd__graph_pool_to(struct ctkd__graph *graph, int x, size_t h, size_t w)
{
    return to_size(graph, CTKD__OP_POOL_TO, x, h, w);
}

int ctkd__graph_resize(struct ctkd__graph *graph, int x, size_t h, size_t w)
{
    return to_size(graph, CTKD__OP_RESIZE, x, h, w);
}

/* --- windows */

/* Rows (or columns) of the window of output row `at`, of `out` over `in`. */
static void window_of(const struct ctkd__node *node, size_t at, size_t in, size_t out,
                      size_t window[2])
{
    if (node->op == CTKD__OP_AVERAGE_POOL) {
        const size_t begin = at * node->stride, end = begin + node->kernel;
        window[0] = begin > node->padding ? begin - node->padding : 0;
        window[1] = end - node->padding < in ? end - node->padding : in;
    } else if (node->op == CTKD__OP_POOL_TO) {
        window[0] = at * in / out;
        window[1] = ((at + 1) * in + out - 1) / out;
    } else { /* RESIZE: the nearest pixel */
        window[0] = at * in / out;
        window[1] = window[0] + 1;
    }
}

ctkd_status ctkd__windows_create(const struct ctkd__node *node, const struct ctkd__node *in,
                                 struct ctkd__windows *out)
{
    *out = (struct ctkd__windows){ .h = in->h, .w = in->w, .oh = node->h, .ow = node->w };
    size_t *const bounds = calloc(2 * (node->h + node->w), sizeof *bounds);
    if (!bounds)
        return CTKD_ENOMEM;
    for (size_t y = 0; y < node->h; y++)
        window_of(node, y, in->h, node->h, bounds + 2 * y);
    for (size_t x = 0; x < node->w; x++)
        window_of(node, x, in->w, node->w, bounds + 2 * (node->h + x));
    out->rows = bounds;
    out->columns = bounds + 2 * node->h;
    if (node->op == CTKD__OP_AVERAGE_POOL && node->count_padding)
        out->factor = 1.0f / (float)(node->kernel * node->kernel);
    return CTKD_OK;
}

void ctkd__windows_fini(struct ctkd__windows *windows)
{
    free((void *)(uintptr_t)windows->rows);
    *windows = (struct ctkd__windows){ 0 };
}

static ctkd_status average_create_maps(const struct ctkd__lowering *l, struct ctkd__lowered *op)
{
    (void)l;
    return ctkd__windows_create(op->node, op->in, &op->windows);
}

/* --- passes */

static void average_forward(const struct ctkd__worker_view *v)
{
    v->features->average(v->n * v->op->in_blocks, &v->op->windows, ctkd__view_x(v),
                         ctkd__view_y(v));
}

static void average_backward(const struct ctkd__worker_view *v)
{
    v->features->average_backward(v->n * v->op->in_blocks, &v->op->windows, ctkd__view_dy(v),
                                  ctkd__view_buffer(v, v->op->dx.base),
                                  ctkd__view_buffer(v, v->op->dx.out));
}

const struct ctkd__instruction_def ctkd__instruction_average = {
    .text = "average",
    .backward_reads = CTKD__READS_NOTHING,
    .dx = CTKD__DX_APART,
    .create_maps = average_create_maps,
    .forward = average_forward,
    .backward = average_backward,
    .infer = average_forward,
};
