/* oneDNN behind the convolution interface: the general case and the reference. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/conv/dnnl_compat.h"
#include "nn/conv/dnnl_threads.h"
#include "nn/round.h"
#include "util/error.h"

extern const struct ctkd__conv_impl ctkd__conv_dnnl;

int ctkd__dnnl_use_threads(int count)
{
    const int was = omp_get_max_threads();
    omp_set_num_threads(count); /* per thread; oneDNN 2.6 and 3.x ask OpenMP */
    return was;
}

size_t ctkd__dnnl_cpus(int *cpus, size_t max)
{
    size_t count = 0;
    for (int place = 0; place < omp_get_num_places(); place++) {
        int ids[1024];
        const int n = omp_get_place_num_procs(place);
        if (n > (int)(sizeof ids / sizeof *ids))
            continue;
        omp_get_place_proc_ids(place, ids);
        for (int i = 0; i < n && count < max; i++)
            cpus[count++] = ids[i];
    }
    return count;
}

/* Memory handles of one worker: they carry the pointers of a call. */
struct handles {
    dnnl_memory_t src, weights, bias, dst, scratchpad;
};

/* Primitive for calls of n images. */
struct prepared {
    size_t n;
    dnnl_primitive_t primitive;
    size_t scratchpad_bytes;
    struct handles *handles; /* [workers] */
};

struct dnnl {
    struct ctkd__conv_base base;
    dnnl_engine_t engine;
    dnnl_stream_t *streams; /* [workers] */
    struct prepared *prepared;
    size_t n_prepared;
    dnnl_primitive_t
        reorder; /* weights of the flat block -> what BACKWARD_DATA wants; NULL when they agree */
    dnnl_memory_t reorder_from, reorder_to;
    dnnl_stream_t reorder_stream;
    size_t packed_bytes;
    size_t scratchpad_bytes; /* largest of the prepared */
    size_t image_floats;     /* of dx, for the sum with an earlier gradient */
    size_t n_max;
    char code[32]; /* the library's name for what runs; of the slowest prepared */
};

static struct dnnl *as_dnnl(struct ctkd__conv *conv)
{
    return (struct dnnl *)(void *)conv;
}

static const struct dnnl *as_const_dnnl(const struct ctkd__conv *conv)
{
    return (const struct dnnl *)(const void *)conv;
}

static bool is_depthwise(const struct ctkd__conv_shape *s)
{
    return !s->plain_input && s->groups > 1 && s->groups == s->c && s->c == s->o;
}

static bool supports(const struct ctkd__conv_request *request)
{
    const struct ctkd__conv_shape *const s = &request->shape;
    if (request->prologue)
        return false;
    if (ctkd__conv_groups(s) > 1)
        return is_depthwise(s) || !ctkd__conv_is_compact(s, request->kernels->block);
    return s->plain_input ? s->c <= 4 : true;
}

static ctkd_status failed(const struct dnnl *conv, dnnl_status_t status, ctkd_error *err)
{
    const struct ctkd__conv_shape *const s = &conv->base.request.shape;
    if (status == dnnl_out_of_memory)
        return ctkd__fail(err, CTKD_ENOMEM, "oneDNN: out of memory");
    return ctkd__fail(err, CTKD_EBACKEND,
                      "oneDNN: a convolution from %zu to %zu channels, kernel %zu, stride %zu, "
                      "input %zux%zu, failed with status %d",
                      s->c, s->o, s->kernel, s->stride, s->h, s->w, (int)status);
}

/* Describes the layout of the flat block (weights.c) to oneDNN; groups are a dimension of their
   own. */
static dnnl_status_t describe_weights(const struct ctkd__conv_shape *s, bool wide, bool any,
                                      dnnl_memory_desc_t *out)
{
    const dnnl_dim_t g = (dnnl_dim_t)ctkd__conv_groups(s), k = (dnnl_dim_t)s->kernel;
    const dnnl_dim_t o = (dnnl_dim_t)s->o / g, c = (dnnl_dim_t)s->c / g;
    const dnnl_dims_t dense = { o, c, k, k }, grouped = { g, o, c, k, k };
    dnnl_format_tag_t flat;
    if (s->plain_input)
        flat = wide ? dnnl_Ohwi16o : dnnl_Ohwi8o;
    else if (is_depthwise(s))
        flat = wide ? dnnl_Goihw16g : dnnl_Goihw8g;
    else if (g > 1)
        flat = wide ? dnnl_gOIhw16i16o : dnnl_gOIhw8i8o;
    else
        flat = wide ? dnnl_OIhw16i16o : dnnl_OIhw8i8o;
    return compat_md_init(out, g > 1 ? 5 : 4, g > 1 ? grouped : dense,
                          any ? dnnl_format_tag_any : flat);
}

