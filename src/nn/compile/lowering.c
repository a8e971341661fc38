#include "nn/compile/lowering.h"

#include <stdio.h>
#include <stdlib.h>

#include "nn/compile/instructions.h"
#include "nn/round.h"
#include "util/error.h"

size_t ctkd__lowering_workers(const struct ctkd__lowering *l)
{
    return ctkd__workers_count(l->workers);
}

/* --- instructions */

static void set_extents(const struct ctkd__lowering *l, struct ctkd__lowered *op)
{
    const size_t block = l->kernels->block;
    const struct ctkd__instruction *const i = &op->instruction;
    const struct ctkd__node *const nodes = l->graph->nodes;
    op->node = &nodes[i->node];
    op->in = &nodes[i->input >= 0 ? i->input : i->output];
    op->out = &nodes[i->output >= 0 ? i->output : i->input];
    op->in_blocks = ctkd__round_up(op->in->c, block) / block;
    op->in_hw = op->in->h * op->in->w;
    op->in_floats = op->in_blocks * block * op->in_hw;
    op->out_blocks = ctkd__round_up(op->out->c, block) / block;
    op->out_hw = op->out->h * op->out->w;
    op->out_floats = op->out_blocks * block * op->out_hw;
    if (i->residual >= 0) {
        const struct ctkd__node *const residual = &nodes[i->residual];
        op->residual_floats = ctkd__round_up(residual->c, block) * residual->h * residual->w;
    }
    op->is_logits = i->output >= 0 && i->output == l->graph->output && !l->no_logits;
}

static struct ctkd__lowered lowered_from(const struct ctkd__lowering *l, int i)
{
    const struct ctkd__instruction *const instruction = &l->program.instructions[i];
    struct ctkd__lowered op = { .instruction = *instruction,
                                .def = ctkd__instruction_def(instruction->kind),
                                .x = CTKD__NO_BUFFER,
                                .residual = CTKD__NO_BUFFER,
                                .y = CTKD__NO_BUFFER,
                                .images = { CTKD__NO_BUFFER, CTKD__NO_BUFFER },
                                .index = CTKD__NO_BUFFER,
                                .dx = { CTKD__NO_BUFFER, CTKD__NO_BUFFER },
                                .dr = { CTKD__NO_BUFFER, CTKD__NO_BUFFER },
                                .dy = CTKD__NO_BUFFER,
                                .masked = CTKD__NO_BUFFER };
    for (size_t row = 0; row < sizeof op.rows / sizeof *op.rows; row++)
        op.rows[row] = -1;
    set_extents(l, &op);
    return op;
}

/* Whether the implementations that a convolution would get can apply a batch norm while they
   read. */
static bool takes_prologue(void *context, int instruction)
{
    const struct ctkd__lowering *const l = context;
    const enum ctkd__conv_direction directions[] = { CTKD__CONV_FORWARD,
                                                     CTKD__CONV_BACKWARD_WEIGHTS };
    for (int i = 0; i < (l->forward_only ? 1 : 2); i++) {
        const struct ctkd__conv_request request =
            ctkd__lowering_conv_request(l, &l->ops[instruction], directions[i], true);
        if (!ctkd__conv_supported(l->conv, &request))
            return false;
    }
    return true;
}

static void find_prologues(struct ctkd__lowering *l)
{
    for (int i = 0; i < l->program.count; i++) {
        struct ctkd__lowered *const norm = &l->ops[i];
        norm->virtual_output = ctkd__program_read_by_convs(&l->program, i, takes_prologue, l);
        for (int j = i + 1; j < l->program.count && norm->virtual_output; j++)
            if (l->ops[j].instruction.input == norm->instruction.output)
                l->ops[j].prologue = norm;
    }
}

