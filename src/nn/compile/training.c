/* Compiling a graph for training: memory and convolutions; and running it. */
#include <stdlib.h>
#include <string.h>

#include "nn/compile/training_internal.h"
#include "nn/round.h"
#include "util/clock.h"
#include "util/error.h"

static size_t workers_of(const struct ctkd__training *t)
{
    return ctkd__lowering_workers(&t->lowering);
}

/* --- convolutions and profile rows: after planning, since the gradients that exist decide which
   directions are needed */

static ctkd_status create_convs(struct ctkd__training *t, struct ctkd__lowered *op, ctkd_error *err)
{
    const bool transposed = op->instruction.kind == CTKD__INSTRUCTION_TRANSPOSED_CONV;
    /* The direction that computes the gradient of the input, which is not always needed. */
    const int to_input = transposed ? CTKD__CONV_FORWARD : CTKD__CONV_BACKWARD_DATA;
    ctkd_status status = CTKD_OK;
    for (int d = 0; d < 3 && !status; d++) {
        const bool is_needed = d == to_input
                                   ? op->dx.out != CTKD__NO_BUFFER
                                   : d != CTKD__CONV_BACKWARD_WEIGHTS || !t->lowering.forward_only;
        if (is_needed)
            status =
                ctkd__lowering_create_conv(&t->lowering, op, (enum ctkd__conv_direction)d, err);
    }
    return status;
}

static void add_conv_rows(const struct ctkd__lowering *l, struct ctkd__lowered *op)
{
    for (int d = 0; d < 3; d++) {
        if (!op->conv[d])
            continue;
        const struct ctkd__conv_base *const conv = ctkd__conv_base(op->conv[d]);
        op->rows[d] = ctkd__profile_row(
            l->profile, l->profile_name, ctkd__conv_direction_text((enum ctkd__conv_direction)d),
            op->node->name, conv->impl->name, ctkd__conv_flops(&conv->request.shape));
        if (d != CTKD__CONV_BACKWARD_WEIGHTS)
            op->rows[3 + d] = ctkd__profile_row(l->profile, l->profile_name, CTKD__PROFILE_PACKING,
                                                op->node->name, conv->impl->name, 0);
    }
}

static void add_profile_rows(const struct ctkd__lowering *l, struct ctkd__lowered *op)
{
    if (!l->profile)
        return;
    if (ctkd__lowered_is_conv(op)) {
        add_conv_rows(l, op);
        return;
    }
    const double flops = op->instruction.kind == CTKD__INSTRUCTION_LINEAR
                             ? 2.0 * (double)op->in_floats * (double)op->node->c
                             : 0;
    char kind[32];
    snprintf(kind, sizeof kind, "%s forward", op->def->text);
    op->rows[0] =
        ctkd__profile_row(l->profile, l->profile_name, kind, op->node->name, "own", flops);
    if (l->forward_only)
        return;
    snprintf(kind, sizeof kind, "%s backward", op->def->text);
    op->rows[1] =
        ctkd__profile_row(l->profile, l->profile_name, kind, op->node->name, "own", 2 * flops);
}

static ctkd_status create_all_convs(struct ctkd__training *t, ctkd_error *err)
{
    for (int i = 0; i < t->lowering.program.count; i++) {
        struct ctkd__lowered *const op = &t->lowering.ops[i];
        const ctkd_status status = ctkd__lowered_is_conv(op) ? create_convs(t, op, err) : CTKD_OK;
        if (status)
            return status;
        add_profile_rows(&t->lowering, op);
    }
    return CTKD_OK;
}

/* --- persistent memory */

