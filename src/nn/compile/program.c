#include "nn/compile/program.h"

#include <stdlib.h>

#include "nn/compile/instructions.h"

static const enum ctkd__instruction_kind op_instructions[CTKD__OP_COUNT] = {
#define OP_INSTRUCTION(op, name, instruction) [CTKD__OP_##op] = CTKD__INSTRUCTION_##instruction,
    CTKD__OP_LIST(OP_INSTRUCTION)
#undef OP_INSTRUCTION
};

enum ctkd__instruction_kind ctkd__op_instruction(enum ctkd__op op)
{
    return op_instructions[op];
}

static const struct ctkd__instruction_def *const defs[CTKD__INSTRUCTION_KINDS] = {
#define INSTRUCTION_DEF(kind, name) &ctkd__instruction_##name,
    CTKD__INSTRUCTION_LIST(INSTRUCTION_DEF)
#undef INSTRUCTION_DEF
};

const struct ctkd__instruction_def *ctkd__instruction_def(enum ctkd__instruction_kind kind)
{
    return defs[kind];
}

/* What is known about a node while instructions are made. */
struct known {
    bool needed;                 /* by the logits or an output */
    bool kept;                   /* is an output or the logits: its value must exist */
    int readers, reader;         /* how many of the needed nodes read it; the last one that does */
    bool absorbed;               /* it is part of an earlier node's instruction */
    bool ends;                   /* an instruction ends here */
    struct ctkd__instruction at; /* that instruction */

    bool seen_through; /* a map of channels that only maps of channels read: never computed */
    int sources[2];    /* of a map: what it reads in the end */
    struct ctkd__channel *channels;
};

struct fusion {
    const struct ctkd__graph *graph;
    const struct ctkd__program_request *request;
    struct known *known; /* [nodes] */
};

/* The only reader of `node` if it is of kind `op` and the node's own value is not needed; else -1.
 */
static int sole_reader(const struct fusion *f, int node, enum ctkd__op op)
{
    const struct known *const k = &f->known[node];
    if (k->readers != 1 || k->kept)
        return -1;
    return f->graph->nodes[k->reader].op == op ? k->reader : -1;
}

static int other_operand(const struct fusion *f, int add, int node)
{
    const int *const inputs = f->graph->nodes[add].inputs;
    return inputs[0] == node ? inputs[1] : inputs[0];
}

/* Absorbs an add (and the ReLU behind it) into the instruction that ends at `end`; returns the new
   end. Of two candidates for the same add the later one takes it: by then the other operand exists.
 */