ctkd_status ctkd__lowering_check(const struct ctkd__lowering *l, const int *outputs,
                                 size_t n_outputs, ctkd_error *err)
{
    for (size_t i = 0; i < n_outputs; i++)
        if (outputs[i] < 0 || outputs[i] >= l->graph->n_nodes)
            return ctkd__fail(err, CTKD_EINVAL, "%s: output %zu: found node %d, expected 0 to %d",
                              l->program_name, i, outputs[i], l->graph->n_nodes - 1);
    if (n_outputs == 0 && l->no_logits)
        return ctkd__fail(err, CTKD_EINVAL,
                          "%s: found neither logits nor outputs, expected one of them",
                          l->program_name);
    return CTKD_OK;
}

ctkd_status ctkd__lowering_create(struct ctkd__lowering *l, const int *outputs, size_t n_outputs)
{
    const struct ctkd__program_request request = { l->inference, l->no_logits, outputs, n_outputs };
    ctkd_status status = ctkd__program_create(l->graph, &request, &l->program);
    if (status)
        return status;
    l->ops = calloc((size_t)l->program.count, sizeof *l->ops);
    l->value_op = malloc((size_t)l->graph->n_nodes * sizeof *l->value_op);
    if (!l->ops || !l->value_op)
        return CTKD_ENOMEM;
    for (int i = 0; i < l->graph->n_nodes; i++)
        l->value_op[i] = -1;
    for (int i = 0; i < l->program.count && !status; i++) {
        struct ctkd__lowered *const op = &l->ops[i];
        *op = lowered_from(l, i);
        if (op->instruction.output >= 0)
            l->value_op[op->instruction.output] = i;
        if (op->def->create_maps)
            status = op->def->create_maps(l, op);
    }
    if (!status)
        find_prologues(l);
    return status;
}

void ctkd__lowering_fini(struct ctkd__lowering *l)
{
    for (int i = 0; l->ops && i < l->program.count; i++) {
        struct ctkd__lowered *const op = &l->ops[i];
        for (int d = 0; d < 3; d++)
            ctkd__conv_destroy(op->conv[d]);
        ctkd__channel_plan_fini(&op->channels);
        ctkd__channel_plan_fini(&op->dchannels[0]);
        ctkd__channel_plan_fini(&op->dchannels[1]);
        ctkd__windows_fini(&op->windows);
    }
    for (size_t i = 0; i < ctkd__lowering_workers(l); i++) {
        ctkd__pages_release(l->arenas ? l->arenas[i] : NULL, l->plan.bytes);
        ctkd__pages_release(l->scratch ? l->scratch[i] : NULL, l->scratch_bytes);
    }
    free(l->arenas);
    free(l->scratch);
    free(l->statuses);
    ctkd__arena_fini(&l->plan);
    ctkd__program_fini(&l->program);
    free(l->value_op);
    free(l->ops);
}

/* --- values */

int ctkd__lowering_value_buffer(const struct ctkd__lowering *l, int value)
{
    if (value < 0 || l->value_op[value] < 0)
        return CTKD__NO_BUFFER;
    const struct ctkd__lowered *const op = &l->ops[l->value_op[value]];
    return op->virtual_output ? op->x : op->y;
}

/* Whether it reads the images as they are given: convolutions do. */
static bool reads_images(const struct ctkd__lowered *op)
{
    return op->instruction.kind == CTKD__INSTRUCTION_CONV && op->in->op == CTKD__OP_INPUT;
}

size_t ctkd__lowered_image_bytes(const struct ctkd__lowered *op)
{
    const bool blocks =
        op->instruction.kind == CTKD__INSTRUCTION_INPUT && op->node->op == CTKD__OP_INPUT;
    return blocks || reads_images(op) ? op->in->c * op->in->h * op->in->w * sizeof(float) : 0;
}

static bool stores_value(const struct ctkd__lowering *l, const struct ctkd__lowered *op)
{
    const int value = op->instruction.output;
    if (op->virtual_output || value < 0)
        return false;
    bool read = !op->is_logits;
    for (int i = 0; i < l->program.count && !read; i++)
        read = l->ops[i].instruction.input == value || l->ops[i].instruction.residual == value;
    return read;
}

