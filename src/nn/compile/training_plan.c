/* Where the values and the gradients of a training program live. */
#include <stdlib.h>

#include "nn/compile/training_internal.h"

/* --- memory: forward instruction i happens at time i, its backward at time 2 * count - i */

static size_t backward_time(const struct ctkd__training *t, int i)
{
    return (size_t)(2 * t->lowering.program.count - i);
}

static int add_buffer(struct ctkd__training *t, size_t image_bytes, size_t time, bool *short_of)
{
    struct ctkd__arena *const plan = &t->lowering.plan;
    const int buffer = ctkd__arena_add(plan, image_bytes * t->lowering.images, time);
    *short_of |= buffer < 0;
    if (buffer >= 0)
        plan->buffers[buffer].image_bytes = image_bytes;
    return buffer;
}

static void use_buffer(struct ctkd__training *t, int buffer, size_t time)
{
    if (buffer != CTKD__NO_BUFFER)
        ctkd__arena_use(&t->lowering.plan, buffer, time);
}

/* Where images that come as bytes become floats: for a moment in either pass, so that these floats
   share their memory with activations. */
static bool plan_images(struct ctkd__training *t, int i)
{
    struct ctkd__lowered *const op = &t->lowering.ops[i];
    const size_t bytes = ctkd__lowered_image_bytes(op);
    bool short_of = false;
    if (!bytes)
        return true;
    op->images[0] = add_buffer(t, bytes, (size_t)i, &short_of);
    if (!short_of && !t->lowering.forward_only && ctkd__backward_reads(op) & CTKD__READS_X)
        op->images[1] = add_buffer(t, bytes, backward_time(t, i), &short_of);
    return !short_of;
}

/* Activations: each lives from its instruction to the last one that reads it, forward or backward.
 */
static bool plan_values(struct ctkd__training *t)
{
    struct ctkd__lowering *const l = &t->lowering;
    bool short_of = false;
    for (int i = 0; i < l->program.count && !short_of; i++) {
        struct ctkd__lowered *const op = &l->ops[i];
        const size_t now = (size_t)i, later = l->forward_only ? now : backward_time(t, i);
        const unsigned reads = ctkd__backward_reads(op);
        const bool is_stored = ctkd__lowering_place_operands(l, op);
        short_of = !plan_images(t, i);
        use_buffer(t, op->x, reads & CTKD__READS_X ? later : now);
        use_buffer(t, op->residual, reads & CTKD__READS_RESIDUAL ? later : now);
        if (!is_stored || short_of)
            continue;
        op->y = add_buffer(t, op->out_floats * sizeof(float), now, &short_of);
        if (!short_of && reads & CTKD__READS_Y)
            use_buffer(t, op->y, later);
        if (op->def->keeps_index) {
            op->index = add_buffer(t, op->out_floats, now, &short_of);
            if (!short_of)
                use_buffer(t, op->index, later);
        }
    }
    return !short_of;
}

/* --- gradients */

/* A gradient goes to a value only if something before it is trained, or it is a side input whose
   gradient is asked for. */
static void find_needs(struct ctkd__training *t)
{
    for (int i = 0; i < t->lowering.graph->n_nodes; i++) {
        const struct ctkd__node *const node = &t->lowering.graph->nodes[i];
        bool needs = node->parameters[CTKD__ROLE_WEIGHT] >= 0 ||
                     (node->op == CTKD__OP_SIDE_INPUT && t->config.input_gradients);
        for (int j = 0; j < 2; j++)
            needs = needs || (node->inputs[j] >= 0 && t->needs_gradient[node->inputs[j]]);
        t->needs_gradient[i] = needs;
    }
}

static bool needs(const struct ctkd__training *t, int value)
{
    return value >= 0 && t->needs_gradient[value];
}

/* During the backward pass: which buffer holds the gradient of each value, and how many values
   still depend on what is in each buffer. A buffer with one holder may be written in place. */
struct gradient_plan {
    int *of_value; /* [nodes] */
    int *holders;  /* [buffers] */
};

/* Where the gradient of `value` goes: onto the gradient that is there already, unless that is in
   `read`, a buffer that the instruction still reads at other places than it writes; into `spare` (a
   buffer of the same size that nobody needs any more), or into a new buffer. */
static struct ctkd__gradient place_gradient(struct ctkd__training *t, struct gradient_plan *plan,
                                            int value, size_t image_floats, int read, int spare,
                                            size_t time, bool *short_of)
{
    const int base = plan->of_value[value];
    int out;
    if (base != CTKD__NO_BUFFER && base != read && plan->holders[base] == 1) {
        out = base;
    } else if (spare != CTKD__NO_BUFFER && plan->holders[spare] == 0) {
        out = spare;
    } else {
        out = add_buffer(t, image_floats * sizeof(float), time, short_of);
        if (*short_of)
            return (struct ctkd__gradient){ CTKD__NO_BUFFER, CTKD__NO_BUFFER };
        plan->holders[out] = 0;
    }
    if (base != CTKD__NO_BUFFER) {
        plan->holders[base]--;
        use_buffer(t, base, time);
    }
    plan->holders[out]++;
    plan->of_value[value] = out;
    use_buffer(t, out, time);
    return (struct ctkd__gradient){ out, base };
}

