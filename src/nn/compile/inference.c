/* Compiling a graph for inference, folding batch norms, and running chunks of images. */
#include "nn/compile/inference.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "nn/arena.h"
#include "nn/compile/maps.h"
#include "nn/compile/program.h"
#include "nn/conv/conv.h"
#include "nn/round.h"
#include "util/clock.h"
#include "util/error.h"

static const double epsilon = CTKD__BATCH_NORM_EPSILON;
/* Small chunks keep the activations in the cache, large ones share the work on the weights.
   Measured: 8 to 32 are within 5 % for every pair of the recipes, 16 is the best of them on
   average. */
enum { NO_BUFFER = -1, CHUNK_DEFAULT = 16 };

struct op {
    struct ctkd__instruction instruction;
    const struct ctkd__node *node, *in, *out;
    size_t in_blocks, out_blocks, in_floats, out_floats, residual_floats; /* blocked, of an image */
    bool is_logits;
    int x, residual, y;      /* buffers; x NO_BUFFER: the images themselves */
    struct ctkd__conv *conv; /* TRANSPOSED_CONV: of the convolution that it transposes */
    const struct op *prologue;
    bool virtual_output;
    struct ctkd__channel_plan channels; /* CHANNELS */
    struct ctkd__windows windows;       /* AVERAGE */
    float *weights;                     /* packed; or of LINEAR */
    float *bias;                        /* convs, LINEAR; NORM: shift */
    float *scale;                       /* NORM */
    size_t weights_bytes;
    int row;
};

struct ctkd__inference {
    const struct ctkd__graph *graph;
    struct ctkd__inference_config config;
    struct ctkd__program program;
    struct op *ops;
    int *value_op;
    size_t chunk;
    struct ctkd__arena plan;
    char **arenas, **scratch; /* [workers] */
    size_t scratch_bytes;
    char *constants;
    size_t constants_bytes;
    bool is_protected; /* constants are read-only memory */

    size_t n, part; /* of the present run: images, images that a worker claims at once */
    const float *x;
    float *logits;
    float *const *outputs; /* the caller's; NULL: not asked for */
    atomic_size_t next;    /* chunk to be claimed */
    ctkd_status *statuses;
};

static size_t workers_of(const struct ctkd__inference *inf)
{
    return ctkd__workers_count(inf->config.workers);
}

static struct ctkd__conv_request request_of(const struct ctkd__inference *inf, const struct op *op,
                                            bool prologue)
{
    const struct ctkd__node *const node = op->node;
    return (struct ctkd__conv_request){
        .shape = { op->in->c, op->in->h, op->in->w, node->c, node->h, node->w, node->kernel,
                   node->stride, node->padding, op->in->op == CTKD__OP_INPUT, node->groups },
        .direction = CTKD__CONV_FORWARD,
        .bias = true,
        .residual = op->instruction.residual >= 0,
        .relu = op->instruction.relu,
        .prologue = prologue,
        .kernels = inf->config.kernels,
        .workers = workers_of(inf),
        .images = inf->chunk,
        .choices = inf->config.choices,
    };
}

/* The convolution that a TRANSPOSED_CONV transposes: from its output to its input. */
static struct ctkd__conv_request transposed_request(const struct ctkd__inference *inf,
                                                    const struct op *op)
{
    const struct ctkd__node *const in = op->in, *const node = op->node;
    struct ctkd__conv_request request = request_of(inf, op, false);
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
    request.direction = CTKD__CONV_BACKWARD_DATA;
    request.bias = false;
    return request;
}

static bool takes_prologue(void *context, int instruction)
{
    const struct ctkd__inference *const inf = context;
    const struct ctkd__conv_request request = request_of(inf, &inf->ops[instruction], true);
    return ctkd__conv_supported(inf->config.conv, &request);
}

static void find_prologues(struct ctkd__inference *inf)
{
    for (int i = 0; i < inf->program.count; i++) {
        struct op *const norm = &inf->ops[i];
        norm->virtual_output = ctkd__program_read_by_convs(&inf->program, i, takes_prologue, inf);
        for (int j = i + 1; j < inf->program.count && norm->virtual_output; j++)
            if (inf->ops[j].instruction.input == norm->instruction.output)
                inf->ops[j].prologue = norm;
    }
}

