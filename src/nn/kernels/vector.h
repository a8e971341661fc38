/*
 * The vector type of the kernels. An including file defines, before anything else,
 *   VB    floats in a vector = channels in a block: 8 or 16
 *   ISA   suffix of the names this compilation makes: portable, avx2 or avx512
 * and is compiled with the flags of that instruction set. GCC vector extensions carry the
 * arithmetic (a * b + c becomes a fused multiply-add under -ffp-contract=fast), so that one source
 * serves all.
 */
#ifndef CTKD_NN_VECTOR_H
#define CTKD_NN_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define V__JOIN2(a, b) a##_##b
#define V__JOIN(a, b) V__JOIN2(a, b)
/* ctkd__name -> ctkd__name_avx2: the external names of this compilation. */
#define KERNEL(name) V__JOIN(ctkd__##name, ISA)

#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * VB)));
typedef float vf_unaligned __attribute__((vector_size(4 * VB), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * VB)));

ALWAYS_INLINE vf v_load(const float *p)
{
    return (vf)(*(const vf_unaligned *)p);
}
ALWAYS_INLINE void v_store(float *p, vf x)
{
    *(vf_unaligned *)p = (vf_unaligned)x;
}
ALWAYS_INLINE vf v_set(float x)
{
    return x - (vf){ 0 };
}
ALWAYS_INLINE vf v_zero(void)
{
    return (vf){ 0 };
}
/* Keeps x in a register: otherwise GCC reloads a value that came from memory at each use. */
ALWAYS_INLINE vf v_keep(vf x)
{
#if defined(__AVX512F__) || (VB == 8 && defined(__AVX2__))
    __asm__("" : "+v"(x));
#endif
    return x;
}
/* The compiler moves no load or store across it. */
ALWAYS_INLINE void v_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}
#if VB == 16 && defined(__AVX512F__)
/* NaN passes through, as in PyTorch: maxps returns its second operand when either is NaN, so that
   the order matters. */
ALWAYS_INLINE vf v_relu(vf x)
{
    return (vf)_mm512_max_ps(_mm512_setzero_ps(), (__m512)x);
}
ALWAYS_INLINE vf v_keep_if_positive(vf x, vf condition) /* condition > 0 or NaN ? x : 0 */
{
    return (vf)_mm512_maskz_mov_ps(
        _mm512_cmp_ps_mask((__m512)condition, _mm512_setzero_ps(), _CMP_NLE_UQ), (__m512)x);
}
#else
ALWAYS_INLINE vf v_keep_if_positive(vf x, vf condition)
{
    return (vf)((vi)x & ~(condition <= v_zero()));
}
#if VB == 8 && defined(__AVX2__)
ALWAYS_INLINE vf v_relu(vf x)
{
    return (vf)_mm256_max_ps(_mm256_setzero_ps(), (__m256)x);
}
#else
ALWAYS_INLINE vf v_relu(vf x)
{
    return (vf)((vi)x & ~(x <= v_zero()));
}
#endif
#endif

#endif
