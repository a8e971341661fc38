/*
 * Grouped convolutions whose groups do not fill blocks, as a convolution with fewer groups: m
 * neighbouring groups become one, with zeros between them. m is the least number that fills blocks,
 * or all groups. Any kernel, stride and input; the work grows m times, which makes it the last
 * resort.
 */
#include <stdlib.h>
#include <string.h>

#include "nn/arena.h"
#include "nn/conv/conv.h"
#include "nn/round.h"
#include "util/error.h"

extern const struct ctkd__conv_impl ctkd__conv_expanded;

struct expanded {
    struct ctkd__conv_base base;
    struct ctkd__conv *inner;
    size_t merged;       /* m */
    size_t inner_floats; /* of the inner convolution's weights */
    float *weights;      /* expanded, on the way to an inner convolution that packs */
};

static const struct expanded *as_expanded(const struct ctkd__conv *conv)
{
    return (const struct expanded *)(const void *)conv;
}

static size_t merged_groups(const struct ctkd__conv_shape *s, size_t block)
{
    const size_t c = s->c / s->groups, o = s->o / s->groups;
    for (size_t m = 1; m < s->groups && !s->plain_input; m++)
        if (s->groups % m == 0 && m * c % block == 0 && m * o % block == 0)
            return m;
    return s->groups;
}

static struct ctkd__conv_request inner_request(const struct ctkd__conv_request *request)
{
    struct ctkd__conv_request inner = *request;
    inner.shape.groups /= merged_groups(&request->shape, request->kernels->block);
    inner.choices = NULL; /* choices are recorded for the whole layer only */
    return inner;
}

static bool supports(const struct ctkd__conv_request *request)
{
    if (ctkd__conv_groups(&request->shape) == 1 ||
        !ctkd__conv_is_compact(&request->shape, request->kernels->block))
        return false;
    const struct ctkd__conv_request inner = inner_request(request);
    return ctkd__conv_supported(NULL, &inner);
}

static void destroy(struct ctkd__conv *base)
{
    struct expanded *const conv = (struct expanded *)(void *)base;
    ctkd__conv_destroy(conv->inner);
    ctkd__pages_release(conv->weights, conv->inner_floats * sizeof(float));
    free(conv);
}

static ctkd_status create(const struct ctkd__conv_request *request, struct ctkd__conv **out,
                          ctkd_error *err)
{
    struct expanded *const conv = calloc(1, sizeof *conv);
    if (!conv)
        return ctkd__fail(err, CTKD_ENOMEM, "grouped convolution: out of memory");
    const struct ctkd__conv_request inner = inner_request(request);
    conv->base = (struct ctkd__conv_base){ &ctkd__conv_expanded, *request };
    conv->merged = merged_groups(&request->shape, request->kernels->block);
    conv->inner_floats = ctkd__conv_weight_floats(&inner.shape, request->kernels->block);
    conv->weights = ctkd__pages_allocate(conv->inner_floats * sizeof(float));
    const ctkd_status status =
        conv->weights ? ctkd__conv_create(NULL, &inner, &conv->inner, err)
                      : ctkd__fail(err, CTKD_ENOMEM, "grouped convolution: out of memory");
    if (status) {
        destroy((struct ctkd__conv *)(void *)conv);
        return status;
    }
    *out = (struct ctkd__conv *)(void *)conv;
    return CTKD_OK;
}

static const struct ctkd__conv_impl *inner_impl(const struct expanded *conv)
{
    return ctkd__conv_base(conv->inner)->impl;
}

static ctkd_status prepare(struct ctkd__conv *base, size_t n, ctkd_error *err)
{
    const struct expanded *const conv = as_expanded(base);
    return ctkd__conv_prepare(conv->inner, n, err);
}

static size_t packed_bytes(const struct ctkd__conv *base)
{
    const struct expanded *const conv = as_expanded(base);
    const size_t inner = inner_impl(conv)->packed_bytes(conv->inner);
    return inner ? inner : conv->inner_floats * sizeof(float);
}