static void set_extents(struct ctkd__inference *inf, struct op *op)
{
    const size_t block = inf->config.kernels->block;
    const struct ctkd__instruction *const instruction = &op->instruction;
    const struct ctkd__node *const nodes = inf->graph->nodes;
    op->node = &nodes[instruction->node];
    op->in = &nodes[instruction->input >= 0 ? instruction->input : instruction->output];
    op->out = &nodes[instruction->output >= 0 ? instruction->output : instruction->input];
    op->in_blocks = ctkd__round_up(op->in->c, block) / block;
    op->out_blocks = ctkd__round_up(op->out->c, block) / block;
    op->in_floats = op->in_blocks * block * op->in->h * op->in->w;
    op->out_floats = op->out_blocks * block * op->out->h * op->out->w;
    if (instruction->residual >= 0) {
        const struct ctkd__node *const residual = &nodes[instruction->residual];
        op->residual_floats = ctkd__round_up(residual->c, block) * residual->h * residual->w;
    }
    op->is_logits = instruction->kind == CTKD__INSTRUCTION_LINEAR &&
                    instruction->output == inf->graph->output && !inf->config.no_logits;
}

static ctkd_status create_maps(struct ctkd__inference *inf, struct op *op)
{
    const struct ctkd__instruction *const instruction = &op->instruction;
    if (instruction->kind == CTKD__INSTRUCTION_AVERAGE)
        return ctkd__windows_create(op->node, op->in, &op->windows);
    if (instruction->kind != CTKD__INSTRUCTION_CHANNELS)
        return CTKD_OK;
    const size_t c[2] = { op->in->c, instruction->residual >= 0
                                         ? inf->graph->nodes[instruction->residual].c
                                         : 0 };
    return ctkd__channel_plan_forward(instruction->channels, op->out->c, c,
                                      inf->config.kernels->block, &op->channels);
}

/* A convolution, and what its layer takes. */
static ctkd_status create_conv(struct ctkd__inference *inf, struct op *op, double *flops,
                               ctkd_error *err)
{
    const bool transposed = op->instruction.kind == CTKD__INSTRUCTION_TRANSPOSED_CONV;
    const struct ctkd__conv_request request =
        transposed ? transposed_request(inf, op) : request_of(inf, op, op->prologue != NULL);
    ctkd_status status = ctkd__conv_create(inf->config.conv, &request, &op->conv, err);
    if (!status && transposed) /* its packed weights have a size only then */
        status = ctkd__conv_prepare(op->conv, inf->chunk, err);
    *flops = ctkd__conv_flops(&request.shape);
    return status;
}

static ctkd_status create_ops(struct ctkd__inference *inf, ctkd_error *err)
{
    inf->ops = calloc((size_t)inf->program.count, sizeof *inf->ops);
    inf->value_op = malloc((size_t)inf->graph->n_nodes * sizeof *inf->value_op);
    if (!inf->ops || !inf->value_op)
        return CTKD_ENOMEM;
    for (int i = 0; i < inf->graph->n_nodes; i++)
        inf->value_op[i] = -1;
    for (int i = 0; i < inf->program.count; i++) {
        struct op *const op = &inf->ops[i];
        op->instruction = inf->program.instructions[i];
        set_extents(inf, op);
        if (op->instruction.output >= 0)
            inf->value_op[op->instruction.output] = i;
        const ctkd_status status = create_maps(inf, op);
        if (status)
            return status;
    }
    find_prologues(inf);
    for (int i = 0; i < inf->program.count; i++) {
        struct op *const op = &inf->ops[i];
        double flops = 0;
        ctkd_status status = CTKD_OK;
        if (op->instruction.kind == CTKD__INSTRUCTION_CONV ||
            op->instruction.kind == CTKD__INSTRUCTION_TRANSPOSED_CONV)
            status = create_conv(inf, op, &flops, err);
        else if (op->instruction.kind == CTKD__INSTRUCTION_LINEAR)
            flops = 2.0 * (double)op->in->c * (double)op->out->c;
        if (status)
            return status;
        op->row = ctkd__profile_row(
            inf->config.profile, inf->config.name ? inf->config.name : "network",
            op->instruction.kind == CTKD__INSTRUCTION_CONV
                ? "conv forward"
                : ctkd__instruction_text(op->instruction.kind),
            op->node->name, op->conv ? ctkd__conv_base(op->conv)->impl->name : "own", flops);
    }
    return CTKD_OK;
}

