/*
 * Our own general convolution behind the interface: any kernel, stride and padding, blocked input
 * with groups that fill blocks, or plain input with any number of channels. It is used where the
 * library would run its reference code.
 */
#include <stdlib.h>
#include <string.h>

#include "nn/conv/conv.h"
#include "nn/round.h"
#include "util/error.h"

extern const struct ctkd__conv_impl ctkd__conv_im2col;

struct im2col {
    struct ctkd__conv_base base;
    size_t n_parts; /* stride * stride for BACKWARD_DATA, else 1 */
    struct ctkd__im2col_part *parts;
    struct ctkd__im2col_tap *taps;   /* of all parts, one after the other */
    size_t *places;                  /* [taps] which of the kernel's each of them is */
    struct ctkd__gemm_range *ranges; /* [parts][output blocks] */
    size_t *packed;                  /* [parts] floats before a part's packed weights */
    size_t packed_floats;
};

static const struct im2col *as_im2col(const struct ctkd__conv *conv)
{
    return (const struct im2col *)(const void *)conv;
}

static bool supports(const struct ctkd__conv_request *request)
{
    const struct ctkd__conv_shape *const s = &request->shape;
    if (request->prologue)
        return false;
    if (s->plain_input)
        return ctkd__conv_groups(s) == 1 && request->direction != CTKD__CONV_BACKWARD_DATA;
    return !ctkd__conv_is_compact(s, request->kernels->block);
}

/* Only where there is nothing else: the libraries' kernels need not stage patches and are
   faster. */
static bool is_default(const struct ctkd__conv_request *request)
{
    (void)request;
    return false;
}

static bool goes_back(const struct im2col *conv)
{
    return conv->base.request.direction == CTKD__CONV_BACKWARD_DATA;
}

/* --- forward and backward-weights: one part */

static void set_forward_part(struct im2col *conv)
{
    const struct ctkd__conv_shape *const s = &conv->base.request.shape;
    struct ctkd__im2col_part *const part = conv->parts;
    part->rows = s->oh;
    part->columns = s->ow;
    part->step = s->stride;
    part->out_row = s->ow;
    part->out_column = 1;
    part->n_taps = s->kernel * s->kernel;
    for (size_t i = 0; i < part->n_taps; i++) {
        conv->taps[i].y = (ptrdiff_t)(i / s->kernel) - (ptrdiff_t)s->padding;
        conv->taps[i].x = (ptrdiff_t)(i % s->kernel) - (ptrdiff_t)s->padding;
        conv->places[i] = i;
    }
}

/* --- backward-data: a part for each position modulo the stride */

/* Taps of the part: those with (position + padding - tap) divisible by the stride, both ways. */
static void set_backward_taps(struct im2col *conv, struct ctkd__im2col_part *part, size_t y,
                              size_t x, size_t first)
{
    const struct ctkd__conv_shape *const s = &conv->base.request.shape;
    const ptrdiff_t stride = (ptrdiff_t)s->stride, kernel = (ptrdiff_t)s->kernel;
    const ptrdiff_t at_y = (ptrdiff_t)(y + s->padding), at_x = (ptrdiff_t)(x + s->padding);
    for (ptrdiff_t ky = at_y % stride; ky < kernel; ky += stride)
        for (ptrdiff_t kx = at_x % stride; kx < kernel; kx += stride) {
            const size_t tap = first + part->n_taps++;
            conv->taps[tap].y = (at_y - ky) / stride; /* divisible: exact below zero too */
            conv->taps[tap].x = (at_x - kx) / stride;
            conv->places[tap] = (size_t)(ky * kernel + kx);
        }
}

static void set_backward_parts(struct im2col *conv)
{
    const struct ctkd__conv_shape *const s = &conv->base.request.shape;
    size_t taps = 0;
    for (size_t i = 0; i < conv->n_parts; i++) {
        struct ctkd__im2col_part *const part = &conv->parts[i];
        const size_t y = i / s->stride, x = i % s->stride;
        part->rows = y < s->h ? (s->h - y - 1) / s->stride + 1 : 0;
        part->columns = x < s->w ? (s->w - x - 1) / s->stride + 1 : 0;
        part->step = 1;
        part->out_first = y * s->w + x;
        part->out_row = s->stride * s->w;
        part->out_column = s->stride;
        part->taps = conv->taps + taps;
        set_backward_taps(conv, part, y, x, taps);
        taps += part->n_taps;
    }
}

