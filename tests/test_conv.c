/* Every implementation behind nn/conv/conv.h, called directly, against PyTorch's golden values:
   bias, residual, ReLU, a batch norm in front, an earlier gradient. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "nn/arena.h"
#include "nn/conv/conv.h"
#include "nn/workers.h"

/* As in tests/golden/convolutions.py. */
struct test_case {
    const char *name;
    size_t n;
    struct ctkd__conv_shape shape;
};

static const struct test_case cases[] = {
    { "depthwise", 2, { 20, 5, 6, 20, 5, 6, 3, 1, 1, false, 20 } },
    { "depthwise_strided", 2, { 18, 7, 6, 18, 4, 3, 3, 2, 1, false, 18 } },
    { "depthwise_5x5", 1, { 17, 7, 8, 17, 4, 4, 5, 2, 2, false, 17 } },
    { "multiplier", 1, { 6, 5, 5, 12, 5, 5, 3, 1, 1, false, 6 } },
    { "aligned", 1, { 32, 4, 5, 32, 4, 5, 3, 1, 1, false, 2 } },
    { "unaligned", 1, { 18, 5, 5, 27, 3, 3, 3, 2, 1, false, 3 } },
    { "unaligned_1x1", 2, { 54, 3, 3, 30, 3, 3, 1, 1, 0, false, 3 } },
    { "dense_1x1", 2, { 20, 3, 5, 36, 3, 5, 1, 1, 0, false, 1 } },
    { "merged", 1, { 32, 4, 4, 32, 4, 4, 3, 1, 1, false, 8 } },
    { "aligned_wide", 7, { 32, 6, 5, 48, 6, 5, 3, 1, 1, false, 2 } },
    { "dense", 2, { 20, 5, 6, 36, 5, 6, 3, 1, 1, false, 1 } },
    { "dense_strided", 2, { 20, 7, 6, 18, 4, 3, 3, 2, 1, false, 1 } },
    { "dense_1x1_strided", 2, { 18, 7, 5, 20, 4, 3, 1, 2, 0, false, 1 } },
    { "dense_5x5_stride_3", 1, { 17, 8, 7, 9, 3, 3, 5, 3, 2, false, 1 } },
    { "dense_2x2_stride_2", 2, { 10, 6, 5, 12, 3, 2, 2, 2, 0, false, 1 } },
    { "dense_4x4_stride_2", 1, { 34, 6, 6, 33, 3, 3, 4, 2, 1, false, 1 } },
    { "grey", 3, { 1, 6, 5, 20, 6, 5, 3, 1, 1, true, 1 } },
    { "colour", 2, { 3, 5, 6, 18, 5, 6, 3, 1, 1, true, 1 } },
    { "grey_7x7", 2, { 1, 9, 10, 17, 5, 5, 7, 2, 3, true, 1 } },
    { "many_channels", 2, { 13, 6, 7, 17, 3, 4, 3, 2, 1, true, 1 } },
    { "plain_groups", 1, { 6, 5, 4, 12, 5, 4, 3, 1, 1, true, 2 } },
};

static float wave(size_t i, double phase)
{
    return (float)sin(0.7 * (double)i + phase);
}

static size_t padded(size_t channels, size_t block)
{
    return (channels + block - 1) / block * block;
}

static float *pages(size_t floats)
{
    float *const p = ctkd__pages_allocate(floats * sizeof *p + 64);
    assert_non_null(p);
    return p;
}

/* Place of element i of [n][c][hw] in [n][C/B][hw][B]. */
static size_t blocked_index(size_t i, size_t c, size_t hw, size_t b)
{
    const size_t image = i / (c * hw), channel = i / hw % c;
    return (((image * (padded(c, b) / b) + channel / b) * hw) + i % hw) * b + channel % b;
}

/* Place of element i of [o][c of the group][taps] in the flat layout. */
static size_t weight_index(const struct ctkd__conv_shape *s, size_t i, size_t b)
{
    const size_t taps = s->kernel * s->kernel, depth = s->c / ctkd__conv_groups(s);
    const size_t o = i / (depth * taps), c = i / taps % depth, tap = i % taps;
    const size_t blocks = ctkd__conv_weight_depth(s, b) / b;
    if (ctkd__conv_is_compact(s, b))
        return ((o / b * taps + tap) * depth + c) * b + o % b;
    return (((o / b * blocks + c / b) * taps + tap) * b + c % b) * b + o % b;
}