/* --- memory */

static int buffer_of_value(const struct ctkd__inference *inf, int value)
{
    if (value < 0 || inf->value_op[value] < 0)
        return NO_BUFFER;
    const struct op *const op = &inf->ops[inf->value_op[value]];
    return op->virtual_output ? op->x : op->y;
}

static bool read_after(const struct ctkd__inference *inf, int buffer, int instruction)
{
    for (int i = instruction + 1; i < inf->program.count; i++)
        if (buffer_of_value(inf, inf->ops[i].instruction.input) == buffer ||
            buffer_of_value(inf, inf->ops[i].instruction.residual) == buffer)
            return true;
    return false;
}

/* Convolutions read the images as they are given. */
static bool reads_images(const struct op *op)
{
    return op->instruction.kind == CTKD__INSTRUCTION_CONV && op->in->op == CTKD__OP_INPUT;
}

/* Logits are the caller's, unless an instruction reads them again. */
static bool stores_value(const struct ctkd__inference *inf, const struct op *op)
{
    if (op->virtual_output || op->instruction.kind == CTKD__INSTRUCTION_OUTPUT)
        return false;
    bool read = !op->is_logits;
    for (int i = 0; i < inf->program.count && !read; i++)
        read = inf->ops[i].instruction.input == op->instruction.output ||
               inf->ops[i].instruction.residual == op->instruction.output;
    return read;
}

/* The sum is written over the residual when nobody reads that again. */
static bool replaces_residual(const struct ctkd__inference *inf, const struct op *op,
                              int instruction)
{
    const enum ctkd__instruction_kind kind = op->instruction.kind;
    return (kind == CTKD__INSTRUCTION_CONV || kind == CTKD__INSTRUCTION_NORM ||
            kind == CTKD__INSTRUCTION_ADD) &&
           op->residual != NO_BUFFER && op->residual != op->x &&
           !read_after(inf, op->residual, instruction);
}

static bool plan_values(struct ctkd__inference *inf)
{
    for (int i = 0; i < inf->program.count; i++) {
        struct op *const op = &inf->ops[i];
        op->x = reads_images(op) ? NO_BUFFER : buffer_of_value(inf, op->instruction.input);
        op->residual = buffer_of_value(inf, op->instruction.residual);
        op->y = NO_BUFFER;
        if (op->x != NO_BUFFER)
            ctkd__arena_use(&inf->plan, op->x, (size_t)i);
        if (op->residual != NO_BUFFER)
            ctkd__arena_use(&inf->plan, op->residual, (size_t)i);
        if (!stores_value(inf, op))
            continue;
        if (replaces_residual(inf, op, i))
            op->y = op->residual;
        else
            op->y =
                ctkd__arena_add(&inf->plan, op->out_floats * inf->chunk * sizeof(float), (size_t)i);
        if (op->y < 0)
            return false;
    }
    return true;
}

static size_t reserve(size_t *total, size_t bytes)
{
    const size_t at = *total;
    *total += ctkd__round_up(bytes, 64);
    return at;
}

static size_t flat_floats(const struct ctkd__inference *inf, const struct op *op)
{
    const struct ctkd__conv_request request = request_of(inf, op, false);
    return ctkd__conv_weight_floats(&request.shape, inf->config.kernels->block);
}

/* Sizes, then (memory given) places, of the constants. */
static void lay_out_constants(struct ctkd__inference *inf, char *memory)
{
    const size_t block = inf->config.kernels->block;
    size_t total = 0;
    for (int i = 0; i < inf->program.count; i++) {
        struct op *const op = &inf->ops[i];
        size_t weights = 0, bias = 0, scale = 0;
        if (op->conv) {
            weights = ctkd__conv_base(op->conv)->impl->packed_bytes(op->conv);
            weights = weights ? weights : flat_floats(inf, op) * sizeof(float);
            bias = op->out_blocks * block * sizeof(float);
        } else if (op->instruction.kind == CTKD__INSTRUCTION_LINEAR) {
            weights = op->in_floats * op->out->c * sizeof(float);
            bias = op->out->c * sizeof(float);
        } else if (op->instruction.kind == CTKD__INSTRUCTION_NORM) {
            bias = scale = op->in_blocks * block * sizeof(float);
        }
        op->weights_bytes = weights;
        char *const places[] = { memory + reserve(&total, weights), memory + reserve(&total, bias),
                                 memory + reserve(&total, scale) };
        op->weights = (float *)(void *)places[0];
        op->bias = (float *)(void *)places[1];
        op->scale = (float *)(void *)places[2];
    }
    inf->constants_bytes = total;
}