bool ctkd__lowering_place_operands(const struct ctkd__lowering *l, struct ctkd__lowered *op)
{
    op->x =
        reads_images(op) ? CTKD__NO_BUFFER : ctkd__lowering_value_buffer(l, op->instruction.input);
    op->residual = ctkd__lowering_value_buffer(l, op->instruction.residual);
    return stores_value(l, op);
}

/* --- memory of the workers */

ctkd_status ctkd__lowering_allocate(struct ctkd__lowering *l)
{
    const size_t workers = ctkd__lowering_workers(l);
    l->arenas = calloc(workers, sizeof *l->arenas);
    l->scratch = calloc(workers, sizeof *l->scratch);
    l->statuses = calloc(workers, sizeof *l->statuses);
    if (!l->arenas || !l->scratch || !l->statuses)
        return CTKD_ENOMEM;
    for (size_t i = 0; i < workers; i++) {
        l->arenas[i] = ctkd__pages_allocate(l->plan.bytes);
        if (!l->arenas[i])
            return CTKD_ENOMEM;
    }
    return CTKD_OK;
}

ctkd_status ctkd__lowering_grow_scratch(struct ctkd__lowering *l, size_t least)
{
    size_t bytes = least;
    for (int i = 0; i < l->program.count; i++) {
        const struct ctkd__lowered *const op = &l->ops[i];
        const size_t plain = op->out->c * sizeof(float); /* an image of LINEAR or FLATTEN */
        if (op->instruction.kind == CTKD__INSTRUCTION_LINEAR && l->images * plain > bytes)
            bytes = l->images * plain;
        if (op->instruction.kind == CTKD__INSTRUCTION_FLATTEN && plain > bytes)
            bytes = plain;
        for (int d = 0; d < 3; d++) {
            const struct ctkd__conv *const conv = op->conv[d];
            const size_t asked = conv ? ctkd__conv_base(conv)->impl->scratch_bytes(conv) : 0;
            bytes = asked > bytes ? asked : bytes;
        }
    }
    for (size_t i = 0; i < ctkd__lowering_workers(l) && bytes > l->scratch_bytes; i++) {
        ctkd__pages_release(l->scratch[i], l->scratch_bytes);
        l->scratch[i] = ctkd__pages_allocate(bytes);
        if (!l->scratch[i])
            return CTKD_ENOMEM;
    }
    l->scratch_bytes = bytes > l->scratch_bytes ? bytes : l->scratch_bytes;
    return CTKD_OK;
}

size_t ctkd__lowering_bytes(const struct ctkd__lowering *l)
{
    return ctkd__lowering_workers(l) * (l->plan.bytes + l->scratch_bytes);
}

/* --- convolutions */

bool ctkd__lowered_is_conv(const struct ctkd__lowered *op)
{
    return op->instruction.kind == CTKD__INSTRUCTION_CONV ||
           op->instruction.kind == CTKD__INSTRUCTION_TRANSPOSED_CONV;
}

/* From the output of a TRANSPOSED_CONV to its input. */
static struct ctkd__conv_shape transposed_shape(const struct ctkd__lowered *op)
{
    const struct ctkd__node *const in = op->in, *const node = op->node;
    return (struct ctkd__conv_shape){ .c = node->c,
                                      .h = node->h,
                                      .w = node->w,
                                      .o = in->c,
                                      .oh = in->h,
                                      .ow = in->w,
                                      .kernel = node->kernel,
                                      .stride = node->stride,
                                      .padding = node->padding,
                                      .groups = 1 };
}