static float *blocked_wave(size_t n, size_t c, size_t hw, size_t b, double phase)
{
    float *const p = pages(n * padded(c, b) * hw);
    for (size_t i = 0; i < n * c * hw; i++)
        p[blocked_index(i, c, hw, b)] = wave(i, phase);
    return p;
}

/* Block of the input: plain ones are [n][c][h][w], which is a block of one channel. */
static size_t input_block(const struct ctkd__conv_shape *s, size_t b)
{
    return s->plain_input ? 1 : b;
}

/* Arrays of a case in the layouts of an instruction set. */
struct arrays {
    float *x, *y, *dy, *residual, *earlier, *weights, *bias, *scale, *shift;
};

static struct arrays arrays_open(const struct test_case *t, size_t b)
{
    const struct ctkd__conv_shape *const s = &t->shape;
    const size_t depth = s->c / ctkd__conv_groups(s);
    struct arrays a = {
        .x = blocked_wave(t->n, s->c, s->h * s->w, input_block(s, b), 0.1),
        .dy = blocked_wave(t->n, s->o, s->oh * s->ow, b, 0.3),
        .residual = blocked_wave(t->n, s->o, s->oh * s->ow, b, 0.5),
        .earlier = blocked_wave(t->n, s->c, s->h * s->w, b, 0.6),
        .weights = pages(ctkd__conv_weight_floats(s, b)),
        .bias = pages(padded(s->o, b)),
        .scale = pages(padded(s->c, b)),
        .shift = pages(padded(s->c, b)),
    };
    for (size_t i = 0; i < s->o * depth * s->kernel * s->kernel; i++)
        a.weights[weight_index(s, i, b)] = wave(i, 0.2);
    for (size_t i = 0; i < s->o; i++)
        a.bias[i] = wave(i, 0.4);
    return a;
}

static void arrays_close(struct arrays *a, const struct test_case *t, size_t b)
{
    const struct ctkd__conv_shape *const s = &t->shape;
    const size_t hw = s->h * s->w;
    const size_t x = t->n * padded(s->c, input_block(s, b)) * hw * sizeof(float) + 64;
    const size_t earlier = t->n * padded(s->c, b) * hw * sizeof(float) + 64;
    const size_t y = t->n * padded(s->o, b) * s->oh * s->ow * sizeof(float) + 64;
    ctkd__pages_release(a->x, x);
    ctkd__pages_release(a->earlier, earlier);
    ctkd__pages_release(a->dy, y);
    ctkd__pages_release(a->residual, y);
    ctkd__pages_release(a->weights, ctkd__conv_weight_floats(s, b) * sizeof(float) + 64);
    ctkd__pages_release(a->bias, padded(s->o, b) * sizeof(float) + 64);
    ctkd__pages_release(a->scale, padded(s->c, b) * sizeof(float) + 64);
    ctkd__pages_release(a->shift, padded(s->c, b) * sizeof(float) + 64);
}

static size_t out_floats(const struct ctkd__conv_request *r, size_t n)
{
    const struct ctkd__conv_shape *const s = &r->shape;
    const size_t b = r->kernels->block;
    switch (r->direction) {
    case CTKD__CONV_FORWARD:
        return n * padded(s->o, b) * s->oh * s->ow;
    case CTKD__CONV_BACKWARD_DATA:
        return n * padded(s->c, b) * s->h * s->w;
    default:
        return ctkd__conv_weight_floats(s, b);
    }
}

