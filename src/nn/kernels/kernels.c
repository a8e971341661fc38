#include "nn/kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "util/error.h"

#define KERNELS(isa, b)                                                                            \
    static const struct ctkd__kernels isa = { #isa,                                                \
                                              b,                                                   \
                                              &ctkd__pointwise_##isa,                              \
                                              &ctkd__winograd_##isa,                               \
                                              &ctkd__features_##isa,                               \
                                              &ctkd__depthwise_##isa,                              \
                                              &ctkd__gemm_##isa };
KERNELS(portable, 8)
#if defined(__x86_64__)
KERNELS(avx2, 8)
KERNELS(avx512, 16)
#endif

static const struct ctkd__kernels *const list[] = {
#if defined(__x86_64__)
    &avx512, &avx2,
#endif
    &portable, NULL
};

const struct ctkd__kernels *const *ctkd__kernels_list(void)
{
    return list;
}

int ctkd__kernels_supported(const struct ctkd__kernels *kernels)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (kernels == &avx512)
        return has_avx2 && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl");
    if (kernels == &avx2)
        return has_avx2;
#endif
    return kernels == &portable;
}

ctkd_status ctkd__kernels_select(const char *name, const struct ctkd__kernels **out,
                                 ctkd_error *err)
{
    const char *asked_by = "train.isa";
    if (!name || !*name || strcmp(name, "auto") == 0) {
        name = getenv("CTKD_ISA");
        asked_by = "CTKD_ISA";
    }
    const int automatic = !name || !*name || strcmp(name, "auto") == 0;
    for (size_t i = 0; list[i]; i++) {
        if (!automatic && strcmp(name, list[i]->name) != 0)
            continue;
        if (ctkd__kernels_supported(list[i])) {
            *out = list[i];
            return CTKD_OK;
        }
        if (!automatic)
            return ctkd__fail(err, CTKD_EUNSUPPORTED, "%s: %s: this CPU has no such instructions",
                              asked_by, name);
    }
    return ctkd__fail(err, CTKD_ENOTFOUND, "%s: %s, expected auto, avx512, avx2 or portable",
                      asked_by, name);
}
