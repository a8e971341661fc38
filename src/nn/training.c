/* Compiling a graph for training: fused steps, memory, gradients' paths; and running it. */
#include <stdlib.h>
#include <string.h>

#include "nn/training_ops.h"
#include "util/error.h"

static size_t round_up(size_t x, size_t to)
{
    return (x + to - 1) / to * to;
}

static size_t workers_of(const struct ctkd__training *t)
{
    return ctkd__workers_count(t->config.workers);
}

/* --- steps */

static void set_extents(const struct ctkd__training *t, struct ctkd__training_op *op)
{
    const size_t block = t->config.kernels->block;
    const struct ctkd__node *const in = &t->graph->nodes[op->step.input];
    const struct ctkd__node *const out = &t->graph->nodes[op->step.output];
    op->in_blocks = round_up(in->c, block) / block;
    op->in_hw = in->h * in->w;
    op->in_floats = op->in_blocks * block * op->in_hw;
    op->out_blocks = round_up(out->c, block) / block;
    op->out_hw = out->h * out->w;
    op->out_floats = op->out_blocks * block * op->out_hw;
}

static struct ctkd__conv_request request_of(const struct ctkd__training *t,
                                            const struct ctkd__training_op *op,
                                            enum ctkd__conv_direction direction, bool prologue)
{
    const struct ctkd__node *const in = &t->graph->nodes[op->step.input];
    const struct ctkd__node *const node = op->node;
    return (struct ctkd__conv_request){
        .shape = { in->c, in->h, in->w, node->c, node->h, node->w, node->kernel, node->stride,
                   node->padding, in->op == CTKD__OP_INPUT },
        .direction = direction,
        .bias = node->parameters[CTKD__ROLE_BIAS] >= 0 && direction == CTKD__CONV_FORWARD,
        .prologue = prologue && direction != CTKD__CONV_BACKWARD_DATA,
        .kernels = t->config.kernels,
        .workers = workers_of(t),
        .images = t->slice_max,
        .choices = t->config.choices,
    };
}

static ctkd_status create_convs(struct ctkd__training *t, struct ctkd__training_op *op,
                                ctkd_error *err)
{
    const bool is_first = t->graph->nodes[op->step.input].op == CTKD__OP_INPUT;
    for (int d = 0; d < 3; d++) {
        if (d == CTKD__CONV_BACKWARD_DATA && is_first)
            continue; /* nobody asks for the gradient of the images */
        const struct ctkd__conv_request request =
            request_of(t, op, (enum ctkd__conv_direction)d, op->prologue != NULL);
        const ctkd_status status = ctkd__conv_create(t->config.conv, &request, &op->conv[d], err);
        if (status)
            return status;
    }
    return CTKD_OK;
}

/* Whether the implementations that a conv would get can apply a batch norm while they read. */
static bool takes_prologue(void *context, int step)
{
    const struct ctkd__training *const t = context;
    const enum ctkd__conv_direction directions[] = { CTKD__CONV_FORWARD,
                                                     CTKD__CONV_BACKWARD_WEIGHTS };
    for (int i = 0; i < 2; i++) {
        const struct ctkd__conv_request request = request_of(t, &t->ops[step], directions[i], true);
        if (!ctkd__conv_supported(t->config.conv, &request))
            return false;
    }
    return true;
}

static void find_prologues(struct ctkd__training *t)
{
    for (int i = 0; i < t->program.count; i++) {
        struct ctkd__training_op *const norm = &t->ops[i];
        norm->virtual_output = ctkd__program_read_by_convs(&t->program, i, takes_prologue, t);
        for (int j = i + 1; j < t->program.count && norm->virtual_output; j++)
            if (t->ops[j].step.input == norm->step.output)
                t->ops[j].prologue = norm;
    }
}