/* --- the products */

/* Each block of results reads the depths of its group; dense convolutions are one group. */
static void set_ranges(struct im2col *conv, struct ctkd__im2col_part *part, size_t depth)
{
    const size_t groups = ctkd__conv_groups(&conv->base.request.shape);
    struct ctkd__gemm_range *const ranges =
        conv->ranges + (size_t)(part - conv->parts) * part->product.out_blocks;
    for (size_t ob = 0; ob < part->product.out_blocks; ob++) {
        const size_t group = groups > 1 ? ob / (part->product.out_blocks / groups) : 0;
        ranges[ob].first = group * depth;
        ranges[ob].count = depth;
        ranges[ob].offset = ob * depth * conv->base.request.kernels->block;
    }
    part->product.ranges = ranges;
    part->product.weight_floats =
        part->product.out_blocks * depth * conv->base.request.kernels->block;
}

static void set_products(struct im2col *conv)
{
    const struct ctkd__conv_request *const r = &conv->base.request;
    const struct ctkd__conv_shape *const s = &r->shape;
    const size_t b = r->kernels->block, groups = ctkd__conv_groups(s);
    const size_t from = goes_back(conv) ? s->o : s->c, to = goes_back(conv) ? s->c : s->o;
    for (size_t i = 0; i < conv->n_parts; i++) {
        struct ctkd__im2col_part *const part = &conv->parts[i];
        part->plain = s->plain_input;
        part->channels = part->plain ? from : ctkd__round_up(from, b);
        part->h = goes_back(conv) ? s->oh : s->h;
        part->w = goes_back(conv) ? s->ow : s->w;
        part->out_hw = goes_back(conv) ? s->h * s->w : s->oh * s->ow;
        part->product.hw = part->rows * part->columns;
        part->product.out_blocks = ctkd__round_up(to, b) / b;
        part->product.in_blocks = ctkd__round_up(part->channels * part->n_taps, b) / b;
        set_ranges(conv, part, part->channels / groups * part->n_taps);
        conv->packed[i] = conv->packed_floats;
        conv->packed_floats += goes_back(conv) ? part->product.weight_floats : 0;
    }
}

static void destroy(struct ctkd__conv *base)
{
    struct im2col *const conv = (struct im2col *)(void *)base;
    free(conv->parts);
    free(conv->taps);
    free(conv->places);
    free(conv->ranges);
    free(conv->packed);
    free(conv);
}

static bool allocate(struct im2col *conv)
{
    const struct ctkd__conv_request *const r = &conv->base.request;
    const size_t taps = r->shape.kernel * r->shape.kernel, b = r->kernels->block;
    const size_t channels = goes_back(conv) ? r->shape.c : r->shape.o;
    conv->n_parts = goes_back(conv) ? r->shape.stride * r->shape.stride : 1;
    conv->parts = calloc(conv->n_parts, sizeof *conv->parts);
    conv->taps = calloc(taps, sizeof *conv->taps);
    conv->places = calloc(taps, sizeof *conv->places);
    conv->ranges = calloc(conv->n_parts * (ctkd__round_up(channels, b) / b), sizeof *conv->ranges);
    conv->packed = calloc(conv->n_parts, sizeof *conv->packed);
    return conv->parts && conv->taps && conv->places && conv->ranges && conv->packed;
}

