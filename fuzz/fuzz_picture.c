#include <stdlib.h>

#include "data/picture/picture.h"
#include "data/picture/resize.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* A box of the picture that the last four bytes choose. */
static struct ctkd__box box_in(const struct ctkd__picture_info *info, const uint8_t *bytes,
                               size_t n)
{
    const uint8_t *const chosen = bytes + n - 4; /* a picture has more */
    struct ctkd__box box = { chosen[0] % info->width, chosen[1] % info->height, 0, 0 };
    box.width = 1 + chosen[2] % (info->width - box.left);
    box.height = 1 + chosen[3] % (info->height - box.top);
    return box;
}

/* Decodes the input whole and in part; where both succeed, the part is that of the whole. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    enum { SIDE = 9 };
    static struct ctkd__picture_reader *whole, *partial;
    static struct ctkd__resizer *resizer;
    if (!whole && (ctkd__picture_reader_create(1 << 18, false, &whole, NULL) ||
                   ctkd__picture_reader_create(1 << 18, true, &partial, NULL) ||
                   ctkd__resizer_create(CTKD__PILLOW_13, &resizer, NULL)))
        abort();
    const struct ctkd__picture_file file = { "input", bytes, n };
    struct ctkd__picture_info info;
    struct ctkd__picture all, part;
    ctkd_error err = { .status = CTKD_OK };
    ctkd_status status = ctkd__picture_probe(&file, &info, &err);
    if (status != err.status)
        abort();
    if (status || ctkd__picture_decode(whole, &file, NULL, &all, &err))
        return 0;
    const struct ctkd__box box = box_in(&info, bytes, n);
    uint8_t out[3 * SIDE * SIDE];
    const struct ctkd__box square = { 0, 0, SIDE, SIDE };
    if (ctkd__resize(resizer, &all, SIDE, SIDE, &square, n & 1, out))
        abort();
    if (ctkd__picture_decode(partial, &file, &box, &part, &err))
        return 0;
    for (size_t r = 0; r < box.height && !all.damaged && !part.damaged; r++)
        for (size_t x = 0; x < 3 * box.width; x++)
            if (part.pixels[r * part.stride + x] !=
                all.pixels[(box.top + r) * all.stride + 3 * box.left + x])
                abort();
    return 0;
}
