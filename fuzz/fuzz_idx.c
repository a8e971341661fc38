#include "data/idx.h"
#include "data/images.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Where the images end: as their header says when the input is that long, else in its middle. */
static size_t split(const uint8_t *bytes, size_t n)
{
    uint64_t product = 1;
    for (size_t i = 0; i < 3 && n >= 16; i++) {
        const uint8_t *size = bytes + 4 + 4 * i;
        product *= (uint64_t)size[2] << 8 | size[3]; /* below 2^48 */
    }
    return n >= 16 && product <= n - 16 ? 16 + (size_t)product : n / 2;
}

/* The input as a file of images with its file of labels behind it, and as an archive. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct ctkd__images images = { 0 };
    struct ctkd__dataset *dataset;
    ctkd_error err = { .status = CTKD_OK };
    const size_t pixels = split(bytes, n);
    ctkd_status status = ctkd__idx_parse("images", bytes, pixels, "labels", bytes + pixels,
                                         n - pixels, 10, &images, &err);
    if (status != err.status || (status == CTKD_OK) != (images.pixels != NULL))
        abort();
    ctkd__images_free(&images);
    err = (ctkd_error){ .status = CTKD_OK };
    char spec[128];
    snprintf(spec, sizeof spec, "mnist:%s", memory_file(bytes, n));
    status = ctkd__dataset_open(spec, NULL, &dataset, &err);
    if (status != err.status || (status == CTKD_OK) != (dataset != NULL))
        abort();
    ctkd__dataset_close(dataset);
    return 0;
}