static ctkd_status allocate_norms(struct ctkd__training *t)
{
    const size_t block = t->lowering.kernels->block, workers = workers_of(t), slices = t->slices;
    size_t channels = 0;
    for (int i = 0; i < t->lowering.program.count; i++)
        channels += t->lowering.ops[i].instruction.kind == CTKD__INSTRUCTION_NORM
                        ? t->lowering.ops[i].in_blocks * block
                        : 0;
    t->norm_doubles_count = 4 * slices * channels;
    t->norm_floats_count = 7 * workers * channels;
    t->norm_doubles = ctkd__pages_allocate(t->norm_doubles_count * sizeof(double));
    t->norm_floats = ctkd__pages_allocate(t->norm_floats_count * sizeof(float));
    if (!t->norm_doubles || !t->norm_floats)
        return CTKD_ENOMEM;
    double *doubles = t->norm_doubles;
    float *floats = t->norm_floats;
    for (int i = 0; i < t->lowering.program.count; i++) {
        struct ctkd__lowered *const op = &t->lowering.ops[i];
        if (op->instruction.kind != CTKD__INSTRUCTION_NORM)
            continue;
        const size_t c = op->in_blocks * block;
        op->forward_sums = doubles;
        op->backward_sums = doubles + 2 * slices * c;
        op->coefficients = floats;
        doubles += 4 * slices * c;
        floats += 7 * workers * c;
    }
    return CTKD_OK;
}

/* Bytes of the gradients of a slice. */
static size_t gradient_bytes(const struct ctkd__training *t)
{
    return t->lowering.forward_only ? 0 : t->weights->n_values * sizeof(float);
}

static ctkd_status allocate(struct ctkd__training *t)
{
    const size_t workers = workers_of(t);
    const ctkd_status status = ctkd__lowering_allocate(&t->lowering);
    if (status)
        return status;
    t->gradients = calloc(t->own_slices, sizeof *t->gradients);
    t->packs = calloc(workers, sizeof *t->packs);
    if (!t->gradients || !t->packs)
        return CTKD_ENOMEM;
    for (size_t i = 0; i < t->own_slices && !t->lowering.forward_only; i++) {
        t->gradients[i] = ctkd__pages_allocate(gradient_bytes(t));
        if (!t->gradients[i])
            return CTKD_ENOMEM;
    }
    return allocate_norms(t);
}

/* Bytes of the sums of a bias's gradient, which are doubles. */
static size_t sums_bytes(const struct ctkd__lowering *l)
{
    size_t bytes = 0;
    for (int i = 0; i < l->program.count; i++) {
        const size_t sums = l->ops[i].out_blocks * l->kernels->block * sizeof(double);
        bytes = sums > bytes ? sums : bytes;
    }
    return bytes;
}

/* The most bytes that the packed weights of any convolution take. */
static size_t packed_bytes(const struct ctkd__lowering *l)
{
    size_t bytes = 0;
    for (int i = 0; i < l->program.count; i++)
        for (int d = CTKD__CONV_FORWARD; d <= CTKD__CONV_BACKWARD_DATA; d++) {
            const struct ctkd__conv *const conv = l->ops[i].conv[d];
            const size_t packed = conv ? ctkd__conv_base(conv)->impl->packed_bytes(conv) : 0;
            bytes = packed > bytes ? packed : bytes;
        }
    return bytes;
}

/* Grows scratch and packed weights to what the prepared convolutions need. */
static ctkd_status size_shared(struct ctkd__training *t)
{
    const size_t packed = packed_bytes(&t->lowering);
    if (ctkd__lowering_grow_scratch(&t->lowering, sums_bytes(&t->lowering)))
        return CTKD_ENOMEM;
    for (int i = 0; i < 2 && packed > t->packed_bytes; i++) {
        ctkd__pages_release(t->packed[i], t->packed_bytes);
        t->packed[i] = ctkd__pages_allocate(packed);
        if (!t->packed[i])
            return CTKD_ENOMEM;
    }
    t->packed_bytes = packed > t->packed_bytes ? packed : t->packed_bytes;
    return CTKD_OK;
}

/* Over a single value a batch norm would give 0 whatever the value, and the unbiased variance is
   not defined. */
static ctkd_status check_norms(const struct ctkd__training *t, size_t n, ctkd_error *err)
{
    for (int i = 0; i < t->lowering.program.count; i++)
        if (t->lowering.ops[i].instruction.kind == CTKD__INSTRUCTION_NORM &&
            n * t->lowering.ops[i].in_hw == 1)
            return ctkd__fail(err, CTKD_ERANGE,
                              "%s: found one image of 1x1, which has no deviation for a batch "
                              "norm, expected at least two images in a batch",
                              t->lowering.ops[i].node->name);
    return CTKD_OK;
}