static void add_profile_rows(struct ctkd__training *t, struct ctkd__training_op *op)
{
    static const char *const kinds[CTKD__STEP_KINDS] = { "conv",   "batch norm", "add",
                                                         "relu",   "max pool",   "global pool",
                                                         "linear", "subsample" };
    static const char *const directions[] = { "conv forward", "conv backward data",
                                              "conv backward weights" };
    for (size_t i = 0; i < sizeof op->rows / sizeof *op->rows; i++)
        op->rows[i] = -1;
    if (!t->config.profile)
        return;
    if (op->step.kind == CTKD__STEP_CONV) {
        const struct ctkd__conv_request r = request_of(t, op, CTKD__CONV_FORWARD, false);
        for (int d = 0; d < 3; d++) {
            if (!op->conv[d])
                continue;
            const char *const how = ctkd__conv_base(op->conv[d])->impl->name;
            op->rows[d] = ctkd__profile_row(t->config.profile, "student", directions[d],
                                            op->node->name, how, ctkd__conv_flops(&r.shape));
            if (d != CTKD__CONV_BACKWARD_WEIGHTS)
                op->rows[3 + d] = ctkd__profile_row(t->config.profile, "student",
                                                    CTKD__PROFILE_PACKING, op->node->name, how, 0);
        }
        return;
    }
    const double flops =
        op->step.kind == CTKD__STEP_LINEAR ? 2.0 * (double)op->in_floats * (double)op->node->c : 0;
    char kind[32];
    snprintf(kind, sizeof kind, "%s forward", kinds[op->step.kind]);
    op->rows[0] =
        ctkd__profile_row(t->config.profile, "student", kind, op->node->name, "own", flops);
    snprintf(kind, sizeof kind, "%s backward", kinds[op->step.kind]);
    op->rows[1] =
        ctkd__profile_row(t->config.profile, "student", kind, op->node->name, "own", 2 * flops);
}

static ctkd_status create_ops(struct ctkd__training *t, ctkd_error *err)
{
    t->ops = calloc((size_t)t->program.count, sizeof *t->ops);
    t->value_op = malloc((size_t)t->graph->n_nodes * sizeof *t->value_op);
    if (!t->ops || !t->value_op)
        return ctkd__fail(err, CTKD_ENOMEM, "training: out of memory");
    for (int i = 0; i < t->graph->n_nodes; i++)
        t->value_op[i] = -1;
    for (int i = 0; i < t->program.count; i++) {
        struct ctkd__training_op *const op = &t->ops[i];
        op->step = t->program.steps[i];
        op->node = &t->graph->nodes[op->step.node];
        t->value_op[op->step.output] = i;
        set_extents(t, op);
    }
    find_prologues(t);
    for (int i = 0; i < t->program.count; i++) {
        if (t->ops[i].step.kind == CTKD__STEP_CONV) {
            const ctkd_status status = create_convs(t, &t->ops[i], err);
            if (status)
                return status;
        }
        add_profile_rows(t, &t->ops[i]);
    }
    return CTKD_OK;
}

/* --- memory: forward step i happens at time i, its backward at time 2 * count - i */

static size_t backward_time(const struct ctkd__training *t, int i)
{
    return (size_t)(2 * t->program.count - i);
}

static int add_buffer(struct ctkd__training *t, size_t image_bytes, size_t time, bool *short_of)
{
    const int buffer = ctkd__arena_add(&t->plan, image_bytes * t->slice_max, time);
    *short_of |= buffer < 0;
    return buffer;
}

static int buffer_of_value(const struct ctkd__training *t, int value)
{
    if (value < 0 || t->value_op[value] < 0)
        return CTKD__NO_BUFFER;
    const struct ctkd__training_op *const op = &t->ops[t->value_op[value]];
    return op->virtual_output ? op->x : op->y;
}

static void use(struct ctkd__training *t, int buffer, size_t time)
{
    if (buffer != CTKD__NO_BUFFER)
        ctkd__arena_use(&t->plan, buffer, time);
}

static bool backward_reads_input(const struct ctkd__training_op *op)
{
    return op->step.kind == CTKD__STEP_CONV || op->step.kind == CTKD__STEP_NORM ||
           op->step.kind == CTKD__STEP_LINEAR;
}

static bool backward_reads_output(const struct ctkd__training_op *op)
{
    const enum ctkd__step_kind kind = op->step.kind;
    return op->step.relu
               ? kind == CTKD__STEP_ADD || (kind == CTKD__STEP_NORM && op->step.residual >= 0)
               : kind == CTKD__STEP_RELU;
}