ctkd_status ctkd__inference_prepare(struct ctkd__inference *inf, size_t n, ctkd_error *err)
{
    size_t scratch = 64;
    for (int i = 0; i < inf->program.count; i++) {
        struct ctkd__conv *const conv = inf->ops[i].conv;
        const size_t rows = inf->chunk * inf->ops[i].out->c * sizeof(float);
        if (inf->ops[i].instruction.kind == CTKD__INSTRUCTION_LINEAR && rows > scratch)
            scratch = rows;
        if (!conv)
            continue;
        const struct ctkd__conv_impl *const impl = ctkd__conv_base(conv)->impl;
        const ctkd_status status = ctkd__conv_prepare(conv, n, err);
        if (status)
            return status;
        char how[CTKD__CONV_HOW];
        ctkd__conv_how(conv, how);
        ctkd__profile_set_how(inf->config.profile, inf->ops[i].row, how);
        const size_t bytes = impl->scratch_bytes(conv);
        scratch = bytes > scratch ? bytes : scratch;
    }
    for (size_t i = 0; i < workers_of(inf) && scratch > inf->scratch_bytes; i++) {
        ctkd__pages_release(inf->scratch[i], inf->scratch_bytes);
        inf->scratch[i] = ctkd__pages_allocate(scratch);
        if (!inf->scratch[i])
            return ctkd__fail(err, CTKD_ENOMEM, "inference: out of memory");
    }
    inf->scratch_bytes = scratch > inf->scratch_bytes ? scratch : inf->scratch_bytes;
    return CTKD_OK;
}

static ctkd_status allocate(struct ctkd__inference *inf)
{
    const size_t workers = workers_of(inf);
    lay_out_constants(inf, NULL);
    inf->constants = ctkd__pages_allocate(inf->constants_bytes);
    inf->arenas = calloc(workers, sizeof *inf->arenas);
    inf->scratch = calloc(workers, sizeof *inf->scratch);
    inf->statuses = calloc(workers, sizeof *inf->statuses);
    if (!inf->constants || !inf->arenas || !inf->scratch || !inf->statuses)
        return CTKD_ENOMEM;
    lay_out_constants(inf, inf->constants);
    for (size_t i = 0; i < workers; i++)
        if (!(inf->arenas[i] = ctkd__pages_allocate(inf->plan.bytes)))
            return CTKD_ENOMEM;
    return CTKD_OK;
}

/* What inference cannot give: values that are not of an image. */
static ctkd_status check_request(const struct ctkd__graph *graph,
                                 const struct ctkd__inference_config *config, ctkd_error *err)
{
    for (size_t i = 0; i < config->n_outputs; i++) {
        const int node = config->outputs[i];
        if (node < 0 || node >= graph->n_nodes)
            return ctkd__fail(err, CTKD_EINVAL,
                              "inference: output %zu is node %d, expected 0 to %d", i, node,
                              graph->n_nodes - 1);
        if (graph->nodes[node].op == CTKD__OP_PARAMETER)
            return ctkd__fail(err, CTKD_EINVAL,
                              "inference: output %zu is the parameter %s, expected a value", i,
                              graph->nodes[node].name);
    }
    if (config->n_outputs == 0 && (config->no_logits || graph->output < 0))
        return ctkd__fail(err, CTKD_EINVAL,
                          "inference: neither logits nor outputs, expected one of them");
    return CTKD_OK;
}

static ctkd_status check_inputs(const struct ctkd__inference *inf, ctkd_error *err)
{
    for (int i = 0; i < inf->program.count; i++)
        if (inf->ops[i].out->op == CTKD__OP_SIDE_INPUT)
            return ctkd__fail(err, CTKD_EUNSUPPORTED,
                              "inference: side input %s, only training programs have these",
                              inf->ops[i].out->name);
    return CTKD_OK;
}

