#include "support/check.h"

#include <stdlib.h>

#include "nn/kernels/kernels.h"

/* ---- Instruction sets ---- */

struct isa {
    const char *name;
    size_t block;
    const struct ctkd__winograd_kernels *kernels;
};

/* Those that this CPU runs, up to a NULL name. */
static const struct isa *isas(void)
{
    static struct isa list[4];
    size_t n = 0;
    for (; ctkd__kernels_list()[n]; n++) {
        const struct ctkd__kernels *const kernels = ctkd__kernels_list()[n];
        list[n] = (struct isa){ kernels->name, kernels->block, kernels->winograd };
    }
    list[n].name = NULL;
    return list;
}

/* ---- Arrays, which live until release: plain, and their blocked forms ---- */

static void *arrays[1024];
static size_t n_arrays;

static void *keep(void *array)
{
    assert_non_null(array);
    assert_in_range(n_arrays, 0, sizeof arrays / sizeof *arrays - 1);
    return arrays[n_arrays++] = array;
}

/* All but the first `but`. */
static void release(size_t but)
{
    while (n_arrays > but)
        free(arrays[--n_arrays]);
}

struct dims {
    size_t n, c, o, h, w;
};

static size_t x_size(const struct dims *d)
{
    return d->n * d->c * d->h * d->w;
}
static size_t y_size(const struct dims *d)
{
    return d->n * d->o * d->h * d->w;
}
static size_t w_size(const struct dims *d)
{
    return d->o * d->c * 9;
}

static float *floats(size_t n)
{
    return keep(malloc(n * sizeof(float)));
}

static float *normal(size_t n, uint64_t seed)
{
    float *p = floats(n);
    fill_normal(p, n, seed);
    return p;
}

/* [n][c][pixels] to [n][c/b][pixels][b], or back. */
static float *block_image(const float *plain, size_t n, size_t c, size_t pixels, size_t b, int back)
{
    float *out = floats(n * c * pixels);
    for (size_t i = 0; i < n * c; i++)
        for (size_t p = 0; p < pixels; p++) {
            const size_t from = i * pixels + p;
            const size_t to = (i / b * pixels + p) * b + i % b; /* c is a multiple of b */
            out[back ? from : to] = plain[back ? to : from];
        }
    return out;
}

/* [o][c][9] to [o/b][c/b][9][b c][b o], or back. */
static float *block_weights(const float *plain, size_t o, size_t c, size_t b, int back)
{
    float *out = floats(o * c * 9);
    for (size_t i = 0; i < o; i++)
        for (size_t j = 0; j < c; j++)
            for (size_t tap = 0; tap < 9; tap++) {
                const size_t from = (i * c + j) * 9 + tap;
                const size_t block = (i / b * (c / b) + j / b) * 9 + tap;
                const size_t to = (block * b + j % b) * b + i % b;
                out[back ? from : to] = plain[back ? to : from];
            }
    return out;
}

/* ---- Direct convolution in double precision ---- */

/* Calls for each (row of y, row of x, tap) of one pair of channels: y[col] and x[col + dx] meet in
   w[tap] for col in [lo, hi). */
#define FOR_EACH_ROW_AND_TAP(d)                                                                    \
    for (size_t row = 0; row < (d)->h; row++)                                                      \
        for (size_t tap = 0, lo, hi; tap < 9; tap++)                                               \
            if (row + tap / 3 >= 1 && row + tap / 3 - 1 < (d)->h &&                                \
                (lo = tap % 3 == 0, hi = (d)->w - (tap % 3 == 2), lo < hi))