/* Activations: each lives from its step to the last one that reads it, forward or backward. */
static bool plan_values(struct ctkd__training *t)
{
    bool short_of = false;
    for (int i = 0; i < t->program.count && !short_of; i++) {
        struct ctkd__training_op *const op = &t->ops[i];
        const size_t now = (size_t)i, later = backward_time(t, i);
        op->x = buffer_of_value(t, op->step.input);
        op->residual = buffer_of_value(t, op->step.residual);
        op->y = op->index = CTKD__NO_BUFFER;
        use(t, op->x, backward_reads_input(op) ? later : now);
        use(t, op->residual, now);
        if (op->step.kind == CTKD__STEP_LINEAR || op->virtual_output)
            continue; /* logits are the caller's */
        op->y = add_buffer(t, op->out_floats * sizeof(float), now, &short_of);
        if (!short_of && backward_reads_output(op))
            use(t, op->y, later);
        if (op->step.kind == CTKD__STEP_MAX_POOL) {
            op->index = add_buffer(t, op->out_floats, now, &short_of);
            if (!short_of)
                use(t, op->index, later);
        }
    }
    return !short_of;
}

/* During the backward pass: which buffer holds the gradient of each value, and how many values
   still hope for what is in each buffer. A buffer with one holder may be written in place. */
struct gradient_plan {
    int *of_value; /* [nodes] */
    int *holders;  /* [buffers] */
};

/* Where the gradient of `value` goes: onto what is there already, into `spare` (a buffer of the
   same size that nobody needs any more), or into a new buffer. */
static struct ctkd__gradient target(struct ctkd__training *t, struct gradient_plan *plan, int value,
                                    size_t image_floats, int spare, size_t time, bool *short_of)
{
    const int base = plan->of_value[value];
    int out;
    if (base != CTKD__NO_BUFFER && plan->holders[base] == 1) {
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
        use(t, base, time);
    }
    plan->holders[out]++;
    plan->of_value[value] = out;
    use(t, out, time);
    return (struct ctkd__gradient){ out, base };
}

/* The gradient of `value` is what is in `masked`: shared when it is the first, added otherwise. */
static struct ctkd__gradient share(struct ctkd__training *t, struct gradient_plan *plan, int value,
                                   size_t image_floats, int masked, size_t time, bool *short_of)
{
    if (plan->of_value[value] != CTKD__NO_BUFFER)
        return target(t, plan, value, image_floats, CTKD__NO_BUFFER, time, short_of);
    plan->of_value[value] = masked;
    plan->holders[masked]++;
    return (struct ctkd__gradient){ masked, CTKD__NO_BUFFER };
}

/* Where the gradient behind the ReLU of a sum is stored: in place of dy if nobody else needs that.
 */
static int masked_buffer(struct ctkd__training *t, struct gradient_plan *plan,
                         const struct ctkd__training_op *op, size_t time, bool *short_of)
{
    if (!op->step.relu || plan->holders[op->dy] == 0)
        return op->dy;
    const int buffer = add_buffer(t, op->out_floats * sizeof(float), time, short_of);
    if (!*short_of)
        plan->holders[buffer] = 0;
    return buffer;
}

static void plan_op_gradient(struct ctkd__training *t, struct gradient_plan *plan, int i,
                             bool *short_of)
{
    struct ctkd__training_op *const op = &t->ops[i];
    const size_t now = backward_time(t, i);
    const bool to_images = t->graph->nodes[op->step.input].op == CTKD__OP_INPUT;
    op->dy = op->masked = CTKD__NO_BUFFER;
    op->dx = op->dr = (struct ctkd__gradient){ CTKD__NO_BUFFER, CTKD__NO_BUFFER };
    if (op->step.kind != CTKD__STEP_LINEAR) { /* the gradient of the logits is the caller's */
        op->dy = plan->of_value[op->step.output];
        plan->of_value[op->step.output] = CTKD__NO_BUFFER;
        plan->holders[op->dy]--;
        use(t, op->dy, now);
    }
    if (op->step.residual >= 0) {
        op->masked = masked_buffer(t, plan, op, now, short_of);
        if (*short_of)
            return;
        use(t, op->masked, now);
        op->dr = share(t, plan, op->step.residual, op->out_floats, op->masked, now, short_of);
    }
    if (*short_of || to_images)
        return;
    if (op->step.kind == CTKD__STEP_ADD)
        op->dx = share(t, plan, op->step.input, op->in_floats, op->masked, now, short_of);
    else if (op->step.kind == CTKD__STEP_NORM && op->step.residual >= 0)
        op->dx = target(t, plan, op->step.input, op->in_floats, op->masked, now, short_of);
    else if (op->step.kind == CTKD__STEP_NORM || op->step.kind == CTKD__STEP_RELU)
        op->dx = target(t, plan, op->step.input, op->in_floats, op->dy, now, short_of);
    else
        op->dx = target(t, plan, op->step.input, op->in_floats, CTKD__NO_BUFFER, now, short_of);
}