ctkd_status ctkd__inference_create(const struct ctkd__graph *graph,
                                   const struct ctkd__inference_config *config,
                                   struct ctkd__inference **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__inference *const inf = calloc(1, sizeof *inf);
    if (!inf)
        return ctkd__fail(err, CTKD_ENOMEM, "inference: out of memory");
    inf->graph = graph;
    inf->config = *config;
    inf->config.no_logits = config->no_logits || graph->output < 0;
    inf->config.outputs = NULL; /* the instructions know them */
    const struct ctkd__program_request request = { true, inf->config.no_logits, config->outputs,
                                                   config->n_outputs };
    ctkd_status status = check_request(graph, config, err);
    if (!status)
        status = ctkd__program_create(graph, &request, &inf->program);
    if (!status) {
        inf->chunk = config->chunk ? config->chunk : CHUNK_DEFAULT;
        status = create_ops(inf, err);
    }
    if (!status)
        status = check_inputs(inf, err);
    if (!status)
        status = plan_values(inf) ? CTKD_OK : CTKD_ENOMEM;
    if (!status) {
        ctkd__arena_plan(&inf->plan);
        status = allocate(inf);
    }
    if (status == CTKD_ENOMEM)
        ctkd__fail(err, CTKD_ENOMEM, "inference: out of memory for chunks of %zu images",
                   inf->chunk);
    if (status) {
        ctkd__inference_destroy(inf);
        return status;
    }
    *out = inf;
    return CTKD_OK;
}

static void unprotect(struct ctkd__inference *inf);

void ctkd__inference_destroy(struct ctkd__inference *inf)
{
    if (!inf)
        return;
    for (int i = 0; inf->ops && i < inf->program.count; i++) {
        ctkd__conv_destroy(inf->ops[i].conv);
        ctkd__channel_plan_fini(&inf->ops[i].channels);
        ctkd__windows_fini(&inf->ops[i].windows);
    }
    for (size_t i = 0; i < workers_of(inf); i++) {
        ctkd__pages_release(inf->arenas ? inf->arenas[i] : NULL, inf->plan.bytes);
        ctkd__pages_release(inf->scratch ? inf->scratch[i] : NULL, inf->scratch_bytes);
    }
    free(inf->arenas);
    free(inf->scratch);
    free(inf->statuses);
    unprotect(inf);
    ctkd__pages_release(inf->constants, inf->constants_bytes);
    ctkd__arena_fini(&inf->plan);
    ctkd__program_fini(&inf->program);
    free(inf->value_op);
    free(inf->ops);
    free(inf);
}

size_t ctkd__inference_bytes(const struct ctkd__inference *inf)
{
    return inf->constants_bytes + workers_of(inf) * (inf->plan.bytes + inf->scratch_bytes);
}

/* --- folding */

static const float *parameter_in(const struct ctkd__weights *weights, const struct ctkd__node *node,
                                 enum ctkd__role role)
{
    const int index = node->parameters[role];
    if (index < 0)
        return NULL;
    const bool buffer = role == CTKD__ROLE_MEAN || role == CTKD__ROLE_VARIANCE;
    return (buffer ? weights->buffers : weights->values) + weights->offsets[index];
}

/* Batch norm with running statistics is scale * x + shift. */
static void norm_affine(const struct ctkd__weights *weights, const struct ctkd__node *norm,
                        size_t c, double *scale, double *shift)
{
    const double mean = (double)parameter_in(weights, norm, CTKD__ROLE_MEAN)[c];
    const double variance = (double)parameter_in(weights, norm, CTKD__ROLE_VARIANCE)[c];
    *scale = (double)parameter_in(weights, norm, CTKD__ROLE_WEIGHT)[c] / sqrt(variance + epsilon);
    *shift = (double)parameter_in(weights, norm, CTKD__ROLE_BIAS)[c] - mean * *scale;
}

static void store_weights(struct op *op, const float *flat, size_t floats)
{
    const struct ctkd__conv_impl *const impl = ctkd__conv_base(op->conv)->impl;
    if (impl->packed_bytes(op->conv))
        impl->pack(op->conv, flat, op->weights, 0, 1);
    else
        memcpy(op->weights, flat, floats * sizeof *flat);
}

