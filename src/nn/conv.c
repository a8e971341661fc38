#include "nn/conv.h"

#include <string.h>

#include "util/error.h"

extern const struct ctkd__conv_impl ctkd__conv_winograd, ctkd__conv_dnnl;

static const struct ctkd__conv_impl *const list[] = { &ctkd__conv_winograd, &ctkd__conv_dnnl, NULL };

const struct ctkd__conv_impl *const *ctkd__conv_list(void)
{
    return list;
}

ctkd_status ctkd__conv_create(const char *name, const struct ctkd__conv_request *request,
                              struct ctkd__conv **out, ctkd_error *err)
{
    *out = NULL;
    const bool any = !name || !*name || strcmp(name, "auto") == 0;
    const struct ctkd__conv_impl *chosen = NULL, *forced = NULL;
    for (size_t i = 0; list[i]; i++) {
        if (!chosen && list[i]->supports(request))
            chosen = list[i];
        if (!any && strcmp(list[i]->name, name) == 0)
            forced = list[i];
    }
    if (!any && !forced)
        return ctkd__fail(err, CTKD_ENOTFOUND, "train.conv: %s, expected auto, winograd or dnnl",
                          name);
    if (forced && forced->supports(request))
        chosen = forced;
    if (!chosen)
        return ctkd__fail(err, CTKD_EUNSUPPORTED,
                          "no convolution for %zu -> %zu channels, kernel %zu, stride %zu",
                          request->shape.c, request->shape.o, request->shape.kernel,
                          request->shape.stride);
    return chosen->create(request, out, err);
}

void ctkd__conv_destroy(struct ctkd__conv *conv)
{
    if (conv)
        ctkd__conv_base(conv)->impl->destroy(conv);
}

double ctkd__conv_flops(const struct ctkd__conv_shape *shape)
{
    return 2.0 * (double)(shape->c * shape->o * shape->oh * shape->ow) *
           (double)(shape->kernel * shape->kernel);
}
