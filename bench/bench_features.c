/*
 * The time of passes over feature maps (moving channels, means, layouts), each as a multiple of the
 * time to copy its output. Median over alternated repeats, one thread, one line per case.
 *
 *   bench_features [isa]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/compile/maps.h"
#include "nn/kernels/kernels.h"
#include "nn/profile.h"
#include "util/clock.h"
#include "util/median.h"

enum { N = 8, HW = 256, C = 116, REPEATS = 41 };

struct bench {
    const struct ctkd__kernels *kernels;
    struct ctkd__channel_plan plan;
    struct ctkd__windows windows;
    size_t blocks;
    float *a, *b, *y;
};

static void stop(const char *why)
{
    fprintf(stderr, "bench_features: %s\n", why);
    exit(1);
}

static struct ctkd__extent extent_of(const struct bench *b)
{
    return (struct ctkd__extent){ N, b->blocks, HW };
}

static void run_copy(const struct bench *b)
{
    memcpy(b->y, b->a, N * b->blocks * HW * b->kernels->block * sizeof(float));
}
static void run_gather(const struct bench *b)
{
    const float *const x[2] = { b->a, b->b };
    b->kernels->features->gather(N, HW, &b->plan, x, NULL, b->y);
}
static void run_gather_base(const struct bench *b)
{
    const float *const x[2] = { b->a, b->b };
    b->kernels->features->gather(N, HW, &b->plan, x, b->y, b->y);
}
static void run_block(const struct bench *b)
{
    b->kernels->features->block(extent_of(b), C, b->a, NULL, b->y);
}
static void run_unblock(const struct bench *b)
{
    b->kernels->features->unblock(extent_of(b), C, b->a, b->y);
}
static void run_average(const struct bench *b)
{
    b->kernels->features->average(N * b->blocks, &b->windows, b->a, b->y);
}
static void run_average_backward(const struct bench *b)
{
    b->kernels->features->average_backward(N * b->blocks, &b->windows, b->a, NULL, b->y);
}
static void run_sigmoid(const struct bench *b)
{
    b->kernels->features->activate(extent_of(b), C, CTKD__SIGMOID, 0, b->a, b->y);
}
static void run_hard_swish(const struct bench *b)
{
    b->kernels->features->activate(extent_of(b), C, CTKD__HARD_SWISH, 0, b->a, b->y);
}
static void run_scale_by(const struct bench *b)
{
    b->kernels->features->scale_by(extent_of(b), b->a, b->blocks, b->b, 3, NULL, b->y);
}
static void run_scale_by_gate(const struct bench *b)
{
    b->kernels->features->scale_by_gate(extent_of(b), b->a, b->b, b->blocks, 3, NULL, b->y);
}

/* Median of the ratios of neighbouring runs, because other programs slow both alike. */
static void compare(const struct bench *b, const char *name, void (*run)(const struct bench *b))
{
    double ratios[REPEATS];
    for (size_t i = 0; i < REPEATS; i++) {
        const uint64_t start = ctkd__clock_ns();
        run_copy(b);
        const uint64_t middle = ctkd__clock_ns();
        run(b);
        ratios[i] = (double)(ctkd__clock_ns() - middle) / (double)(middle - start);
    }
    printf("%-10s %-28s %6.2f copies\n", b->kernels->name, name,
           ctkd__sort_median(REPEATS, ratios));
}

/* A slice of C channels from `first` on, of twice as many; or a shuffle of two halves. */
static void plan_channels(struct bench *b, size_t c, size_t first, size_t groups)
{
    struct ctkd__channel channels[2 * C];
    const size_t sides[2] = { groups ? c / groups : first + c, groups ? c / groups : 0 };
    for (size_t i = 0; i < c; i++)
        channels[i] = groups
                          ? (struct ctkd__channel){ (uint32_t)(i % groups), (uint32_t)(i / groups) }
                          : (struct ctkd__channel){ 0, (uint32_t)(first + i) };
    ctkd__channel_plan_fini(&b->plan);
    if (ctkd__channel_plan_forward(channels, c, sides, b->kernels->block, &b->plan))
        stop("out of memory");
}

static void run_all(struct bench *b)
{
    const struct ctkd__node in = { .h = 16, .w = 16 };
    const struct ctkd__node pool = {
        .op = CTKD__OP_AVERAGE_POOL, .h = 16, .w = 16, .kernel = 3, .stride = 1, .padding = 1
    };
    const struct ctkd__node same = { .op = CTKD__OP_RESIZE, .h = 16, .w = 16 };
    plan_channels(b, 112, 16, 0);
    compare(b, "slice, aligned", run_gather);
    compare(b, "slice, aligned, added", run_gather_base);
    plan_channels(b, C, 58, 0);
    compare(b, "slice, unaligned", run_gather);
    plan_channels(b, C, 0, 2);
    compare(b, "shuffle of two", run_gather);
    compare(b, "shuffle of two, added", run_gather_base);
    compare(b, "plain to blocked", run_block);
    compare(b, "blocked to plain", run_unblock);
    if (ctkd__windows_create(&pool, &in, &b->windows))
        stop("out of memory");
    compare(b, "average pool 3x3", run_average);
    compare(b, "average pool 3x3 backward", run_average_backward);
    ctkd__windows_fini(&b->windows);
    if (ctkd__windows_create(&same, &in, &b->windows))
        stop("out of memory");
    compare(b, "resize", run_average);
    ctkd__windows_fini(&b->windows);
    compare(b, "sigmoid", run_sigmoid);
    compare(b, "hard swish", run_hard_swish);
    compare(b, "scale by", run_scale_by);
    compare(b, "scale by, gate's gradient", run_scale_by_gate);
    ctkd__channel_plan_fini(&b->plan);
}

int main(int argc, char **argv)
{
    struct bench b = { 0 };
    ctkd_error err;
    if (ctkd__kernels_select(argc > 1 ? argv[1] : "auto", &b.kernels, &err))
        stop(err.message);
    b.blocks = (C + b.kernels->block - 1) / b.kernels->block;
    const size_t floats = (size_t)2 * N * b.blocks * HW * b.kernels->block;
    b.a = calloc(floats, sizeof(float));
    b.b = calloc(floats, sizeof(float));
    b.y = calloc(floats, sizeof(float));
    if (!b.a || !b.b || !b.y)
        stop("out of memory");
    for (size_t i = 0; i < floats; i++)
        b.a[i] = b.b[i] = (float)(i % 17) - 8;
    run_all(&b);
    free(b.a);
    free(b.b);
    free(b.y);
    return 0;
}
