/*
 * Views of an image file, for tests/interop/views.py.
 *     interop_views ORDER SIDE FILE        ORDER: horizontal or pillow_13 (data/picture/resize.h)
 * For each line "LEFT TOP WIDTH HEIGHT" of the standard input: that box of the image, resized to
 * SIDE x SIDE, of which only the part is decoded that it needs; at the end the evaluation view of
 * SIDE. Each is SIDE x SIDE bytes of red, green and blue, one colour after the other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/picture/viewer.h"
#include "util/file.h"

struct rig {
    struct ctkd__view_settings settings;
    struct ctkd__picture_reader *reader;
    struct ctkd__resizer *resizer;
    struct ctkd__viewer *viewer;
    uint8_t *view;
};

static ctkd_status open_rig(const char *order, const char *side, struct rig *rig, ctkd_error *err)
{
    rig->settings = ctkd__view_settings_defaults();
    rig->settings.size = strtoul(side, NULL, 10);
    rig->settings.resize = ctkd__view_resize_for(rig->settings.size);
    rig->settings.order =
        strcmp(order, "pillow_13") == 0 ? CTKD__PILLOW_13 : CTKD__HORIZONTAL_FIRST;
    ctkd_status status = ctkd__viewer_create(&rig->settings, &rig->viewer, err);
    if (status == CTKD_OK)
        status = ctkd__picture_reader_create(rig->settings.pixels_max, true, &rig->reader, err);
    if (status == CTKD_OK)
        status = ctkd__resizer_create(rig->settings.order, &rig->resizer, err);
    rig->view = malloc(3 * rig->settings.size * rig->settings.size + 1);
    return rig->view ? status : CTKD_ENOMEM;
}

static void close_rig(struct rig *rig)
{
    ctkd__viewer_destroy(rig->viewer);
    ctkd__picture_reader_destroy(rig->reader);
    ctkd__resizer_destroy(rig->resizer);
    free(rig->view);
}

static void write_view(const struct rig *rig)
{
    fwrite(rig->view, 3, rig->settings.size * rig->settings.size, stdout);
}

static ctkd_status write_views(const struct rig *rig, const struct ctkd__picture_file *file,
                               ctkd_error *err)
{
    const size_t side = rig->settings.size;
    const struct ctkd__box window = { 0, 0, side, side };
    struct ctkd__box box;
    ctkd_status status = CTKD_OK;
    while (status == CTKD_OK &&
           scanf("%zu %zu %zu %zu", &box.left, &box.top, &box.width, &box.height) == 4) {
        struct ctkd__picture picture;
        status = ctkd__picture_decode(rig->reader, file, &box, &picture, err);
        if (status == CTKD_OK)
            status = ctkd__resize(rig->resizer, &picture, side, side, &window, false, rig->view);
        write_view(rig);
    }
    if (status == CTKD_OK)
        status = ctkd__viewer_evaluation(rig->viewer, file, rig->view, err);
    write_view(rig);
    return status;
}

int main(int argc, char **argv)
{
    struct rig rig = { 0 };
    ctkd_error err = { .message = "out of memory" };
    char *bytes = NULL;
    size_t size;
    if (argc != 4) {
        fprintf(stderr, "usage: interop_views ORDER SIDE FILE\n");
        return 2;
    }
    ctkd_status status = open_rig(argv[1], argv[2], &rig, &err);
    if (status == CTKD_OK)
        status = ctkd__file_read(argv[3], 1 << 28, &bytes, &size, &err);
    if (status == CTKD_OK) {
        const struct ctkd__picture_file file = { argv[3], (uint8_t *)bytes, size };
        status = write_views(&rig, &file, &err);
    }
    if (status != CTKD_OK)
        fprintf(stderr, "%s\n", err.message);
    free(bytes);
    close_rig(&rig);
    return status != CTKD_OK;
}