/* Runs one call of an implementation into `out`, which holds NaN before: everything is written. */
static void run(const struct ctkd__conv_impl *impl, const struct ctkd__conv_request *request,
                struct ctkd__conv_call call, const float *weights, float *out)
{
    struct ctkd__conv *conv;
    ctkd_error err;
    check_ok(impl->create(request, &conv, &err), &err);
    check_ok(ctkd__conv_prepare(conv, call.n, &err), &err);
    const size_t packed_bytes = impl->packed_bytes(conv), scratch_bytes = impl->scratch_bytes(conv);
    float *const packed = pages(packed_bytes / sizeof(float));
    float *const scratch = pages(scratch_bytes / sizeof(float) + 16);
    memset(scratch, 0xff, scratch_bytes); /* no initial content may matter: NaN */
    if (packed_bytes && request->direction != CTKD__CONV_BACKWARD_WEIGHTS)
        for (size_t part = 0; part < 3; part++)
            impl->pack(conv, weights, packed, part, 3);
    call.weights = packed_bytes ? packed : weights;
    call.scratch = scratch;
    call.out = out;
    if (call.base != out)
        memset(out, 0xff, out_floats(request, call.n) * sizeof *out);
    check_ok(impl->run(conv, &call), NULL);
    ctkd__pages_release(packed, packed_bytes / sizeof(float) * sizeof(float) + 64);
    ctkd__pages_release(scratch, (scratch_bytes / sizeof(float) + 16) * sizeof(float) + 64);
    ctkd__conv_destroy(conv);
}

/* The result in row-major order against the golden one; padding must be zero. */
static void check_result(const struct test_case *t, const struct ctkd__conv_impl *impl,
                         const struct ctkd__conv_request *r, const float *out,
                         const float *expected, size_t count)
{
    const struct ctkd__conv_shape *const s = &r->shape;
    const size_t b = r->kernels->block, total = out_floats(r, t->n);
    const bool forward = r->direction == CTKD__CONV_FORWARD;
    float *const plain = calloc(count, sizeof *plain);
    bool *const inside = calloc(total, sizeof *inside);
    for (size_t i = 0; i < count; i++) {
        const size_t at = r->direction == CTKD__CONV_BACKWARD_WEIGHTS ? weight_index(s, i, b)
                          : forward ? blocked_index(i, s->o, s->oh * s->ow, b)
                                    : blocked_index(i, s->c, s->h * s->w, b);
        plain[i] = out[at];
        inside[at] = true;
    }
    check_relative(plain, expected, count, impl->tiles ? 1e-5 : 3e-6); /* Winograd's transforms */
    for (size_t i = 0; i < total; i++)
        if (!inside[i] && !(out[i] >= 0 && out[i] <= 0))
            fail_msg("%s: padding at %zu is %g, expected 0", t->name, i, (double)out[i]);
    free(plain);
    free(inside);
}

static size_t golden_size(const struct ctkd__conv_request *r, size_t n)
{
    const struct ctkd__conv_shape *const s = &r->shape;
    if (r->direction == CTKD__CONV_FORWARD)
        return n * s->o * s->oh * s->ow;
    if (r->direction == CTKD__CONV_BACKWARD_DATA)
        return n * s->c * s->h * s->w;
    return s->o * (s->c / ctkd__conv_groups(s)) * s->kernel * s->kernel;
}

/* One implementation and direction. With a prologue x is (original - shift) / scale, so that the
   convolution sees the original again; without its ReLU, which PyTorch's case does not have. */
static void check_case(struct golden *golden, const struct test_case *t,
                       const struct ctkd__conv_impl *impl, struct ctkd__conv_request request)
{
    static const char *const keys[] = { "y", "dx", "dw" };
    const struct ctkd__conv_shape *const s = &t->shape;
    const size_t b = request.kernels->block, hw = s->h * s->w;
    struct arrays a = arrays_open(t, b);
    for (size_t c = 0; c < s->c; c++) {
        a.scale[c] = 1.5f + wave(c, 0.7);
        a.shift[c] = wave(c, 0.8);
    }
    const struct ctkd__affine affine = { a.scale, a.shift, false };
    if (request.prologue)
        for (size_t i = 0; i < t->n * s->c * hw; i++)
            a.x[blocked_index(i, s->c, hw, b)] =
                (wave(i, 0.1) - a.shift[i / hw % s->c]) / a.scale[i / hw % s->c];
    const bool forward = request.direction == CTKD__CONV_FORWARD;
    const bool data = request.direction == CTKD__CONV_BACKWARD_DATA;
    const struct ctkd__conv_call call = { .n = t->n,
                                          .x = a.x,
                                          .dy = a.dy,
                                          .prologue = request.prologue ? &affine : NULL,
                                          .bias = a.bias,
                                          .base = forward ? a.residual
                                                  : data  ? a.earlier
                                                          : NULL };
    const size_t floats = out_floats(&request, t->n), count = golden_size(&request, t->n);
    float *const out = pages(floats);
    char key[64];
    snprintf(key, sizeof key, "%s.%s", t->name, keys[request.direction]);
    const float *const expected = golden_get(golden, key, count);
    run(impl, &request, call, a.weights, out);
    check_result(t, impl, &request, out, expected, count);
    if (forward || data) { /* the same in place */
        struct ctkd__conv_call in_place = call;
        memcpy(out, call.base, floats * sizeof *out);
        in_place.base = out;
        run(impl, &request, in_place, a.weights, out);
        check_result(t, impl, &request, out, expected, count);
    }
    ctkd__pages_release(out, floats * sizeof *out + 64);
    arrays_close(&a, t, b);
}