/* The descriptors of a convolution over n images; weights in any layout when `free_weights`. */
static dnnl_status_t describe(const struct dnnl *conv, size_t n, bool free_weights,
                              struct compat_conv *out)
{
    const struct ctkd__conv_request *const r = &conv->base.request;
    const struct ctkd__conv_shape *const s = &r->shape;
    const bool wide = r->kernels->block == 16;
    const dnnl_format_tag_t blocked = wide ? dnnl_nChw16c : dnnl_nChw8c;
    const dnnl_dims_t src = { (dnnl_dim_t)n, (dnnl_dim_t)s->c, (dnnl_dim_t)s->h, (dnnl_dim_t)s->w };
    const dnnl_dims_t dst = { (dnnl_dim_t)n, (dnnl_dim_t)s->o, (dnnl_dim_t)s->oh,
                              (dnnl_dim_t)s->ow };
    const dnnl_dims_t bias = { (dnnl_dim_t)s->o };
    memset(out, 0, sizeof *out);
    out->strides[0] = out->strides[1] = (dnnl_dim_t)s->stride;
    out->padding[0] = out->padding[1] = (dnnl_dim_t)s->padding;
    out->has_bias = r->bias && r->direction == CTKD__CONV_FORWARD;
    dnnl_status_t status = compat_md_init(&out->src, 4, src, s->plain_input ? dnnl_nchw : blocked);
    if (!status)
        status = describe_weights(s, wide, free_weights, &out->weights);
    if (!status)
        status = compat_md_init(&out->bias, 1, bias, dnnl_x);
    if (!status)
        status = compat_md_init(&out->dst, 4, dst, blocked);
    return status;
}

static void undescribe(struct compat_conv *c)
{
    compat_md_fini(&c->src);
    compat_md_fini(&c->weights);
    compat_md_fini(&c->bias);
    compat_md_fini(&c->dst);
}

/* Scratchpads are the caller's; FORWARD appends the sum and the ReLU of its request. */
static dnnl_status_t make_attributes(const struct ctkd__conv_request *request,
                                     dnnl_primitive_attr_t *out)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (!status)
        status = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (!status)
        status = dnnl_post_ops_create(&ops);
    if (!status && request->direction == CTKD__CONV_FORWARD && request->residual)
        status = compat_append_sum(ops);
    if (!status && request->direction == CTKD__CONV_FORWARD && request->relu)
        status = compat_append_relu(ops);
    if (!status)
        status = dnnl_primitive_attr_set_post_ops(*out, ops);
    if (ops)
        dnnl_post_ops_destroy(ops);
    return status;
}

/* Primitive descriptor for n images in this conv's direction, with the forward hint it needs. */
static dnnl_status_t make_pd(const struct dnnl *conv, size_t n, dnnl_primitive_desc_t *out)
{
    const enum ctkd__conv_direction direction = conv->base.request.direction;
    struct compat_conv c;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t status = describe(conv, n, direction == CTKD__CONV_BACKWARD_DATA, &c);
    if (!status)
        status = make_attributes(&conv->base.request, &attr);
    if (!status && direction != CTKD__CONV_FORWARD)
        status = compat_conv_pd(&hint, conv->engine, &c, CTKD__CONV_FORWARD, NULL, NULL);
    if (!status)
        status = compat_conv_pd(out, conv->engine, &c, direction, attr, hint);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    undescribe(&c);
    return status;
}

