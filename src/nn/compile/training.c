/* Compiling a graph for training: fused instructions, memory, gradients' paths; and running it. */
#include <stdlib.h>
#include <string.h>

#include "nn/compile/training_ops.h"
#include "nn/round.h"
#include "util/error.h"

static size_t workers_of(const struct ctkd__training *t)
{
    return ctkd__workers_count(t->config.workers);
}

/* --- instructions */

static void set_extents(const struct ctkd__training *t, struct ctkd__training_op *op)
{
    const size_t block = t->config.kernels->block;
    const struct ctkd__instruction *const instruction = &op->instruction;
    const struct ctkd__node *const nodes = t->graph->nodes;
    const struct ctkd__node *const in =
        &nodes[instruction->input >= 0 ? instruction->input : instruction->output];
    const struct ctkd__node *const out =
        &nodes[instruction->output >= 0 ? instruction->output : instruction->input];
    op->in_blocks = ctkd__round_up(in->c, block) / block;
    op->in_hw = in->h * in->w;
    op->in_floats = op->in_blocks * block * op->in_hw;
    op->out_blocks = ctkd__round_up(out->c, block) / block;
    op->out_hw = out->h * out->w;
    op->out_floats = op->out_blocks * block * op->out_hw;
    if (instruction->residual >= 0) {
        const struct ctkd__node *const residual = &nodes[instruction->residual];
        op->residual_floats = ctkd__round_up(residual->c, block) * residual->h * residual->w;
    }
}

static struct ctkd__conv_request request_of(const struct ctkd__training *t,
                                            const struct ctkd__training_op *op,
                                            enum ctkd__conv_direction direction, bool prologue)
{
    const struct ctkd__node *const in = &t->graph->nodes[op->instruction.input];
    const struct ctkd__node *const node = op->node;
    return (struct ctkd__conv_request){
        .shape = { in->c, in->h, in->w, node->c, node->h, node->w, node->kernel, node->stride,
                   node->padding, in->op == CTKD__OP_INPUT, node->groups },
        .direction = direction,
        .bias = node->parameters[CTKD__ROLE_BIAS] >= 0 && direction == CTKD__CONV_FORWARD,
        .prologue = prologue && direction != CTKD__CONV_BACKWARD_DATA,
        .kernels = t->config.kernels,
        .workers = workers_of(t),
        .images = t->slice_max,
        .choices = t->config.choices,
    };
}

/* The convolution that a TRANSPOSED_CONV transposes: from its output to its input. `direction` is
   that convolution's. */
static struct ctkd__conv_request transposed_request(const struct ctkd__training *t,
                                                    const struct ctkd__training_op *op,
                                                    enum ctkd__conv_direction direction)
{
    const struct ctkd__node *const in = &t->graph->nodes[op->instruction.input];
    const struct ctkd__node *const node = op->node;
    struct ctkd__conv_request request = request_of(t, op, direction, false);
    request.shape = (struct ctkd__conv_shape){ .c = node->c,
                                               .h = node->h,
                                               .w = node->w,
                                               .o = in->c,
                                               .oh = in->h,
                                               .ow = in->w,
                                               .kernel = node->kernel,
                                               .stride = node->stride,
                                               .padding = node->padding,
                                               .groups = 1 };
    request.bias = false;
    /* Its forward is our backward, which may add to an earlier gradient. */
    request.residual = direction == CTKD__CONV_FORWARD && op->dx.base != CTKD__NO_BUFFER;
    return request;
}

static ctkd_status create_convs(struct ctkd__training *t, struct ctkd__training_op *op,
                                ctkd_error *err)
{
    const bool transposed = op->instruction.kind == CTKD__INSTRUCTION_TRANSPOSED_CONV;
    /* What computes the gradient of the input, which is not always asked for. */
    const int to_input = transposed ? CTKD__CONV_FORWARD : CTKD__CONV_BACKWARD_DATA;
    for (int d = 0; d < 3; d++) {
        if ((d == to_input && op->dx.out == CTKD__NO_BUFFER) ||
            (d == CTKD__CONV_BACKWARD_WEIGHTS && t->config.forward_only))
            continue;
        const enum ctkd__conv_direction direction = (enum ctkd__conv_direction)d;
        const struct ctkd__conv_request request =
            transposed ? transposed_request(t, op, direction)
                       : request_of(t, op, direction, op->prologue != NULL);
        const ctkd_status status = ctkd__conv_create(t->config.conv, &request, &op->conv[d], err);
        if (status)
            return status;
    }
    return CTKD_OK;
}

