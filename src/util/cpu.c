#include "util/cpu.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[CTKD__CPU_LEVELS] = { "portable", "avx2", "avx512" };

static char cap[16];
static enum ctkd__cpu_level most = CTKD__CPU_LEVELS - 1;
static bool known = true;
static pthread_once_t read_once = PTHREAD_ONCE_INIT;

static void read_cap(void)
{
    const char *const value = getenv(CTKD__CPU_CAP);
    snprintf(cap, sizeof cap, "%s", value ? value : "");
    known = !cap[0];
    for (int level = 0; level < CTKD__CPU_LEVELS; level++)
        if (strcmp(cap, names[level]) == 0) {
            most = (enum ctkd__cpu_level)level;
            known = true;
        }
}

const char *ctkd__cpu_name(enum ctkd__cpu_level level)
{
    return names[level];
}

bool ctkd__cpu_has(enum ctkd__cpu_level level)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (level == CTKD__CPU_AVX512)
        return has_avx2 && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl");
    if (level == CTKD__CPU_AVX2)
        return has_avx2;
#endif
    return level == CTKD__CPU_PORTABLE;
}

bool ctkd__cpu_may_use(enum ctkd__cpu_level level)
{
    pthread_once(&read_once, read_cap);
    return level <= most && ctkd__cpu_has(level);
}

const char *ctkd__cpu_cap(void)
{
    pthread_once(&read_once, read_cap);
    return cap;
}

bool ctkd__cpu_cap_known(void)
{
    pthread_once(&read_once, read_cap);
    return known;
}
