/*
 * Linear layers of the recipes' networks in one thread: GFLOP/s, and GB/s of weights that are
 * read or written once, forward and backward (dx and dw).
 *
 *   bench_linear [ISA] [ROWS]
 */
#include <stdio.h>
#include <stdlib.h>

#include "ctkd/random.h"
#include "nn/kernels/kernels.h"
#include "util/clock.h"

static const size_t shapes[][2] = {
    { 64, 100 }, { 512, 1000 }, { 1024, 1000 }, { 4096, 1000 }, { 4096, 4096 }, { 25088, 4096 },
};

static float *filled(size_t floats, uint64_t stream)
{
    float *const p = malloc(floats * sizeof *p);
    if (!p)
        exit(1);
    for (size_t i = 0; i < floats; i++)
        p[i] = ctkd_random_uniform(1, CTKD_RANDOM_TEST, stream, i) - 0.5f;
    return p;
}

int main(int argc, char **argv)
{
    const struct ctkd__kernels *kernels;
    ctkd_error err;
    if (ctkd__kernels_select(argc > 1 ? argv[1] : "auto", &kernels, &err) != CTKD_OK) {
        fprintf(stderr, "bench_linear: %s\n", err.message);
        return 1;
    }
    const size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 8;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const size_t in = shapes[s][0], out = shapes[s][1];
        float *const x = filled(n * in, 0), *const w = filled(in * out, 1);
        float *const dy = filled(n * out, 2), *const bias = filled(out, 3);
        float *const y = filled(n * out, 4), *const dx = filled(n * in, 5);
        float *const dw = filled(in * out, 6), *const db = filled(out, 7);
        uint64_t forward = UINT64_MAX, backward = UINT64_MAX;
        const uint64_t begin = ctkd__clock_ns();
        for (int i = 0; i < 3 || ctkd__clock_ns() - begin < 200000000; i++) {
            const uint64_t start = ctkd__clock_ns();
            kernels->pointwise->linear(n, in, out, x, w, bias, y);
            const uint64_t middle = ctkd__clock_ns();
            kernels->pointwise->linear_backward(n, in, out, x, w, dy, NULL, dx, dw, db);
            const uint64_t end = ctkd__clock_ns();
            forward = middle - start < forward ? middle - start : forward;
            backward = end - middle < backward ? end - middle : backward;
        }
        const double operations = 2.0 * (double)(n * in * out), bytes = 4.0 * (double)(in * out);
        printf(
            "%s, %zu rows, %zu to %zu: forward %.3f ms, %.1f GFLOP/s, %.1f GB/s; backward %.3f ms, "
            "%.1f GFLOP/s, %.1f GB/s\n",
            kernels->name, n, in, out, (double)forward * 1e-6, operations / (double)forward,
            bytes / (double)forward, (double)backward * 1e-6, 2 * operations / (double)backward,
            2 * bytes / (double)backward);
        float *const all[] = { x, w, dy, bias, y, dx, dw, db };
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            free(all[i]);
    }
    return 0;
}
