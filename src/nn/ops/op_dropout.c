#include <math.h>

#include "ctkd/random.h"
#include "nn/compile/training_internal.h"
#include "nn/graph_build.h"
#include "util/error.h"

int ctkd__graph_dropout(struct ctkd__graph *graph, int x, float rate)
{
    if (!ctkd__build_usable(graph, x, "dropout"))
        return -1;
    if (!(rate >= 0 && rate < 1)) {
        graph->status =
            ctkd__fail(&graph->error, CTKD_EINVAL,
                       "dropout: rate %g, expected at least 0 and less than 1", (double)rate);
        return -1;
    }
    const struct ctkd__node *const from = &graph->nodes[x];
    const int y = ctkd__build_after(graph, CTKD__OP_DROPOUT, x, -1,
                                    (const size_t[3]){ from->c, from->h, from->w });
    if (y < 0)
        return -1;
    graph->nodes[y].rate = rate;
    for (int i = 0; i < y; i++)
        graph->nodes[y].channel += graph->nodes[i].op == CTKD__OP_DROPOUT;
    return y;
}

/* Four elements of an image share a draw. minor: number of the dropout in its graph, image of the
   batch, elements; none of them reaches the next, since a value has less than 2^31 elements. */
static void draw_four(const struct ctkd__worker_view *v, size_t image, size_t e, uint32_t words[4])
{
    const struct ctkd__draws *const draws = &v->training->draws;
    ctkd_random_u32x4(draws->seed, CTKD_RANDOM_DROPOUT, draws->major,
                      (uint64_t)v->op->node->channel << 48 |
                          (uint64_t)(draws->first + v->first + image) << 29 | e / 4,
                      words);
}

/* y = x / (1 - rate) where the draw is at least rate, else 0; plus base. The element's number is
   that of the plain layout, whatever the blocks; padded channels are 0 and stay so. */
static void drop(const struct ctkd__worker_view *v, const float *x, const float *base, float *y)
{
    const struct ctkd__node *const node = v->op->node;
    const size_t block = v->lowering->kernels->block, hw = v->op->in_hw;
    const float keep = 1 / (1 - node->rate);
    const uint32_t least = (uint32_t)ldexp((double)node->rate, 32);
    for (size_t n = 0; n < v->n; n++) {
        const size_t image = n * v->op->in_floats;
        uint32_t words[4] = { 0 };
        size_t drawn = SIZE_MAX;
        for (size_t c = 0; c < v->op->in_blocks * block; c++)
            for (size_t p = 0; p < hw; p++) {
                const size_t e = c * hw + p, at = image + (c / block * hw + p) * block + c % block;
                if (e / 4 != drawn)
                    draw_four(v, n, e, words);
                drawn = e / 4;
                const float kept = words[e % 4] >= least ? x[at] * keep : 0;
                y[at] = base ? base[at] + kept : kept;
            }
    }
}

static void dropout_forward(const struct ctkd__worker_view *v)
{
    drop(v, ctkd__view_x(v), NULL, ctkd__view_y(v));
}

/* Makes the same draws again, so that no mask is kept. */
static void dropout_backward(const struct ctkd__worker_view *v)
{
    drop(v, ctkd__view_dy(v), ctkd__view_buffer(v, v->op->dx.base),
         ctkd__view_buffer(v, v->op->dx.out));
}

static void dropout_infer(const struct ctkd__worker_view *v)
{
    const float *const x = ctkd__view_x(v);
    float *const y = ctkd__view_y(v);
    for (size_t i = 0; i < v->n * v->op->in_floats; i++)
        y[i] = x[i];
}

const struct ctkd__instruction_def ctkd__instruction_dropout = {
    .text = "dropout",
    .backward_reads = CTKD__READS_NOTHING,
    .dx = CTKD__DX_IN_PLACE,
    .forward = dropout_forward,
    .backward = dropout_backward,
    .infer = dropout_infer,
};