struct ctkd__conv_request ctkd__lowering_conv_request(const struct ctkd__lowering *l,
                                                      const struct ctkd__lowered *op,
                                                      enum ctkd__conv_direction direction,
                                                      bool prologue)
{
    const struct ctkd__node *const in = op->in, *const node = op->node;
    const bool forward = direction == CTKD__CONV_FORWARD;
    struct ctkd__conv_request request = {
        .shape = { in->c, in->h, in->w, node->c, node->h, node->w, node->kernel, node->stride,
                   node->padding, in->op == CTKD__OP_INPUT, node->groups },
        .direction = direction,
        .kernels = l->kernels,
        .workers = ctkd__lowering_workers(l),
        .images = l->call_images,
        .choices = l->choices,
    };
    if (op->instruction.kind == CTKD__INSTRUCTION_TRANSPOSED_CONV) {
        request.shape = transposed_shape(op);
        /* Its forward is our backward, which may add to an earlier gradient. */
        request.residual = forward && op->dx.base != CTKD__NO_BUFFER;
        return request;
    }
    /* Folding gives every convolution of an inference program a bias. */
    request.bias = forward && (l->inference || node->parameters[CTKD__ROLE_BIAS] >= 0);
    request.residual = op->instruction.residual >= 0;
    request.relu = op->instruction.relu;
    request.prologue = prologue && direction != CTKD__CONV_BACKWARD_DATA;
    return request;
}

ctkd_status ctkd__lowering_create_conv(const struct ctkd__lowering *l, struct ctkd__lowered *op,
                                       enum ctkd__conv_direction direction, ctkd_error *err)
{
    const struct ctkd__conv_request request =
        ctkd__lowering_conv_request(l, op, direction, op->prologue != NULL);
    return ctkd__conv_create(l->conv, &request, &op->conv[direction], err);
}

ctkd_status ctkd__lowering_prepare(struct ctkd__lowering *l, size_t n, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    for (int i = 0; i < l->program.count && !status; i++)
        for (int d = 0; d < 3 && !status; d++)
            if (l->ops[i].conv[d])
                status = ctkd__conv_prepare(l->ops[i].conv[d], n, err);
    return status;
}

void ctkd__lowering_name_code(const struct ctkd__lowering *l)
{
    char how[CTKD__CONV_HOW];
    for (int i = 0; l->profile && i < l->program.count; i++)
        for (int d = 0; d < 3; d++)
            if (l->ops[i].conv[d]) {
                ctkd__conv_how(l->ops[i].conv[d], how);
                ctkd__profile_set_how(l->profile, l->ops[i].rows[d], how);
            }
}

const char *ctkd__conv_direction_text(enum ctkd__conv_direction direction)
{
    static const char *const texts[] = { [CTKD__CONV_FORWARD] = "conv forward",
                                         [CTKD__CONV_BACKWARD_DATA] = "conv backward data",
                                         [CTKD__CONV_BACKWARD_WEIGHTS] = "conv backward weights" };
    return texts[direction];
}

size_t ctkd__lowering_references(const struct ctkd__lowering *l, char first[CTKD__REFERENCE_BYTES])
{
    size_t count = 0;
    first[0] = '\0';
    for (int i = 0; i < l->program.count; i++)
        for (int d = 0; d < 3; d++) {
            const struct ctkd__lowered *const op = &l->ops[i];
            if (op->conv[d] && ctkd__conv_runs_reference(op->conv[d]) && count++ == 0)
                snprintf(first, CTKD__REFERENCE_BYTES, "%s, %s", op->node->name,
                         ctkd__conv_direction_text((enum ctkd__conv_direction)d));
        }
    return count;
}

/* --- runs */

ctkd_status ctkd__lowering_run(struct ctkd__lowering *l, void (*fn)(void *context, size_t worker),
                               void *context, ctkd_error *err)
{
    const size_t workers = ctkd__lowering_workers(l);
    for (size_t i = 0; i < workers; i++)
        l->statuses[i] = CTKD_OK;
    ctkd__workers_run(l->workers, fn, context);
    for (size_t i = 0; i < workers; i++)
        if (l->statuses[i])
            return ctkd__fail(err, l->statuses[i], "%s: a convolution failed in thread %zu",
                              l->program_name, i);
    return CTKD_OK;
}
