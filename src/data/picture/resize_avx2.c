/*
 * The passes with AVX2. A weight of 22 bits does not fit into a factor of vpmaddwd (16 bits), so
 * that it is split: weight = 2^11 high + low with both parts below 2^12, and each part is
 * multiplied and summed on its own. Weights are never negative and sum to about 2^22, so that
 * neither sum leaves 32 bits: high sums below 255 * (2^11 + taps), low sums below 255 * 2^11 taps,
 * which holds for 4000 taps.
 */
#include "data/picture/resize_passes.h"
#include "util/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

enum { LOW_BITS = 11, LOW_MASK = (1 << LOW_BITS) - 1 };
#define AVX2 __attribute__((target("avx2")))

/* Two weights as the two factors of one 32-bit lane. */
AVX2 static inline int pair_of(int32_t a, int32_t b)
{
    return (int)((uint32_t)a | (uint32_t)b << 16);
}

AVX2 static inline __m128i finish(__m128i low, __m128i high)
{
    const __m128i sum = _mm_add_epi32(_mm_slli_epi32(high, LOW_BITS), low);
    const __m128i half = _mm_set1_epi32(1 << (CTKD__RESIZE_BITS - 1));
    return _mm_srai_epi32(_mm_add_epi32(sum, half), CTKD__RESIZE_BITS);
}

/* Four taps at once: pixels 0 and 1 in the lower half, 2 and 3 in the upper one, each colour of a
   pair side by side. */
AVX2 static void horizontal(const struct ctkd__resize_weights *w, size_t count, const uint8_t *in,
                            uint8_t *out)
{
    const __m256i pairs =
        _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7,
                         -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    for (size_t i = 0; i < count; i++, out += 3) {
        const int32_t *const weights = w->values + i * w->stride;
        const uint8_t *pixel = in + 3 * w->taps[i].first;
        __m256i low = _mm256_setzero_si256(), high = low;
        for (size_t t = 0; t < w->taps[i].count; t += CTKD__RESIZE_GROUP, pixel += 12) {
            const __m256i values = _mm256_shuffle_epi8(
                _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)pixel)),
                pairs);
            const __m128i four = _mm_loadu_si128((const __m128i *)(const void *)(weights + t));
            const __m128i lows = _mm_and_si128(four, _mm_set1_epi32(LOW_MASK));
            const __m128i highs = _mm_srli_epi32(four, LOW_BITS);
            /* [l0 l1 l2 l3 h0 h1 h2 h3] as 16 bits: pairs (l0, l1) and (l2, l3) are 32-bit lanes.
             */
            const __m128i packed = _mm_packus_epi32(lows, highs);
            const __m256i both = _mm256_castsi128_si256(packed);
            const __m256i low_pairs =
                _mm256_permutevar8x32_epi32(both, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
            const __m256i high_pairs =
                _mm256_permutevar8x32_epi32(both, _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(values, low_pairs));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(values, high_pairs));
        }
        const __m128i sums =
            finish(_mm_add_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)),
                   _mm_add_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1)));
        const __m128i words = _mm_packs_epi32(sums, sums);
        const int pixels = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
        memcpy(out, &pixels, 3);
    }
}

/* 16 bytes of the result from pairs of rows. */
AVX2 static inline __m128i vertical_block(const int32_t *weights, size_t taps, const uint8_t *in,
                                          size_t stride)
{
    __m256i low[2] = { _mm256_setzero_si256(), _mm256_setzero_si256() }, high[2];
    high[0] = high[1] = low[0];
    for (size_t t = 0; t < taps; t += 2, in += 2 * stride) {
        const uint8_t *const next = t + 1 < taps ? in + stride : in; /* its weight is 0 */
        const __m256i a = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)in));
        const __m256i b =
            _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)next));
        const __m256i mixed[2] = { _mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b) };
        const __m256i low_pair =
            _mm256_set1_epi32(pair_of(weights[t] & LOW_MASK, weights[t + 1] & LOW_MASK));
        const __m256i high_pair =
            _mm256_set1_epi32(pair_of(weights[t] >> LOW_BITS, weights[t + 1] >> LOW_BITS));
        for (int h = 0; h < 2; h++) {
            low[h] = _mm256_add_epi32(low[h], _mm256_madd_epi16(mixed[h], low_pair));
            high[h] = _mm256_add_epi32(high[h], _mm256_madd_epi16(mixed[h], high_pair));
        }
    }
    __m256i sums[2];
    for (int h = 0; h < 2; h++)
        sums[h] = _mm256_srai_epi32(
            _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(high[h], LOW_BITS), low[h]),
                             _mm256_set1_epi32(1 << (CTKD__RESIZE_BITS - 1))),
            CTKD__RESIZE_BITS);
    /* unpacklo, unpackhi and packs all work within 128-bit halves, so packs restores the order. */
    const __m256i words = _mm256_packs_epi32(sums[0], sums[1]);
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

AVX2 static void vertical(const struct ctkd__resize_weights *w, size_t i, const uint8_t *in,
                          size_t stride, size_t bytes, uint8_t *out)
{
    const int32_t *const weights = w->values + i * w->stride;
    for (size_t x = 0; x < bytes; x += 16)
        _mm_storeu_si128((__m128i *)(void *)(out + x),
                         vertical_block(weights, w->taps[i].count, in + x, stride));
}

static const struct ctkd__resize_passes avx2 = { horizontal, vertical };

const struct ctkd__resize_passes *ctkd__resize_simd(void)
{
    return ctkd__cpu_may_use(CTKD__CPU_AVX2) ? &avx2 : NULL;
}
#else
const struct ctkd__resize_passes *ctkd__resize_simd(void)
{
    return NULL;
}
#endif