static dnnl_status_t make_handle(dnnl_memory_t *out, compat_md_ref md, dnnl_engine_t engine)
{
    return dnnl_memory_create(out, md, engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t make_handles(const struct dnnl *conv, size_t n, dnnl_primitive_desc_t pd,
                                  struct handles *out)
{
    struct compat_conv c;
    dnnl_status_t status = describe(conv, n, false, &c);
    if (!status)
        status = make_handle(&out->src, COMPAT_REF(c.src), conv->engine);
    if (!status && conv->base.request.direction == CTKD__CONV_BACKWARD_DATA)
        status =
            make_handle(&out->weights, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0),
                        conv->engine);
    else if (!status)
        status = make_handle(&out->weights, COMPAT_REF(c.weights), conv->engine);
    if (!status)
        status = make_handle(&out->bias, COMPAT_REF(c.bias), conv->engine);
    if (!status)
        status = make_handle(&out->dst, COMPAT_REF(c.dst), conv->engine);
    if (!status)
        status = make_handle(&out->scratchpad,
                             dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0),
                             conv->engine);
    undescribe(&c);
    return status;
}

static void free_prepared(const struct dnnl *conv, struct prepared *p)
{
    for (size_t i = 0; p->handles && i < conv->base.request.workers; i++) {
        struct handles *const h = &p->handles[i];
        dnnl_memory_t all[] = { h->src, h->weights, h->bias, h->dst, h->scratchpad };
        for (size_t j = 0; j < sizeof all / sizeof *all; j++)
            if (all[j])
                dnnl_memory_destroy(all[j]);
    }
    free(p->handles);
    if (p->primitive)
        dnnl_primitive_destroy(p->primitive);
}

static bool names_reference(const char *code)
{
    return strstr(code, "ref") != NULL;
}

static void keep_code(struct dnnl *conv, dnnl_primitive_desc_t pd)
{
    const char *const code = compat_code(pd);
    if (!names_reference(conv->code))
        snprintf(conv->code, sizeof conv->code, "%s", code);
}

/* What BACKWARD_DATA needs once: the layout in which it wants its weights, and the reorder into
   it. */
static dnnl_status_t make_reorder(struct dnnl *conv, dnnl_primitive_desc_t pd)
{
    struct compat_conv c;
    dnnl_primitive_desc_t reorder = NULL;
    compat_md_ref wanted = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    dnnl_status_t status = describe(conv, 1, false, &c);
    if (!status && !dnnl_memory_desc_equal(COMPAT_REF(c.weights), wanted)) {
        conv->packed_bytes = dnnl_memory_desc_get_size(wanted);
        status = compat_reorder_pd(&reorder, COMPAT_REF(c.weights), wanted, conv->engine);
        if (!status && names_reference(compat_code(reorder)))
            keep_code(conv, reorder);
        if (!status)
            status = dnnl_primitive_create(&conv->reorder, reorder);
        if (!status)
            status =
                dnnl_stream_create(&conv->reorder_stream, conv->engine, dnnl_stream_default_flags);
        if (!status)
            status = make_handle(&conv->reorder_from, COMPAT_REF(c.weights), conv->engine);
        if (!status)
            status = make_handle(&conv->reorder_to, wanted, conv->engine);
        if (reorder)
            dnnl_primitive_desc_destroy(reorder);
    }
    undescribe(&c);
    return status;
}

static const struct prepared *find(const struct dnnl *conv, size_t n)
{
    for (size_t i = 0; i < conv->n_prepared; i++)
        if (conv->prepared[i].n == n)
            return &conv->prepared[i];
    return NULL;
}

static dnnl_status_t prepare_new(struct dnnl *conv, struct prepared *p)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = make_pd(conv, p->n, &pd);
    if (!status) {
        keep_code(conv, pd);
        status = dnnl_primitive_create(&p->primitive, pd);
    }
    if (!status && conv->base.request.direction == CTKD__CONV_BACKWARD_DATA &&
        conv->n_prepared == 0)
        status = make_reorder(conv, pd);
    for (size_t i = 0; !status && i < conv->base.request.workers; i++)
        status = make_handles(conv, p->n, pd, &p->handles[i]);
    if (!status)
        p->scratchpad_bytes = dnnl_memory_desc_get_size(
            dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    return status;
}

