#include <string.h>

#include "nn/compile/training_internal.h"
#include "nn/graph_build.h"
#include "util/error.h"

int ctkd__graph_linear(struct ctkd__graph *graph, int x, const char *name, size_t out,
                       enum ctkd__init weight_init, float weight_value, enum ctkd__init bias_init,
                       float bias_value)
{
    if (!ctkd__build_usable(graph, x, name))
        return -1;
    const struct ctkd__node *const from = &graph->nodes[x];
    if (from->h != 1 || from->w != 1) {
        graph->status =
            ctkd__fail(&graph->error, CTKD_ESHAPE, "%s: input %s is %zux%zux%zu, expected %zux1x1",
                       name, from->name, from->c, from->h, from->w, from->c);
        return -1;
    }
    const size_t shape[4] = { out, from->c };
    const int y =
        ctkd__build_node(graph, CTKD__OP_LINEAR, name, x, -1, (const size_t[3]){ out, 1, 1 });
    ctkd__build_parameter(graph, CTKD__ROLE_WEIGHT, ".weight", 2, shape, weight_init, weight_value);
    ctkd__build_parameter(graph, CTKD__ROLE_BIAS, ".bias", 1, shape, bias_init, bias_value);
    return graph->status ? -1 : y;
}

/* --- plain rows: the logits, or some in the scratch memory */

static struct ctkd__extent row_extent(const struct ctkd__worker_view *v)
{
    return (struct ctkd__extent){ v->n, v->op->out_blocks, 1 };
}

static void compute_rows(const struct ctkd__worker_view *v, const float *weights, const float *bias)
{
    const struct ctkd__lowered *const op = v->op;
    const size_t k = op->node->c;
    float *const rows = op->is_logits ? v->logits + v->first * k : ctkd__view_scratch(v);
    v->kernels->linear(v->n, op->in_floats, k, ctkd__view_x(v), weights, bias, rows);
    if (op->y != CTKD__NO_BUFFER)
        v->features->block(row_extent(v), k, rows, NULL, ctkd__view_y(v));
}

/* --- training */

static void linear_forward(const struct ctkd__worker_view *v)
{
    compute_rows(v, ctkd__view_parameter(v, CTKD__ROLE_WEIGHT),
                 ctkd__view_parameter(v, CTKD__ROLE_BIAS));
}

/* The gradient's rows: the caller's, those of the instructions that read the value, or their sum.
 */
static const float *linear_gradient(const struct ctkd__worker_view *v)
{
    const struct ctkd__lowered *const op = v->op;
    const size_t k = op->node->c;
    const float *const dlogits = op->is_logits ? v->training->dlogits + v->first * k : NULL;
    if (op->dy == CTKD__NO_BUFFER)
        return dlogits;
    float *const rows = ctkd__view_scratch(v);
    v->features->unblock(row_extent(v), k, ctkd__view_dy(v), rows);
    for (size_t i = 0; dlogits && i < v->n * k; i++)
        rows[i] += dlogits[i];
    return rows;
}

static void linear_backward(const struct ctkd__worker_view *v)
{
    v->kernels->linear_backward(
        v->n, v->op->in_floats, v->op->node->c, ctkd__view_x(v),
        ctkd__view_parameter(v, CTKD__ROLE_WEIGHT), linear_gradient(v),
        ctkd__view_buffer(v, v->op->dx.base), ctkd__view_buffer(v, v->op->dx.out),
        ctkd__view_gradient(v, CTKD__ROLE_WEIGHT), ctkd__view_gradient(v, CTKD__ROLE_BIAS));
}

/* --- inference */

static void linear_constants(const struct ctkd__lowering *l, const struct ctkd__lowered *op,
                             size_t bytes[3])
{
    (void)l;
    bytes[0] = op->in_floats * op->out->c * sizeof(float);
    bytes[1] = op->out->c * sizeof(float);
}

static void linear_load(const struct ctkd__lowering *l, const struct ctkd__lowered *op,
                        const struct ctkd__weights *weights, float *folded)
{
    (void)l;
    (void)folded;
    memcpy(op->weights, ctkd__node_parameter(weights, op->node, CTKD__ROLE_WEIGHT),
           op->weights_bytes);
    memcpy(op->bias, ctkd__node_parameter(weights, op->node, CTKD__ROLE_BIAS),
           op->out->c * sizeof(float));
}

static void linear_infer(const struct ctkd__worker_view *v)
{
    compute_rows(v, v->op->weights, v->op->bias);
}

const struct ctkd__instruction_def ctkd__instruction_linear = {
    .text = "linear",
    .backward_reads = CTKD__READS_X,
    .dx = CTKD__DX_APART,
    .forward = linear_forward,
    .backward = linear_backward,
    .infer = linear_infer,
    .constants = linear_constants,
    .load = linear_load,
};