static bool plan_gradients(struct ctkd__training *t)
{
    const size_t nodes = (size_t)t->graph->n_nodes;
    const size_t buffers_max = t->plan.count + 4 * (size_t)t->program.count;
    struct gradient_plan plan = { malloc(nodes * sizeof(int)), calloc(buffers_max, sizeof(int)) };
    bool short_of = !plan.of_value || !plan.holders;
    for (size_t i = 0; !short_of && i < nodes; i++)
        plan.of_value[i] = CTKD__NO_BUFFER;
    for (int i = t->program.count - 1; i >= 0 && !short_of; i--)
        plan_op_gradient(t, &plan, i, &short_of);
    free(plan.of_value);
    free(plan.holders);
    return !short_of;
}

/* --- persistent memory */

static ctkd_status allocate_norms(struct ctkd__training *t)
{
    const size_t block = t->config.kernels->block, workers = workers_of(t);
    size_t channels = 0;
    for (int i = 0; i < t->program.count; i++)
        channels += t->ops[i].step.kind == CTKD__STEP_NORM ? t->ops[i].in_blocks * block : 0;
    t->norm_doubles_count = 4 * workers * channels;
    t->norm_floats_count = 7 * workers * channels;
    t->norm_doubles = ctkd__pages_allocate(t->norm_doubles_count * sizeof(double));
    t->norm_floats = ctkd__pages_allocate(t->norm_floats_count * sizeof(float));
    if (!t->norm_doubles || !t->norm_floats)
        return CTKD_ENOMEM;
    double *doubles = t->norm_doubles;
    float *floats = t->norm_floats;
    for (int i = 0; i < t->program.count; i++) {
        struct ctkd__training_op *const op = &t->ops[i];
        if (op->step.kind != CTKD__STEP_NORM)
            continue;
        const size_t c = op->in_blocks * block;
        op->forward_sums = doubles;
        op->backward_sums = doubles + 2 * workers * c;
        op->coefficients = floats;
        doubles += 4 * workers * c;
        floats += 7 * workers * c;
    }
    return CTKD_OK;
}

static ctkd_status allocate(struct ctkd__training *t)
{
    const size_t workers = workers_of(t);
    t->arenas = calloc(workers, sizeof *t->arenas);
    t->gradients = calloc(workers, sizeof *t->gradients);
    t->scratch = calloc(workers, sizeof *t->scratch);
    t->packs = calloc(workers, sizeof *t->packs);
    t->statuses = calloc(workers, sizeof *t->statuses);
    if (!t->arenas || !t->gradients || !t->scratch || !t->packs || !t->statuses)
        return CTKD_ENOMEM;
    for (size_t i = 0; i < workers; i++) {
        t->arenas[i] = ctkd__pages_allocate(t->plan.bytes);
        t->gradients[i] = ctkd__pages_allocate(t->weights->n_values * sizeof(float));
        if (!t->arenas[i] || !t->gradients[i])
            return CTKD_ENOMEM;
    }
    return allocate_norms(t);
}

