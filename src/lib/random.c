#include "ctkd/random.h"

#include <math.h>

#include "lib/math/philox.h"

static void multiply(uint32_t a, uint32_t b, uint32_t *high, uint32_t *low)
{
    const uint64_t product = (uint64_t)a * b;
    *high = (uint32_t)(product >> 32);
    *low = (uint32_t)product;
}

void ctkd__philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint32_t high0, low0, high1, low1;
        multiply(0xD2511F53u, c0, &high0, &low0);
        multiply(0xCD9E8D57u, c2, &high1, &low1);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u; /* Weyl sequence: golden ratio, sqrt(3) - 1 */
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The key is the seed; the counter is minor (64 bits), major (56 bits), purpose (8 bits). The block
   function is a bijection of the counter, so two draws of a seed share a block only if they are the
   same draw. */
void ctkd_random_u32x4(uint64_t seed, ctkd_random_purpose purpose, uint64_t major, uint64_t minor,
                       uint32_t out[4])
{
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    const uint32_t counter[4] = { (uint32_t)minor, (uint32_t)(minor >> 32), (uint32_t)major,
                                  (uint32_t)(major >> 32) ^ ((uint32_t)purpose << 24) };
    ctkd__philox4x32(counter, key, out);
}

float ctkd_random_uniform(uint64_t seed, ctkd_random_purpose purpose, uint64_t major,
                          uint64_t minor)
{
    uint32_t word[4];
    ctkd_random_u32x4(seed, purpose, major, minor, word);
    return (float)(word[0] >> 8) * 0x1p-24f;
}

float ctkd_random_normal(uint64_t seed, ctkd_random_purpose purpose, uint64_t major, uint64_t minor)
{
    const double two_pi = 6.283185307179586;
    uint32_t word[4];
    ctkd_random_u32x4(seed, purpose, major, minor, word);
    const double u = ((double)word[0] + 1.0) * 0x1p-32; /* (0, 1]: the logarithm is finite */
    const double v = (double)word[1] * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u)) * cos(two_pi * v));
}

uint32_t ctkd_random_below(uint64_t seed, ctkd_random_purpose purpose, uint64_t major,
                           uint64_t minor, uint32_t bound)
{
    uint32_t word[4];
    ctkd_random_u32x4(seed, purpose, major, minor, word);
    return (uint32_t)(((uint64_t)word[0] * bound) >> 32);
}
