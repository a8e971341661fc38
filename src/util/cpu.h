/* What this CPU supports, asked in one place. */
#ifndef CTKD_UTIL_CPU_H
#define CTKD_UTIL_CPU_H

#include <stdbool.h>

enum { CTKD__WORKERS_MAX = 1024 }; /* threads of a run */

enum ctkd__cpu_level {
    CTKD__CPU_PORTABLE, /* what the compiler may assume anyway */
    CTKD__CPU_AVX2,     /* with FMA */
    CTKD__CPU_AVX512,   /* F, DQ, BW and VL, and AVX2 */
    CTKD__CPU_LEVELS
};

/* Environment variable: the most that is used of the CPU ("portable", "avx2" or "avx512"), as if it
   supported no more, so that tests can imitate an older machine. Read once. oneDNN's own kernels
   have ONEDNN_MAX_CPU_ISA. */
#define CTKD__CPU_CAP "CTKD_MAX_ISA"

/* "portable", "avx2", "avx512". */
const char *ctkd__cpu_name(enum ctkd__cpu_level level);
/* Whether the CPU supports the level, whatever the cap. */
bool ctkd__cpu_has(enum ctkd__cpu_level level);
/* Whether the CPU supports the level and the cap allows it. Ask this, and nothing else, before such
   instructions run. */
bool ctkd__cpu_may_use(enum ctkd__cpu_level level);
/* The cap as it was found; "" without one. */
const char *ctkd__cpu_cap(void);
/* Whether the cap is the name of a level, or there is none. An unknown one caps nothing. */
bool ctkd__cpu_cap_known(void);

#endif
