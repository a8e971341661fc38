/* Compiling a graph for inference, folding batch norms, and running chunks of images. */
#include "nn/compile/inference.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "nn/compile/instructions.h"
#include "nn/round.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/slice.h"

/* Small chunks keep the activations in the cache; large chunks spread the cost of reading the
   weights. At 32 x 32 16 is about as fast as 32, and 8 is much slower for VGG-13
   (doc/performance.md). At 224 x 224 4 is best: a map of ResNet-50 has 3 MB for each image. */
enum { CHUNK_MOST = 16, CHUNK_LEAST = 4, CHUNK_MAP_BYTES = 16 << 20 };

/* The number of images in a chunk, chosen so that their largest maps together take at most
   CHUNK_MAP_BYTES. */
static size_t chunk_of(const struct ctkd__graph *graph)
{
    size_t largest = 1, chunk = CHUNK_MOST;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct ctkd__node *const node = &graph->nodes[i];
        const size_t floats = node->c * node->h * node->w;
        largest = floats > largest ? floats : largest;
    }
    while (chunk > CHUNK_LEAST && largest > CHUNK_MAP_BYTES / sizeof(float) / chunk)
        chunk /= 2;
    return chunk;
}

/* The slices of a batch, of which `own` from `first` on are computed here. */
struct slices {
    size_t count, first, own;
};

struct ctkd__inference {
    struct ctkd__lowering lowering; /* of chunks of lowering.images */
    char *constants;
    size_t constants_bytes;
    bool is_protected; /* constants are read-only memory */

    struct slices config_slices; /* as configured */

    /* Of the present run. */
    struct slices slices;
    size_t n, part;       /* images, images of a call */
    size_t parts_of_each; /* slice, at most */
    size_t together;      /* slices that a worker claims at once; 1: a part of one */
    struct ctkd__batch_images x;
    float *logits;
    float *const *outputs; /* the caller's; NULL: not asked for */
    atomic_size_t next;    /* chunk to be claimed */
};

/* --- convolutions and profile rows */

static ctkd_status create_conv(struct ctkd__lowering *l, struct ctkd__lowered *op, double *flops,
                               ctkd_error *err)
{
    const bool transposed = op->instruction.kind == CTKD__INSTRUCTION_TRANSPOSED_CONV;
    const enum ctkd__conv_direction direction =
        transposed ? CTKD__CONV_BACKWARD_DATA : CTKD__CONV_FORWARD;
    ctkd_status status = ctkd__lowering_create_conv(l, op, direction, err);
    if (status)
        return status;
    if (transposed) /* its packed weights have no size before that */
        status = ctkd__conv_prepare(op->conv[direction], l->images, err);
    *flops = ctkd__conv_flops(&ctkd__conv_base(op->conv[direction])->request.shape);
    return status;
}

static void add_profile_row(struct ctkd__lowering *l, struct ctkd__lowered *op, double flops)
{
    const bool is_conv = op->instruction.kind == CTKD__INSTRUCTION_CONV;
    const char *how = "own";
    for (int d = 0; d < 3; d++)
        if (op->conv[d])
            how = ctkd__conv_base(op->conv[d])->impl->name;
    const int row =
        ctkd__profile_row(l->profile, l->profile_name,
                          is_conv ? ctkd__conv_direction_text(CTKD__CONV_FORWARD) : op->def->text,
                          op->node->name, how, flops);
    for (int d = 0; d < 3; d++) /* whichever direction its convolution has */
        op->rows[d] = row;
}

static ctkd_status create_convs(struct ctkd__lowering *l, ctkd_error *err)
{
    for (int i = 0; i < l->program.count; i++) {
        struct ctkd__lowered *const op = &l->ops[i];
        double flops = 0;
        const ctkd_status status =
            ctkd__lowered_is_conv(op) ? create_conv(l, op, &flops, err) : CTKD_OK;
        if (status)
            return status;
        if (op->instruction.kind == CTKD__INSTRUCTION_LINEAR)
            flops = 2.0 * (double)op->in->c * (double)op->out->c;
        add_profile_row(l, op, flops);
    }
    return CTKD_OK;
}

/* --- memory */

static bool read_after(const struct ctkd__lowering *l, int buffer, int instruction)
{
    for (int i = instruction + 1; i < l->program.count; i++)
        if (ctkd__lowering_value_buffer(l, l->ops[i].instruction.input) == buffer ||
            ctkd__lowering_value_buffer(l, l->ops[i].instruction.residual) == buffer)
            return true;
    return false;
}

