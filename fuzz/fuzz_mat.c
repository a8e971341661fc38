#include <stdlib.h>
#include <string.h>

#include "data/folder/mat.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The input as a MATLAB file: names and numbers, or a reason. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct ctkd__synset *synsets;
    size_t count;
    ctkd_error err = { .status = CTKD_OK };
    const ctkd_status status = ctkd__mat_synsets("input", bytes, n, &synsets, &count, &err);
    if (status != err.status || (status == CTKD_OK) != (synsets != NULL))
        abort();
    for (size_t i = 0; synsets && i < count; i++)
        if (synsets[i].number == 0 || strnlen(synsets[i].name, CTKD__SYNSET_BYTES) == 0 ||
            strnlen(synsets[i].name, CTKD__SYNSET_BYTES) == CTKD__SYNSET_BYTES)
            abort();
    free(synsets);
    return 0;
}
