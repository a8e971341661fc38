#include "nn/conv/conv.h"

#include <stdio.h>
#include <string.h>

#include "nn/conv/choices.h"
#include "util/error.h"
#include "util/options.h"

extern const struct ctkd__conv_impl ctkd__conv_winograd, ctkd__conv_depthwise, ctkd__conv_gemm,
    ctkd__conv_expanded, ctkd__conv_im2col, ctkd__conv_dnnl;

static const struct ctkd__conv_impl *const list[] = { &ctkd__conv_winograd,
                                                      &ctkd__conv_depthwise,
                                                      &ctkd__conv_gemm,
                                                      &ctkd__conv_expanded,
                                                      &ctkd__conv_im2col,
                                                      &ctkd__conv_dnnl,
                                                      NULL };

const struct ctkd__conv_impl *const *ctkd__conv_list(void)
{
    return list;
}

/* The one of that name if it supports the request, else the first that is its default, else the
   first that supports it, a library's reference code last; NULL if none. */
static const struct ctkd__conv_impl *choose(const char *name,
                                            const struct ctkd__conv_request *request)
{
    const struct ctkd__conv_impl *chosen = NULL, *other = NULL, *reference = NULL;
    for (size_t i = 0; list[i]; i++) {
        const struct ctkd__conv_impl *const impl = list[i];
        if (!impl->supports(request))
            continue;
        if (name && strcmp(impl->name, name) == 0)
            return impl;
        if (chosen)
            continue;
        if (impl->is_default && !impl->is_default(request))
            other = other ? other : impl;
        else if (impl->is_reference && impl->is_reference(request))
            reference = reference ? reference : impl;
        else
            chosen = impl;
    }
    return chosen ? chosen : other ? other : reference;
}

static bool is_automatic(const char *name)
{
    return !name || !*name || strcmp(name, "auto") == 0;
}

static bool known(const char *name)
{
    bool found = is_automatic(name);
    for (size_t i = 0; list[i] && !found; i++)
        found = strcmp(list[i]->name, name) == 0;
    return found;
}

ctkd_status ctkd__conv_check(const char *name, ctkd_error *err)
{
    if (known(name))
        return CTKD_OK;
    const char *names[sizeof list / sizeof *list + 1] = { "auto" };
    for (size_t i = 0; list[i]; i++)
        names[i + 1] = list[i]->name;
    return ctkd__unknown("implementation", name, names,
                         "expected auto, winograd, depthwise, gemm, expanded, im2col or dnnl", err);
}

bool ctkd__conv_supported(const char *name, const struct ctkd__conv_request *request)
{
    struct ctkd__conv_request plain = *request; /* the choice must not depend on the prologue */
    plain.prologue = is_automatic(name) && request->prologue;
    const struct ctkd__conv_impl *const chosen = known(name) ? choose(name, &plain) : NULL;
    return chosen && chosen->supports(request);
}

ctkd_status ctkd__conv_create(const char *name, const struct ctkd__conv_request *request,
                              struct ctkd__conv **out, ctkd_error *err)
{
    *out = NULL;
    const ctkd_status unknown = ctkd__conv_check(name, err);
    if (unknown)
        return unknown;
    const bool automatic = is_automatic(name);
    const struct ctkd__choice *choice = NULL;
    struct ctkd__conv_request decided = *request;
    if (automatic && request->choices) {
        const ctkd_status status = ctkd__choices_find(request->choices, request, &choice, err);
        if (status)
            return status;
        decided.tile_block = choice ? choice->tile_block : 0;
    }
    const struct ctkd__conv_impl *const chosen = choose(choice ? choice->impl : name, request);
    if (!chosen)
        return ctkd__fail(err, CTKD_EUNSUPPORTED,
                          "found no implementation of a convolution from %zu to %zu channels with "
                          "kernel %zu and stride %zu",
                          request->shape.c, request->shape.o, request->shape.kernel,
                          request->shape.stride);
    return chosen->create(&decided, out, err);
}

void ctkd__conv_destroy(struct ctkd__conv *conv)
{
    if (conv)
        ctkd__conv_base(conv)->impl->destroy(conv);
}

static const char *library_code(const struct ctkd__conv *conv)
{
    const struct ctkd__conv_impl *const impl = ctkd__conv_base(conv)->impl;
    return impl->library_code ? impl->library_code(conv) : NULL;
}

void ctkd__conv_how(const struct ctkd__conv *conv, char how[CTKD__CONV_HOW])
{
    const char *const code = library_code(conv);
    snprintf(how, CTKD__CONV_HOW, "%s%s%s", ctkd__conv_base(conv)->impl->name, code ? " " : "",
             code ? code : "");
}

bool ctkd__conv_runs_reference(const struct ctkd__conv *conv)
{
    const char *const code = library_code(conv);
    return code && strstr(code, "ref");
}

ctkd_status ctkd__conv_prepare(struct ctkd__conv *conv, size_t n, ctkd_error *err)
{
    const struct ctkd__conv_impl *const impl = ctkd__conv_base(conv)->impl;
    return impl->prepare ? impl->prepare(conv, n, err) : CTKD_OK;
}

double ctkd__conv_flops(const struct ctkd__conv_shape *shape)
{
    return 2.0 * (double)(shape->c / ctkd__conv_groups(shape) * shape->o * shape->oh * shape->ow) *
           (double)(shape->kernel * shape->kernel);
}

size_t ctkd__conv_groups(const struct ctkd__conv_shape *shape)
{
    return shape->groups ? shape->groups : 1;
}

bool ctkd__conv_is_compact(const struct ctkd__conv_shape *shape, size_t block)
{
    const size_t groups = ctkd__conv_groups(shape);
    return shape->plain_input ||
           (groups > 1 && (shape->c / groups % block != 0 || shape->o / groups % block != 0));
}

size_t ctkd__conv_weight_depth(const struct ctkd__conv_shape *shape, size_t block)
{
    const size_t c = shape->c / ctkd__conv_groups(shape);
    return ctkd__conv_is_compact(shape, block) ? c : (c + block - 1) / block * block;
}

size_t ctkd__conv_weight_floats(const struct ctkd__conv_shape *shape, size_t block)
{
    return (shape->o + block - 1) / block * block * ctkd__conv_weight_depth(shape, block) *
           shape->kernel * shape->kernel;
}