static ctkd_status prepare(struct ctkd__conv *base, size_t n, ctkd_error *err)
{
    struct dnnl *const conv = as_dnnl(base);
    if (n == 0 || find(conv, n))
        return CTKD_OK;
    struct prepared p = { .n = n,
                          .handles = calloc(conv->base.request.workers, sizeof *p.handles) };
    struct prepared *const grown =
        realloc(conv->prepared, (conv->n_prepared + 1) * sizeof *conv->prepared);
    if (grown)
        conv->prepared = grown;
    const dnnl_status_t status = grown && p.handles ? prepare_new(conv, &p) : dnnl_out_of_memory;
    if (status) {
        free_prepared(conv, &p);
        return failed(conv, status, err);
    }
    if (p.scratchpad_bytes > conv->scratchpad_bytes)
        conv->scratchpad_bytes = p.scratchpad_bytes;
    if (n > conv->n_max)
        conv->n_max = n;
    conv->prepared[conv->n_prepared++] = p;
    return CTKD_OK;
}

static void destroy(struct ctkd__conv *base)
{
    struct dnnl *const conv = as_dnnl(base);
    for (size_t i = 0; i < conv->n_prepared; i++)
        free_prepared(conv, &conv->prepared[i]);
    free(conv->prepared);
    for (size_t i = 0; conv->streams && i < conv->base.request.workers; i++)
        if (conv->streams[i])
            dnnl_stream_destroy(conv->streams[i]);
    free(conv->streams);
    if (conv->reorder)
        dnnl_primitive_destroy(conv->reorder);
    if (conv->reorder_from)
        dnnl_memory_destroy(conv->reorder_from);
    if (conv->reorder_to)
        dnnl_memory_destroy(conv->reorder_to);
    if (conv->reorder_stream)
        dnnl_stream_destroy(conv->reorder_stream);
    if (conv->engine)
        dnnl_engine_destroy(conv->engine);
    free(conv);
}

static ctkd_status create(const struct ctkd__conv_request *request, struct ctkd__conv **out,
                          ctkd_error *err)
{
    struct dnnl *const conv = calloc(1, sizeof *conv);
    if (!conv)
        return ctkd__fail(err, CTKD_ENOMEM, "oneDNN: out of memory");
    const struct ctkd__conv_shape *const s = &request->shape;
    conv->base = (struct ctkd__conv_base){ &ctkd__conv_dnnl, *request };
    conv->image_floats = ctkd__round_up(s->c, request->kernels->block) * s->h * s->w;
    conv->streams = calloc(request->workers, sizeof *conv->streams);
    dnnl_status_t status = conv->streams ? dnnl_success : dnnl_out_of_memory;
    if (!status)
        status = dnnl_engine_create(&conv->engine, dnnl_cpu, 0);
    for (size_t i = 0; !status && i < request->workers; i++)
        status = dnnl_stream_create(&conv->streams[i], conv->engine, dnnl_stream_default_flags);
    if (status) {
        const ctkd_status result = failed(conv, status, err);
        destroy((struct ctkd__conv *)(void *)conv);
        return result;
    }
    *out = (struct ctkd__conv *)(void *)conv;
    return CTKD_OK;
}

/* Whether the library has only its reference code for calls of request->images, or for the reorder
   of their weights. */
static bool is_reference(const struct ctkd__conv_request *request)
{
    struct ctkd__conv *base;
    if (create(request, &base, NULL))
        return true;
    struct dnnl *const conv = as_dnnl(base);
    dnnl_primitive_desc_t pd = NULL;
    const bool found = !make_pd(conv, request->images ? request->images : 1, &pd);
    const bool reference = !found || names_reference(compat_code(pd));
    if (found)
        dnnl_primitive_desc_destroy(pd);
    destroy(base);
    return reference;
}

static const char *library_code(const struct ctkd__conv *base)
{
    return as_const_dnnl(base)->code;
}

static size_t packed_bytes(const struct ctkd__conv *base)
{
    return as_const_dnnl(base)->packed_bytes;
}

static void pack(const struct ctkd__conv *base, const float *weights, float *packed, size_t part,
                 size_t parts)
{
    const struct dnnl *const conv = as_const_dnnl(base);
    (void)parts;
    if (part != 0)
        return;
    dnnl_memory_set_data_handle(conv->reorder_from, (void *)(uintptr_t)weights);
    dnnl_memory_set_data_handle(conv->reorder_to, packed);
    const dnnl_exec_arg_t args[] = { { DNNL_ARG_FROM, conv->reorder_from },
                                     { DNNL_ARG_TO, conv->reorder_to } };
    dnnl_primitive_execute(conv->reorder, conv->reorder_stream, 2, args);
    dnnl_stream_wait(conv->reorder_stream);
}

