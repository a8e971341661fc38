/* Compiling a graph for inference, folding batch norms, and running chunks of images. */
#include "nn/inference.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "nn/arena.h"
#include "nn/conv.h"
#include "nn/program.h"
#include "util/error.h"

static const double epsilon = CTKD__BATCH_NORM_EPSILON;
/* Small chunks keep the activations in the cache, large ones share the work on the weights.
   Measured: 8 to 32 are within 5 % for every pair of the recipes, 16 is the best of them on
   average. */
enum { NO_BUFFER = -1, CHUNK_DEFAULT = 16 };

struct op {
    struct ctkd__step step;
    const struct ctkd__node *node, *in, *out;
    size_t in_blocks, out_blocks, in_floats, out_floats; /* blocked, of an image */
    int x, residual, y; /* buffers; x NO_BUFFER: the images themselves */
    struct ctkd__conv *conv;
    const struct op *prologue;
    bool virtual_output;
    float *weights; /* packed; or of LINEAR */
    float *bias;    /* CONV, LINEAR; NORM: shift */
    float *scale;   /* NORM */
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

    size_t n, step; /* of the present run; images, images of a chunk */
    const float *x;
    float *logits;
    atomic_size_t next; /* chunk to be claimed */
    ctkd_status *statuses;
};

static size_t round_up(size_t x, size_t to)
{
    return (x + to - 1) / to * to;
}

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
                   node->stride, node->padding, op->in->op == CTKD__OP_INPUT },
        .direction = CTKD__CONV_FORWARD,
        .bias = true,
        .residual = op->step.residual >= 0,
        .relu = op->step.relu,
        .prologue = prologue,
        .kernels = inf->config.kernels,
        .workers = workers_of(inf),
        .images = inf->chunk,
        .choices = inf->config.choices,
    };
}

static bool takes_prologue(void *context, int step)
{
    const struct ctkd__inference *const inf = context;
    const struct ctkd__conv_request request = request_of(inf, &inf->ops[step], true);
    return ctkd__conv_supported(inf->config.conv, &request);
}

static void find_prologues(struct ctkd__inference *inf)
{
    for (int i = 0; i < inf->program.count; i++) {
        struct op *const norm = &inf->ops[i];
        norm->virtual_output = ctkd__program_read_by_convs(&inf->program, i, takes_prologue, inf);
        for (int j = i + 1; j < inf->program.count && norm->virtual_output; j++)
            if (inf->ops[j].step.input == norm->step.output)
                inf->ops[j].prologue = norm;
    }
}

static const char *const kinds[CTKD__STEP_KINDS] = { "conv forward", "batch norm", "add",
                                                     "relu",         "max pool",   "global pool",
                                                     "linear",       "subsample" };

