/*
 * usage: random_NAME COUNT [SEED]
 * Runs a fuzz target on COUNT inputs of random bytes and lengths, without libFuzzer: for targets
 * that make something structured of any bytes. The same seed gives the same inputs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctkd/random.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { LENGTH_MAX = 256 };

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s COUNT [SEED]\n", argv[0]);
        return 2;
    }
    const uint64_t count = strtoull(argv[1], NULL, 10);
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    for (uint64_t i = 0; i < count; i++) {
        uint8_t bytes[LENGTH_MAX];
        const uint32_t n = ctkd_random_below(seed, CTKD_RANDOM_TEST, i, 0, LENGTH_MAX + 1);
        for (uint32_t j = 0; j < n; j++)
            bytes[j] = (uint8_t)ctkd_random_below(seed, CTKD_RANDOM_TEST, i, 1 + j, 256);
        LLVMFuzzerTestOneInput(bytes, n);
    }
    printf("%llu inputs\n", (unsigned long long)count);
    return count ? EXIT_SUCCESS : EXIT_FAILURE;
}