/* Scratch of a call: the primitive's own, then (BACKWARD_DATA) a gradient that is yet to be
   added. */
static size_t scratch_bytes(const struct ctkd__conv *base)
{
    const struct dnnl *const conv = as_const_dnnl(base);
    const bool sums = conv->base.request.direction == CTKD__CONV_BACKWARD_DATA;
    return ctkd__round_up(conv->scratchpad_bytes, 64) +
           (sums ? conv->n_max * conv->image_floats * sizeof(float) : 0);
}

static ctkd_status execute(const struct dnnl *conv, const struct prepared *p,
                           const struct ctkd__conv_call *call, int src_arg, const void *src,
                           int weights_arg, const void *weights, int dst_arg, const void *dst)
{
    const struct handles *const h = &p->handles[call->worker];
    dnnl_memory_set_data_handle(h->src, (void *)(uintptr_t)src);
    dnnl_memory_set_data_handle(h->weights, (void *)(uintptr_t)weights);
    dnnl_memory_set_data_handle(h->dst, (void *)(uintptr_t)dst);
    dnnl_memory_set_data_handle(h->scratchpad, call->scratch);
    dnnl_memory_set_data_handle(h->bias, (void *)(uintptr_t)call->bias);
    const dnnl_exec_arg_t args[] = { { src_arg, h->src },
                                     { weights_arg, h->weights },
                                     { dst_arg, h->dst },
                                     { DNNL_ARG_SCRATCHPAD, h->scratchpad },
                                     { DNNL_ARG_BIAS, h->bias } };
    const int count = conv->base.request.bias && dst_arg == DNNL_ARG_DST ? 5 : 4;
    dnnl_status_t status =
        dnnl_primitive_execute(p->primitive, conv->streams[call->worker], count, args);
    if (!status)
        status = dnnl_stream_wait(conv->streams[call->worker]);
    return status ? CTKD_EBACKEND : CTKD_OK;
}

static ctkd_status run(const struct ctkd__conv *base, const struct ctkd__conv_call *call)
{
    const struct dnnl *const conv = as_const_dnnl(base);
    const struct ctkd__conv_request *const r = &conv->base.request;
    const struct prepared *const p = find(conv, call->n);
    if (!p)
        return call->n == 0 ? CTKD_OK : CTKD_EINVAL;
    const size_t out_floats =
        call->n * ctkd__round_up(r->shape.o, r->kernels->block) * r->shape.oh * r->shape.ow;
    const size_t in_floats = call->n * conv->image_floats;
    switch (r->direction) {
    case CTKD__CONV_FORWARD:
        if (call->base && call->base != call->out) /* oneDNN adds to the output's contents */
            memcpy(call->out, call->base, out_floats * sizeof(float));
        return execute(conv, p, call, DNNL_ARG_SRC, call->x, DNNL_ARG_WEIGHTS, call->weights,
                       DNNL_ARG_DST, call->out);
    case CTKD__CONV_BACKWARD_DATA: {
        float *const gradient = call->base
                                    ? (float *)(void *)((char *)call->scratch +
                                                        ctkd__round_up(conv->scratchpad_bytes, 64))
                                    : call->out;
        const ctkd_status status =
            execute(conv, p, call, DNNL_ARG_DIFF_SRC, gradient, DNNL_ARG_WEIGHTS, call->weights,
                    DNNL_ARG_DIFF_DST, call->dy);
        if (!status && call->base)
            r->kernels->pointwise->add(in_floats, call->base, gradient, false, call->out);
        return status;
    }
    case CTKD__CONV_BACKWARD_WEIGHTS:
        return execute(conv, p, call, DNNL_ARG_SRC, call->x, DNNL_ARG_DIFF_WEIGHTS, call->out,
                       DNNL_ARG_DIFF_DST, call->dy);
    }
    return CTKD_EINVAL;
}

const struct ctkd__conv_impl ctkd__conv_dnnl = {
    .name = "dnnl",
    .supports = supports,
    .is_reference = is_reference,
    .create = create,
    .destroy = destroy,
    .prepare = prepare,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .scratch_bytes = scratch_bytes,
    .run = run,
    .library_code = library_code,
};