static void every_implementation_agrees_with_pytorch(void **state)
{
    (void)state;
    struct golden *const golden = golden_open("convolutions.txt");
    struct ctkd__workers *workers; /* tells oneDNN of one thread */
    ctkd_error err;
    size_t checked = 0;
    check_ok(ctkd__workers_create(1, &workers, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t isa = 0; ctkd__kernels_list()[isa]; isa++)
            for (size_t j = 0; ctkd__conv_list()[j]; j++)
                for (int variant = 0; variant < 6; variant++) {
                    const struct ctkd__conv_impl *const impl = ctkd__conv_list()[j];
                    struct ctkd__conv_request request = { .shape = cases[i].shape,
                                                          .direction = (enum ctkd__conv_direction)(
                                                              variant % 3),
                                                          .kernels = ctkd__kernels_list()[isa],
                                                          .workers = 1,
                                                          .images = cases[i].n,
                                                          .prologue = variant >= 3 };
                    request.bias = request.residual = request.relu =
                        request.direction == CTKD__CONV_FORWARD;
                    const bool to_input = request.direction == CTKD__CONV_BACKWARD_DATA;
                    if ((to_input && (request.prologue || request.shape.plain_input)) ||
                        !impl->supports(&request))
                        continue;
                    check_case(golden, &cases[i], impl, request);
                    checked++;
                }
    assert_true(checked >= 3 * sizeof cases / sizeof *cases);
    ctkd__workers_destroy(workers);
    golden_close(golden);
}

/* Images 1 and 2 of five, in a call of their own and among the five: no bit may differ. */
static void check_by_image(const struct ctkd__conv_impl *impl,
                           const struct ctkd__conv_request *request)
{
    const struct ctkd__conv_shape *const s = &request->shape;
    const struct test_case five = { "by image", 5, *s };
    const size_t b = request->kernels->block;
    const size_t x = padded(s->c, input_block(s, b)) * s->h * s->w;
    const size_t dx = padded(s->c, b) * s->h * s->w, y = padded(s->o, b) * s->oh * s->ow;
    const bool forward = request->direction == CTKD__CONV_FORWARD;
    struct arrays a = arrays_open(&five, b);
    for (size_t c = 0; c < s->c; c++)
        a.scale[c] = 1.5f + wave(c, 0.7);
    const struct ctkd__affine affine = { a.scale, a.shift, true };
    struct ctkd__conv_call call = { .n = 5,
                                    .x = a.x,
                                    .dy = a.dy,
                                    .prologue = request->prologue ? &affine : NULL,
                                    .bias = a.bias,
                                    .base = forward ? a.residual : a.earlier };
    const size_t floats = out_floats(request, 5), image = forward ? y : dx;
    float *const all = pages(floats), *const two = pages(floats);
    run(impl, request, call, a.weights, all);
    call.n = 2;
    call.x += x;
    call.dy += y;
    call.base += image;
    run(impl, request, call, a.weights, two);
    assert_memory_equal(two, all + image, 2 * image * sizeof *two);
    ctkd__pages_release(all, floats * sizeof *all + 64);
    ctkd__pages_release(two, floats * sizeof *two + 64);
    arrays_close(&a, &five, b);
}

static void implementations_by_image_give_it_the_same_bits_in_any_call(void **state)
{
    (void)state;
    size_t checked = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t isa = 0; ctkd__kernels_list()[isa]; isa++)
            for (size_t j = 0; ctkd__conv_list()[j]; j++)
                for (int variant = 0; variant < 3; variant++) {
                    const struct ctkd__conv_impl *const impl = ctkd__conv_list()[j];
                    const bool forward = variant < 2;
                    const struct ctkd__conv_request request = {
                        .shape = cases[i].shape,
                        .direction = forward ? CTKD__CONV_FORWARD : CTKD__CONV_BACKWARD_DATA,
                        .kernels = ctkd__kernels_list()[isa],
                        .workers = 1,
                        .images = 2,
                        .bias = forward,
                        .residual = forward,
                        .relu = forward,
                        .prologue = variant == 1
                    };
                    if (!impl->by_image || !impl->supports(&request) ||
                        (!forward && request.shape.plain_input))
                        continue;
                    check_by_image(impl, &request);
                    checked++;
                }
    assert_true(checked >= 40);
}

