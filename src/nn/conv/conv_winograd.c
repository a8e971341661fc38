/* Winograd F(4x4, 3x3) behind the convolution interface: stride 1, padding 1, 3 x 3. */
#include <stdlib.h>

#include "nn/conv/conv.h"
#include "nn/round.h"
#include "util/error.h"

extern const struct ctkd__conv_impl ctkd__conv_winograd;

struct winograd {
    struct ctkd__conv_base base;
    struct ctkd__winograd_shape shape;
};

static const struct winograd *as_winograd(const struct ctkd__conv *conv)
{
    return (const struct winograd *)(const void *)conv;
}

static const struct ctkd__winograd_kernels *kernels_of(const struct ctkd__conv *conv)
{
    return ctkd__conv_base(conv)->request.kernels->winograd;
}

static bool supports(const struct ctkd__conv_request *request)
{
    const struct ctkd__conv_shape *const s = &request->shape;
    return s->kernel == 3 && s->stride == 1 && s->padding == 1 && !s->plain_input &&
           ctkd__conv_groups(s) == 1;
}

/* Transformed weights above this size are not kept (they are read from memory in every call
   anyway), if a call has the tiles to pay for transforming them again. */
enum { PACKED_BYTES_MAX = 4 << 20, DEEP_TILES_MIN = 16 };

static bool is_deep(const struct ctkd__conv_request *request,
                    const struct ctkd__winograd_shape *shape)
{
    const size_t tiles = request->images * ((shape->h + 3) / 4) * ((shape->w + 3) / 4);
    return 36 * shape->c * shape->o * sizeof(float) > PACKED_BYTES_MAX && tiles >= DEEP_TILES_MIN;
}

static ctkd_status create(const struct ctkd__conv_request *request, struct ctkd__conv **out,
                          ctkd_error *err)
{
    struct winograd *const conv = calloc(1, sizeof *conv);
    if (!conv)
        return ctkd__fail(err, CTKD_ENOMEM, "winograd: out of memory");
    const size_t b = request->kernels->block;
    conv->base = (struct ctkd__conv_base){ &ctkd__conv_winograd, *request };
    conv->shape = (struct ctkd__winograd_shape){ ctkd__round_up(request->shape.c, b),
                                                 ctkd__round_up(request->shape.o, b),
                                                 request->shape.h,
                                                 request->shape.w,
                                                 0,
                                                 false };
    conv->shape.deep = is_deep(request, &conv->shape);
    *out = (struct ctkd__conv *)(void *)conv;
    return CTKD_OK;
}

static void destroy(struct ctkd__conv *conv)
{
    free(conv);
}

static size_t packed_bytes(const struct ctkd__conv *conv)
{
    return kernels_of(conv)->packed_floats(&as_winograd(conv)->shape) * sizeof(float);
}

static void pack(const struct ctkd__conv *conv, const float *weights, float *packed, size_t part,
                 size_t parts)
{
    const struct winograd *const w = as_winograd(conv);
    if (w->base.request.direction == CTKD__CONV_FORWARD)
        kernels_of(conv)->pack_forward(&w->shape, weights, packed, part, parts);
    else
        kernels_of(conv)->pack_backward(&w->shape, weights, packed, part, parts);
}

static size_t scratch_bytes(const struct ctkd__conv *conv)
{
    return kernels_of(conv)->scratch_bytes(&as_winograd(conv)->shape);
}

static ctkd_status run(const struct ctkd__conv *conv, const struct ctkd__conv_call *call)
{
    const struct winograd *const w = as_winograd(conv);
    const struct ctkd__winograd_kernels *const kernels = kernels_of(conv);
    struct ctkd__winograd_prologue prologue = { NULL, NULL, false };
    if (call->prologue)
        prologue = (struct ctkd__winograd_prologue){ call->prologue->scale, call->prologue->shift,
                                                     call->prologue->relu };
    const struct ctkd__winograd_prologue *const before = call->prologue ? &prologue : NULL;
    switch (w->base.request.direction) {
    case CTKD__CONV_FORWARD: {
        const struct ctkd__winograd_epilogue epilogue = { call->bias, call->base,
                                                          w->base.request.relu };
        kernels->forward(&w->shape, call->n, call->x, before, call->weights, &epilogue, call->out,
                         call->scratch);
        break;
    }
    case CTKD__CONV_BACKWARD_DATA:
        kernels->backward_data(&w->shape, call->n, call->dy, call->weights, call->base, call->out,
                               call->scratch);
        break;
    case CTKD__CONV_BACKWARD_WEIGHTS:
        kernels->backward_weights(&w->shape, call->n, call->x, before, call->dy, call->out,
                                  call->scratch);
        break;
    }
    return CTKD_OK;
}

const struct ctkd__conv_impl ctkd__conv_winograd = {
    .name = "winograd",
    .tiles = true,
    .by_image = true,
    .supports = supports,
    .create = create,
    .destroy = destroy,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
