/* The C API of oneDNN 2.6 (Debian 12) and 3.x under one set of names; differences between the
   versions are handled only here. */
#ifndef CTKD_NN_DNNL_COMPAT_H
#define CTKD_NN_DNNL_COMPAT_H

#include <dnnl.h>

#include "nn/conv/conv.h"

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t compat_md_ref;
#define COMPAT_REF(md) (md)
static inline dnnl_status_t compat_md_init(dnnl_memory_desc_t *md, int rank, const dnnl_dims_t dims,
                                           dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(md, rank, dims, dnnl_f32, tag);
}
static inline void compat_md_fini(dnnl_memory_desc_t *md)
{
    if (*md)
        dnnl_memory_desc_destroy(*md);
    *md = NULL;
}
#else
typedef const dnnl_memory_desc_t *compat_md_ref;
#define COMPAT_REF(md) (&(md))
static inline dnnl_status_t compat_md_init(dnnl_memory_desc_t *md, int rank, const dnnl_dims_t dims,
                                           dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(md, rank, dims, dnnl_f32, tag);
}
static inline void compat_md_fini(dnnl_memory_desc_t *md)
{
    (void)md;
}
#endif

/* The tensors of a convolution. */
struct compat_conv {
    dnnl_memory_desc_t src, weights, bias, dst;
    bool has_bias;
    dnnl_dims_t strides, padding;
};

/* Primitive descriptor of a direction; hint: the forward one, for the backward directions. */
static inline dnnl_status_t compat_conv_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                           const struct compat_conv *c,
                                           enum ctkd__conv_direction direction,
                                           const_dnnl_primitive_attr_t attr,
                                           const_dnnl_primitive_desc_t hint)
{
    const dnnl_alg_kind_t alg = dnnl_convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    const dnnl_dims_t dense = { 0, 0 };
    const_dnnl_memory_desc_t bias = c->has_bias ? c->bias : NULL;
    switch (direction) {
    case CTKD__CONV_FORWARD:
        return dnnl_convolution_forward_primitive_desc_create(
            pd, engine, dnnl_forward_training, alg, c->src, c->weights, bias, c->dst, c->strides,
            dense, c->padding, c->padding, attr);
    case CTKD__CONV_BACKWARD_DATA:
        return dnnl_convolution_backward_data_primitive_desc_create(
            pd, engine, alg, c->src, c->weights, c->dst, c->strides, dense, c->padding, c->padding,
            hint, attr);
    case CTKD__CONV_BACKWARD_WEIGHTS:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            pd, engine, alg, c->src, c->weights, NULL, c->dst, c->strides, dense, c->padding,
            c->padding, hint, attr);
    }
    return dnnl_invalid_arguments;
#else
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = dnnl_invalid_arguments;
    switch (direction) {
    case CTKD__CONV_FORWARD:
        status = dnnl_convolution_forward_desc_init(&desc, dnnl_forward_training, alg, &c->src,
                                                    &c->weights, c->has_bias ? &c->bias : NULL,
                                                    &c->dst, c->strides, c->padding, c->padding);
        break;
    case CTKD__CONV_BACKWARD_DATA:
        status = dnnl_convolution_backward_data_desc_init(&desc, alg, &c->src, &c->weights, &c->dst,
                                                          c->strides, c->padding, c->padding);
        break;
    case CTKD__CONV_BACKWARD_WEIGHTS:
        status = dnnl_convolution_backward_weights_desc_init(
            &desc, alg, &c->src, &c->weights, NULL, &c->dst, c->strides, c->padding, c->padding);
        break;
    }
    return status == dnnl_success ? dnnl_primitive_desc_create(pd, &desc, attr, engine, hint)
                                  : status;
#endif
}

/* "jit:avx2", "ref:any": the library's name for the code that a primitive runs; its string lives as
   long as the descriptor. */
static inline const char *compat_code(const_dnnl_primitive_desc_t pd)
{
    const char *code = NULL;
    return dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &code) == dnnl_success && code
               ? code
               : "unknown";
}

static inline dnnl_status_t compat_append_sum(dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_f32);
#else
    return dnnl_post_ops_append_sum(ops, 1.0f);
#endif
}

static inline dnnl_status_t compat_append_relu(dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0f, 0.0f);
#else
    return dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
#endif
}

static inline dnnl_status_t compat_reorder_pd(dnnl_primitive_desc_t *pd, compat_md_ref from,
                                              compat_md_ref to, dnnl_engine_t engine)
{
    return dnnl_reorder_primitive_desc_create(pd, from, engine, to, engine, NULL);
}

#endif
