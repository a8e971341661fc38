#include "nn/program.h"

#include <stdlib.h>

struct fusion {
    const struct ctkd__graph *graph;
    const bool *keep;
    int *readers, *reader; /* of each node: how many read it; the last one that does */
    bool *absorbed;        /* belongs to the step of an earlier node */
    struct ctkd__step *at; /* step that ends at a node */
    bool *ends;
};

/* The only reader of `node` if it is of kind `op` and the node's own value is not needed; else -1.
 */
static int sole_reader(const struct fusion *f, int node, enum ctkd__op op)
{
    if (f->readers[node] != 1 || (f->keep && f->keep[node]) || node == f->graph->output)
        return -1;
    const int reader = f->reader[node];
    return f->graph->nodes[reader].op == op ? reader : -1;
}

static int other_operand(const struct fusion *f, int add, int node)
{
    const int *const inputs = f->graph->nodes[add].inputs;
    return inputs[0] == node ? inputs[1] : inputs[0];
}

/* Absorbs an add (and the ReLU behind it) into the step that ends at `end`; returns the new end. Of
   two candidates for the same add the later one takes it: by then the other operand exists. */
static int absorb_tail(struct fusion *f, struct ctkd__step *step, int end,
                       bool (*can_take)(const struct fusion *f, int node))
{
    const int add = sole_reader(f, end, CTKD__OP_ADD);
    if (add >= 0) {
        const int other = other_operand(f, add, end);
        const bool other_takes =
            other > end && can_take(f, other) && sole_reader(f, other, CTKD__OP_ADD) == add;
        if (other != end && !other_takes) {
            step->residual = other;
            end = add;
            f->absorbed[add] = true;
        }
    }
    const int relu = sole_reader(f, end, CTKD__OP_RELU);
    if (relu >= 0) {
        step->relu = true;
        end = relu;
        f->absorbed[relu] = true;
    }
    return end;
}

static bool ends_norm(const struct fusion *f, int node)
{
    return f->graph->nodes[node].op == CTKD__OP_BATCH_NORM;
}

static bool ends_norm_or_conv(const struct fusion *f, int node)
{
    return ends_norm(f, node) || f->graph->nodes[node].op == CTKD__OP_CONV;
}

static enum ctkd__step_kind kind_of(enum ctkd__op op)
{
    switch (op) {
    case CTKD__OP_CONV:
        return CTKD__STEP_CONV;
    case CTKD__OP_BATCH_NORM:
        return CTKD__STEP_NORM;
    case CTKD__OP_ADD:
        return CTKD__STEP_ADD;
    case CTKD__OP_RELU:
        return CTKD__STEP_RELU;
    case CTKD__OP_MAX_POOL:
        return CTKD__STEP_MAX_POOL;
    case CTKD__OP_GLOBAL_POOL:
        return CTKD__STEP_GLOBAL_POOL;
    case CTKD__OP_LINEAR:
        return CTKD__STEP_LINEAR;
    case CTKD__OP_SUBSAMPLE:
        return CTKD__STEP_SUBSAMPLE;
    default:
        return CTKD__STEP_KINDS; /* the input has no step */
    }
}

static void fuse_from(struct fusion *f, int node, bool inference)
{
    const struct ctkd__node *const n = &f->graph->nodes[node];
    struct ctkd__step step = { kind_of(n->op), node, -1, n->inputs[0], -1, node, false };
    int end = node;
    if (n->op == CTKD__OP_CONV && inference) {
        const int norm = sole_reader(f, node, CTKD__OP_BATCH_NORM);
        if (norm >= 0) {
            step.norm = end = norm;
            f->absorbed[norm] = true;
        }
        end = absorb_tail(f, &step, end, ends_norm_or_conv);
    } else if (n->op == CTKD__OP_BATCH_NORM) {
        end = absorb_tail(f, &step, end, inference ? ends_norm_or_conv : ends_norm);
    } else if (n->op == CTKD__OP_ADD) {
        step.residual = n->inputs[1];
        const int relu = sole_reader(f, node, CTKD__OP_RELU);
        if (relu >= 0) {
            step.relu = true;
            end = relu;
            f->absorbed[relu] = true;
        }
    }
    step.output = end;
    f->at[end] = step;
    f->ends[end] = true;
}

static ctkd_status fuse(struct fusion *f, bool inference, struct ctkd__program *out)
{
    const int n = f->graph->n_nodes;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < 2; j++) {
            const int input = f->graph->nodes[i].inputs[j];
            if (input >= 0) {
                f->readers[input]++;
                f->reader[input] = i;
            }
        }
    for (int i = 0; i < n; i++)
        if (!f->absorbed[i] && f->graph->nodes[i].op != CTKD__OP_INPUT)
            fuse_from(f, i, inference);
    for (int i = 0; i < n; i++)
        if (f->ends[i])
            out->steps[out->count++] = f->at[i];
    return CTKD_OK;
}

ctkd_status ctkd__program_create(const struct ctkd__graph *graph, bool inference, const bool *keep,
                                 struct ctkd__program *out)
{
    const size_t n = (size_t)graph->n_nodes;
    struct fusion f = { graph,
                        keep,
                        calloc(n, sizeof(int)),
                        calloc(n, sizeof(int)),
                        calloc(n, sizeof(bool)),
                        calloc(n, sizeof(struct ctkd__step)),
                        calloc(n, sizeof(bool)) };
    *out = (struct ctkd__program){ calloc(n, sizeof(struct ctkd__step)), 0, 0, graph->output };
    ctkd_status status = CTKD_ENOMEM;
    if (f.readers && f.reader && f.absorbed && f.at && f.ends && out->steps)
        status = fuse(&f, inference, out);
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].op == CTKD__OP_INPUT)
            out->input = i;
    free(f.readers);
    free(f.reader);
    free(f.absorbed);
    free(f.at);
    free(f.ends);
    if (status)
        ctkd__program_fini(out);
    return status;
}

bool ctkd__program_read_by_convs(const struct ctkd__program *program, int norm,
                                 bool (*takes)(void *context, int step), void *context)
{
    const struct ctkd__step *const steps = program->steps, *const from = &steps[norm];
    if (from->kind != CTKD__STEP_NORM || from->residual >= 0)
        return false;
    bool all = false;
    for (int i = norm + 1; i < program->count; i++) {
        if (steps[i].residual == from->output)
            return false;
        if (steps[i].input != from->output)
            continue;
        if (steps[i].kind != CTKD__STEP_CONV || !takes(context, i))
            return false;
        all = true;
    }
    return all;
}

void ctkd__program_fini(struct ctkd__program *program)
{
    free(program->steps);
    *program = (struct ctkd__program){ 0 };
}
