#include "util/batch_images.h"

#include <string.h>

void ctkd__batch_images_write(struct ctkd__batch_images images, size_t n, size_t channels,
                              size_t plane, float *out)
{
    if (images.values) {
        memcpy(out, images.values, n * channels * plane * sizeof *out);
        return;
    }
    for (size_t p = 0; p < n * channels; p++) {
        const float *const table = images.tables[p % channels];
        const uint8_t *const in = images.bytes + p * plane;
        for (size_t i = 0; i < plane; i++)
            out[i] = table[in[i]];
        out += plane;
    }
}