static ctkd_status create_ops(struct ctkd__inference *inf, ctkd_error *err)
{
    const size_t block = inf->config.kernels->block;
    inf->ops = calloc((size_t)inf->program.count, sizeof *inf->ops);
    inf->value_op = malloc((size_t)inf->graph->n_nodes * sizeof *inf->value_op);
    if (!inf->ops || !inf->value_op)
        return CTKD_ENOMEM;
    for (int i = 0; i < inf->graph->n_nodes; i++)
        inf->value_op[i] = -1;
    for (int i = 0; i < inf->program.count; i++) {
        struct op *const op = &inf->ops[i];
        op->step = inf->program.steps[i];
        op->node = &inf->graph->nodes[op->step.node];
        op->in = &inf->graph->nodes[op->step.input];
        op->out = &inf->graph->nodes[op->step.output];
        op->in_blocks = round_up(op->in->c, block) / block;
        op->out_blocks = round_up(op->out->c, block) / block;
        op->in_floats = op->in_blocks * block * op->in->h * op->in->w;
        op->out_floats = op->out_blocks * block * op->out->h * op->out->w;
        inf->value_op[op->step.output] = i;
    }
    find_prologues(inf);
    for (int i = 0; i < inf->program.count; i++) {
        struct op *const op = &inf->ops[i];
        double flops = 0;
        if (op->step.kind == CTKD__STEP_CONV) {
            const struct ctkd__conv_request request = request_of(inf, op, op->prologue != NULL);
            const ctkd_status status =
                ctkd__conv_create(inf->config.conv, &request, &op->conv, err);
            if (status)
                return status;
            flops = ctkd__conv_flops(&request.shape);
        } else if (op->step.kind == CTKD__STEP_LINEAR) {
            flops = 2.0 * (double)op->in->c * (double)op->out->c;
        }
        op->row =
            ctkd__profile_row(inf->config.profile, "teacher", kinds[op->step.kind], op->node->name,
                              op->conv ? ctkd__conv_base(op->conv)->impl->name : "own", flops);
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

static bool read_after(const struct ctkd__inference *inf, int buffer, int step)
{
    for (int i = step + 1; i < inf->program.count; i++)
        if (buffer_of_value(inf, inf->ops[i].step.input) == buffer ||
            buffer_of_value(inf, inf->ops[i].step.residual) == buffer)
            return true;
    return false;
}

static bool plan_values(struct ctkd__inference *inf)
{
    for (int i = 0; i < inf->program.count; i++) {
        struct op *const op = &inf->ops[i];
        op->x = buffer_of_value(inf, op->step.input);
        op->residual = buffer_of_value(inf, op->step.residual);
        op->y = NO_BUFFER;
        if (op->x != NO_BUFFER)
            ctkd__arena_use(&inf->plan, op->x, (size_t)i);
        if (op->residual != NO_BUFFER)
            ctkd__arena_use(&inf->plan, op->residual, (size_t)i);
        if (op->step.kind == CTKD__STEP_LINEAR || op->virtual_output)
            continue;
        /* The sum is written over the residual when nobody reads that again. */
        if (op->residual != NO_BUFFER && op->residual != op->x && !read_after(inf, op->residual, i))
            op->y = op->residual;
        else
            op->y =
                ctkd__arena_add(&inf->plan, op->out_floats * inf->chunk * sizeof(float), (size_t)i);
        if (op->y < 0)
            return false;
    }
    return true;
}

static size_t take(size_t *total, size_t bytes)
{
    const size_t at = *total;
    *total += round_up(bytes, 64);
    return at;
}

static size_t flat_floats(const struct ctkd__inference *inf, const struct op *op)
{
    const size_t block = inf->config.kernels->block, kernel = op->node->kernel;
    const size_t c = op->in->op == CTKD__OP_INPUT ? op->in->c : op->in_blocks * block;
    return op->out_blocks * block * c * kernel * kernel;
}

/* Sizes, then (memory given) places, of the constants. */
static void lay_out_constants(struct ctkd__inference *inf, char *memory)
{
    const size_t block = inf->config.kernels->block;
    size_t total = 0;
    for (int i = 0; i < inf->program.count; i++) {
        struct op *const op = &inf->ops[i];
        size_t weights = 0, bias = 0, scale = 0;
        if (op->step.kind == CTKD__STEP_CONV) {
            weights = ctkd__conv_base(op->conv)->impl->packed_bytes(op->conv);
            weights = weights ? weights : flat_floats(inf, op) * sizeof(float);
            bias = op->out_blocks * block * sizeof(float);
        } else if (op->step.kind == CTKD__STEP_LINEAR) {
            weights = op->in_floats * op->out->c * sizeof(float);
            bias = op->out->c * sizeof(float);
        } else if (op->step.kind == CTKD__STEP_NORM) {
            bias = scale = op->in_blocks * block * sizeof(float);
        }
        op->weights_bytes = weights;
        char *const places[] = { memory + take(&total, weights), memory + take(&total, bias),
                                 memory + take(&total, scale) };
        op->weights = (float *)(void *)places[0];
        op->bias = (float *)(void *)places[1];
        op->scale = (float *)(void *)places[2];
    }
    inf->constants_bytes = total;
}

static ctkd_status prepare(struct ctkd__inference *inf, size_t n, ctkd_error *err)
{
    size_t scratch = 64;
    for (int i = 0; i < inf->program.count; i++) {
        struct ctkd__conv *const conv = inf->ops[i].conv;
        if (!conv)
            continue;
        const struct ctkd__conv_impl *const impl = ctkd__conv_base(conv)->impl;
        const ctkd_status status = impl->prepare(conv, n, err);
        if (status)
            return status;
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
    ctkd_status status = ctkd__program_create(graph, true, NULL, &inf->program);
    if (!status) {
        inf->chunk = config->chunk ? config->chunk : CHUNK_DEFAULT;
        status = create_ops(inf, err);
    }
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
    for (int i = 0; inf->ops && i < inf->program.count; i++)
        ctkd__conv_destroy(inf->ops[i].conv);
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

static const float *parameter(const struct ctkd__weights *weights, const struct ctkd__node *node,
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
    const double mean = (double)parameter(weights, norm, CTKD__ROLE_MEAN)[c];
    const double variance = (double)parameter(weights, norm, CTKD__ROLE_VARIANCE)[c];
    *scale = (double)parameter(weights, norm, CTKD__ROLE_WEIGHT)[c] / sqrt(variance + epsilon);
    *shift = (double)parameter(weights, norm, CTKD__ROLE_BIAS)[c] - mean * *scale;
}

static void load_conv(struct ctkd__inference *inf, struct op *op,
                      const struct ctkd__weights *weights, float *folded)
{
    const size_t block = inf->config.kernels->block, floats = flat_floats(inf, op);
    const float *const flat = parameter(weights, op->node, CTKD__ROLE_WEIGHT);
    const float *const bias = parameter(weights, op->node, CTKD__ROLE_BIAS);
    const size_t per_block = floats / op->out_blocks;
    for (size_t o = 0; o < op->out->c; o++) {
        double scale = 1, shift = 0;
        if (op->step.norm >= 0)
            norm_affine(weights, &inf->graph->nodes[op->step.norm], o, &scale, &shift);
        op->bias[o] = (float)(shift + (bias ? scale * (double)bias[o] : 0));
        const size_t first =
            o / block * per_block + o % block; /* o is the fastest index of a block */
        for (size_t i = first; i < (o / block + 1) * per_block; i += block)
            folded[i] = (float)(scale * (double)flat[i]);
    }
    const struct ctkd__conv_impl *const impl = ctkd__conv_base(op->conv)->impl;
    if (impl->packed_bytes(op->conv))
        impl->pack(op->conv, folded, op->weights, 0, 1);
    else
        memcpy(op->weights, folded, floats * sizeof *folded);
}

ctkd_status ctkd__inference_protect(struct ctkd__inference *inf, ctkd_error *err)
{
    if (ctkd__pages_protect(inf->constants, inf->constants_bytes, true))
        return ctkd__fail(err, CTKD_EIO, "inference: weights cannot be made read-only: %s",
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
        if (op->step.kind == CTKD__STEP_CONV) {
            memset(folded, 0, flat_floats(inf, op) * sizeof *folded);
            load_conv(inf, op, weights, folded);
        } else if (op->step.kind == CTKD__STEP_LINEAR) {
            memcpy(op->weights, parameter(weights, op->node, CTKD__ROLE_WEIGHT), op->weights_bytes);
            memcpy(op->bias, parameter(weights, op->node, CTKD__ROLE_BIAS),
                   op->out->c * sizeof(float));
        } else if (op->step.kind == CTKD__STEP_NORM) {
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

struct view {
    struct ctkd__inference *inf;
    size_t worker, first, n;
};

static float *at(const struct view *v, int buffer)
{
    return buffer == NO_BUFFER
               ? NULL
               : (float *)(void *)(v->inf->arenas[v->worker] + v->inf->plan.buffers[buffer].offset);
}

static void run_conv(const struct view *v, const struct op *op, const float *x)
{
    struct ctkd__affine affine;
    struct ctkd__conv_call call = { .n = v->n,
                                    .worker = v->worker,
                                    .x = x,
                                    .weights = op->weights,
                                    .bias = op->bias,
                                    .base = at(v, op->residual),
                                    .out = at(v, op->y),
                                    .scratch = v->inf->scratch[v->worker] };
    if (op->prologue) {
        affine = (struct ctkd__affine){ op->prologue->scale, op->prologue->bias,
                                        op->prologue->step.relu };
        call.prologue = &affine;
    }
    const ctkd_status status = ctkd__conv_base(op->conv)->impl->run(op->conv, &call);
    if (status)
        v->inf->statuses[v->worker] = status;
}

static void run_op(const struct view *v, const struct op *op)
{
    const struct ctkd__pointwise_kernels *const k = v->inf->config.kernels->pointwise;
    const float *const x = op->x != NO_BUFFER
                               ? at(v, op->x)
                               : v->inf->x + v->first * op->in->c * op->in->h * op->in->w;
    const struct ctkd__extent extent = { v->n, op->in_blocks, op->in->h * op->in->w };
    const struct ctkd__affine affine = { op->scale, op->bias, op->step.relu };
    const struct ctkd__max_pool pool = { op->in->h,        op->in->w,        op->out->h,
                                         op->out->w,       op->node->kernel, op->node->stride,
                                         op->node->padding };
    const struct ctkd__subsample shape = {
        op->in->c,  op->in_blocks,    op->in->h,
        op->in->w,  op->out_blocks,   op->out->h,
        op->out->w, op->node->stride, (op->out->c - op->in->c) / 2
    };
    switch (op->step.kind) {
    case CTKD__STEP_CONV:
        run_conv(v, op, x);
        break;
    case CTKD__STEP_NORM:
        if (!op->virtual_output)
            k->affine(extent, x, &affine, at(v, op->residual), at(v, op->y));
        break;
    case CTKD__STEP_ADD:
        k->add(v->n * op->out_floats, x, at(v, op->residual), op->step.relu, at(v, op->y));
        break;
    case CTKD__STEP_RELU:
        k->relu(v->n * op->out_floats, x, at(v, op->y));
        break;
    case CTKD__STEP_MAX_POOL:
        k->max_pool(v->n * op->in_blocks, &pool, x, at(v, op->y), NULL);
        break;
    case CTKD__STEP_GLOBAL_POOL:
        k->mean_pool(extent, x, at(v, op->y));
        break;
    case CTKD__STEP_LINEAR:
        k->linear(v->n, op->in_floats, op->out->c, x, op->weights, op->bias,
                  v->inf->logits + v->first * op->out->c);
        break;
    case CTKD__STEP_SUBSAMPLE:
        k->subsample(v->n, &shape, x, at(v, op->y));
        break;
    case CTKD__STEP_KINDS:
        break;
    }
}

static void run_worker(void *context, size_t worker)
{
    struct ctkd__inference *const inf = context;
    struct ctkd__profile *const profile = inf->config.profile;
    for (;;) {
        const size_t first = atomic_fetch_add(&inf->next, 1) * inf->step;
        if (first >= inf->n)
            return;
        const size_t left = inf->n - first;
        const struct view v = { inf, worker, first, left < inf->step ? left : inf->step };
        for (int i = 0; i < inf->program.count; i++) {
            const uint64_t start = profile ? ctkd__profile_now_ns() : 0;
            run_op(&v, &inf->ops[i]);
            if (profile)
                ctkd__profile_add(profile, inf->ops[i].row, worker, ctkd__profile_now_ns() - start,
                                  v.n);
        }
    }
}

ctkd_status ctkd__inference_run(struct ctkd__inference *inf, size_t n, const float *x,
                                float *logits, ctkd_error *err)
{
    if (n == 0)
        return ctkd__fail(err, CTKD_EINVAL, "inference: no images");
    const size_t workers = workers_of(inf), share = (n + workers - 1) / workers;
    inf->step = share < inf->chunk ? share : inf->chunk;
    ctkd_status status = prepare(inf, inf->step, err);
    if (!status && n % inf->step)
        status = prepare(inf, n % inf->step, err);
    if (status)
        return status;
    inf->n = n;
    inf->x = x;
    inf->logits = logits;
    atomic_store(&inf->next, 0);
    memset(inf->statuses, 0, workers * sizeof *inf->statuses);
    ctkd__workers_run(inf->config.workers, run_worker, inf);
    for (size_t i = 0; i < workers; i++)
        if (inf->statuses[i])
            return ctkd__fail(err, inf->statuses[i], "inference: a convolution failed");
    return CTKD_OK;
}