/* Whether the sum may be written over the residual, because nothing reads the residual again. */
static bool replaces_residual(const struct ctkd__lowering *l, const struct ctkd__lowered *op,
                              int instruction)
{
    return op->def->adds_residual && op->residual != CTKD__NO_BUFFER && op->residual != op->x &&
           !read_after(l, op->residual, instruction);
}

/* Plans the activations: each lives from its instruction to the last one that reads it. */
static bool plan_values(struct ctkd__lowering *l)
{
    for (int i = 0; i < l->program.count; i++) {
        struct ctkd__lowered *const op = &l->ops[i];
        const bool is_stored = ctkd__lowering_place_operands(l, op);
        const size_t image_bytes = ctkd__lowered_image_bytes(op);
        if (image_bytes) {
            op->images[0] = ctkd__arena_add(&l->plan, image_bytes * l->images, (size_t)i);
            if (op->images[0] < 0)
                return false;
        }
        if (op->x != CTKD__NO_BUFFER)
            ctkd__arena_use(&l->plan, op->x, (size_t)i);
        if (op->residual != CTKD__NO_BUFFER)
            ctkd__arena_use(&l->plan, op->residual, (size_t)i);
        if (!is_stored)
            continue;
        if (replaces_residual(l, op, i))
            op->y = op->residual;
        else
            op->y =
                ctkd__arena_add(&l->plan, op->out_floats * l->images * sizeof(float), (size_t)i);
        if (op->y < 0)
            return false;
        l->plan.buffers[op->y].image_bytes = op->out_floats * sizeof(float);
    }
    ctkd__arena_plan(&l->plan);
    return true;
}

/* Sets the sizes of the constants and, if memory is given, their places. */
static void lay_out_constants(struct ctkd__inference *inf, char *memory)
{
    size_t total = 0;
    for (int i = 0; i < inf->lowering.program.count; i++) {
        struct ctkd__lowered *const op = &inf->lowering.ops[i];
        size_t bytes[3] = { 0 };
        if (op->def->constants)
            op->def->constants(&inf->lowering, op, bytes);
        float **const places[3] = { &op->weights, &op->bias, &op->scale };
        for (int j = 0; j < 3; j++) {
            *places[j] = (float *)(void *)(memory + total);
            total += ctkd__round_up(bytes[j], 64);
        }
        op->weights_bytes = bytes[0];
    }
    inf->constants_bytes = total;
}

ctkd_status ctkd__inference_prepare(struct ctkd__inference *inf, size_t n, ctkd_error *err)
{
    const ctkd_status status = ctkd__lowering_prepare(&inf->lowering, n, err);
    if (status)
        return status;
    ctkd__lowering_name_code(&inf->lowering);
    if (ctkd__lowering_grow_scratch(&inf->lowering, 64))
        return ctkd__fail(err, CTKD_ENOMEM, "inference: out of memory");
    return CTKD_OK;
}

static ctkd_status allocate(struct ctkd__inference *inf)
{
    lay_out_constants(inf, NULL);
    inf->constants = ctkd__pages_allocate(inf->constants_bytes);
    if (!inf->constants)
        return CTKD_ENOMEM;
    lay_out_constants(inf, inf->constants);
    return ctkd__lowering_allocate(&inf->lowering);
}

/* Refuses outputs that inference cannot provide: values that do not belong to an image. */
static ctkd_status check_request(const struct ctkd__lowering *l,
                                 const struct ctkd__inference_config *config, ctkd_error *err)
{
    const ctkd_status status = ctkd__lowering_check(l, config->outputs, config->n_outputs, err);
    for (size_t i = 0; i < config->n_outputs && !status; i++) {
        const struct ctkd__node *const node = &l->graph->nodes[config->outputs[i]];
        if (node->op == CTKD__OP_PARAMETER)
            return ctkd__fail(err, CTKD_EINVAL,
                              "inference: output %zu: found the parameter %s, expected a value", i,
                              node->name);
    }
    return status;
}

static ctkd_status check_inputs(const struct ctkd__lowering *l, ctkd_error *err)
{
    for (int i = 0; i < l->program.count; i++)
        if (l->ops[i].out->op == CTKD__OP_SIDE_INPUT)
            return ctkd__fail(
                err, CTKD_EUNSUPPORTED,
                "inference: found side input %s, expected none outside a training program",
                l->ops[i].out->name);
    return CTKD_OK;
}