static void load_conv(struct ctkd__inference *inf, struct op *op,
                      const struct ctkd__weights *weights, float *folded)
{
    const size_t block = inf->config.kernels->block, floats = flat_floats(inf, op);
    const float *const flat = parameter_in(weights, op->node, CTKD__ROLE_WEIGHT);
    const float *const bias = parameter_in(weights, op->node, CTKD__ROLE_BIAS);
    const size_t per_block = floats / op->out_blocks;
    for (size_t o = 0; o < op->out->c; o++) {
        double scale = 1, shift = 0;
        if (op->instruction.norm >= 0)
            norm_affine(weights, &inf->graph->nodes[op->instruction.norm], o, &scale, &shift);
        op->bias[o] = (float)(shift + (bias ? scale * (double)bias[o] : 0));
        const size_t first =
            o / block * per_block + o % block; /* o is the fastest index of a block */
        for (size_t i = first; i < (o / block + 1) * per_block; i += block)
            folded[i] = (float)(scale * (double)flat[i]);
    }
    store_weights(op, folded, floats);
}

/* Nothing is folded into it. */
static void load_transposed(struct ctkd__inference *inf, struct op *op,
                            const struct ctkd__weights *weights)
{
    const float *const bias = parameter_in(weights, op->node, CTKD__ROLE_BIAS);
    if (bias)
        memcpy(op->bias, bias, op->out->c * sizeof *bias);
    store_weights(op, parameter_in(weights, op->node, CTKD__ROLE_WEIGHT), flat_floats(inf, op));
}

ctkd_status ctkd__inference_protect(struct ctkd__inference *inf, ctkd_error *err)
{
    if (ctkd__pages_protect(inf->constants, inf->constants_bytes, true))
        return ctkd__fail(err, CTKD_EIO, "inference: cannot make the weights read-only: %s",
                          strerror(errno));
    inf->is_protected = true;
    return CTKD_OK;
}

static void unprotect(struct ctkd__inference *inf)
{
    if (inf->is_protected)
        (void)ctkd__pages_protect(inf->constants, inf->constants_bytes, false);
    inf->is_protected = false;
}

ctkd_status ctkd__inference_load(struct ctkd__inference *inf, const struct ctkd__weights *weights,
                                 ctkd_error *err)
{
    size_t largest = 1;
    for (int i = 0; i < inf->program.count; i++)
        if (inf->ops[i].conv && flat_floats(inf, &inf->ops[i]) > largest)
            largest = flat_floats(inf, &inf->ops[i]);
    float *const folded = ctkd__pages_allocate(largest * sizeof *folded);
    if (!folded)
        return ctkd__fail(err, CTKD_ENOMEM, "inference: out of memory");
    unprotect(inf);
    for (int i = 0; i < inf->program.count; i++) {
        struct op *const op = &inf->ops[i];
        if (op->instruction.kind == CTKD__INSTRUCTION_CONV) {
            memset(folded, 0, flat_floats(inf, op) * sizeof *folded);
            load_conv(inf, op, weights, folded);
        } else if (op->instruction.kind == CTKD__INSTRUCTION_TRANSPOSED_CONV) {
            load_transposed(inf, op, weights);
        } else if (op->instruction.kind == CTKD__INSTRUCTION_LINEAR) {
            memcpy(op->weights, parameter_in(weights, op->node, CTKD__ROLE_WEIGHT),
                   op->weights_bytes);
            memcpy(op->bias, parameter_in(weights, op->node, CTKD__ROLE_BIAS),
                   op->out->c * sizeof(float));
        } else if (op->instruction.kind == CTKD__INSTRUCTION_NORM) {
            for (size_t c = 0; c < op->node->c; c++) {
                double scale, shift;
                norm_affine(weights, op->node, c, &scale, &shift);
                op->scale[c] = (float)scale;
                op->bias[c] = (float)shift;
            }
        }
    }
    ctkd__pages_release(folded, largest * sizeof *folded);
    return CTKD_OK;
}

/* --- running */

struct chunk_view {
    struct ctkd__inference *inf;
    size_t worker, first, n;
};

static float *buffer_at(const struct chunk_view *v, int buffer)
{
    return buffer == NO_BUFFER
               ? NULL
               : (float *)(void *)(v->inf->arenas[v->worker] + v->inf->plan.buffers[buffer].offset);
}

static void run_conv(const struct chunk_view *v, const struct op *op, const float *x)
{
    struct ctkd__affine affine;
    struct ctkd__conv_call call = { .n = v->n,
                                    .worker = v->worker,
                                    .x = x,
                                    .weights = op->weights,
                                    .bias = op->bias,
                                    .base = buffer_at(v, op->residual),
                                    .out = buffer_at(v, op->y),
                                    .scratch = v->inf->scratch[v->worker] };
    if (op->prologue) {
        affine = (struct ctkd__affine){ op->prologue->scale, op->prologue->bias,
                                        op->prologue->instruction.relu };
        call.prologue = &affine;
    }
    const ctkd_status status = ctkd__conv_base(op->conv)->impl->run(op->conv, &call);
    if (status)
        v->inf->statuses[v->worker] = status;
}

