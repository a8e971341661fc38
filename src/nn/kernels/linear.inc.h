/*
 * Linear layers: the products of pointwise.h with a batch of rows, for one instruction set.
 *
 * The weights of VGG's first linear layer are 411 MB, those of a row 100 kB, so they are read once
 * for all rows of a worker, in long runs. Every result adds up its products in the order of a plain
 * loop, so blocks of any size give the same bits.
 */
#ifndef CTKD_NN_KERNELS_LINEAR_INC_H
#define CTKD_NN_KERNELS_LINEAR_INC_H

#include <string.h>

#include "nn/kernels/vector.h"

/* Sums in registers: rows times outputs of the product, outputs times vectors of the gradient of
   weights; outputs that the gradient of x takes from memory at once, for two rows. */
#if VB == 16
enum { LN_ROWS = 8, LN_OUTS = 3 };
#elif defined(__AVX2__)
enum { LN_ROWS = 4, LN_OUTS = 3 };
#else
enum { LN_ROWS = 2, LN_OUTS = 2 };
#endif
enum { LN_DX_OUTS = 4, LN_DX_ROWS = 2, LN_DW_OUTS = 4, LN_DW_VECTORS = 2 };

/* Floats of a row that the gradients take at a time: those of all rows stay in the caches. */
enum { LN_RUN = 512 };

/* sum + a * b. With AVX2 GCC 12 compiles a loop with one sum to separate multiplications and
   additions, but a loop with several sums to fused operations. Here it is always the former, so
   that the bits do not depend on the blocks. */
ALWAYS_INLINE vf ln__add(vf sum, vf a, vf b)
{
#if VB == 8 && defined(__AVX2__)
    return sum + v_keep(a * b);
#else
    return sum + a * b;
#endif
}

ALWAYS_INLINE float ln__total(vf x)
{
    float sum = 0;
    for (size_t i = 0; i < VB; i++)
        sum += x[i];
    return sum;
}

ALWAYS_INLINE void ln__product(size_t in, size_t out, const float *x, const float *w,
                               const float *bias, float *y, size_t rows, size_t outs)
{
    vf sum[LN_ROWS][LN_OUTS];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t q = 0; q < outs; q++)
            sum[r][q] = v_zero();
    for (size_t c = 0; c < in; c += VB) {
        vf weight[LN_OUTS];
#pragma GCC unroll 4
        for (size_t q = 0; q < outs; q++)
            weight[q] = v_keep(v_load(w + q * in + c));
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            const vf a = v_keep(v_load(x + r * in + c));
#pragma GCC unroll 4
            for (size_t q = 0; q < outs; q++)
                sum[r][q] = ln__add(sum[r][q], a, weight[q]);
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t q = 0; q < outs; q++)
            y[r * out + q] = ln__total(sum[r][q]) + bias[q];
}

static void ln__linear(size_t n, size_t in, size_t out, const float *x, const float *w,
                       const float *bias, float *y)
{
    for (size_t o = 0, outs; o < out; o += outs) {
        outs = out - o >= LN_OUTS ? LN_OUTS : 1;
        for (size_t i = 0, rows; i < n; i += rows) {
            const float *const a = x + i * in, *const b = w + o * in;
            float *const to = y + i * out + o;
            rows = n - i >= LN_ROWS ? LN_ROWS : 1;
            if (rows > 1 && outs > 1)
                ln__product(in, out, a, b, bias + o, to, LN_ROWS, LN_OUTS);
            else if (rows > 1)
                ln__product(in, out, a, b, bias + o, to, LN_ROWS, 1);
            else if (outs > 1)
                ln__product(in, out, a, b, bias + o, to, 1, LN_OUTS);
            else
                ln__product(in, out, a, b, bias + o, to, 1, 1);
        }
    }
}

/* dx += dy w of some rows and outputs, `run` floats of each row. */
ALWAYS_INLINE void ln__add_dx(size_t in, size_t out, size_t run, const float *w, const float *dy,
                              float *dx, size_t rows, size_t outs)
{
    vf g[LN_DX_ROWS][LN_DX_OUTS];
#pragma GCC unroll 2
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t q = 0; q < outs; q++)
            g[r][q] = v_set(dy[r * out + q]);
    for (size_t c = 0; c < run; c += VB) {
        vf sum[LN_DX_ROWS];
#pragma GCC unroll 2
        for (size_t r = 0; r < rows; r++)
            sum[r] = v_load(dx + r * in + c);
#pragma GCC unroll 4
        for (size_t q = 0; q < outs; q++) {
            const vf weight = v_keep(v_load(w + q * in + c));
#pragma GCC unroll 2
            for (size_t r = 0; r < rows; r++)
                sum[r] = ln__add(sum[r], g[r][q], weight);
        }
#pragma GCC unroll 2
        for (size_t r = 0; r < rows; r++)
            v_store(dx + r * in + c, sum[r]);
    }
}

