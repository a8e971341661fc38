/*
 * Which gradients are complete while the backward pass still runs. Each part of the parameter block
 * has a last instruction that writes to it. Every worker, once past that instruction, counts itself
 * in; the one that completes the count reports the part. So no worker waits for another one here.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "nn/compile/training_internal.h"
#include "util/error.h"

struct ctkd__part {
    size_t begin;
    int last;            /* index of the last instruction to write to this part or one before it;
                            the program's count: none does */
    atomic_uint workers; /* that are past it in this pass */
};

/* Indices below that of any instruction: for what is written behind the last one. */
enum { BEHIND_ALL = -1 };

static struct ctkd__part *part_of(struct ctkd__training *t, size_t offset)
{
    size_t p = 0;
    while (t->parts[p].begin > offset)
        p++;
    return &t->parts[p];
}

static void note_write(struct ctkd__training *t, int parameter, int instruction)
{
    struct ctkd__part *const part = part_of(t, t->weights->offsets[parameter]);
    part->last = instruction < part->last ? instruction : part->last;
}

static void find_last(struct ctkd__training *t)
{
    const struct ctkd__graph *const graph = t->lowering.graph;
    for (size_t p = 0; p < t->n_parts; p++)
        t->parts[p].last = t->lowering.program.count;
    for (int i = 0; i < t->lowering.program.count; i++)
        for (int role = CTKD__ROLE_WEIGHT; role <= CTKD__ROLE_BIAS; role++) {
            const int parameter = t->lowering.ops[i].node->parameters[role];
            if (t->lowering.ops[i].has_backward && parameter >= 0)
                note_write(t, parameter, i);
        }
    for (size_t i = 0; i < t->config.n_outputs; i++) {
        const struct ctkd__node *const node = &graph->nodes[t->outputs[i]];
        if (node->op == CTKD__OP_PARAMETER)
            note_write(t, node->parameters[CTKD__ROLE_WEIGHT], BEHIND_ALL);
    }
    for (size_t p = 1; p < t->n_parts; p++)
        if (t->parts[p - 1].last < t->parts[p].last)
            t->parts[p].last = t->parts[p - 1].last;
}

ctkd_status ctkd__training_report_parts(struct ctkd__training *t,
                                        const struct ctkd__training_parts *parts, ctkd_error *err)
{
    struct ctkd__part *const own = calloc(parts->count, sizeof *own);
    if (!own)
        return ctkd__fail(err, CTKD_ENOMEM, "training: out of memory");
    for (size_t p = 0; p < parts->count; p++)
        own[p].begin = parts->begin[p];
    free(t->parts);
    t->parts = own;
    t->n_parts = parts->count;
    t->part_complete = parts->complete;
    t->part_context = parts->context;
    find_last(t);
    return CTKD_OK;
}

void ctkd__training_pass_instruction(struct ctkd__training *t, int instruction, size_t *part)
{
    const unsigned workers = (unsigned)ctkd__lowering_workers(&t->lowering);
    for (; *part < t->n_parts && t->parts[*part].last >= instruction; ++*part) {
        atomic_uint *const past = &t->parts[*part].workers;
        if (atomic_fetch_add_explicit(past, 1, memory_order_acq_rel) + 1 < workers)
            continue;
        atomic_store_explicit(past, 0, memory_order_relaxed); /* for the next pass */
        t->part_complete(t->part_context, *part);
    }
}