static void run_transposed(const struct chunk_view *v, const struct op *op, const float *x)
{
    struct ctkd__conv_call call = { .n = v->n,
                                    .worker = v->worker,
                                    .dy = x,
                                    .weights = op->weights,
                                    .out = buffer_at(v, op->y),
                                    .scratch = v->inf->scratch[v->worker] };
    const ctkd_status status = ctkd__conv_base(op->conv)->impl->run(op->conv, &call);
    if (status)
        v->inf->statuses[v->worker] = status;
    if (op->node->parameters[CTKD__ROLE_BIAS] >= 0)
        v->inf->config.kernels->features->shift(
            (struct ctkd__extent){ v->n, op->out_blocks, op->out->h * op->out->w }, op->bias,
            buffer_at(v, op->y));
}

/* Plain rows: the logits', or some in the scratch memory. */
static void run_linear(const struct chunk_view *v, const struct op *op, const float *x)
{
    const struct ctkd__kernels *const k = v->inf->config.kernels;
    float *const rows = op->is_logits ? v->inf->logits + v->first * op->out->c
                                      : (float *)(void *)v->inf->scratch[v->worker];
    k->pointwise->linear(v->n, op->in_floats, op->out->c, x, op->weights, op->bias, rows);
    if (op->y != NO_BUFFER)
        k->features->block((struct ctkd__extent){ v->n, op->out_blocks, 1 }, op->out->c, rows, NULL,
                           buffer_at(v, op->y));
}

static void run_feature(const struct chunk_view *v, const struct op *op, const float *x)
{
    const struct ctkd__feature_kernels *const k = v->inf->config.kernels->features;
    const size_t hw = op->in->h * op->in->w, block = v->inf->config.kernels->block;
    const struct ctkd__extent extent = { v->n, op->in_blocks, hw };
    const float *const residual = buffer_at(v, op->residual);
    const float *const operands[2] = { x, residual };
    float *const y = buffer_at(v, op->y);
    switch (op->instruction.kind) {
    case CTKD__INSTRUCTION_INPUT:
        k->block(extent, op->in->c, x, NULL, y);
        break;
    case CTKD__INSTRUCTION_CHANNELS:
        k->gather(v->n, hw, &op->channels, operands, NULL, y);
        break;
    case CTKD__INSTRUCTION_ACTIVATE:
        k->activate(extent, op->node->c, op->node->activation, op->node->slope, x, y);
        break;
    case CTKD__INSTRUCTION_AVERAGE:
        k->average(v->n * op->in_blocks, &op->windows, x, y);
        break;
    case CTKD__INSTRUCTION_SCALE_BY:
        k->scale_by(extent, x, op->residual_floats / hw / block, residual, op->node->channel, NULL,
                    y);
        break;
    case CTKD__INSTRUCTION_MULTIPLY:
        k->multiply(extent, x, residual, op->residual_floats != op->in_floats, NULL, y);
        break;
    case CTKD__INSTRUCTION_OUTPUT:
        if (v->inf->outputs)
            k->unblock(extent, op->in->c, x,
                       v->inf->outputs[op->instruction.index] + v->first * op->in->c * hw);
        break;
    default:
        break;
    }
}

