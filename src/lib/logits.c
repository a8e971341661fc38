#include <string.h>

#include "ctkd/loss.h"
#include "lib/logits.h"

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A binary16 has the fields of a binary32 with 13 bits less of fraction and a bias that is 112
   less: the same fields times 2^112 are its value where it is finite, denormals included. */
static float from_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = (uint32_t)(half & 0x7fff) << 13;
    if ((half & 0x7c00) == 0x7c00) /* infinity or NaN: the exponent is all ones in both types */
        return from_bits(sign | 0x7f800000u | rest);
    return from_bits(sign | rest) * 0x1p112f;
}

void ctkd__logits_row(size_t k, ctkd_logit_type type, const void *x, size_t row, float *out)
{
    const uint16_t *half = (const uint16_t *)x + row * k;
    switch (type) {
    case CTKD_F32:
        memcpy(out, (const float *)x + row * k, k * sizeof *out);
        return;
    case CTKD_F16:
        for (size_t j = 0; j < k; j++)
            out[j] = from_half(half[j]);
        return;
    case CTKD_BF16:
        for (size_t j = 0; j < k; j++)
            out[j] = from_bits((uint32_t)half[j] << 16);
        return;
    }
}

ctkd_status ctkd_logits_read(size_t n, ctkd_logit_type type, const void *x, float *out)
{
    if (!x || !out || (type != CTKD_F32 && type != CTKD_F16 && type != CTKD_BF16))
        return CTKD_EINVAL;
    ctkd__logits_row(n, type, x, 0, out);
    return CTKD_OK;
}
