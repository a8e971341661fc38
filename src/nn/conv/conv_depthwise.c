/* Own depthwise kernels behind the convolution interface: one filter a channel. */
#include <stdlib.h>

#include "nn/conv/conv.h"
#include "util/error.h"

extern const struct ctkd__conv_impl ctkd__conv_depthwise;

struct depthwise {
    struct ctkd__conv_base base;
    struct ctkd__depthwise_shape shape;
};

static const struct depthwise *as_depthwise(const struct ctkd__conv *conv)
{
    return (const struct depthwise *)(const void *)conv;
}

static bool supports(const struct ctkd__conv_request *request)
{
    const struct ctkd__conv_shape *const s = &request->shape;
    return !s->plain_input && s->groups > 1 && s->groups == s->c && s->c == s->o;
}

static ctkd_status create(const struct ctkd__conv_request *request, struct ctkd__conv **out,
                          ctkd_error *err)
{
    struct depthwise *const conv = calloc(1, sizeof *conv);
    if (!conv)
        return ctkd__fail(err, CTKD_ENOMEM, "depthwise convolution: out of memory");
    const struct ctkd__conv_shape *const s = &request->shape;
    const size_t b = request->kernels->block;
    conv->base = (struct ctkd__conv_base){ &ctkd__conv_depthwise, *request };
    conv->shape =
        (struct ctkd__depthwise_shape){ (s->c + b - 1) / b, s->h,      s->w,      s->oh, s->ow,
                                        s->kernel,          s->stride, s->padding };
    *out = (struct ctkd__conv *)(void *)conv;
    return CTKD_OK;
}

static void destroy(struct ctkd__conv *conv)
{
    free(conv);
}

static size_t packed_bytes(const struct ctkd__conv *conv)
{
    (void)conv;
    return 0;
}

static size_t scratch_bytes(const struct ctkd__conv *conv)
{
    const struct depthwise *const d = as_depthwise(conv);
    return d->base.request.kernels->depthwise->scratch_bytes(&d->shape);
}

static ctkd_status run(const struct ctkd__conv *conv, const struct ctkd__conv_call *call)
{
    const struct depthwise *const d = as_depthwise(conv);
    const struct ctkd__conv_request *const r = &d->base.request;
    const struct ctkd__depthwise_kernels *const kernels = r->kernels->depthwise;
    const struct ctkd__epilogue epilogue = { r->bias ? call->bias : NULL, call->base, r->relu };
    switch (r->direction) {
    case CTKD__CONV_FORWARD:
        kernels->forward(&d->shape, call->n, call->x, call->prologue, call->weights, &epilogue,
                         call->out, call->scratch);
        break;
    case CTKD__CONV_BACKWARD_DATA:
        kernels->backward_data(&d->shape, call->n, call->dy, call->weights, call->base, call->out,
                               call->scratch);
        break;
    case CTKD__CONV_BACKWARD_WEIGHTS:
        kernels->backward_weights(&d->shape, call->n, call->x, call->prologue, call->dy, call->out,
                                  call->scratch);
        break;
    }
    return CTKD_OK;
}

const struct ctkd__conv_impl ctkd__conv_depthwise = {
    .name = "depthwise",
    .by_image = true,
    .supports = supports,
    .create = create,
    .destroy = destroy,
    .packed_bytes = packed_bytes,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
