/* The kernels for AVX-512 (F, DQ, BW, VL). */
#if defined(__x86_64__)
#define VB 16
#define ISA avx512

#include "nn/kernels/depthwise.inc.h"
#include "nn/kernels/features.inc.h"
#include "nn/kernels/gemm.inc.h"
#include "nn/kernels/im2col.inc.h"
#include "nn/kernels/pointwise.inc.h"
#include "nn/kernels/winograd.inc.h"
#endif
