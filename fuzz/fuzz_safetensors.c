#include "io/safetensors.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct ctkd__tensors list = { 0 };
    ctkd_error err = { .status = CTKD_OK };
    if (ctkd__safetensors_read(memory_file(bytes, n), &list, &err) != err.status)
        abort();
    ctkd__tensors_fini(&list);
    return 0;
}
