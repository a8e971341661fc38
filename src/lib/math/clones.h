/**
 * @file clones.h  CTKD__CLONES in front of a function: the compiler makes versions of it for wider
 * vectors, and the loader picks one.
 *
 * For hot loops over float arrays with a fixed order of sums. As a*b + c is not contracted (C17
 * mode), every version gives the same bits. It is empty where it cannot work: it needs GCC and
 * glibc's indirect functions, and the sanitizers do not support these. Use it on static functions
 * only: GCC exports other cloned functions from the shared library whatever their visibility.
 */
#ifndef CTKD_LIB_MATH_CLONES_H
#define CTKD_LIB_MATH_CLONES_H

#include <stdlib.h> /* __GLIBC__ */

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__) &&       \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(CTKD_NO_CLONES)
#define CTKD__CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CTKD__CLONES
#endif

#endif