ctkd_status ctkd__training_prepare(struct ctkd__training *t, size_t n, ctkd_error *err)
{
    if (n == 0 || n > t->config.batch_max)
        return ctkd__fail(err, CTKD_EINVAL, "training: found a batch of %zu, expected 1 to %zu", n,
                          t->config.batch_max);
    const ctkd_status norms = check_norms(t, n, err);
    if (norms != CTKD_OK)
        return norms;
    /* the sizes that slices have */
    for (size_t images = n / t->slices; images <= (n + t->slices - 1) / t->slices; images++) {
        const ctkd_status status = ctkd__lowering_prepare(&t->lowering, images, err);
        if (status)
            return status;
    }
    ctkd__lowering_name_code(&t->lowering);
    if (size_shared(t))
        return ctkd__fail(err, CTKD_ENOMEM, "training: out of memory for a batch of %zu", n);
    return CTKD_OK;
}

size_t ctkd__training_references(const struct ctkd__training *t, char first[CTKD__REFERENCE_BYTES])
{
    return ctkd__lowering_references(&t->lowering, first);
}

static void describe(struct ctkd__training *t, const struct ctkd__graph *graph)
{
    const struct ctkd__training_config *const c = &t->config;
    const size_t ranks = ctkd__dist_size(c->dist);
    t->slices = c->slices ? c->slices : ctkd__workers_count(c->workers);
    t->own_slices = t->slices / ranks;
    t->first_slice = t->own_slices * ctkd__dist_rank(c->dist);
    const size_t workers = ranks * ctkd__workers_count(c->workers);
    t->lowering =
        (struct ctkd__lowering){ .graph = graph,
                                 .kernels = c->kernels,
                                 .workers = c->workers,
                                 .conv = c->conv,
                                 .choices = c->choices,
                                 .profile = c->profile,
                                 .program_name = "training",
                                 .profile_name = c->name ? c->name : "network",
                                 .forward_only = c->forward_only,
                                 .no_logits = c->no_logits || graph->output < 0,
                                 .images = (c->batch_max + workers - 1) / workers,
                                 .call_images = (c->batch_max + t->slices - 1) / t->slices };
}

static ctkd_status check_slices(const struct ctkd__training *t, ctkd_error *err)
{
    const size_t ranks = ctkd__dist_size(t->config.dist);
    if (t->slices % (ranks * ctkd__workers_count(t->config.workers)) == 0)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EINVAL,
                      "training: found %zu slices for %zu ranks of %zu threads, expected a "
                      "multiple of both",
                      t->slices, ranks, ctkd__workers_count(t->config.workers));
}

static ctkd_status lower(struct ctkd__training *t, ctkd_error *err)
{
    const struct ctkd__training_config *const c = &t->config;
    ctkd_status status = ctkd__lowering_check(&t->lowering, c->outputs, c->n_outputs, err);
    if (!status)
        status = ctkd__lowering_create(&t->lowering, c->outputs, c->n_outputs);
    if (!status) {
        t->needs_gradient = calloc((size_t)t->lowering.graph->n_nodes, sizeof *t->needs_gradient);
        status = t->needs_gradient ? CTKD_OK : CTKD_ENOMEM;
    }
    return status;
}

