/*
 * The kernels of one instruction set: everything in the engine whose speed depends on it.
 * Activations are blocked [n][C/B][h][w][B]; functions work on whole images in the calling thread.
 */
#ifndef CTKD_NN_KERNELS_H
#define CTKD_NN_KERNELS_H

#include "ctkd/status.h"
#include "nn/kernels/depthwise.h"
#include "nn/kernels/features.h"
#include "nn/kernels/gemm.h"
#include "nn/kernels/im2col.h"
#include "nn/kernels/pointwise.h"
#include "nn/kernels/winograd.h"

struct ctkd__kernels {
    const char *name; /* "portable", "avx2", "avx512" */
    size_t block;     /* B: 8 or 16 */
    const struct ctkd__pointwise_kernels *pointwise;
    const struct ctkd__winograd_kernels *winograd;
    const struct ctkd__feature_kernels *features;
    const struct ctkd__depthwise_kernels *depthwise;
    const struct ctkd__gemm_kernels *gemm;
    const struct ctkd__im2col_kernels *im2col;
};

/*
 * The kernels that this CPU supports and the cap CTKD_MAX_ISA (util/cpu.h) allows, best first and
 * never empty; NULL-terminated. This and _select are the only ways to a table: none of them leads
 * to instructions that the CPU lacks.
 */
const struct ctkd__kernels *const *ctkd__kernels_list(void);

/*
 * Kernels by name, or the first of the list for NULL, "" or "auto". CTKD_ENOTFOUND: unknown name,
 * or unknown cap; CTKD_EUNSUPPORTED: this CPU lacks it, or the cap excludes it.
 */
ctkd_status ctkd__kernels_select(const char *name, const struct ctkd__kernels **out,
                                 ctkd_error *err);

/* Name number `index` of all kernels that were built, best first; NULL after the last. */
const char *ctkd__kernels_name(size_t index);
/* The block B of the kernels of that name, whether or not this CPU supports them; 0: there are
   none. */
size_t ctkd__kernels_block(const char *name);
/* Why the list has no kernels of that name; NULL when it has. */
const char *ctkd__kernels_why_not(const char *name);

#endif