static const struct ctkd__conv_impl *last_impl(void) /* oneDNN */
{
    size_t i = 0;
    while (ctkd__conv_list()[i + 1])
        i++;
    return ctkd__conv_list()[i];
}

/* What auto takes: own kernels for groups and where a batch norm comes in front, else oneDNN where
   that has more than its reference code. */
static void the_default_depends_on_groups_and_on_a_batch_norm_in_front(void **state)
{
    (void)state;
    static const struct {
        struct ctkd__conv_shape shape;
        enum ctkd__conv_direction direction;
        bool prologue;
        const char *impl;
    } expected[] = {
        { { 32, 8, 8, 32, 8, 8, 1, 1, 0, false, 1 }, CTKD__CONV_FORWARD, false, "dnnl" },
        { { 32, 8, 8, 32, 8, 8, 1, 1, 0, false, 1 }, CTKD__CONV_FORWARD, true, "gemm" },
        { { 32, 8, 8, 32, 8, 8, 1, 1, 0, false, 2 }, CTKD__CONV_BACKWARD_DATA, false, "gemm" },
        { { 32, 2, 2, 32, 2, 2, 1, 1, 0, false, 1 }, CTKD__CONV_BACKWARD_WEIGHTS, false, "gemm" },
        { { 20, 8, 8, 20, 8, 8, 3, 1, 1, false, 20 }, CTKD__CONV_FORWARD, true, "depthwise" },
        { { 20, 8, 8, 20, 8, 8, 3, 1, 1, false, 2 }, CTKD__CONV_FORWARD, false, "expanded" },
        { { 32, 8, 8, 32, 8, 8, 3, 1, 1, false, 2 }, CTKD__CONV_FORWARD, false, "dnnl" },
        { { 3, 8, 8, 9, 8, 8, 3, 1, 1, true, 3 }, CTKD__CONV_FORWARD, false, "expanded" },
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const struct ctkd__conv_request request = { .shape = expected[i].shape,
                                                    .direction = expected[i].direction,
                                                    .prologue = expected[i].prologue,
                                                    .kernels = ctkd__kernels_list()[0],
                                                    .workers = 1,
                                                    .images = 2 };
        struct ctkd__conv *conv;
        ctkd_error err;
        check_ok(ctkd__conv_create("auto", &request, &conv, &err), &err);
        const struct ctkd__conv_impl *const impl = ctkd__conv_base(conv)->impl;
        if (strcmp(expected[i].impl, "dnnl") != 0 || !last_impl()->is_reference(&request))
            assert_string_equal(impl->name, expected[i].impl);
        else /* a oneDNN that is held to older instructions */
            assert_null(impl->is_reference);
        ctkd__conv_destroy(conv);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_implementation_agrees_with_pytorch),
        cmocka_unit_test(implementations_by_image_give_it_the_same_bits_in_any_call),
        cmocka_unit_test(the_default_depends_on_groups_and_on_a_batch_norm_in_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
