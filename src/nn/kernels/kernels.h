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
};

/*
 * Kernels by name, or the best that this CPU has for NULL, "" or "auto" (the environment variable
 * CTKD_ISA is then asked first). CTKD_ENOTFOUND: unknown name; CTKD_EUNSUPPORTED: this CPU lacks
 * it.
 */
ctkd_status ctkd__kernels_select(const char *name, const struct ctkd__kernels **out,
                                 ctkd_error *err);

/* NULL-terminated list of what this build has, best first, and whether this CPU runs it. */
const struct ctkd__kernels *const *ctkd__kernels_list(void);
int ctkd__kernels_supported(const struct ctkd__kernels *kernels);

#endif