static int absorb_tail(struct fusion *f, struct ctkd__instruction *instruction, int end,
                       bool (*can_take)(const struct fusion *f, int node))
{
    const int add = sole_reader(f, end, CTKD__OP_ADD);
    if (add >= 0) {
        const int other = other_operand(f, add, end);
        const bool other_takes =
            other > end && can_take(f, other) && sole_reader(f, other, CTKD__OP_ADD) == add;
        if (other != end && !other_takes) {
            instruction->residual = other;
            end = add;
            f->known[add].absorbed = true;
        }
    }
    const int relu = sole_reader(f, end, CTKD__OP_RELU);
    if (relu >= 0) {
        instruction->relu = true;
        end = relu;
        f->known[relu].absorbed = true;
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

/* --- maps of channels */

static bool is_map(const struct fusion *f, int node)
{
    return ctkd__op_instruction(f->graph->nodes[node].op) == CTKD__INSTRUCTION_CHANNELS;
}

/* The operand number of `source` in a map, which may take it as a new one; false when it has two
   others. */
static bool find_source(struct known *map, int source, uint32_t *operand)
{
    for (*operand = 0; *operand < 2; (*operand)++) {
        if (map->sources[*operand] < 0)
            map->sources[*operand] = source;
        if (map->sources[*operand] == source)
            return true;
    }
    return false;
}

/* The map of `node` through those before it that are seen through. False when it would have more
   than two sources. */
static bool compose(struct fusion *f, int node)
{
    struct known *const map = &f->known[node];
    const int *const inputs = f->graph->nodes[node].inputs;
    map->sources[0] = map->sources[1] = -1;
    for (size_t c = 0; c < f->graph->nodes[node].c; c++) {
        struct ctkd__channel from = ctkd__direct_channel(f->graph, node, c);
        int source = inputs[from.operand];
        const struct known *const before = &f->known[source];
        if (before->seen_through) {
            from = before->channels[from.channel];
            source = before->sources[from.operand];
        }
        if (!find_source(map, source, &from.operand))
            return false;
        map->channels[c] = from;
    }
    return true;
}

/* Whether no channel of a source is read twice: its gradient is then a map too. */
static bool reads_once(const struct fusion *f, int node)
{
    const struct known *const map = &f->known[node];
    const size_t channels = f->graph->nodes[node].c;
    for (size_t i = 0; i < channels; i++)
        for (size_t j = 0; j < i; j++)
            if (map->channels[i].operand == map->channels[j].operand &&
                map->channels[i].channel == map->channels[j].channel)
                return false;
    return true;
}

/* concat(x, x): two operands that are the same value, each with its own gradient. */
static void take_directly(struct fusion *f, int node)
{
    struct known *const map = &f->known[node];
    for (int i = 0; i < 2; i++)
        map->sources[i] = f->graph->nodes[node].inputs[i];
    for (size_t c = 0; c < f->graph->nodes[node].c; c++)
        map->channels[c] = ctkd__direct_channel(f->graph, node, c);
}

static void find_seen_through(struct fusion *f)
{
    const int n = f->graph->n_nodes;
    for (int i = 0; i < n; i++)
        f->known[i].seen_through = f->known[i].needed && !f->known[i].kept && is_map(f, i);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < 2; j++) {
            const int input = f->graph->nodes[i].inputs[j];
            if (f->known[i].needed && input >= 0 && !is_map(f, i))
                f->known[input].seen_through = false;
        }
}

/* Joins chains of maps into one map if it has at most two sources; otherwise the values before the
   map are computed after all. */
static bool make_maps(struct fusion *f, struct ctkd__program *out)
{
    size_t total = 0;
    for (int i = 0; i < f->graph->n_nodes; i++)
        total += f->known[i].needed && is_map(f, i) ? f->graph->nodes[i].c : 0;
    out->channels = calloc(total + 1, sizeof *out->channels);
    if (!out->channels)
        return false;
    find_seen_through(f);
    struct ctkd__channel *channels = out->channels;
    for (int i = 0; i < f->graph->n_nodes; i++) {
        if (!f->known[i].needed || !is_map(f, i))
            continue;
        f->known[i].channels = channels;
        channels += f->graph->nodes[i].c;
        if (compose(f, i) && reads_once(f, i))
            continue;
        for (int j = 0; j < 2; j++)
            if (f->graph->nodes[i].inputs[j] >= 0)
                f->known[f->graph->nodes[i].inputs[j]].seen_through = false;
        take_directly(f, i);
    }
    return true;
}

/* --- instructions */

static void fuse_from(struct fusion *f, int node)
{
    const struct ctkd__node *const n = &f->graph->nodes[node];
    struct ctkd__instruction instruction = { .kind = ctkd__op_instruction(n->op),
                                             .node = node,
                                             .norm = -1,
                                             .input = n->inputs[0],
                                             .residual = n->inputs[1] };
    int end = node;
    if (n->op == CTKD__OP_CONV && f->request->inference) {
        const int norm = sole_reader(f, node, CTKD__OP_BATCH_NORM);
        if (norm >= 0) {
            instruction.norm = end = norm;
            f->known[norm].absorbed = true;
        }
        end = absorb_tail(f, &instruction, end, ends_norm_or_conv);
    } else if (n->op == CTKD__OP_BATCH_NORM) {
        end = absorb_tail(f, &instruction, end,
                          f->request->inference ? ends_norm_or_conv : ends_norm);
    } else if (n->op == CTKD__OP_ADD) {
        const int relu = sole_reader(f, node, CTKD__OP_RELU);
        if (relu >= 0) {
            instruction.relu = true;
            end = relu;
            f->known[relu].absorbed = true;
        }
    } else if (instruction.kind == CTKD__INSTRUCTION_CHANNELS) {
        instruction.input = f->known[node].sources[0];
        instruction.residual = f->known[node].sources[1];
        instruction.channels = f->known[node].channels;
    }
    instruction.output = end;
    f->known[end].at = instruction;
    f->known[end].ends = true;
}

/* Marks what the logits and the outputs are computed from, and records what reads it. */
static void find_needed(struct fusion *f)
{
    const struct ctkd__graph *const g = f->graph;
    if (g->output >= 0 && !f->request->no_logits)
        f->known[g->output].needed = f->known[g->output].kept = true;
    for (size_t i = 0; i < f->request->n_outputs; i++)
        f->known[f->request->outputs[i]].needed = f->known[f->request->outputs[i]].kept = true;
    for (int i = g->n_nodes - 1; i >= 0; i--)
        for (int j = 0; j < 2 && f->known[i].needed; j++)
            if (g->nodes[i].inputs[j] >= 0)
                f->known[g->nodes[i].inputs[j]].needed = true;
    for (int i = 0; i < g->n_nodes; i++)
        for (int j = 0; j < 2 && f->known[i].needed; j++)
            if (g->nodes[i].inputs[j] >= 0) {
                f->known[g->nodes[i].inputs[j]].readers++;
                f->known[g->nodes[i].inputs[j]].reader = i;
            }
}

/* Whether something reads the images blocked: convolutions read them as they are, anything else
   does not. */
static bool images_are_blocked(const struct fusion *f, int input)
{
    bool others = f->known[input].kept;
    for (int i = input + 1; i < f->graph->n_nodes && !others; i++)
        others = f->known[i].needed && f->graph->nodes[i].op != CTKD__OP_CONV &&
                 (f->graph->nodes[i].inputs[0] == input || f->graph->nodes[i].inputs[1] == input);
    return others;
}

static bool has_instruction(const struct fusion *f, int node)
{
    const enum ctkd__op op = f->graph->nodes[node].op;
    if (!f->known[node].needed || f->known[node].absorbed || f->known[node].seen_through)
        return false;
    return op == CTKD__OP_INPUT ? images_are_blocked(f, node)
                                : ctkd__op_instruction(op) != CTKD__INSTRUCTION_NONE;
}

static void list_instructions(const struct fusion *f, struct ctkd__program *out)
{
    for (int i = 0; i < f->graph->n_nodes; i++) {
        if (!f->known[i].ends)
            continue;
        out->instructions[out->count++] = f->known[i].at;
        for (size_t o = 0; o < f->request->n_outputs; o++)
            if (f->request->outputs[o] == i)
                out->instructions[out->count++] =
                    (struct ctkd__instruction){ .kind = CTKD__INSTRUCTION_OUTPUT,
                                                .node = i,
                                                .norm = -1,
                                                .input = i,
                                                .residual = -1,
                                                .output = -1,
                                                .index = o };
    }
}

ctkd_status ctkd__program_create(const struct ctkd__graph *graph,
                                 const struct ctkd__program_request *request,
                                 struct ctkd__program *out)
{
    const size_t n = (size_t)graph->n_nodes;
    struct fusion f = { graph, request, calloc(n, sizeof *f.known) };
    *out = (struct ctkd__program){ calloc(n + request->n_outputs, sizeof(struct ctkd__instruction)),
                                   0, NULL };
    bool made = f.known && out->instructions;
    if (made) {
        find_needed(&f);
        made = make_maps(&f, out);
    }
    if (made) {
        for (int i = 0; i < graph->n_nodes; i++)
            if (has_instruction(&f, i))
                fuse_from(&f, i);
        list_instructions(&f, out);
    }
    free(f.known);
    if (!made)
        ctkd__program_fini(out);
    return made ? CTKD_OK : CTKD_ENOMEM;
}

bool ctkd__program_read_by_convs(const struct ctkd__program *program, int norm,
                                 bool (*takes)(void *context, int instruction), void *context)
{
    const struct ctkd__instruction *const instructions = program->instructions,
                                          *const from = &instructions[norm];
    if (from->kind != CTKD__INSTRUCTION_NORM || from->residual >= 0)
        return false;
    bool all = false;
    for (int i = norm + 1; i < program->count; i++) {
        if (instructions[i].residual == from->output)
            return false;
        if (instructions[i].input != from->output)
            continue;
        if (instructions[i].kind != CTKD__INSTRUCTION_CONV || !takes(context, i))
            return false;
        all = true;
    }
    return all;
}

void ctkd__program_fini(struct ctkd__program *program)
{
    free(program->instructions);
    free(program->channels);
    *program = (struct ctkd__program){ 0 };
}