static void run_op(const struct chunk_view *v, const struct op *op)
{
    const struct ctkd__pointwise_kernels *const k = v->inf->config.kernels->pointwise;
    const float *const x = op->x != NO_BUFFER
                               ? buffer_at(v, op->x)
                               : v->inf->x + v->first * op->in->c * op->in->h * op->in->w;
    const struct ctkd__extent extent = { v->n, op->in_blocks, op->in->h * op->in->w };
    const struct ctkd__affine affine = { op->scale, op->bias, op->instruction.relu };
    const struct ctkd__max_pool pool = { op->in->h,        op->in->w,        op->out->h,
                                         op->out->w,       op->node->kernel, op->node->stride,
                                         op->node->padding };
    const struct ctkd__subsample shape = {
        op->in->c,  op->in_blocks,    op->in->h,
        op->in->w,  op->out_blocks,   op->out->h,
        op->out->w, op->node->stride, (op->out->c - op->in->c) / 2
    };
    switch (op->instruction.kind) {
    case CTKD__INSTRUCTION_CONV:
        run_conv(v, op, x);
        break;
    case CTKD__INSTRUCTION_NORM:
        if (!op->virtual_output)
            k->affine(extent, x, &affine, buffer_at(v, op->residual), buffer_at(v, op->y));
        break;
    case CTKD__INSTRUCTION_ADD:
        k->add(v->n * op->out_floats, x, buffer_at(v, op->residual), op->instruction.relu,
               buffer_at(v, op->y));
        break;
    case CTKD__INSTRUCTION_RELU:
        k->relu(v->n * op->out_floats, x, buffer_at(v, op->y));
        break;
    case CTKD__INSTRUCTION_MAX_POOL:
        k->max_pool(v->n * op->in_blocks, &pool, x, buffer_at(v, op->y), NULL);
        break;
    case CTKD__INSTRUCTION_GLOBAL_POOL:
        k->mean_pool(extent, x, buffer_at(v, op->y));
        break;
    case CTKD__INSTRUCTION_LINEAR:
        run_linear(v, op, x);
        break;
    case CTKD__INSTRUCTION_SUBSAMPLE:
        k->subsample(v->n, &shape, x, buffer_at(v, op->y));
        break;
    case CTKD__INSTRUCTION_TRANSPOSED_CONV:
        run_transposed(v, op, x);
        break;
    default:
        run_feature(v, op, x);
        break;
    }
}

static void run_worker(void *context, size_t worker)
{
    struct ctkd__inference *const inf = context;
    struct ctkd__profile *const profile = inf->config.profile;
    for (;;) {
        const size_t first = atomic_fetch_add(&inf->next, 1) * inf->part;
        if (first >= inf->n)
            return;
        const size_t left = inf->n - first;
        const struct chunk_view v = { inf, worker, first, left < inf->part ? left : inf->part };
        for (int i = 0; i < inf->program.count; i++) {
            const uint64_t start = profile ? ctkd__clock_ns() : 0;
            run_op(&v, &inf->ops[i]);
            if (profile)
                ctkd__profile_add(profile, inf->ops[i].row, worker, ctkd__clock_ns() - start, v.n);
        }
    }
}

ctkd_status ctkd__inference_run_outputs(struct ctkd__inference *inf, size_t n, const float *x,
                                        float *logits, float *const *outputs, ctkd_error *err)
{
    if (n == 0)
        return ctkd__fail(err, CTKD_EINVAL, "inference: no images");
    if (!logits && !inf->config.no_logits)
        return ctkd__fail(err, CTKD_EINVAL, "inference: no room for the logits");
    const size_t workers = workers_of(inf), share = (n + workers - 1) / workers;
    inf->part = share < inf->chunk ? share : inf->chunk;
    ctkd_status status = ctkd__inference_prepare(inf, inf->part, err);
    if (!status && n % inf->part)
        status = ctkd__inference_prepare(inf, n % inf->part, err);
    if (status)
        return status;
    inf->n = n;
    inf->x = x;
    inf->logits = logits;
    inf->outputs = outputs;
    atomic_store(&inf->next, 0);
    memset(inf->statuses, 0, workers * sizeof *inf->statuses);
    ctkd__workers_run(inf->config.workers, run_worker, inf);
    for (size_t i = 0; i < workers; i++)
        if (inf->statuses[i])
            return ctkd__fail(err, inf->statuses[i], "inference: a convolution failed");
    return CTKD_OK;
}

size_t ctkd__inference_references(const struct ctkd__inference *inf,
                                  char first[CTKD__REFERENCE_BYTES])
{
    size_t count = 0;
    first[0] = '\0';
    for (int i = 0; i < inf->program.count; i++)
        if (inf->ops[i].conv && ctkd__conv_runs_reference(inf->ops[i].conv) && count++ == 0)
            snprintf(first, CTKD__REFERENCE_BYTES, "%s, conv forward", inf->ops[i].node->name);
    return count;
}

ctkd_status ctkd__inference_run(struct ctkd__inference *inf, size_t n, const float *x,
                                float *logits, ctkd_error *err)
{
    return ctkd__inference_run_outputs(inf, n, x, logits, NULL, err);
}