static double *direct(const struct dims *d, const float *x, const float *w, const float *dy,
                      int what)
{
    const size_t plane = d->h * d->w;
    const size_t size = what == 'y' ? y_size(d) : what == 'x' ? x_size(d) : w_size(d);
    double *const out = keep(calloc(size, sizeof *out));
    for (size_t i = 0; i < d->n * d->o * d->c; i++) {
        const size_t c = i % d->c, o = i / d->c % d->o, image = i / d->c / d->o;
        const size_t x_plane = (image * d->c + c) * plane, y_plane = (image * d->o + o) * plane;
        FOR_EACH_ROW_AND_TAP(d)
        {
            const size_t weight = (o * d->c + c) * 9 + tap;
            const size_t in = x_plane + (row + tap / 3 - 1) * d->w + tap % 3 - 1; /* of column 0 */
            const size_t at = y_plane + row * d->w;
            double sum = 0;
            for (size_t col = lo; col < hi; col++) {
                if (what == 'y')
                    out[at + col] += (double)w[weight] * (double)x[in + col];
                else if (what == 'x')
                    out[in + col] += (double)w[weight] * (double)dy[at + col];
                else
                    sum += (double)x[in + col] * (double)dy[at + col];
            }
            if (what == 'w')
                out[weight] += sum;
        }
    }
    return out;
}

static void check_error(const float *actual, const double *expected, size_t n, double tolerance,
                        const char *what, const struct isa *isa, const struct dims *d)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        const double e = (double)actual[i] - expected[i];
        difference += e * e;
        norm += expected[i] * expected[i];
    }
    const double error = sqrt(difference / norm);
    if (!(error <= tolerance))
        fail_msg("%s, %s, n %zu c %zu o %zu h %zu w %zu: relative error %.3g, allowed %.3g",
                 isa->name, what, d->n, d->c, d->o, d->h, d->w, error, tolerance);
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* ---- Calling the kernels ---- */

static void *aligned(size_t bytes)
{
    void *const p = keep(aligned_alloc(64, (bytes + 63) / 64 * 64));
    memset(p, 0xff, bytes); /* NaN: the kernels may count on no content */
    return p;
}

struct call {
    const struct isa *isa;
    struct ctkd__winograd_shape shape;
    size_t n;
    float *packed, *packed_back;
    void *scratch;
};

/* weights: blocked. */
static struct call call_begin(const struct isa *isa, const struct dims *d, size_t tile_block,
                              const float *weights)
{
    struct call call = {
        .isa = isa,
        .shape = { .c = d->c, .o = d->o, .h = d->h, .w = d->w, .tile_block = tile_block },
        .n = d->n
    };
    const size_t bytes = isa->kernels->packed_floats(&call.shape) * sizeof(float);
    call.packed = aligned(bytes);
    call.packed_back = aligned(bytes);
    call.scratch = aligned(isa->kernels->scratch_bytes(&call.shape));
    for (size_t part = 0; part < 3; part++) {
        isa->kernels->pack_forward(&call.shape, weights, call.packed, part, 3);
        isa->kernels->pack_backward(&call.shape, weights, call.packed_back, part, 3);
    }
    return call;
}

/* All three directions on plain arrays; the results are blocked. */
struct results {
    float *y, *dx, *dw;
};

static struct results run_all(const struct isa *isa, const struct dims *d, size_t tile_block,
                              const float *x, const float *w, const float *dy)
{
    const size_t pixels = d->h * d->w, b = isa->block;
    float *xb = block_image(x, d->n, d->c, pixels, b, 0), *wb = block_weights(w, d->o, d->c, b, 0);
    float *dyb = block_image(dy, d->n, d->o, pixels, b, 0);
    struct results r = { floats(y_size(d)), floats(x_size(d)), floats(w_size(d)) };
    struct call call = call_begin(isa, d, tile_block, wb);
    isa->kernels->forward(&call.shape, d->n, xb, NULL, call.packed, NULL, r.y, call.scratch);
    isa->kernels->backward_data(&call.shape, d->n, dyb, call.packed_back, NULL, r.dx, call.scratch);
    isa->kernels->backward_weights(&call.shape, d->n, xb, NULL, dyb, r.dw, call.scratch);
    return r;
}

static int fits(const struct isa *isa, const struct dims *d)
{
    return d->c % isa->block == 0 && d->o % isa->block == 0;
}

/* ---- Shapes ---- */

