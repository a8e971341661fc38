#include <string.h>

#include "config/config.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct ctkd__config *first = NULL, *second = NULL;
    ctkd_error err = { .status = CTKD_OK };
    char *text = NULL;
    size_t size = 0;
    if (ctkd__config_create(&first, &err) != CTKD_OK ||
        ctkd__config_create(&second, &err) != CTKD_OK)
        abort();
    const ctkd_status status =
        ctkd__sections_read_yaml(ctkd__config_sections(first), memory_file(bytes, n), &err);
    if (status != err.status)
        abort();
    if (status == CTKD_OK) { /* what was read is written so that it reads again */
        FILE *out = open_memstream(&text, &size);
        ctkd__sections_write_yaml(ctkd__config_sections(first), out);
        fclose(out);
        if (ctkd__sections_read_yaml(ctkd__config_sections(second),
                                     memory_file((const uint8_t *)text, size), &err) != CTKD_OK)
            abort();
        free(text);
    }
    ctkd__config_destroy(first);
    ctkd__config_destroy(second);
    return 0;
}
