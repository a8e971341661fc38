/*
 * Every implementation of the convolution on the shapes of the recipes' networks: GFLOP/s (of the
 * direct convolution) and GB/s (of activations in and out, unpadded) in one thread, per direction,
 * and the relative error of the forward pass against double.
 *
 *   bench_conv [--isa NAME] [--images 16] [--only TEXT]   lines that contain TEXT
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctkd/random.h"
#include "nn/arena.h"
#include "nn/conv/conv.h"
#include "nn/engine.h"
#include "nn/profile.h"
#include "util/clock.h"

static const struct ctkd__conv_shape shapes[] = {
    { 3, 32, 32, 16, 32, 32, 3, 1, 1, true, 1 },
    { 16, 32, 32, 16, 32, 32, 3, 1, 1, false, 1 },
    { 32, 16, 16, 32, 16, 16, 3, 1, 1, false, 1 },
    { 64, 8, 8, 64, 8, 8, 3, 1, 1, false, 1 },
    { 32, 32, 32, 32, 32, 32, 3, 1, 1, false, 1 },
    { 64, 16, 16, 64, 16, 16, 3, 1, 1, false, 1 },
    { 128, 8, 8, 128, 8, 8, 3, 1, 1, false, 1 },
    { 64, 32, 32, 64, 32, 32, 3, 1, 1, false, 1 },
    { 128, 16, 16, 128, 16, 16, 3, 1, 1, false, 1 },
    { 256, 8, 8, 256, 8, 8, 3, 1, 1, false, 1 },
    { 512, 4, 4, 512, 4, 4, 3, 1, 1, false, 1 },
    { 16, 32, 32, 32, 16, 16, 3, 2, 1, false, 1 },
    { 32, 16, 16, 64, 8, 8, 3, 2, 1, false, 1 },
    { 16, 32, 32, 32, 16, 16, 1, 2, 0, false, 1 },
    /* MobileNetV2 half */
    { 16, 16, 16, 16, 16, 16, 3, 1, 1, false, 16 },
    { 16, 16, 16, 8, 16, 16, 1, 1, 0, false, 1 },
    { 8, 16, 16, 48, 16, 16, 1, 1, 0, false, 1 },
    { 48, 16, 16, 48, 16, 16, 3, 1, 1, false, 48 },
    { 72, 16, 16, 72, 16, 16, 3, 1, 1, false, 72 },
    { 72, 16, 16, 12, 16, 16, 1, 1, 0, false, 1 },
    { 72, 16, 16, 72, 8, 8, 3, 2, 1, false, 72 },
    { 96, 8, 8, 96, 8, 8, 3, 1, 1, false, 96 },
    { 16, 8, 8, 96, 8, 8, 1, 1, 0, false, 1 },
    { 96, 8, 8, 16, 8, 8, 1, 1, 0, false, 1 },
    { 96, 8, 8, 96, 4, 4, 3, 2, 1, false, 96 },
    { 192, 4, 4, 192, 4, 4, 3, 1, 1, false, 192 },
    { 32, 4, 4, 192, 4, 4, 1, 1, 0, false, 1 },
    { 192, 4, 4, 32, 4, 4, 1, 1, 0, false, 1 },
    { 288, 4, 4, 48, 4, 4, 1, 1, 0, false, 1 },
    { 288, 4, 4, 288, 2, 2, 3, 2, 1, false, 288 },
    { 480, 2, 2, 480, 2, 2, 3, 1, 1, false, 480 },
    { 80, 2, 2, 480, 2, 2, 1, 1, 0, false, 1 },
    { 480, 2, 2, 80, 2, 2, 1, 1, 0, false, 1 },
    { 960, 2, 2, 160, 2, 2, 1, 1, 0, false, 1 },
    { 160, 2, 2, 1280, 2, 2, 1, 1, 0, false, 1 },
    /* ShuffleNet V1 */
    { 3, 32, 32, 24, 32, 32, 1, 1, 0, true, 1 },
    { 24, 32, 32, 54, 32, 32, 1, 1, 0, false, 1 },
    { 54, 32, 32, 54, 16, 16, 3, 2, 1, false, 54 },
    { 54, 16, 16, 216, 16, 16, 1, 1, 0, false, 3 },
    { 240, 16, 16, 60, 16, 16, 1, 1, 0, false, 3 },
    { 60, 16, 16, 60, 16, 16, 3, 1, 1, false, 60 },
    { 60, 16, 16, 240, 16, 16, 1, 1, 0, false, 3 },
    { 240, 8, 8, 120, 8, 8, 1, 1, 0, false, 3 },
    { 480, 8, 8, 120, 8, 8, 1, 1, 0, false, 3 },
    { 120, 8, 8, 480, 8, 8, 1, 1, 0, false, 3 },
    { 960, 4, 4, 240, 4, 4, 1, 1, 0, false, 3 },
    { 240, 4, 4, 960, 4, 4, 1, 1, 0, false, 3 },
    /* ShuffleNet V2 */
    { 24, 32, 32, 24, 16, 16, 3, 2, 1, false, 24 },
    { 24, 32, 32, 58, 32, 32, 1, 1, 0, false, 1 },
    { 58, 32, 32, 58, 16, 16, 3, 2, 1, false, 58 },
    { 58, 16, 16, 58, 16, 16, 1, 1, 0, false, 1 },
    { 58, 16, 16, 58, 16, 16, 3, 1, 1, false, 58 },
    { 116, 8, 8, 116, 8, 8, 1, 1, 0, false, 1 },
    { 116, 8, 8, 116, 8, 8, 3, 1, 1, false, 116 },
    { 232, 4, 4, 232, 4, 4, 1, 1, 0, false, 1 },
    { 232, 4, 4, 232, 4, 4, 3, 1, 1, false, 232 },
    { 464, 4, 4, 1024, 4, 4, 1, 1, 0, false, 1 },
    /* ResNeXt */
    { 128, 16, 16, 128, 16, 16, 3, 1, 1, false, 32 },
    { 512, 8, 8, 512, 8, 8, 3, 1, 1, false, 32 },
    /* ResNet-50 and MobileNetV1 at 224 x 224 */
    { 64, 56, 56, 256, 56, 56, 1, 1, 0, false, 1 },
    { 256, 56, 56, 64, 56, 56, 1, 1, 0, false, 1 },
    { 128, 28, 28, 512, 28, 28, 1, 1, 0, false, 1 },
    { 512, 28, 28, 128, 28, 28, 1, 1, 0, false, 1 },
    { 256, 14, 14, 1024, 14, 14, 1, 1, 0, false, 1 },
    { 1024, 14, 14, 256, 14, 14, 1, 1, 0, false, 1 },
    { 512, 7, 7, 2048, 7, 7, 1, 1, 0, false, 1 },
    { 2048, 7, 7, 512, 7, 7, 1, 1, 0, false, 1 },
    { 32, 112, 112, 64, 112, 112, 1, 1, 0, false, 1 },
    { 64, 56, 56, 128, 56, 56, 1, 1, 0, false, 1 },
    { 128, 56, 56, 128, 56, 56, 1, 1, 0, false, 1 },
    { 256, 28, 28, 256, 28, 28, 1, 1, 0, false, 1 },
    { 512, 14, 14, 512, 14, 14, 1, 1, 0, false, 1 },
    { 1024, 7, 7, 1024, 7, 7, 1, 1, 0, false, 1 },
};