/* Whether the implementations that a conv would get can apply a batch norm while they read. */
static bool takes_prologue(void *context, int instruction)
{
    const struct ctkd__training *const t = context;
    const enum ctkd__conv_direction directions[] = { CTKD__CONV_FORWARD,
                                                     CTKD__CONV_BACKWARD_WEIGHTS };
    for (int i = 0; i < (t->config.forward_only ? 1 : 2); i++) {
        const struct ctkd__conv_request request =
            request_of(t, &t->ops[instruction], directions[i], true);
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
            if (t->ops[j].instruction.input == norm->instruction.output)
                t->ops[j].prologue = norm;
    }
}

static bool is_conv(const struct ctkd__training_op *op)
{
    return op->instruction.kind == CTKD__INSTRUCTION_CONV ||
           op->instruction.kind == CTKD__INSTRUCTION_TRANSPOSED_CONV;
}

static const char *profile_name(const struct ctkd__training *t)
{
    return t->config.name ? t->config.name : "network";
}

static const char *const conv_directions[] = { "conv forward", "conv backward data",
                                               "conv backward weights" };

static void add_conv_rows(struct ctkd__training *t, struct ctkd__training_op *op)
{
    for (int d = 0; d < 3; d++) {
        if (!op->conv[d])
            continue;
        const struct ctkd__conv_base *const conv = ctkd__conv_base(op->conv[d]);
        op->rows[d] = ctkd__profile_row(t->config.profile, profile_name(t), conv_directions[d],
                                        op->node->name, conv->impl->name,
                                        ctkd__conv_flops(&conv->request.shape));
        if (d != CTKD__CONV_BACKWARD_WEIGHTS)
            op->rows[3 + d] =
                ctkd__profile_row(t->config.profile, profile_name(t), CTKD__PROFILE_PACKING,
                                  op->node->name, conv->impl->name, 0);
    }
}

static void add_profile_rows(struct ctkd__training *t, struct ctkd__training_op *op)
{
    for (size_t i = 0; i < sizeof op->rows / sizeof *op->rows; i++)
        op->rows[i] = -1;
    if (!t->config.profile)
        return;
    if (is_conv(op)) {
        add_conv_rows(t, op);
        return;
    }
    const double flops = op->instruction.kind == CTKD__INSTRUCTION_LINEAR
                             ? 2.0 * (double)op->in_floats * (double)op->node->c
                             : 0;
    char kind[32];
    snprintf(kind, sizeof kind, "%s forward", ctkd__instruction_text(op->instruction.kind));
    op->rows[0] =
        ctkd__profile_row(t->config.profile, profile_name(t), kind, op->node->name, "own", flops);
    if (t->config.forward_only)
        return;
    snprintf(kind, sizeof kind, "%s backward", ctkd__instruction_text(op->instruction.kind));
    op->rows[1] = ctkd__profile_row(t->config.profile, profile_name(t), kind, op->node->name, "own",
                                    2 * flops);
}

static ctkd_status create_maps(struct ctkd__training *t, struct ctkd__training_op *op)
{
    const struct ctkd__node *const nodes = t->graph->nodes;
    const size_t block = t->config.kernels->block;
    const struct ctkd__instruction *const instruction = &op->instruction;
    if (instruction->kind == CTKD__INSTRUCTION_AVERAGE)
        return ctkd__windows_create(op->node, &nodes[instruction->input], &op->windows);
    if (instruction->kind != CTKD__INSTRUCTION_CHANNELS)
        return CTKD_OK;
    const size_t c[2] = { nodes[instruction->input].c,
                          instruction->residual >= 0 ? nodes[instruction->residual].c : 0 };
    ctkd_status status =
        ctkd__channel_plan_forward(instruction->channels, op->node->c, c, block, &op->channels);
    for (uint32_t i = 0; i < 2 && !status; i++)
        status = ctkd__channel_plan_backward(instruction->channels, op->node->c, i, c[i], block,
                                             &op->dchannels[i]);
    return status;
}

static ctkd_status create_ops(struct ctkd__training *t)
{
    t->ops = calloc((size_t)t->program.count, sizeof *t->ops);
    t->value_op = malloc((size_t)t->graph->n_nodes * sizeof *t->value_op);
    t->needs_gradient = calloc((size_t)t->graph->n_nodes, sizeof *t->needs_gradient);
    if (!t->ops || !t->value_op || !t->needs_gradient)
        return CTKD_ENOMEM;
    for (int i = 0; i < t->graph->n_nodes; i++)
        t->value_op[i] = -1;
    for (int i = 0; i < t->program.count; i++) {
        struct ctkd__training_op *const op = &t->ops[i];
        op->instruction = t->program.instructions[i];
        op->node = &t->graph->nodes[op->instruction.node];
        op->is_logits = op->instruction.output == t->graph->output && op->instruction.output >= 0 &&
                        !t->config.no_logits;
        if (op->instruction.output >= 0)
            t->value_op[op->instruction.output] = i;
        set_extents(t, op);
        const ctkd_status status = create_maps(t, op);
        if (status)
            return status;
    }
    find_prologues(t);
    return CTKD_OK;
}

