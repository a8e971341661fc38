#include "lib/taps.h"

#include <string.h>

static size_t append(char *out, size_t at, const char *text, size_t length)
{
    for (size_t i = 0; i < length && at + 1 < CTKD__NAME_BYTES; i++)
        out[at++] = text[i];
    out[at] = 0;
    return at;
}

const char *ctkd__layer_name(char out[CTKD__NAME_BYTES], const char *word, size_t i,
                             const char *part)
{
    char digits[20];
    size_t first = sizeof digits;
    do
        digits[--first] = (char)('0' + i % 10);
    while ((i /= 10) != 0);
    size_t at = append(out, 0, word, strlen(word));
    at = append(out, at, ".", 1);
    at = append(out, at, digits + first, sizeof digits - first);
    if (part) {
        at = append(out, at, ".", 1);
        append(out, at, part, strlen(part));
    }
    return out;
}

int ctkd__conv_regressor(ctkd_builder *b, int x, int *y, const char *word, size_t i)
{
    char name[CTKD__NAME_BYTES];
    size_t c = 0, hx = 0, wx = 0, hy = 0, wy = 0;
    b->size(b, x, &c, &hx, &wx);
    b->size(b, *y, &c, &hy, &wy);
    ctkd_conv conv = { .out = c, .kernel = 3, .stride = 1, .padding = 1, .bias = true };
    int r;
    if (2 * hx == hy) {
        conv.kernel = 4;
        conv.stride = 2;
        r = b->transposed_conv(b, x, ctkd__layer_name(name, word, i, "conv"), &conv);
    } else {
        if (hx == 2 * hy) {
            conv.stride = 2;
        } else if (hx >= hy) {
            conv.kernel = 1 + hx - hy;
            conv.padding = 0;
        } else {
            *y = b->pool_to(b, *y, hx, wx);
        }
        r = b->conv(b, x, ctkd__layer_name(name, word, i, "conv"), &conv);
    }
    return b->batch_norm(b, r, ctkd__layer_name(name, word, i, "norm"));
}
