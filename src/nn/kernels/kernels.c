#include "nn/kernels/kernels.h"

#include <pthread.h>
#include <string.h>

#include "util/cpu.h"
#include "util/error.h"
#include "util/options.h"

#define KERNELS(isa, b)                                                                            \
    static const struct ctkd__kernels isa = { #isa,                                                \
                                              b,                                                   \
                                              &ctkd__pointwise_##isa,                              \
                                              &ctkd__winograd_##isa,                               \
                                              &ctkd__features_##isa,                               \
                                              &ctkd__depthwise_##isa,                              \
                                              &ctkd__gemm_##isa,                                   \
                                              &ctkd__im2col_##isa };
KERNELS(portable, 8)
#if defined(__x86_64__)
KERNELS(avx2, 8)
KERNELS(avx512, 16)
#endif

/* By level: [i] needs what level i has. */
static const struct ctkd__kernels *const built[CTKD__CPU_LEVELS] = {
    &portable,
#if defined(__x86_64__)
    &avx2,
    &avx512,
#endif
};

/* What this process may run, best first: found once, so that all parts of a run agree. */
static const struct ctkd__kernels *usable[CTKD__CPU_LEVELS + 1];
static pthread_once_t found = PTHREAD_ONCE_INIT;

static void find_usable(void)
{
    size_t count = 0;
    for (int level = CTKD__CPU_LEVELS - 1; level >= 0; level--)
        if (built[level] && ctkd__cpu_may_use((enum ctkd__cpu_level)level))
            usable[count++] = built[level];
}

const struct ctkd__kernels *const *ctkd__kernels_list(void)
{
    pthread_once(&found, find_usable);
    return usable;
}

const char *ctkd__kernels_name(size_t index)
{
    return index < CTKD__CPU_LEVELS ? ctkd__cpu_name(CTKD__CPU_LEVELS - 1 - (unsigned)index) : NULL;
}

/* The level of that name; CTKD__CPU_LEVELS if there is none. */
static enum ctkd__cpu_level level_of(const char *name)
{
    unsigned level = 0;
    while (level < CTKD__CPU_LEVELS && strcmp(name, ctkd__cpu_name(level)) != 0)
        level++;
    return level;
}

size_t ctkd__kernels_block(const char *name)
{
    const enum ctkd__cpu_level level = level_of(name);
    return level == CTKD__CPU_LEVELS ? 0 : level == CTKD__CPU_AVX512 ? 16 : 8;
}

const char *ctkd__kernels_why_not(const char *name)
{
    const enum ctkd__cpu_level level = level_of(name);
    if (level == CTKD__CPU_LEVELS || !built[level] || !ctkd__cpu_has(level))
        return "not on this CPU";
    return ctkd__cpu_may_use(level) ? NULL : "excluded by " CTKD__CPU_CAP;
}

static ctkd_status select_by_name(const char *name, const struct ctkd__kernels **out,
                                  ctkd_error *err)
{
    static const char *const names[] = { "auto", "avx512", "avx2", "portable", NULL };
    const enum ctkd__cpu_level level = level_of(name);
    if (level == CTKD__CPU_LEVELS)
        return ctkd__unknown("instruction set", name, names,
                             "expected auto, avx512, avx2 or portable", err);
    if (!built[level] || !ctkd__cpu_has(level))
        return ctkd__fail(err, CTKD_EUNSUPPORTED,
                          "%s: this CPU has no such instructions; the best it has is %s", name,
                          ctkd__kernels_list()[0]->name);
    if (!ctkd__cpu_may_use(level))
        return ctkd__fail(err, CTKD_EUNSUPPORTED, "%s: " CTKD__CPU_CAP "=%s excludes it", name,
                          ctkd__cpu_cap());
    *out = built[level];
    return CTKD_OK;
}

ctkd_status ctkd__kernels_select(const char *name, const struct ctkd__kernels **out,
                                 ctkd_error *err)
{
    if (!ctkd__cpu_cap_known())
        return ctkd__fail(err, CTKD_ENOTFOUND,
                          CTKD__CPU_CAP ": found %s, expected avx512, avx2 or portable",
                          ctkd__cpu_cap());
    if (name && *name && strcmp(name, "auto") != 0)
        return select_by_name(name, out, err);
    *out = ctkd__kernels_list()[0];
    return CTKD_OK;
}
