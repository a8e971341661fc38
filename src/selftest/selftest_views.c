#include "selftest/selftest_views.h"

#include <stdlib.h>

#include "util/error.h"

struct ctkd__view_hasher {
    struct ctkd__view_hash_settings settings;
    struct ctkd__picture_reader *reader;
    struct ctkd__resizer *resizer;
    struct ctkd__viewer *viewer;
    uint8_t *view; /* [3][size][size] */
};

struct ctkd__view_hash_settings ctkd__view_hash_defaults(void)
{
    return (struct ctkd__view_hash_settings){ 200, 224, CTKD__HORIZONTAL_FIRST };
}

ctkd_status ctkd__view_hasher_create(const struct ctkd__view_hash_settings *settings,
                                     struct ctkd__view_hasher **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__view_settings views = ctkd__view_settings_defaults();
    views.size = settings->size;
    views.resize = ctkd__view_resize_for(settings->size);
    views.order = settings->order;
    struct ctkd__view_hasher *const hasher = calloc(1, sizeof *hasher);
    if (!hasher)
        return ctkd__fail(err, CTKD_ENOMEM, "views: out of memory");
    hasher->settings = *settings;
    ctkd_status status = ctkd__viewer_create(&views, &hasher->viewer, err);
    if (status == CTKD_OK)
        status = ctkd__picture_reader_create(views.pixels_max, true, &hasher->reader, err);
    if (status == CTKD_OK)
        status = ctkd__resizer_create(views.order, &hasher->resizer, err);
    if (status == CTKD_OK) {
        hasher->view = calloc(3, settings->size * settings->size);
        if (!hasher->view)
            status = ctkd__fail(err, CTKD_ENOMEM, "views: out of memory");
    }
    if (status == CTKD_OK)
        *out = hasher;
    else
        ctkd__view_hasher_destroy(hasher);
    return status;
}

void ctkd__view_hasher_destroy(struct ctkd__view_hasher *hasher)
{
    if (!hasher)
        return;
    ctkd__viewer_destroy(hasher->viewer);
    ctkd__picture_reader_destroy(hasher->reader);
    ctkd__resizer_destroy(hasher->resizer);
    free(hasher->view);
    free(hasher);
}

/* splitmix64, which any language has in five lines. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Box i: first the image, then its last pixel, then boxes of all sizes. Pillow 12.2 begins with the
   other direction where a box is more than 100 times as high as wide: none is. */
static struct ctkd__box box_of(size_t i, const struct ctkd__picture_info *info, uint64_t *state)
{
    struct ctkd__box box = { 0, 0, info->width, info->height };
    if (i == 1)
        box = (struct ctkd__box){ info->width - 1, info->height - 1, 1, 1 };
    if (i > 1) {
        box.width = 1 + (size_t)(draw(state) % info->width);
        box.height = 1 + (size_t)(draw(state) % info->height);
    }
    if (box.height > 100 * box.width)
        box.height = 100 * box.width;
    if (i > 1) {
        box.left = (size_t)(draw(state) % (info->width - box.width + 1));
        box.top = (size_t)(draw(state) % (info->height - box.height + 1));
    }
    return box;
}

ctkd_status ctkd__view_hash(struct ctkd__view_hasher *hasher, const struct ctkd__picture_file *file,
                            char out[CTKD__SHA256_DIGITS + 1], ctkd_error *err)
{
    const size_t side = hasher->settings.size;
    const struct ctkd__box window = { 0, 0, side, side };
    struct ctkd__picture_info info;
    struct ctkd__picture picture;
    struct sha256_ctx sum;
    uint64_t state = file->size;
    sha256_init(&sum);
    ctkd_status status = ctkd__picture_probe(file, &info, err);
    for (size_t i = 0; i < hasher->settings.boxes && status == CTKD_OK; i++) {
        const struct ctkd__box box = box_of(i, &info, &state);
        status = ctkd__picture_decode(hasher->reader, file, &box, &picture, err);
        if (status == CTKD_OK && ctkd__resize(hasher->resizer, &picture, side, side, &window, false,
                                              hasher->view) != CTKD_OK)
            status = ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file->name);
        sha256_update(&sum, 3 * side * side, hasher->view);
    }
    if (status == CTKD_OK)
        status = ctkd__viewer_evaluation(hasher->viewer, file, hasher->view, err);
    sha256_update(&sum, 3 * side * side, hasher->view);
    ctkd__sha256_text(&sum, out);
    return status;
}
