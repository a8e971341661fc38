/* Own 1x1 kernels behind the convolution interface: stride 1, dense or with any groups. */
#include <stdlib.h>
#include <string.h>

#include "nn/conv/conv.h"
#include "nn/round.h"
#include "util/error.h"

extern const struct ctkd__conv_impl ctkd__conv_gemm;

struct gemm {
    struct ctkd__conv_base base;
    struct ctkd__gemm_shape shape; /* of the product: BACKWARD_DATA exchanges in and out */
    struct ctkd__gemm_range *ranges;
    bool compact, same; /* the flat layout is the compact one; is that of the product */
    size_t depth;       /* of the flat layout */
};

static const struct gemm *as_gemm(const struct ctkd__conv *conv)
{
    return (const struct gemm *)(const void *)conv;
}

static bool supports(const struct ctkd__conv_request *request)
{
    const struct ctkd__conv_shape *const s = &request->shape;
    return s->kernel == 1 && s->stride == 1 && s->padding == 0 && !s->plain_input;
}

/* Without groups oneDNN is faster by up to a third, but it cannot apply a batch norm while it
   reads, and a separate pass over memory for the batch norm costs more. Its gradient of weights is
   slow on maps of 2 x 2. */
static bool is_default(const struct ctkd__conv_request *request)
{
    const struct ctkd__conv_shape *const s = &request->shape;
    return request->prologue || ctkd__conv_groups(s) > 1 ||
           (request->direction == CTKD__CONV_BACKWARD_WEIGHTS && s->h * s->w <= 4);
}

/* Sets, for each block of `out` channels, the range of `in` channels that its groups read. In the
   flat layout the channels that pad the last block lie between the ranges. */
static void set_ranges(struct gemm *conv, size_t in, size_t out)
{
    const size_t b = conv->base.request.kernels->block;
    const size_t groups = ctkd__conv_groups(&conv->base.request.shape);
    size_t offset = 0;
    for (size_t ob = 0; ob < conv->shape.out_blocks; ob++) {
        const size_t last_out = (ob + 1) * b < out ? (ob + 1) * b - 1 : out - 1;
        const size_t first = ob * b / (out / groups) * (in / groups);
        const size_t end = (last_out / (out / groups) + 1) * (in / groups);
        conv->ranges[ob] = (struct ctkd__gemm_range){ first, end - first, offset };
        offset += (conv->same ? conv->depth : end - first) * b;
    }
    conv->shape.weight_floats = offset;
}

static void destroy(struct ctkd__conv *base)
{
    struct gemm *const conv = (struct gemm *)(void *)base;
    free(conv->ranges);
    free(conv);
}

static ctkd_status create(const struct ctkd__conv_request *request, struct ctkd__conv **out,
                          ctkd_error *err)
{
    struct gemm *const conv = calloc(1, sizeof *conv);
    if (!conv)
        return ctkd__fail(err, CTKD_ENOMEM, "1x1 convolution: out of memory");
    const struct ctkd__conv_shape *const s = &request->shape;
    const size_t b = request->kernels->block;
    const bool exchange = request->direction == CTKD__CONV_BACKWARD_DATA;
    const size_t from = exchange ? s->o : s->c, to = exchange ? s->c : s->o;
    conv->base = (struct ctkd__conv_base){ &ctkd__conv_gemm, *request };
    conv->shape.in_blocks = ctkd__round_up(from, b) / b;
    conv->shape.out_blocks = ctkd__round_up(to, b) / b;
    conv->shape.hw = s->h * s->w;
    conv->ranges = calloc(conv->shape.out_blocks, sizeof *conv->ranges);
    conv->shape.ranges = conv->ranges;
    if (!conv->ranges) {
        destroy((struct ctkd__conv *)(void *)conv);
        return ctkd__fail(err, CTKD_ENOMEM, "1x1 convolution: out of memory");
    }
    conv->compact = ctkd__conv_is_compact(s, b);
    conv->depth = ctkd__conv_weight_depth(s, b);
    conv->same = !exchange && !conv->compact;
    set_ranges(conv, from, to);
    *out = (struct ctkd__conv *)(void *)conv;
    return CTKD_OK;
}

static size_t packed_bytes(const struct ctkd__conv *base)
{
    const struct gemm *const conv = as_gemm(base);
    return conv->same ? 0 : conv->shape.weight_floats * sizeof(float);
}

/* Where the weight of outputs o and input c (of all) is in the product's layout. */
static size_t product_index(const struct gemm *conv, size_t o, size_t c)
{
    const size_t b = conv->base.request.kernels->block;
    const bool exchange = conv->base.request.direction == CTKD__CONV_BACKWARD_DATA;
    const size_t in = exchange ? o : c, out = exchange ? c : o;
    const struct ctkd__gemm_range *const range = &conv->ranges[out / b];
    return range->offset + (in - range->first) * b + out % b;
}

