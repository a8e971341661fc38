/* The kernels for AVX2 and FMA. */
#if defined(__x86_64__)
#define VB 8
#define ISA avx2

#include "nn/kernels/depthwise.inc.h"
#include "nn/kernels/features.inc.h"
#include "nn/kernels/gemm.inc.h"
#include "nn/kernels/im2col.inc.h"
#include "nn/kernels/pointwise.inc.h"
#include "nn/kernels/winograd.inc.h"
#endif
