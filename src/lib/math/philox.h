/** @file philox.h  The bare Philox 4x32-10 block function; ctkd/random.h is built on it. */
#ifndef CTKD_LIB_MATH_PHILOX_H
#define CTKD_LIB_MATH_PHILOX_H

#include <stdint.h>

void ctkd__philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
