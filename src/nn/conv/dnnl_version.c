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