/* Where it is in the flat block; c counts within the group. */
static size_t flat_index(const struct gemm *conv, size_t o, size_t c)
{
    const size_t b = conv->base.request.kernels->block, depth = conv->depth;
    if (conv->compact)
        return (o / b * depth + c) * b + o % b;
    return ((o / b * (depth / b) + c / b) * b + c % b) * b + o % b;
}

/* Packs the outputs of block ob: flat -> product. */
static void pack_block(const struct gemm *conv, size_t ob, const float *weights, float *packed)
{
    const struct ctkd__conv_request *const r = &conv->base.request;
    const size_t b = r->kernels->block, groups = ctkd__conv_groups(&r->shape);
    const size_t depth = r->shape.c / groups, width = r->shape.o / groups;
    const bool exchange = r->direction == CTKD__CONV_BACKWARD_DATA;
    const size_t channels = exchange ? r->shape.c : r->shape.o;
    const struct ctkd__gemm_range *const range = &conv->ranges[ob];
    memset(packed + range->offset, 0, range->count * b * sizeof *packed);
    for (size_t i = ob * b; i < (ob + 1) * b && i < channels; i++) {
        const size_t group = i / (exchange ? depth : width);
        for (size_t j = 0; j < (exchange ? width : depth); j++) {
            const size_t o = exchange ? group * width + j : i, c = exchange ? i % depth : j;
            packed[product_index(conv, o, group * depth + c)] = weights[flat_index(conv, o, c)];
        }
    }
}

static void pack(const struct ctkd__conv *base, const float *weights, float *packed, size_t part,
                 size_t parts)
{
    const struct gemm *const conv = as_gemm(base);
    for (size_t ob = part; ob < conv->shape.out_blocks; ob += parts)
        pack_block(conv, ob, weights, packed);
}

static size_t kernel_scratch(const struct gemm *conv)
{
    return ctkd__round_up(conv->base.request.kernels->gemm->scratch_bytes(&conv->shape), 64);
}

static size_t scratch_bytes(const struct ctkd__conv *base)
{
    const struct gemm *const conv = as_gemm(base);
    const bool extracts =
        conv->base.request.direction == CTKD__CONV_BACKWARD_WEIGHTS && !conv->same;
    return kernel_scratch(conv) + (extracts ? conv->shape.weight_floats * sizeof(float) : 0);
}

/* The product's gradient also has values between the groups: only those of weights are copied. */
static void extract(const struct gemm *conv, const float *product, float *dw)
{
    const struct ctkd__conv_request *const r = &conv->base.request;
    const size_t depth = r->shape.c / r->shape.groups, width = r->shape.o / r->shape.groups;
    memset(dw, 0, ctkd__conv_weight_floats(&r->shape, r->kernels->block) * sizeof *dw);
    for (size_t o = 0; o < r->shape.o; o++)
        for (size_t c = 0; c < depth; c++)
            dw[flat_index(conv, o, c)] = product[product_index(conv, o, o / width * depth + c)];
}

static ctkd_status run(const struct ctkd__conv *base, const struct ctkd__conv_call *call)
{
    const struct gemm *const conv = as_gemm(base);
    const struct ctkd__conv_request *const r = &conv->base.request;
    const struct ctkd__gemm_kernels *const kernels = r->kernels->gemm;
    const struct ctkd__epilogue forward = { r->bias ? call->bias : NULL, call->base, r->relu };
    const struct ctkd__epilogue backward = { NULL, call->base, false };
    float *product = call->out;
    switch (r->direction) {
    case CTKD__CONV_FORWARD:
        kernels->multiply(&conv->shape, call->n, call->x, call->prologue, call->weights, &forward,
                          call->out, call->scratch);
        break;
    case CTKD__CONV_BACKWARD_DATA:
        kernels->multiply(&conv->shape, call->n, call->dy, NULL, call->weights, &backward,
                          call->out, call->scratch);
        break;
    case CTKD__CONV_BACKWARD_WEIGHTS:
        if (!conv->same)
            product = (float *)(void *)((char *)call->scratch + kernel_scratch(conv));
        kernels->gradient(&conv->shape, call->n, call->x, call->prologue, call->dy, product,
                          call->scratch);
        if (!conv->same)
            extract(conv, product, call->out);
        break;
    }
    return CTKD_OK;
}

const struct ctkd__conv_impl ctkd__conv_gemm = {
    .name = "gemm",
    .by_image = true,
    .supports = supports,
    .is_default = is_default,
    .create = create,
    .destroy = destroy,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