static ctkd_status create(const struct ctkd__conv_request *request, struct ctkd__conv **out,
                          ctkd_error *err)
{
    struct im2col *const conv = calloc(1, sizeof *conv);
    if (conv)
        conv->base = (struct ctkd__conv_base){ &ctkd__conv_im2col, *request };
    if (!conv || !allocate(conv)) {
        if (conv)
            destroy((struct ctkd__conv *)(void *)conv);
        return ctkd__fail(err, CTKD_ENOMEM, "general convolution: out of memory");
    }
    conv->parts->taps = conv->taps;
    if (goes_back(conv))
        set_backward_parts(conv);
    else
        set_forward_part(conv);
    set_products(conv);
    *out = (struct ctkd__conv *)(void *)conv;
    return CTKD_OK;
}

static size_t packed_bytes(const struct ctkd__conv *base)
{
    return as_im2col(base)->packed_floats * sizeof(float);
}

/* The weights from the block `ob` of dy to the block `cb` of dx: [tap][B c][B o] of the flat layout
   -> [tap of the part][B o][B c]. */
static void pack_block(const struct im2col *conv, const struct ctkd__im2col_part *part,
                       const float *flat, float *to)
{
    const size_t b = conv->base.request.kernels->block;
    const size_t *const places = conv->places + (part->taps - conv->taps);
    for (size_t tap = 0; tap < part->n_taps; tap++, to += b * b) {
        const float *const from = flat + places[tap] * b * b;
        for (size_t o = 0; o < b; o++)
            for (size_t c = 0; c < b; c++)
                to[o * b + c] = from[c * b + o];
    }
}

static void pack(const struct ctkd__conv *base, const float *weights, float *packed, size_t part,
                 size_t parts)
{
    const struct im2col *const conv = as_im2col(base);
    const struct ctkd__conv_shape *const s = &conv->base.request.shape;
    const size_t b = conv->base.request.kernels->block, groups = ctkd__conv_groups(s);
    const size_t c_blocks = ctkd__round_up(s->c, b) / b / groups; /* of a group */
    const size_t o_blocks = ctkd__round_up(s->o, b) / b / groups;
    const size_t block = s->kernel * s->kernel * b * b;
    for (size_t cb = part; cb < c_blocks * groups; cb += parts)
        for (size_t i = 0; i < conv->n_parts; i++) {
            const struct ctkd__im2col_part *const p = &conv->parts[i];
            float *to = packed + conv->packed[i] + p->product.ranges[cb].offset;
            for (size_t ob = 0; ob < o_blocks; ob++, to += p->n_taps * b * b) {
                const size_t flat = (cb / c_blocks * o_blocks + ob) * c_blocks + cb % c_blocks;
                pack_block(conv, p, weights + flat * block, to);
            }
        }
}

static size_t scratch_bytes(const struct ctkd__conv *base)
{
    const struct im2col *const conv = as_im2col(base);
    size_t most = 0;
    for (size_t i = 0; i < conv->n_parts; i++) {
        const size_t bytes = conv->base.request.kernels->im2col->scratch_bytes(&conv->parts[i]);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static ctkd_status run(const struct ctkd__conv *base, const struct ctkd__conv_call *call)
{
    const struct im2col *const conv = as_im2col(base);
    const struct ctkd__conv_request *const r = &conv->base.request;
    const struct ctkd__im2col_kernels *const kernels = r->kernels->im2col;
    const struct ctkd__epilogue forward = { r->bias ? call->bias : NULL, call->base, r->relu };
    const struct ctkd__epilogue backward = { NULL, call->base, false };
    switch (r->direction) {
    case CTKD__CONV_FORWARD:
        kernels->multiply(conv->parts, call->n, call->x, call->weights, &forward, call->out,
                          call->scratch);
        break;
    case CTKD__CONV_BACKWARD_DATA:
        for (size_t i = 0; i < conv->n_parts; i++)
            kernels->multiply(&conv->parts[i], call->n, call->dy, call->weights + conv->packed[i],
                              &backward, call->out, call->scratch);
        break;
    case CTKD__CONV_BACKWARD_WEIGHTS:
        kernels->gradient(conv->parts, call->n, call->x, call->dy, call->out, call->scratch);
        break;
    }
    return CTKD_OK;
}

const struct ctkd__conv_impl ctkd__conv_im2col = {
    .name = "im2col",
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