ctkd_status ctkd__training_create(const struct ctkd__graph *graph, struct ctkd__weights *weights,
                                  const struct ctkd__training_config *config,
                                  struct ctkd__training **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__training *const t = calloc(1, sizeof *t);
    if (!t)
        return ctkd__fail(err, CTKD_ENOMEM, "training: out of memory");
    t->weights = weights;
    t->config = *config;
    describe(t, graph);
    ctkd_status status = check_slices(t, err);
    if (!status)
        status = lower(t, err);
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
                   config->batch_max, t->lowering.plan.bytes * workers_of(t) >> 20);
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
    ctkd__training_outputs_destroy(t);
    for (size_t i = 0; i < t->own_slices; i++)
        ctkd__pages_release(t->gradients ? t->gradients[i] : NULL, gradient_bytes(t));
    free(t->gradients);
    free(t->packs);
    free(t->parts);
    ctkd__pages_release(t->packed[0], t->packed_bytes);
    ctkd__pages_release(t->packed[1], t->packed_bytes);
    ctkd__pages_release(t->norm_doubles, t->norm_doubles_count * sizeof(double));
    ctkd__pages_release(t->norm_floats, t->norm_floats_count * sizeof(float));
    ctkd__lowering_fini(&t->lowering);
    free(t->needs_gradient);
    free(t);
}

size_t ctkd__training_bytes(const struct ctkd__training *t)
{
    return ctkd__lowering_bytes(&t->lowering) + t->own_slices * gradient_bytes(t) +
           2 * t->packed_bytes + ctkd__training_outputs_bytes(t);
}

/* --- running */

/* For the profile, in which exchanges have rows of their own. The counts stand still while a worker
   reads them: the main thread exchanges only between two meetings of all. */
static double waited_for_ranks(const struct ctkd__training *t)
{
    return t->lowering.profile ? ctkd__dist_topic_counts(t->config.dist, CTKD__TOPIC_NORMS).waited
                               : 0;
}

static void run_op(struct ctkd__training *t, int i, size_t worker, bool backward)
{
    const struct ctkd__worker_view v = ctkd__view_of_worker(t, &t->lowering.ops[i], worker);
    struct ctkd__profile *const profile = t->lowering.profile;
    const uint64_t start = profile ? ctkd__clock_ns() : 0;
    const double waited = waited_for_ranks(t);
    const size_t slices = ctkd__worker_slices(t);
    void (*const pass)(const struct ctkd__worker_view *) =
        backward ? v.op->def->backward : v.op->def->forward;
    if (v.op->def->meets)
        pass(&v);
    for (size_t s = 0; s < slices && !v.op->def->meets; s++) {
        const struct ctkd__worker_view slice = ctkd__view_of_slice(&v, s);
        pass(&slice);
    }
    if (!profile || v.op->conv[CTKD__CONV_BACKWARD_WEIGHTS]) /* convolutions time themselves */
        return;
    const double own = 1e-9 * (double)(ctkd__clock_ns() - start) - (waited_for_ranks(t) - waited);
    ctkd__profile_add(profile, v.op->rows[backward], worker, own > 0 ? (uint64_t)(1e9 * own) : 0,
                      v.n);
}

static void forward_worker(void *context, size_t worker)
{
    struct ctkd__training *const t = context;
    for (int i = 0; i < t->lowering.program.count; i++)
        run_op(t, i, worker, false);
}

static void backward_worker(void *context, size_t worker)
{
    struct ctkd__training *const t = context;
    const size_t slices = ctkd__worker_slices(t);
    size_t part = 0;
    for (size_t s = worker * slices; s < (worker + 1) * slices; s++)
        if (ctkd__slice_begin(t->n, t->slices, t->first_slice + s) ==
            ctkd__slice_begin(t->n, t->slices, t->first_slice + s + 1))
            memset(t->gradients[s], 0, t->weights->n_values * sizeof(float));
    /* Instructions that no gradient reaches never write their parameters' gradients, which stay 0
       as allocated. */
    ctkd__training_pass_instruction(t, t->lowering.program.count, &part);
    for (int i = t->lowering.program.count - 1; i >= 0; i--) {
        if (t->lowering.ops[i].has_backward)
            run_op(t, i, worker, true);
        ctkd__training_pass_instruction(t, i, &part);
    }
    if (worker == 0)
        ctkd__training_parameter_gradients(t);
    ctkd__training_pass_instruction(t, -1, &part);
}

