/**
 * @file random.h  Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011).
 *
 * Every draw is a pure function of (seed, purpose, major, minor): no state, so that results do not
 * depend on threads, order or resumption. major is below 2^56: purpose takes the top 8 bits.
 * Arguments are not checked; all functions may run side by side.
 */
#ifndef CTKD_RANDOM_H
#define CTKD_RANDOM_H

#include <stdint.h>

#include "ctkd/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a draw is for; streams of different purposes never overlap. The values are fixed. */
typedef enum ctkd_random_purpose {
    CTKD_RANDOM_INIT = 1,        /**< network parameters: major = parameter, minor = element */
    CTKD_RANDOM_TEMPERATURE = 2, /**< temperature module's parameters */
    CTKD_RANDOM_SHUFFLE = 3,     /**< order of an epoch: major = epoch */
    CTKD_RANDOM_AUGMENT = 4,     /**< views: major = epoch, minor = sample id */
    CTKD_RANDOM_LOSS = 5,        /**< a loss's own draws */
    CTKD_RANDOM_ADAPTOR = 6,     /**< adaptors' parameters */
    CTKD_RANDOM_TEST = 7,
    CTKD_RANDOM_STRONG = 8, /**< strong views: major = epoch, minor = 4 * sample id + block */
    CTKD_RANDOM_REPORT = 9, /**< resampling in reports: major = draw */
    CTKD_RANDOM_DROPOUT =
        10, /**< dropout: major = forward pass, minor = dropout, image, elements */
    CTKD_RANDOM_ROTATION = 11 /**< angles of views: major = epoch, minor = sample id */
} ctkd_random_purpose;

/** Four independent 32-bit words. */
CTKD_API void ctkd_random_u32x4(uint64_t seed, ctkd_random_purpose purpose, uint64_t major,
                                uint64_t minor, uint32_t out[4]);

/** Uniform in [0, 1): 24 bits of the first word. */
CTKD_API float ctkd_random_uniform(uint64_t seed, ctkd_random_purpose purpose, uint64_t major,
                                   uint64_t minor);

/** Standard normal (Box-Muller on the first two words). */
CTKD_API float ctkd_random_normal(uint64_t seed, ctkd_random_purpose purpose, uint64_t major,
                                  uint64_t minor);

/** Uniform integer in [0, bound), bound >= 1, without modulo bias beyond 2^-32. */
CTKD_API uint32_t ctkd_random_below(uint64_t seed, ctkd_random_purpose purpose, uint64_t major,
                                    uint64_t minor, uint32_t bound);

#ifdef __cplusplus
}
#endif
#endif