/* After planning: which gradients exist decides which directions are needed. */
static ctkd_status create_all_convs(struct ctkd__training *t, ctkd_error *err)
{
    for (int i = 0; i < t->program.count; i++) {
        const ctkd_status status = is_conv(&t->ops[i]) ? create_convs(t, &t->ops[i], err) : CTKD_OK;
        if (status)
            return status;
        add_profile_rows(t, &t->ops[i]);
    }
    return CTKD_OK;
}

/* --- persistent memory */

static ctkd_status allocate_norms(struct ctkd__training *t)
{
    const size_t block = t->config.kernels->block, workers = workers_of(t);
    size_t channels = 0;
    for (int i = 0; i < t->program.count; i++)
        channels +=
            t->ops[i].instruction.kind == CTKD__INSTRUCTION_NORM ? t->ops[i].in_blocks * block : 0;
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
        if (op->instruction.kind != CTKD__INSTRUCTION_NORM)
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

/* Of a worker. */
static size_t gradient_bytes(const struct ctkd__training *t)
{
    return t->config.forward_only ? 0 : t->weights->n_values * sizeof(float);
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
        if (!t->config.forward_only)
            t->gradients[i] = ctkd__pages_allocate(gradient_bytes(t));
        if (!t->arenas[i] || (!t->gradients[i] && !t->config.forward_only))
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
        const size_t rows = t->slice_max * op->node->c * sizeof(float);
        scratch =
            op->instruction.kind == CTKD__INSTRUCTION_LINEAR && rows > scratch ? rows : scratch;
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

/* A library names its code only when that was prepared. */
static void name_code(struct ctkd__training *t)
{
    char how[CTKD__CONV_HOW];
    for (int i = 0; t->config.profile && i < t->program.count; i++)
        for (int d = 0; d < 3; d++)
            if (t->ops[i].conv[d]) {
                ctkd__conv_how(t->ops[i].conv[d], how);
                ctkd__profile_set_how(t->config.profile, t->ops[i].rows[d], how);
            }
}

/* A batch norm over one value would give 0 whatever the value, and a variance that is not defined.
 */
static ctkd_status check_norms(const struct ctkd__training *t, size_t n, ctkd_error *err)
{
    for (int i = 0; i < t->program.count; i++)
        if (t->ops[i].instruction.kind == CTKD__INSTRUCTION_NORM && n * t->ops[i].in_hw == 1)
            return ctkd__fail(err, CTKD_ERANGE,
                              "%s: batch norm over a single value, one image of 1x1, whose "
                              "deviation is undefined; expected at least two images in a batch",
                              t->ops[i].node->name);
    return CTKD_OK;
}

ctkd_status ctkd__training_prepare(struct ctkd__training *t, size_t n, ctkd_error *err)
{
    if (n == 0 || n > t->config.batch_max)
        return ctkd__fail(err, CTKD_EINVAL, "training: batch of %zu, expected 1 to %zu", n,
                          t->config.batch_max);
    const ctkd_status norms = check_norms(t, n, err);
    if (norms != CTKD_OK)
        return norms;
    const size_t workers = workers_of(t);
    for (size_t w = 0; w < workers; w++) {
        const size_t slice =
            ctkd__slice_begin(n, workers, w + 1) - ctkd__slice_begin(n, workers, w);
        for (int i = 0; i < t->program.count; i++)
            for (int d = 0; d < 3; d++) {
                struct ctkd__conv *const conv = t->ops[i].conv[d];
                const ctkd_status status = conv ? ctkd__conv_prepare(conv, slice, err) : CTKD_OK;
                if (status)
                    return status;
            }
    }
    name_code(t);
    if (size_shared(t))
        return ctkd__fail(err, CTKD_ENOMEM, "training: out of memory for a batch of %zu", n);
    return CTKD_OK;
}

size_t ctkd__training_references(const struct ctkd__training *t, char first[CTKD__REFERENCE_BYTES])
{
    size_t count = 0;
    first[0] = '\0';
    for (int i = 0; i < t->program.count; i++)
        for (int d = 0; d < 3; d++) {
            const struct ctkd__training_op *const op = &t->ops[i];
            if (op->conv[d] && ctkd__conv_runs_reference(op->conv[d]) && count++ == 0)
                snprintf(first, CTKD__REFERENCE_BYTES, "%s, %s", op->node->name,
                         conv_directions[d]);
        }
    return count;
}

static ctkd_status check_outputs(const struct ctkd__graph *graph,
                                 const struct ctkd__training_config *config, ctkd_error *err)
{
    for (size_t i = 0; i < config->n_outputs; i++)
        if (config->outputs[i] < 0 || config->outputs[i] >= graph->n_nodes)
            return ctkd__fail(err, CTKD_EINVAL, "training: output %zu is node %d, expected 0 to %d",
                              i, config->outputs[i], graph->n_nodes - 1);
    if (config->n_outputs == 0 && (config->no_logits || graph->output < 0))
        return ctkd__fail(err, CTKD_EINVAL,
                          "training: neither logits nor outputs, expected one of them");
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
    t->config.no_logits = config->no_logits || graph->output < 0;
    const size_t workers = ctkd__workers_count(config->workers);
    t->slice_max = (config->batch_max + workers - 1) / workers;
    ctkd_status status = check_outputs(graph, config, err);
    const struct ctkd__program_request request = { .no_logits = t->config.no_logits,
                                                   .outputs = config->outputs,
                                                   .n_outputs = config->n_outputs };
    if (!status)
        status = ctkd__program_create(graph, &request, &t->program);
    if (!status)
        status = create_ops(t);
    if (!status)
        status = ctkd__training_plan(t) ? CTKD_OK : CTKD_ENOMEM;
    if (!status)
        status = create_all_convs(t, err);
    if (!status)
        status = allocate(t);
    if (!status)
        status = ctkd__training_outputs_create(t, err);
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
    for (int i = 0; t->ops && i < t->program.count; i++) {
        for (int d = 0; d < 3; d++)
            ctkd__conv_destroy(t->ops[i].conv[d]);
        ctkd__channel_plan_fini(&t->ops[i].channels);
        ctkd__channel_plan_fini(&t->ops[i].dchannels[0]);
        ctkd__channel_plan_fini(&t->ops[i].dchannels[1]);
        ctkd__windows_fini(&t->ops[i].windows);
    }
    ctkd__training_outputs_destroy(t);
    for (size_t i = 0; i < workers_of(t); i++) {
        ctkd__pages_release(t->arenas ? t->arenas[i] : NULL, t->plan.bytes);
        ctkd__pages_release(t->gradients ? t->gradients[i] : NULL, gradient_bytes(t));
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
    free(t->needs_gradient);
    free(t->ops);
    free(t);
}

size_t ctkd__training_bytes(const struct ctkd__training *t)
{
    return workers_of(t) * (t->plan.bytes + gradient_bytes(t) + t->scratch_bytes) +
           2 * t->packed_bytes + ctkd__training_outputs_bytes(t);
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
    /* Instructions that no gradient reaches never write theirs, which stay 0 from the allocation.
     */
    for (int i = t->program.count - 1; i >= 0; i--)
        if (t->ops[i].has_backward)
            ctkd__training_op_backward(t, &t->ops[i], worker);
    if (worker == 0)
        ctkd__training_parameter_gradients(t);
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
    ctkd_status status = ctkd__training_outputs_check(t, err);
    if (!status && !logits && !t->config.no_logits)
        status = ctkd__fail(err, CTKD_EINVAL, "training: no room for the logits");
    if (!status)
        status = ctkd__training_prepare(t, n, err);
    if (status)
        return status;
    t->n = n;
    t->x = x;
    t->logits = logits;
    if (!t->config.forward_only)
        t->weights->batches_tracked++;
    return run(t, forward_worker, err);
}

ctkd_status ctkd__training_backward(struct ctkd__training *t, const float *dlogits, ctkd_error *err)
{
    if (t->n == 0)
        return ctkd__fail(err, CTKD_EINVAL, "training: backward without a forward");
    if (t->config.forward_only)
        return ctkd__fail(err, CTKD_EINVAL,
                          "training: backward, but the program goes forward only");
    if (!dlogits && !t->config.no_logits)
        return ctkd__fail(err, CTKD_EINVAL, "training: no gradient of the logits");
    t->dlogits = dlogits;
    const ctkd_status status = run(t, backward_worker, err);
    ctkd__training_outputs_forget(t);
    return status;
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