static void ln__dx(size_t n, size_t in, size_t out, size_t run, const float *w, const float *dy,
                   float *dx)
{
    for (size_t o = 0, outs; o < out; o += outs) {
        outs = out - o >= LN_DX_OUTS ? LN_DX_OUTS : 1;
        for (size_t i = 0, rows; i < n; i += rows) {
            const float *const g = dy + i * out + o, *const a = w + o * in;
            rows = n - i >= LN_DX_ROWS ? LN_DX_ROWS : 1;
            if (rows > 1 && outs > 1)
                ln__add_dx(in, out, run, a, g, dx + i * in, LN_DX_ROWS, LN_DX_OUTS);
            else if (rows > 1)
                ln__add_dx(in, out, run, a, g, dx + i * in, LN_DX_ROWS, 1);
            else if (outs > 1)
                ln__add_dx(in, out, run, a, g, dx + i * in, 1, LN_DX_OUTS);
            else
                ln__add_dx(in, out, run, a, g, dx + i * in, 1, 1);
        }
    }
}

/* dw = dy^T x of some outputs and vectors, over all rows. */
ALWAYS_INLINE void ln__outer(size_t n, size_t in, size_t out, const float *x, const float *dy,
                             float *dw, size_t outs, size_t vectors)
{
    vf sum[LN_DW_OUTS][LN_DW_VECTORS];
#pragma GCC unroll 4
    for (size_t q = 0; q < outs; q++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            sum[q][v] = v_zero();
    for (size_t i = 0; i < n; i++) {
        vf a[LN_DW_VECTORS];
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            a[v] = v_keep(v_load(x + i * in + v * VB));
#pragma GCC unroll 4
        for (size_t q = 0; q < outs; q++) {
            const vf g = v_set(dy[i * out + q]);
#pragma GCC unroll 2
            for (size_t v = 0; v < vectors; v++)
                sum[q][v] = ln__add(sum[q][v], g, a[v]);
        }
    }
#pragma GCC unroll 4
    for (size_t q = 0; q < outs; q++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            v_store(dw + q * in + v * VB, sum[q][v]);
}

static void ln__dw(size_t n, size_t in, size_t out, size_t run, const float *x, const float *dy,
                   float *dw)
{
    for (size_t o = 0, outs; o < out; o += outs) {
        outs = out - o >= LN_DW_OUTS ? LN_DW_OUTS : 1;
        for (size_t c = 0, floats; c < run; c += floats) {
            const float *const g = dy + o;
            float *const to = dw + o * in + c;
            floats = run - c >= LN_DW_VECTORS * VB ? LN_DW_VECTORS * VB : VB;
            if (floats > VB && outs > 1)
                ln__outer(n, in, out, x + c, g, to, LN_DW_OUTS, LN_DW_VECTORS);
            else if (floats > VB)
                ln__outer(n, in, out, x + c, g, to, 1, LN_DW_VECTORS);
            else if (outs > 1)
                ln__outer(n, in, out, x + c, g, to, LN_DW_OUTS, 1);
            else
                ln__outer(n, in, out, x + c, g, to, 1, 1);
        }
    }
}

static void ln__backward(size_t n, size_t in, size_t out, const float *x, const float *w,
                         const float *dy, const float *base, float *dx, float *dw, float *db)
{
    if (dx && !base)
        memset(dx, 0, n * in * sizeof *dx);
    else if (dx && base != dx)
        memcpy(dx, base, n * in * sizeof *dx);
    for (size_t c = 0; c < in; c += LN_RUN) {
        const size_t run = in - c < LN_RUN ? in - c : LN_RUN;
        if (dx)
            ln__dx(n, in, out, run, w + c, dy, dx + c);
        ln__dw(n, in, out, run, x + c, dy, dw + c);
    }
    for (size_t o = 0; o < out; o++) {
        float total = 0;
        for (size_t i = 0; i < n; i++)
            total += dy[i * out + o];
        db[o] = total;
    }
}

#endif