static ctkd_status lower(struct ctkd__lowering *l, const struct ctkd__inference_config *config,
                         ctkd_error *err)
{
    ctkd_status status = check_request(l, config, err);
    if (!status)
        status = ctkd__lowering_create(l, config->outputs, config->n_outputs);
    if (!status)
        status = create_convs(l, err);
    if (!status)
        status = check_inputs(l, err);
    if (!status)
        status = plan_values(l) ? CTKD_OK : CTKD_ENOMEM;
    return status;
}

static struct slices slices_of(const struct ctkd__inference_config *config)
{
    const size_t count = config->slices ? config->slices : 1;
    const size_t own = count / ctkd__dist_size(config->dist);
    return (struct slices){ count, own * ctkd__dist_rank(config->dist), own };
}

ctkd_status ctkd__inference_create(const struct ctkd__graph *graph,
                                   const struct ctkd__inference_config *config,
                                   struct ctkd__inference **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__inference *const inf = calloc(1, sizeof *inf);
    if (!inf)
        return ctkd__fail(err, CTKD_ENOMEM, "inference: out of memory");
    inf->lowering =
        (struct ctkd__lowering){ .graph = graph,
                                 .kernels = config->kernels,
                                 .workers = config->workers,
                                 .conv = config->conv,
                                 .choices = config->choices,
                                 .profile = config->profile,
                                 .program_name = "inference",
                                 .profile_name = config->name ? config->name : "network",
                                 .inference = true,
                                 .forward_only = true,
                                 .no_logits = config->no_logits || graph->output < 0,
                                 .images = config->chunk ? config->chunk : chunk_of(graph) };
    inf->lowering.call_images = inf->lowering.images;
    inf->config_slices = slices_of(config);
    ctkd_status status = lower(&inf->lowering, config, err);
    if (!status)
        status = allocate(inf);
    if (status == CTKD_ENOMEM)
        ctkd__fail(err, CTKD_ENOMEM, "inference: out of memory for chunks of %zu images",
                   inf->lowering.images);
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
    unprotect(inf);
    ctkd__pages_release(inf->constants, inf->constants_bytes);
    ctkd__lowering_fini(&inf->lowering);
    free(inf);
}

size_t ctkd__inference_bytes(const struct ctkd__inference *inf)
{
    return inf->constants_bytes + ctkd__lowering_bytes(&inf->lowering);
}

/* --- weights */

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
    const struct ctkd__lowering *const l = &inf->lowering;
    size_t largest = 1;
    for (int i = 0; i < l->program.count; i++)
        if (ctkd__lowered_is_conv(&l->ops[i]) && ctkd__lowered_flat_floats(l, &l->ops[i]) > largest)
            largest = ctkd__lowered_flat_floats(l, &l->ops[i]);
    float *const folded = ctkd__pages_allocate(largest * sizeof *folded);
    if (!folded)
        return ctkd__fail(err, CTKD_ENOMEM, "inference: out of memory");
    unprotect(inf);
    for (int i = 0; i < l->program.count; i++)
        if (l->ops[i].def->load)
            l->ops[i].def->load(l, &l->ops[i], weights, folded);
    ctkd__pages_release(folded, largest * sizeof *folded);
    return CTKD_OK;
}

/* --- running */

/* Where own slice i begins. */
static size_t slice_at(const struct ctkd__inference *inf, size_t i)
{
    return ctkd__slice_begin(inf->n, inf->slices.count, inf->slices.first + i);
}

static bool by_image(const struct ctkd__lowered *op)
{
    for (int d = 0; d < 3; d++)
        if (op->conv[d])
            return ctkd__conv_base(op->conv[d])->impl->by_image;
    return false;
}

/* The images of v, which begin with own slice `slice`: at once where that gives the same bits. */
static void run_op(const struct ctkd__inference *inf, const struct ctkd__worker_view *v,
                   size_t slice)
{
    if (inf->together == 1 || by_image(v->op)) {
        v->op->def->infer(v);
        return;
    }
    for (size_t i = slice; i < ctkd__least(slice + inf->together, inf->slices.own); i++) {
        struct ctkd__worker_view part = *v;
        part.first = slice_at(inf, i);
        part.n = slice_at(inf, i + 1) - part.first;
        part.skipped = part.first - v->first;
        if (part.n)
            part.op->def->infer(&part);
    }
}

static void run_chunk(const struct ctkd__inference *inf, struct ctkd__worker_view *v, size_t slice)
{
    const struct ctkd__lowering *const l = &inf->lowering;
    for (int i = 0; i < l->program.count; i++) {
        const uint64_t start = l->profile ? ctkd__clock_ns() : 0;
        v->op = &l->ops[i];
        run_op(inf, v, slice);
        if (l->profile)
            ctkd__profile_add(l->profile, v->op->rows[0], v->worker, ctkd__clock_ns() - start,
                              v->n);
    }
}