/* Scratch and packed weights grow with what was prepared. */
static ctkd_status size_shared(struct ctkd__training *t)
{
    size_t scratch = 0, packed = 0;
    for (int i = 0; i < t->program.count; i++) {
        const struct ctkd__training_op *const op = &t->ops[i];
        const size_t sums = op->out_blocks * t->config.kernels->block * sizeof(double);
        scratch = sums > scratch ? sums : scratch;
        for (int d = 0; d < 3; d++) {
            if (!op->conv[d])
                continue;
            const struct ctkd__conv_impl *const impl = ctkd__conv_base(op->conv[d])->impl;
            const size_t s = impl->scratch_bytes(op->conv[d]), p = impl->packed_bytes(op->conv[d]);
            scratch = s > scratch ? s : scratch;
            packed = d != CTKD__CONV_BACKWARD_WEIGHTS && p > packed ? p : packed;
        }
    }
    for (size_t i = 0; i < workers_of(t) && scratch > t->scratch_bytes; i++) {
        ctkd__pages_release(t->scratch[i], t->scratch_bytes);
        t->scratch[i] = ctkd__pages_allocate(scratch);
        if (!t->scratch[i])
            return CTKD_ENOMEM;
    }
    t->scratch_bytes = scratch > t->scratch_bytes ? scratch : t->scratch_bytes;
    for (int i = 0; i < 2 && packed > t->packed_bytes; i++) {
        ctkd__pages_release(t->packed[i], t->packed_bytes);
        t->packed[i] = ctkd__pages_allocate(packed);
        if (!t->packed[i])
            return CTKD_ENOMEM;
    }
    t->packed_bytes = packed > t->packed_bytes ? packed : t->packed_bytes;
    return CTKD_OK;
}

ctkd_status ctkd__training_prepare(struct ctkd__training *t, size_t n, ctkd_error *err)
{
    if (n == 0 || n > t->config.batch_max)
        return ctkd__fail(err, CTKD_EINVAL, "training: batch of %zu, expected 1 to %zu", n,
                          t->config.batch_max);
    const size_t workers = workers_of(t);
    for (size_t w = 0; w < workers; w++) {
        const size_t slice =
            ctkd__slice_begin(n, workers, w + 1) - ctkd__slice_begin(n, workers, w);
        for (int i = 0; i < t->program.count; i++)
            for (int d = 0; d < 3; d++) {
                struct ctkd__conv *const conv = t->ops[i].conv[d];
                const ctkd_status status =
                    conv ? ctkd__conv_base(conv)->impl->prepare(conv, slice, err) : CTKD_OK;
                if (status)
                    return status;
            }
    }
    if (size_shared(t))
        return ctkd__fail(err, CTKD_ENOMEM, "training: out of memory for a batch of %zu", n);
    return CTKD_OK;
}

ctkd_status ctkd__training_create(const struct ctkd__graph *graph, struct ctkd__weights *weights,
                                  const struct ctkd__training_config *config,
                                  struct ctkd__training **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__training *const t = calloc(1, sizeof *t);
    if (!t)
        return ctkd__fail(err, CTKD_ENOMEM, "training: out of memory");
    t->graph = graph;
    t->weights = weights;
    t->config = *config;
    const size_t workers = ctkd__workers_count(config->workers);
    t->slice_max = (config->batch_max + workers - 1) / workers;
    ctkd_status status = ctkd__program_create(graph, false, NULL, &t->program);
    if (!status)
        status = create_ops(t, err);
    if (!status && (!plan_values(t) || !plan_gradients(t)))
        status = CTKD_ENOMEM;
    if (!status) {
        ctkd__arena_plan(&t->plan);
        status = allocate(t);
    }
    if (status == CTKD_ENOMEM)
        ctkd__fail(err, CTKD_ENOMEM, "training: out of memory for a batch of %zu (%zu MB)",
                   config->batch_max, t->plan.bytes * workers >> 20);
    if (!status)
        status = ctkd__training_prepare(t, config->batch_max, err);
    if (status) {
        ctkd__training_destroy(t);
        return status;
    }
    *out = t;
    return CTKD_OK;
}

void ctkd__training_destroy(struct ctkd__training *t)
{
    if (!t)
        return;
    for (int i = 0; t->ops && i < t->program.count; i++)
        for (int d = 0; d < 3; d++)
            ctkd__conv_destroy(t->ops[i].conv[d]);
    for (size_t i = 0; i < workers_of(t); i++) {
        ctkd__pages_release(t->arenas ? t->arenas[i] : NULL, t->plan.bytes);
        ctkd__pages_release(t->gradients ? t->gradients[i] : NULL,
                            t->weights->n_values * sizeof(float));
        ctkd__pages_release(t->scratch ? t->scratch[i] : NULL, t->scratch_bytes);
    }
    free(t->arenas);
    free(t->gradients);
    free(t->scratch);
    free(t->packs);
    free(t->statuses);
    ctkd__pages_release(t->packed[0], t->packed_bytes);
    ctkd__pages_release(t->packed[1], t->packed_bytes);
    ctkd__pages_release(t->norm_doubles, t->norm_doubles_count * sizeof(double));
    ctkd__pages_release(t->norm_floats, t->norm_floats_count * sizeof(float));
    ctkd__arena_fini(&t->plan);
    ctkd__program_fini(&t->program);
    free(t->value_op);
    free(t->ops);
    free(t);
}