/* Where weight (o, c of the group, tap) is in the inner convolution's layout. */
static size_t inner_index(const struct expanded *conv, size_t o, size_t c, size_t tap)
{
    const struct ctkd__conv_request *const r = &conv->base.request;
    const size_t b = r->kernels->block, taps = r->shape.kernel * r->shape.kernel;
    const size_t group = o / (r->shape.o / r->shape.groups), depth = r->shape.c / r->shape.groups;
    const size_t inner_c = group % conv->merged * depth + c;
    if (r->shape.plain_input)
        return ((o / b * taps + tap) * r->shape.c + inner_c) * b + o % b;
    const size_t blocks = ctkd__round_up(conv->merged * depth, b) / b;
    return (((o / b * blocks + inner_c / b) * taps + tap) * b + inner_c % b) * b + o % b;
}

/* Where it is in the compact one. */
static size_t compact_index(const struct ctkd__conv_request *r, size_t o, size_t c, size_t tap)
{
    const size_t b = r->kernels->block, taps = r->shape.kernel * r->shape.kernel;
    return ((o / b * taps + tap) * (r->shape.c / r->shape.groups) + c) * b + o % b;
}

/* compact -> inner (the zeros between groups are there already), or the other way. */
static void convert(const struct expanded *conv, bool expand, const float *from, float *to)
{
    const struct ctkd__conv_request *const r = &conv->base.request;
    const size_t taps = r->shape.kernel * r->shape.kernel, depth = r->shape.c / r->shape.groups;
    for (size_t o = 0; o < r->shape.o; o++)
        for (size_t tap = 0; tap < taps; tap++)
            for (size_t c = 0; c < depth; c++) {
                const size_t compact = compact_index(r, o, c, tap);
                const size_t inner = inner_index(conv, o, c, tap);
                if (expand)
                    to[inner] = from[compact];
                else
                    to[compact] = from[inner];
            }
}

static void pack(const struct ctkd__conv *base, const float *weights, float *packed, size_t part,
                 size_t parts)
{
    const struct expanded *const conv = as_expanded(base);
    (void)parts;
    if (part != 0)
        return;
    const bool again = inner_impl(conv)->packed_bytes(conv->inner) > 0;
    float *const to = again ? conv->weights : packed;
    memset(to, 0, conv->inner_floats * sizeof *to);
    convert(conv, true, weights, to);
    if (again)
        inner_impl(conv)->pack(conv->inner, to, packed, 0, 1);
}

static size_t scratch_bytes(const struct ctkd__conv *base)
{
    const struct expanded *const conv = as_expanded(base);
    const size_t gradient = conv->base.request.direction == CTKD__CONV_BACKWARD_WEIGHTS
                                ? conv->inner_floats * sizeof(float)
                                : 0;
    return ctkd__round_up(gradient, 64) + inner_impl(conv)->scratch_bytes(conv->inner);
}

static ctkd_status run(const struct ctkd__conv *base, const struct ctkd__conv_call *call)
{
    const struct expanded *const conv = as_expanded(base);
    const struct ctkd__conv_request *const r = &conv->base.request;
    if (r->direction != CTKD__CONV_BACKWARD_WEIGHTS)
        return inner_impl(conv)->run(conv->inner, call);
    struct ctkd__conv_call inner = *call;
    inner.out = call->scratch;
    inner.scratch = (char *)call->scratch + ctkd__round_up(conv->inner_floats * sizeof(float), 64);
    const ctkd_status status = inner_impl(conv)->run(conv->inner, &inner);
    if (status)
        return status;
    memset(call->out, 0,
           ctkd__conv_weight_floats(&r->shape, r->kernels->block) * sizeof *call->out);
    convert(conv, false, inner.out, call->out);
    return CTKD_OK;
}

static const char *library_code(const struct ctkd__conv *base)
{
    const struct expanded *const conv = as_expanded(base);
    return inner_impl(conv)->library_code ? inner_impl(conv)->library_code(conv->inner)
                                          : inner_impl(conv)->name;
}

const struct ctkd__conv_impl ctkd__conv_expanded = {
    .name = "expanded",
    .supports = supports,
    .create = create,
    .destroy = destroy,
    .prepare = prepare,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .run = run,
    .library_code = library_code,
};