static void run_worker(void *context, size_t worker)
{
    struct ctkd__inference *const inf = context;
    for (;;) {
        const size_t claim = atomic_fetch_add(&inf->next, 1);
        const size_t slice = claim / inf->parts_of_each * inf->together;
        if (slice >= inf->slices.own)
            return;
        const size_t first = slice_at(inf, slice) + claim % inf->parts_of_each * inf->part;
        const size_t next = slice_at(inf, ctkd__least(slice + inf->together, inf->slices.own));
        const size_t end = inf->together > 1 ? next : ctkd__least(next, first + inf->part);
        if (first >= end)
            continue;
        struct ctkd__worker_view v = { .lowering = &inf->lowering,
                                       .worker = worker,
                                       .first = first,
                                       .n = end - first,
                                       .images = inf->x,
                                       .logits = inf->logits,
                                       .outputs = inf->outputs,
                                       .kernels = inf->lowering.kernels->pointwise,
                                       .features = inf->lowering.kernels->features };
        run_chunk(inf, &v, slice);
    }
}

/* Divides the images of the present run into parts and prepares calls of that many images. */
static ctkd_status divide(struct ctkd__inference *inf, ctkd_error *err)
{
    const size_t chunk = inf->lowering.images, workers = ctkd__lowering_workers(&inf->lowering);
    const size_t slice = (inf->n + inf->slices.count - 1) / inf->slices.count;
    const size_t share = inf->slices.count > 1 ? slice : (inf->n + workers - 1) / workers;
    inf->part = ctkd__least(share, chunk);
    inf->parts_of_each = (slice + inf->part - 1) / inf->part;
    inf->together = 1;
    while (2 * inf->together * slice <= chunk && 2 * inf->together * workers <= inf->slices.own)
        inf->together *= 2;
    ctkd_status status = ctkd__inference_prepare(inf, inf->part, err);
    for (size_t i = 0; i < inf->slices.own && !status; i++) {
        const size_t rest = (slice_at(inf, i + 1) - slice_at(inf, i)) % inf->part;
        if (rest)
            status = ctkd__inference_prepare(inf, rest, err);
    }
    return status;
}

static ctkd_status run(struct ctkd__inference *inf, struct slices slices, size_t n,
                       struct ctkd__batch_images x, float *logits, float *const *outputs,
                       ctkd_error *err)
{
    if (n == 0)
        return ctkd__fail(err, CTKD_EINVAL, "inference: found 0 images, expected at least 1");
    if (!logits && !inf->lowering.no_logits)
        return ctkd__fail(err, CTKD_EINVAL,
                          "inference: logits: found NULL, expected room for them");
    inf->slices = slices;
    inf->n = n;
    const ctkd_status status = divide(inf, err);
    if (status)
        return status;
    inf->x = x;
    inf->logits = logits;
    inf->outputs = outputs;
    atomic_store(&inf->next, 0);
    return ctkd__lowering_run(&inf->lowering, run_worker, inf, err);
}

ctkd_status ctkd__inference_run_images(struct ctkd__inference *inf, size_t n,
                                       struct ctkd__batch_images x, float *logits,
                                       float *const *outputs, ctkd_error *err)
{
    return run(inf, inf->config_slices, n, x, logits, outputs, err);
}

ctkd_status ctkd__inference_run_outputs(struct ctkd__inference *inf, size_t n, const float *x,
                                        float *logits, float *const *outputs, ctkd_error *err)
{
    return run(inf, inf->config_slices, n, ctkd__batch_images_of(x), logits, outputs, err);
}

ctkd_status ctkd__inference_run(struct ctkd__inference *inf, size_t n, const float *x,
                                float *logits, ctkd_error *err)
{
    return run(inf, inf->config_slices, n, ctkd__batch_images_of(x), logits, NULL, err);
}

ctkd_status ctkd__inference_run_here(struct ctkd__inference *inf, size_t n,
                                     struct ctkd__batch_images x, float *logits, ctkd_error *err)
{
    return run(inf, (struct slices){ 1, 0, 1 }, n, x, logits, NULL, err);
}

size_t ctkd__inference_references(const struct ctkd__inference *inf,
                                  char first[CTKD__REFERENCE_BYTES])
{
    return ctkd__lowering_references(&inf->lowering, first);
}