size_t ctkd__training_bytes(const struct ctkd__training *t)
{
    return workers_of(t) *
               (t->plan.bytes + t->weights->n_values * sizeof(float) + t->scratch_bytes) +
           2 * t->packed_bytes;
}

/* --- running */

static void forward_worker(void *context, size_t worker)
{
    struct ctkd__training *const t = context;
    for (int i = 0; i < t->program.count; i++)
        ctkd__training_op_forward(t, &t->ops[i], worker);
}

static void backward_worker(void *context, size_t worker)
{
    struct ctkd__training *const t = context;
    const size_t workers = workers_of(t);
    if (ctkd__slice_begin(t->n, workers, worker) == ctkd__slice_begin(t->n, workers, worker + 1))
        memset(t->gradients[worker], 0, t->weights->n_values * sizeof(float));
    for (int i = t->program.count - 1; i >= 0; i--)
        ctkd__training_op_backward(t, &t->ops[i], worker);
}

static ctkd_status run(struct ctkd__training *t, void (*fn)(void *context, size_t worker),
                       ctkd_error *err)
{
    const size_t workers = workers_of(t);
    for (size_t i = 0; i < workers; i++)
        t->statuses[i] = CTKD_OK;
    ctkd__workers_run(t->config.workers, fn, t);
    for (size_t i = 0; i < workers; i++)
        if (t->statuses[i])
            return ctkd__fail(err, t->statuses[i], "training: a convolution failed in thread %zu",
                              i);
    return CTKD_OK;
}

ctkd_status ctkd__training_forward(struct ctkd__training *t, size_t n, const float *x,
                                   float *logits, ctkd_error *err)
{
    const ctkd_status status = ctkd__training_prepare(t, n, err);
    if (status)
        return status;
    t->n = n;
    t->x = x;
    t->logits = logits;
    t->weights->batches_tracked++;
    return run(t, forward_worker, err);
}

ctkd_status ctkd__training_backward(struct ctkd__training *t, const float *dlogits, ctkd_error *err)
{
    if (t->n == 0)
        return ctkd__fail(err, CTKD_EINVAL, "training: backward without a forward");
    t->dlogits = dlogits;
    return run(t, backward_worker, err);
}

const float *ctkd__training_gradient(const struct ctkd__training *t, size_t worker)
{
    return t->gradients[worker];
}

ctkd_status ctkd__training_export_gradient(const struct ctkd__training *t,
                                           struct ctkd__tensors *list, ctkd_error *err)
{
    float *const sum = ctkd__pages_allocate(t->weights->n_values * sizeof *sum);
    if (!sum)
        return ctkd__fail(err, CTKD_ENOMEM, "training: out of memory");
    for (size_t w = 0; w < workers_of(t); w++)
        for (size_t i = 0; i < t->weights->n_values; i++)
            sum[i] += t->gradients[w][i];
    ctkd_status status = CTKD_OK;
    for (int i = 0; i < t->graph->n_parameters && !status; i++) {
        const struct ctkd__parameter *const p = &t->graph->parameters[i];
        if (p->role == CTKD__ROLE_MEAN || p->role == CTKD__ROLE_VARIANCE)
            continue;
        int64_t shape[4];
        for (int j = 0; j < p->rank; j++)
            shape[j] = (int64_t)p->shape[j];
        struct ctkd__tensor *tensor;
        status = ctkd__tensors_add(list, p->name, CTKD__F32, p->rank, shape, &tensor, err);
        if (!status)
            ctkd__weights_unpack(t->weights, i, sum + t->weights->offsets[i], tensor->data);
    }
    ctkd__pages_release(sum, t->weights->n_values * sizeof *sum);
    return status;
}