/* The gradient of `value` is what is in `masked`: shared when it is the first, added otherwise. */
static struct ctkd__gradient share_gradient(struct ctkd__training *t, struct gradient_plan *plan,
                                            int value, size_t image_floats, int masked, size_t time,
                                            bool *short_of)
{
    if (plan->of_value[value] != CTKD__NO_BUFFER)
        return place_gradient(t, plan, value, image_floats, CTKD__NO_BUFFER, CTKD__NO_BUFFER, time,
                              short_of);
    plan->of_value[value] = masked;
    plan->holders[masked]++;
    return (struct ctkd__gradient){ masked, CTKD__NO_BUFFER };
}

/* Where the gradient behind the ReLU of a sum is stored: in place of dy if nothing else needs dy.
 */
static int masked_buffer(struct ctkd__training *t, struct gradient_plan *plan,
                         const struct ctkd__lowered *op, size_t time, bool *short_of)
{
    if (!op->instruction.relu || plan->holders[op->dy] == 0)
        return op->dy;
    const int buffer = add_buffer(t, op->out_floats * sizeof(float), time, short_of);
    if (!*short_of)
        plan->holders[buffer] = 0;
    return buffer;
}

/* The gradient of an instruction's output ends here. */
static void take_gradient(struct ctkd__training *t, struct gradient_plan *plan,
                          struct ctkd__lowered *op, size_t now)
{
    const int value = op->instruction.output;
    op->dy = value >= 0 ? plan->of_value[value] : CTKD__NO_BUFFER;
    if (op->dy == CTKD__NO_BUFFER)
        return;
    plan->of_value[value] = CTKD__NO_BUFFER;
    plan->holders[op->dy]--;
    use_buffer(t, op->dy, now);
}

/* Instructions that add a residual hand it their own gradient; the others compute one. */
static void plan_residual_gradient(struct ctkd__training *t, struct gradient_plan *plan,
                                   struct ctkd__lowered *op, size_t now, bool *short_of)
{
    const int residual = op->instruction.residual;
    if (op->def->adds_residual) {
        op->masked = masked_buffer(t, plan, op, now, short_of);
        if (*short_of)
            return;
        use_buffer(t, op->masked, now);
        if (needs(t, residual))
            op->dr = share_gradient(t, plan, residual, op->out_floats, op->masked, now, short_of);
    } else if (needs(t, residual)) {
        op->dr = place_gradient(t, plan, residual, op->residual_floats, op->dy, CTKD__NO_BUFFER,
                                now, short_of);
    }
}

/* Where dx may not take the place of dy, dy must outlive the instruction, even where an earlier
   gradient of the input is in its buffer: y = conv(x) + x hands x the gradient that the convolution
   reads. */
static void plan_input_gradient(struct ctkd__training *t, struct gradient_plan *plan,
                                struct ctkd__lowered *op, size_t now, bool *short_of)
{
    const int input = op->instruction.input;
    const bool is_sum = op->def->adds_residual && op->instruction.residual >= 0;
    const int masked = is_sum ? op->masked : op->dy;
    switch (op->def->dx) {
    case CTKD__DX_IS_DY:
        op->dx = share_gradient(t, plan, input, op->in_floats, masked, now, short_of);
        break;
    case CTKD__DX_IN_PLACE:
        op->dx =
            place_gradient(t, plan, input, op->in_floats, CTKD__NO_BUFFER, masked, now, short_of);
        break;
    case CTKD__DX_APART:
        op->dx =
            place_gradient(t, plan, input, op->in_floats, op->dy, CTKD__NO_BUFFER, now, short_of);
        break;
    }
}

static void plan_op_gradient(struct ctkd__training *t, struct gradient_plan *plan, int i,
                             bool *short_of)
{
    struct ctkd__lowered *const op = &t->lowering.ops[i];
    const size_t now = backward_time(t, i);
    take_gradient(t, plan, op, now);
    if (op->instruction.kind == CTKD__INSTRUCTION_OUTPUT)
        op->has_backward = needs(t, op->instruction.input);
    else
        op->has_backward = op->dy != CTKD__NO_BUFFER || op->is_logits;
    if (op->has_backward && op->instruction.residual >= 0)
        plan_residual_gradient(t, plan, op, now, short_of);
    if (op->has_backward && needs(t, op->instruction.input) && !*short_of)
        plan_input_gradient(t, plan, op, now, short_of);
}

static bool plan_gradients(struct ctkd__training *t)
{
    find_needs(t);
    const size_t nodes = (size_t)t->lowering.graph->n_nodes;
    const size_t buffers_max = t->lowering.plan.count + 4 * (size_t)t->lowering.program.count;
    struct gradient_plan plan = { malloc(nodes * sizeof(int)), calloc(buffers_max, sizeof(int)) };
    bool short_of = !plan.of_value || !plan.holders;
    for (size_t i = 0; !short_of && i < nodes; i++)
        plan.of_value[i] = CTKD__NO_BUFFER;
    for (int i = t->lowering.program.count - 1; i >= 0 && !short_of; i--)
        plan_op_gradient(t, &plan, i, &short_of);
    free(plan.of_value);
    free(plan.holders);
    return !short_of;
}

bool ctkd__training_plan(struct ctkd__training *t)
{
    if (!plan_values(t) || (!t->lowering.forward_only && !plan_gradients(t)))
        return false;
    ctkd__arena_plan(&t->lowering.plan);
    return true;
}