static void must(int ok, const char *message)
{
    if (!ok) {
        fprintf(stderr, "bench_conv: %s\n", message);
        exit(1);
    }
}

struct data {
    struct ctkd__conv_request request;
    size_t c, o; /* padded */
    float *x, *y, *weights, *out, *packed;
    size_t x_floats, y_floats, w_floats, out_floats;
};

static float *filled(size_t floats, uint64_t stream)
{
    float *const p = ctkd__pages_allocate(floats * sizeof *p);
    must(p != NULL, "out of memory");
    for (size_t i = 0; i < floats; i++)
        p[i] = ctkd_random_uniform(1, CTKD_RANDOM_TEST, stream, i) - 0.5f;
    return p;
}

/* Zeroes the channels that only fill up the last block, as in a network. */
static void clear_padding(float *p, size_t images, size_t channels, size_t hw, size_t block)
{
    const size_t blocks = (channels + block - 1) / block;
    for (size_t i = 0; i < images * hw; i++)
        for (size_t c = channels; c < blocks * block; c++)
            p[((i / hw * blocks + c / block) * hw + i % hw) * block + c % block] = 0;
}

static struct data data_open(const struct ctkd__conv_shape *s, const struct ctkd__kernels *kernels,
                             size_t images)
{
    struct data d = { .request = {
                          .shape = *s, .kernels = kernels, .workers = 1, .images = images } };
    d.c = s->plain_input ? s->c : (s->c + kernels->block - 1) / kernels->block * kernels->block;
    d.o = (s->o + kernels->block - 1) / kernels->block * kernels->block;
    d.x_floats = images * d.c * s->h * s->w;
    d.y_floats = images * d.o * s->oh * s->ow;
    d.w_floats = ctkd__conv_weight_floats(s, kernels->block);
    d.out_floats = d.x_floats > d.y_floats ? d.x_floats : d.y_floats;
    d.out_floats = d.w_floats > d.out_floats ? d.w_floats : d.out_floats;
    d.x = filled(d.x_floats, 0);
    d.y = filled(d.y_floats, 1);
    if (!s->plain_input)
        clear_padding(d.x, images, s->c, s->h * s->w, kernels->block);
    clear_padding(d.y, images, s->o, s->oh * s->ow, kernels->block);
    d.weights = filled(d.w_floats, 2);
    d.out = filled(d.out_floats, 3);
    return d;
}