void ctkd__view_share_sums(const struct ctkd__worker_view *v, void *sums, size_t row_bytes)
{
    struct ctkd__training *const t = v->training;
    ctkd__view_meet(v);
    if (!t->config.dist)
        return;
    if (v->worker == 0 && t->exchange.status == CTKD_OK) {
        const enum ctkd__dist_topic before =
            ctkd__dist_set_topic(t->config.dist, CTKD__CHANNEL_MAIN, CTKD__TOPIC_NORMS);
        (void)ctkd__dist_gather_shares(t->config.dist, t->slices, sums, row_bytes, &t->exchange);
        ctkd__dist_set_topic(t->config.dist, CTKD__CHANNEL_MAIN, before);
    }
    ctkd__view_meet(v);
}

/* Runs the passes of all workers. After a failure between ranks the values are unusable. */
static ctkd_status run_pass(struct ctkd__training *t, void (*fn)(void *context, size_t worker),
                            ctkd_error *err)
{
    t->exchange = (ctkd_error){ .status = CTKD_OK };
    const ctkd_status status = ctkd__lowering_run(&t->lowering, fn, t, err);
    return status == CTKD_OK ? ctkd__fail_as(err, &t->exchange) : status;
}

void ctkd__training_draws(struct ctkd__training *t, uint64_t seed, uint64_t major, size_t first)
{
    t->draws = (struct ctkd__draws){ seed, major, first };
}

void ctkd__training_keep_moments(struct ctkd__training *t, float *moments)
{
    t->moments = moments;
}

ctkd_status ctkd__training_forward(struct ctkd__training *t, size_t n, const float *x,
                                   float *logits, ctkd_error *err)
{
    return ctkd__training_forward_images(t, n, ctkd__batch_images_of(x), logits, err);
}

ctkd_status ctkd__training_forward_images(struct ctkd__training *t, size_t n,
                                          struct ctkd__batch_images x, float *logits,
                                          ctkd_error *err)
{
    ctkd_status status = ctkd__training_outputs_check(t, err);
    if (!status && !logits && !t->lowering.no_logits)
        status =
            ctkd__fail(err, CTKD_EINVAL, "training: logits: found NULL, expected room for them");
    if (!status)
        status = ctkd__training_prepare(t, n, err);
    if (status)
        return status;
    t->n = n;
    t->x = x;
    t->logits = logits;
    if (!t->lowering.forward_only && !t->moments)
        t->weights->batches_tracked++;
    return run_pass(t, forward_worker, err);
}

ctkd_status ctkd__training_backward(struct ctkd__training *t, const float *dlogits, ctkd_error *err)
{
    if (t->n == 0)
        return ctkd__fail(
            err, CTKD_EINVAL,
            "training: found a backward pass without a forward pass, expected one before it");
    if (t->lowering.forward_only)
        return ctkd__fail(err, CTKD_EINVAL,
                          "training: found a backward pass in a program that only runs forward");
    if (!dlogits && !t->lowering.no_logits)
        return ctkd__fail(err, CTKD_EINVAL,
                          "training: gradient of the logits: found NULL, expected values");
    t->dlogits = dlogits;
    const ctkd_status status = run_pass(t, backward_worker, err);
    ctkd__training_outputs_forget(t);
    return status;
}

size_t ctkd__training_slices(const struct ctkd__training *t)
{
    return t->own_slices;
}

const float *ctkd__training_gradient(const struct ctkd__training *t, size_t slice)
{
    return t->gradients[slice];
}

ctkd_status ctkd__training_export_gradient(const struct ctkd__training *t,
                                           struct ctkd__tensors *list, ctkd_error *err)
{
    float *const sum = ctkd__pages_allocate(t->weights->n_values * sizeof *sum);
    if (!sum)
        return ctkd__fail(err, CTKD_ENOMEM, "training: out of memory");
    for (size_t s = 0; s < t->own_slices; s++)
        for (size_t i = 0; i < t->weights->n_values; i++)
            sum[i] += t->gradients[s][i];
    ctkd_status status = CTKD_OK;
    for (int i = 0; i < t->lowering.graph->n_parameters && !status; i++) {
        const struct ctkd__parameter *const p = &t->lowering.graph->parameters[i];
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