static const struct dims shapes[] = {
    /* CIFAR ResNets */
    { 3, 16, 16, 32, 32 },
    { 3, 16, 32, 16, 16 },
    { 3, 32, 32, 16, 16 },
    { 3, 32, 64, 8, 8 },
    { 3, 64, 64, 8, 8 },
    /* the x4 networks and WRN */
    { 2, 32, 64, 32, 32 },
    { 1, 64, 64, 32, 32 },
    { 1, 32, 32, 32, 32 },
    { 1, 128, 128, 16, 16 },
    { 1, 64, 64, 16, 16 },
    { 2, 64, 128, 8, 8 },
    { 2, 128, 128, 8, 8 },
    { 2, 256, 256, 8, 8 },
    /* VGG and ImageNet networks */
    { 1, 64, 128, 16, 16 },
    { 2, 256, 512, 4, 4 },
    { 3, 512, 512, 4, 4 },
    { 2, 512, 512, 2, 2 },
    { 1, 64, 64, 56, 56 },
    { 1, 128, 128, 28, 28 },
    { 1, 256, 256, 14, 14 },
    { 2, 512, 512, 7, 7 },
    /* awkward sizes and channel counts */
    { 5, 16, 16, 1, 1 },
    { 1, 32, 16, 1, 9 },
    { 2, 16, 48, 9, 1 },
    { 3, 48, 16, 2, 3 },
    { 1, 80, 48, 5, 6 },
    { 7, 48, 80, 7, 7 },
    { 9, 16, 16, 9, 13 },
    { 2, 112, 16, 13, 14 },
    { 4, 8, 8, 8, 8 },
    { 3, 8, 24, 14, 9 },
    { 2, 40, 8, 11, 4 },
    { 2, 24, 40, 4, 11 },
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* ---- Tests ---- */

/* Calls `check` for every shape and instruction set that fit, with arrays drawn from `seed` on. */
static void check_each(const struct dims *list, size_t n, uint64_t seed,
                       void (*check)(const struct isa *isa, const struct dims *d, const float *x,
                                     const float *w, const float *dy))
{
    for (const struct dims *d = list; d < list + n; d++) {
        release(0);
        const float *const x = normal(x_size(d), seed), *const w = normal(w_size(d), seed + 1);
        const float *const dy = normal(y_size(d), seed + 2);
        for (const struct isa *isa = isas(); isa->name; isa++) {
            if (fits(isa, d))
                check(isa, d, x, w, dy);
            release(3);
        }
    }
    release(0);
}

static void each_direction_agrees_with_direct_convolution_in_double(void **state)
{
    (void)state;
    for (size_t s = 0; s < N_SHAPES; s++) {
        const struct dims *d = &shapes[s];
        float *x = normal(x_size(d), 3 * s), *w = normal(w_size(d), 3 * s + 1);
        float *dy = normal(y_size(d), 3 * s + 2);
        double *y_ref = direct(d, x, w, dy, 'y'), *dx_ref = direct(d, x, w, dy, 'x');
        double *dw_ref = direct(d, x, w, dy, 'w');
        for (const struct isa *isa = isas(); isa->name; isa++) {
            if (!fits(isa, d))
                continue;
            const size_t pixels = d->h * d->w, b = isa->block;
            struct results r = run_all(isa, d, 0, x, w, dy);
            float *y = block_image(r.y, d->n, d->o, pixels, b, 1);
            float *dx = block_image(r.dx, d->n, d->c, pixels, b, 1);
            float *dw = block_weights(r.dw, d->o, d->c, b, 1);
            check_error(y, y_ref, y_size(d), 5e-6, "forward", isa, d);
            check_error(dx, dx_ref, x_size(d), 5e-6, "backward_data", isa, d);
            check_error(dw, dw_ref, w_size(d), 5e-6, "backward_weights", isa, d);
        }
        release(0);
    }
}

static void check_adjoint(const struct isa *isa, const struct dims *d, const float *x,
                          const float *w, const float *dy)
{
    const size_t pixels = d->h * d->w, b = isa->block;
    struct results r = run_all(isa, d, 0, x, w, dy);
    float *xb = block_image(x, d->n, d->c, pixels, b, 0);
    float *wb = block_weights(w, d->o, d->c, b, 0);
    float *dyb = block_image(dy, d->n, d->o, pixels, b, 0);
    const double by_y = dot(r.y, dyb, y_size(d));
    const double scale = sqrt(dot(r.y, r.y, y_size(d)) * dot(dyb, dyb, y_size(d)));
    check_close(dot(xb, r.dx, x_size(d)), by_y, 0, 1e-5 * scale);
    check_close(dot(wb, r.dw, w_size(d)), by_y, 0, 1e-5 * scale);
}

static void the_three_directions_are_adjoint(void **state)
{
    (void)state;
    check_each(shapes, N_SHAPES, 91, check_adjoint);
}

/* Of plain x, in place: what the prologue does. */
static void apply_prologue(const struct dims *d, const struct ctkd__winograd_prologue *p, float *x)
{
    const size_t pixels = d->h * d->w;
    for (size_t i = 0; i < x_size(d); i++) {
        const size_t c = i / pixels % d->c;
        x[i] = p->scale[c] * x[i] + p->shift[c];
        if (p->relu && x[i] < 0)
            x[i] = 0;
    }
}

static const struct dims small_shapes[] = {
    { 3, 16, 16, 32, 32 }, { 2, 32, 48, 8, 8 }, { 5, 16, 32, 7, 9 },
    { 9, 64, 16, 4, 4 },   { 2, 8, 24, 6, 5 },  { 2, 48, 16, 1, 3 },
};
enum { N_SMALL = sizeof small_shapes / sizeof *small_shapes };

static void the_prologue_acts_on_the_input_and_not_on_the_padding(void **state)
{
    (void)state;
    for (size_t s = 0; s < 2 * N_SMALL; s++) {
        const struct dims *d = &small_shapes[s / 2];
        float *x = normal(x_size(d), 1), *w = normal(w_size(d), 2), *dy = normal(y_size(d), 3);
        float *scale = normal(d->c, 4), *shift = normal(d->c, 5);
        const struct ctkd__winograd_prologue prologue = { scale, shift, s % 2 == 1 };
        float *normed = floats(x_size(d));
        memcpy(normed, x, x_size(d) * sizeof *x);
        apply_prologue(d, &prologue, normed);
        double *y_ref = direct(d, normed, w, dy, 'y'), *dw_ref = direct(d, normed, w, dy, 'w');
        for (const struct isa *isa = isas(); isa->name; isa++) {
            if (!fits(isa, d))
                continue;
            const size_t pixels = d->h * d->w, b = isa->block;
            float *xb = block_image(x, d->n, d->c, pixels, b, 0);
            float *wb = block_weights(w, d->o, d->c, b, 0);
            float *dyb = block_image(dy, d->n, d->o, pixels, b, 0);
            float *yb = floats(y_size(d)), *dwb = floats(w_size(d));
            struct call call = call_begin(isa, d, 0, wb);
            isa->kernels->forward(&call.shape, d->n, xb, &prologue, call.packed, NULL, yb,
                                  call.scratch);
            isa->kernels->backward_weights(&call.shape, d->n, xb, &prologue, dyb, dwb,
                                           call.scratch);
            float *y = block_image(yb, d->n, d->o, pixels, b, 1);
            float *dw = block_weights(dwb, d->o, d->c, b, 1);
            check_error(y, y_ref, y_size(d), 5e-6, "forward with prologue", isa, d);
            check_error(dw, dw_ref, w_size(d), 5e-6, "backward_weights with prologue", isa, d);
        }
        release(0);
    }
}

/* y, the plain convolution's result, is overwritten with what the epilogue makes of it. */
static void apply_epilogue(const struct isa *isa, const struct dims *d,
                           const struct ctkd__winograd_epilogue *e, float *y)
{
    const size_t pixels = d->h * d->w, b = isa->block;
    for (size_t i = 0; i < y_size(d); i++) {
        const size_t o = i / (b * pixels) * b % d->o + i % b;
        if (e->bias)
            y[i] += e->bias[o];
        if (e->residual)
            y[i] += e->residual[i];
        if (e->relu && y[i] < 0)
            y[i] = 0;
    }
}

static void check_epilogues(const struct isa *isa, const struct dims *d, const float *x,
                            const float *w, const float *dy)
{
    float *bias = normal(d->o, 9), *residual = normal(y_size(d), 10);
    float *xb = block_image(x, d->n, d->c, d->h * d->w, isa->block, 0);
    float *wb = block_weights(w, d->o, d->c, isa->block, 0);
    float *y = floats(y_size(d)), *expected = floats(y_size(d));
    struct results plain = run_all(isa, d, 0, x, w, dy);
    struct call call = call_begin(isa, d, 0, wb);
    for (int flags = 0; flags < 16; flags++) { /* bias, residual, relu, residual in place */
        struct ctkd__winograd_epilogue e = { flags & 1 ? bias : NULL, flags & 2 ? residual : NULL,
                                             (flags & 4) != 0 };
        memcpy(expected, plain.y, y_size(d) * sizeof *y);
        apply_epilogue(isa, d, &e, expected);
        if ((flags & 2) && (flags & 8)) {
            memcpy(y, residual, y_size(d) * sizeof *y);
            e.residual = y;
        }
        isa->kernels->forward(&call.shape, d->n, xb, NULL, call.packed, &e, y, call.scratch);
        check_all_close(y, expected, y_size(d), 1e-5, 1e-4);
    }
}

static void every_epilogue_equals_its_separate_steps(void **state)
{
    (void)state;
    check_each(small_shapes, N_SMALL, 6, check_epilogues);
}

static void check_base(const struct isa *isa, const struct dims *d, const float *x, const float *w,
                       const float *dy)
{
    float *wb = block_weights(w, d->o, d->c, isa->block, 0);
    float *dyb = block_image(dy, d->n, d->o, d->h * d->w, isa->block, 0);
    float *base = normal(x_size(d), 14), *expected = normal(x_size(d), 14);
    float *dx = floats(x_size(d));
    struct results plain = run_all(isa, d, 0, x, w, dy);
    for (size_t i = 0; i < x_size(d); i++)
        expected[i] += plain.dx[i];
    struct call call = call_begin(isa, d, 0, wb);
    isa->kernels->backward_data(&call.shape, d->n, dyb, call.packed_back, base, dx, call.scratch);
    check_all_close(dx, expected, x_size(d), 1e-6, 1e-6);
    isa->kernels->backward_data(&call.shape, d->n, dyb, call.packed_back, base, base,
                                call.scratch); /* in place */
    check_all_close(base, expected, x_size(d), 1e-6, 1e-6);
}

static void backward_data_adds_the_gradient_to_its_base(void **state)
{
    (void)state;
    check_each(small_shapes, N_SMALL, 11, check_base);
}

static void check_alone(const struct isa *isa, const struct dims *d, const float *x, const float *w,
                        const float *dy)
{
    const struct results batch = run_all(isa, d, 0, x, w, dy);
    struct dims one = *d;
    one.n = 1;
    for (size_t i = 0; i < d->n; i++) {
        const size_t x_at = i * x_size(&one), y_at = i * y_size(&one);
        const struct results alone = run_all(isa, &one, 0, x + x_at, w, dy + y_at);
        assert_memory_equal(alone.y, batch.y + y_at, y_size(&one) * sizeof(float));
        assert_memory_equal(alone.dx, batch.dx + x_at, x_size(&one) * sizeof(float));
    }
}

static void an_image_gives_the_same_bits_alone_as_in_a_batch(void **state)
{
    (void)state;
    struct dims batches[N_SMALL];
    memcpy(batches, small_shapes, sizeof batches);
    for (size_t i = 0; i < N_SMALL; i++)
        batches[i].n = 11;
    check_each(batches, N_SMALL, 15, check_alone);
}

static void check_repeated(const struct isa *isa, const struct dims *d, const float *x,
                           const float *w, const float *dy)
{
    struct results first = run_all(isa, d, 0, x, w, dy), second = run_all(isa, d, 0, x, w, dy);
    assert_memory_equal(first.y, second.y, y_size(d) * sizeof(float));
    assert_memory_equal(first.dx, second.dx, x_size(d) * sizeof(float));
    assert_memory_equal(first.dw, second.dw, w_size(d) * sizeof(float));
}

static void a_repeated_call_gives_the_same_bits(void **state)
{
    (void)state;
    check_each(small_shapes, N_SMALL, 18, check_repeated);
}

static void check_tile_blocks(const struct isa *isa, const struct dims *d, const float *x,
                              const float *w, const float *dy)
{
    struct results usual = run_all(isa, d, 0, x, w, dy);
    const size_t blocks[] = { 1, 13, 30, 1000 };
    for (size_t i = 0; i < 4; i++) {
        struct results other = run_all(isa, d, blocks[i], x, w, dy);
        assert_memory_equal(usual.y, other.y, y_size(d) * sizeof(float));
        assert_memory_equal(usual.dx, other.dx, x_size(d) * sizeof(float));
        check_relative(other.dw, usual.dw, w_size(d), 5e-6);
    }
}

static void the_tile_block_changes_no_bit_of_the_activations(void **state)
{
    (void)state;
    check_each(small_shapes, N_SMALL, 21, check_tile_blocks);
}

static void padding_channels_stay_zero(void **state)
{
    (void)state;
    const struct dims d = { 2, 32, 32, 9, 8 }; /* of which 27 channels in and 21 out are real */
    float *x = normal(x_size(&d), 24), *w = normal(w_size(&d), 25), *dy = normal(y_size(&d), 26);
    for (size_t i = 0; i < x_size(&d); i++)
        x[i] = i / 72 % 32 < 27 ? x[i] : 0;
    for (size_t i = 0; i < y_size(&d); i++)
        dy[i] = i / 72 % 32 < 21 ? dy[i] : 0;
    for (size_t i = 0; i < w_size(&d); i++)
        w[i] = i / 9 % 32 < 27 && i / 9 / 32 < 21 ? w[i] : 0;
    for (const struct isa *isa = isas(); isa->name; isa++) {
        struct results r = run_all(isa, &d, 0, x, w, dy);
        float *y = block_image(r.y, d.n, d.o, 72, isa->block, 1);
        float *dx = block_image(r.dx, d.n, d.c, 72, isa->block, 1);
        float *dw = block_weights(r.dw, d.o, d.c, isa->block, 1);
        for (size_t i = 0; i < y_size(&d); i++)
            assert_true(i / 72 % 32 < 21 || y[i] == 0.0f);
        for (size_t i = 0; i < x_size(&d); i++)
            assert_true(i / 72 % 32 < 27 || dx[i] == 0.0f);
        for (size_t i = 0; i < w_size(&d); i++)
            assert_true((i / 9 % 32 < 27 && i / 9 / 32 < 21) || dw[i] == 0.0f);
    }
    release(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_direction_agrees_with_direct_convolution_in_double),
        cmocka_unit_test(the_three_directions_are_adjoint),
        cmocka_unit_test(the_prologue_acts_on_the_input_and_not_on_the_padding),
        cmocka_unit_test(every_epilogue_equals_its_separate_steps),
        cmocka_unit_test(backward_data_adds_the_gradient_to_its_base),
        cmocka_unit_test(an_image_gives_the_same_bits_alone_as_in_a_batch),
        cmocka_unit_test(a_repeated_call_gives_the_same_bits),
        cmocka_unit_test(the_tile_block_changes_no_bit_of_the_activations),
        cmocka_unit_test(padding_channels_stay_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
