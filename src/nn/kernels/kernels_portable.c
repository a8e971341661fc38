/* The kernels in plain C: any processor. */
#define VB 8
#define ISA portable

#include "nn/kernels/depthwise.inc.h"
#include "nn/kernels/features.inc.h"
#include "nn/kernels/gemm.inc.h"
#include "nn/kernels/im2col.inc.h"
#include "nn/kernels/pointwise.inc.h"
#include "nn/kernels/winograd.inc.h"
