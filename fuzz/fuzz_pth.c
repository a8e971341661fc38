#include <stdint.h>
#include <stdlib.h>

#include "io/pth.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct ctkd__tensors list = { 0 };
    ctkd_error err = { .status = CTKD_OK };
    if (ctkd__pth_read_bytes("input", (const char *)bytes, n, &list, &err) != err.status)
        abort(); /* a failure without its reason, or a reason without failure */
    ctkd__tensors_fini(&list);
    return 0;
}