static void data_close(struct data *d)
{
    ctkd__pages_release(d->x, d->x_floats * sizeof(float));
    ctkd__pages_release(d->y, d->y_floats * sizeof(float));
    ctkd__pages_release(d->weights, d->w_floats * sizeof(float));
    ctkd__pages_release(d->out, d->out_floats * sizeof(float));
}

/* One output element in double: channel o of pixel (oy, ox) of the first image. */
static double direct(const struct data *d, size_t o, size_t oy, size_t ox)
{
    const struct ctkd__conv_shape *const s = &d->request.shape;
    const size_t b = d->request.kernels->block, k = s->kernel;
    const size_t groups = ctkd__conv_groups(s), depth = s->c / groups;
    const size_t blocks = ctkd__conv_weight_depth(s, b) / b;
    double sum = 0;
    for (size_t i = 0; i < depth; i++)
        for (size_t tap = 0; tap < k * k; tap++) {
            const size_t y = oy * s->stride + tap / k - s->padding;
            const size_t x = ox * s->stride + tap % k - s->padding;
            if (y >= s->h || x >= s->w)
                continue;
            const size_t pixel = y * s->w + x, c = o / (s->o / groups) * depth + i;
            const double value =
                (double)(s->plain_input ? d->x[c * s->h * s->w + pixel]
                                        : d->x[(c / b * s->h * s->w + pixel) * b + c % b]);
            const size_t w =
                ctkd__conv_is_compact(s, b)
                    ? ((o / b * k * k + tap) * depth + i) * b + o % b
                    : (((o / b * blocks + i / b) * k * k + tap) * b + i % b) * b + o % b;
            sum += value * (double)d->weights[w];
        }
    return sum;
}

static double forward_error(const struct data *d)
{
    const struct ctkd__conv_shape *const s = &d->request.shape;
    const size_t b = d->request.kernels->block;
    double difference = 0, norm = 0;
    for (size_t i = 0; i < 400; i++) {
        const size_t o = i * 7 % s->o, pixel = i * 13 % (s->oh * s->ow);
        const double expected = direct(d, o, pixel / s->ow, pixel % s->ow);
        const double found = (double)d->out[(o / b * s->oh * s->ow + pixel) * b + o % b];
        difference += (found - expected) * (found - expected);
        norm += expected * expected;
    }
    return sqrt(difference / norm);
}

