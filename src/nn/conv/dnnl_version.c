#include "nn/conv/dnnl_version.h"

#include <dnnl.h>
#include <stdio.h>

const char *ctkd__dnnl_version(char *text, size_t bytes)
{
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, bytes, "%d.%d.%d (%.12s)", version->major, version->minor, version->patch,
             version->hash);
    return text;
}

const char *ctkd__dnnl_code(char *text, size_t bytes)
{
    static const struct {
        unsigned isa;
        const char *name;
    } sets[] = { { dnnl_cpu_isa_avx512_core, "AVX-512" },
                 { dnnl_cpu_isa_avx2, "AVX2" },
                 { dnnl_cpu_isa_avx, "AVX" },
                 { dnnl_cpu_isa_sse41, "SSE4.1" } };
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    char version[64];
    size_t i = 0;
    while (i < sizeof sets / sizeof *sets && (isa & sets[i].isa) != sets[i].isa)
        i++;
    snprintf(text, bytes, "%s, %s", ctkd__dnnl_version(version, sizeof version),
             i < sizeof sets / sizeof *sets ? sets[i].name : "portable");
    return text;
}