/* GFLOP/s of the fastest of the runs of a tenth of a second; -1 where it does not apply. */
static double speed(struct data *d, const struct ctkd__conv_impl *impl, int direction)
{
    ctkd_error err;
    struct ctkd__conv *conv;
    d->request.direction = (enum ctkd__conv_direction)direction;
    if (!impl->supports(&d->request))
        return -1;
    must(impl->create(&d->request, &conv, &err) == CTKD_OK, "create failed");
    must(ctkd__conv_prepare(conv, d->request.images, &err) == CTKD_OK, "prepare failed");
    const size_t packed_bytes = impl->packed_bytes(conv), scratch_bytes = impl->scratch_bytes(conv);
    float *const packed = ctkd__pages_allocate(packed_bytes + 64);
    void *const scratch = ctkd__pages_allocate(scratch_bytes + 64);
    must(packed && scratch, "out of memory");
    if (packed_bytes && direction != CTKD__CONV_BACKWARD_WEIGHTS)
        impl->pack(conv, d->weights, packed, 0, 1);
    const struct ctkd__conv_call call = { .n = d->request.images,
                                          .x = d->x,
                                          .dy = d->y,
                                          .weights = packed_bytes ? packed : d->weights,
                                          .out = d->out,
                                          .scratch = scratch };
    uint64_t best = UINT64_MAX;
    const uint64_t begin = ctkd__clock_ns();
    for (int i = 0; i < 3 || ctkd__clock_ns() - begin < 100000000; i++) {
        const uint64_t start = ctkd__clock_ns();
        must(impl->run(conv, &call) == CTKD_OK, "run failed");
        const uint64_t ns = ctkd__clock_ns() - start;
        best = ns < best ? ns : best;
    }
    ctkd__pages_release(packed, packed_bytes + 64);
    ctkd__pages_release(scratch, scratch_bytes + 64);
    ctkd__conv_destroy(conv);
    return ctkd__conv_flops(&d->request.shape) * (double)d->request.images / (double)best;
}

/* GB/s of the activations, read and written once, at that speed of the arithmetic. */
static double bandwidth(const struct ctkd__conv_shape *s, double gflops)
{
    const double bytes = 4.0 * (double)(s->c * s->h * s->w + s->o * s->oh * s->ow);
    return gflops * bytes / ctkd__conv_flops(s);
}

static void bench(const struct ctkd__conv_shape *s, const struct ctkd__conv_impl *impl,
                  const struct ctkd__kernels *kernels, size_t images, const char *name)
{
    struct data d = data_open(s, kernels, images);
    const double forward = speed(&d, impl, CTKD__CONV_FORWARD);
    const double error = forward > 0 ? forward_error(&d) : 0;
    if (forward > 0) {
        const double data =
            s->plain_input ? (double)NAN : speed(&d, impl, CTKD__CONV_BACKWARD_DATA);
        const double weights = speed(&d, impl, CTKD__CONV_BACKWARD_WEIGHTS);
        printf("%-46s %-9s %8.1f %8.1f %8.1f %6.1f %6.1f %6.1f %9.1e\n", name, impl->name, forward,
               data, weights, bandwidth(s, forward), bandwidth(s, data), bandwidth(s, weights),
               error);
        fflush(stdout);
    }
    data_close(&d);
}

int main(int argc, char **argv)
{
    const char *isa = "auto", *only = "";
    size_t images = 16;
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--isa") == 0)
            isa = argv[i + 1];
        else if (strcmp(argv[i], "--images") == 0)
            images = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            only = argv[i + 1];
        else
            must(0, "unknown flag; see the head of bench_conv.c");
    struct ctkd__engine engine; /* flushes denormals, tells oneDNN of one thread */
    ctkd_error err;
    must(ctkd__engine_open(&(struct ctkd__engine_config){ .isa = isa, .threads = 1 }, &engine,
                           &err) == CTKD_OK,
         err.message);
    const struct ctkd__kernels *const kernels = engine.kernels;
    printf("%s, %zu images, one thread; GFLOP/s, GB/s\n%-46s %-9s %8s %8s %8s %6s %6s %6s %9s\n",
           kernels->name, images, "layer", "by", "forward", "bwd data", "bwd wgt", "fwd", "data",
           "wgt", "error");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct ctkd__conv_shape *const s = &shapes[i];
        char name[96];
        snprintf(name, sizeof name, "%zux%zux%zu to %zu, kernel %zu, stride %zu, groups %zu", s->c,
                 s->h, s->w, s->o, s->kernel, s->stride, s->groups);
        for (size_t j = 0; ctkd__conv_list()[j] && strstr(name, only); j++)
            bench(s, ctkd__conv_list()[j], kernels, images, name);
    }
    ctkd__engine_close(&engine);
    return 0;
}
