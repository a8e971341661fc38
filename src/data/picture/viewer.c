#include "data/picture/viewer.h"

#include <math.h>
#include <stdlib.h>

#include "util/error.h"

struct ctkd__viewer {
    struct ctkd__view_settings settings;
    struct ctkd__picture_reader *reader;
    struct ctkd__resizer *resizer;
};

size_t ctkd__view_resize_for(size_t size)
{
    return size * 8 / 7;
}

struct ctkd__view_settings ctkd__view_settings_defaults(void)
{
    return (struct ctkd__view_settings){
        .size = 224,
        .resize = ctkd__view_resize_for(224),
        .crop = ctkd__crop_ranges_defaults(),
        .order = CTKD__HORIZONTAL_FIRST,
        .pixels_max = 178956970, /* Pillow's limit: it takes 512 MB */
        .roi = true,
    };
}

static bool is_range(double low, double high)
{
    return low > 0 && low <= high && isfinite(high);
}

static ctkd_status settings_check(const struct ctkd__view_settings *settings, ctkd_error *err)
{
    const struct ctkd__crop_ranges *const crop = &settings->crop;
    if (settings->size == 0 || settings->size > CTKD__VIEW_SIDE_MAX)
        return ctkd__fail(err, CTKD_EINVAL, "data.size: found %zu, expected 1..%d", settings->size,
                          CTKD__VIEW_SIDE_MAX);
    if (settings->resize < settings->size || settings->resize > 2 * CTKD__VIEW_SIDE_MAX)
        return ctkd__fail(err, CTKD_EINVAL,
                          "data.resize: found %zu, expected 0, or data.size (%zu) to %d",
                          settings->resize, settings->size, 2 * CTKD__VIEW_SIDE_MAX);
    if (!is_range(crop->ratio_min, crop->ratio_max))
        return ctkd__fail(err, CTKD_EINVAL,
                          "crops of images: found aspect ratios %g to %g, expected two positive "
                          "numbers, the smaller one first",
                          crop->ratio_min, crop->ratio_max);
    if (!is_range(crop->area_min, crop->area_max) || crop->area_max > 1)
        return ctkd__fail(err, CTKD_EINVAL,
                          "data.crop_scale: found %g,%g, expected two shares of the area between 0 "
                          "and 1, the smaller one first",
                          crop->area_min, crop->area_max);
    return CTKD_OK;
}

ctkd_status ctkd__viewer_create(const struct ctkd__view_settings *settings,
                                struct ctkd__viewer **out, ctkd_error *err)
{
    *out = NULL;
    ctkd_status status = settings_check(settings, err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__viewer *const viewer = calloc(1, sizeof *viewer);
    if (!viewer)
        return ctkd__fail(err, CTKD_ENOMEM, "image reader: out of memory");
    viewer->settings = *settings;
    status = ctkd__picture_reader_create(settings->pixels_max, settings->roi, &viewer->reader, err);
    if (status == CTKD_OK)
        ctkd__picture_reader_upright(viewer->reader, settings->upright);
    if (status == CTKD_OK)
        status = ctkd__resizer_create(settings->order, &viewer->resizer, err);
    if (status == CTKD_OK)
        *out = viewer;
    else
        ctkd__viewer_destroy(viewer);
    return status;
}

void ctkd__viewer_destroy(struct ctkd__viewer *viewer)
{
    if (!viewer)
        return;
    ctkd__picture_reader_destroy(viewer->reader);
    ctkd__resizer_destroy(viewer->resizer);
    free(viewer);
}

ctkd_status ctkd__viewer_training(struct ctkd__viewer *viewer,
                                  const struct ctkd__picture_file *file, uint64_t seed,
                                  uint64_t epoch, uint64_t id, uint8_t *out, ctkd_error *err)
{
    const size_t size = viewer->settings.size;
    const struct ctkd__box window = { 0, 0, size, size };
    struct ctkd__picture_info info;
    struct ctkd__picture picture;
    ctkd_status status = ctkd__picture_probe(file, &info, err);
    if (status != CTKD_OK)
        return status;
    if (viewer->settings.upright)
        ctkd__picture_info_upright(&info);
    const struct ctkd__crop_view view =
        ctkd__crop_draw(seed, epoch, id, info.width, info.height, &viewer->settings.crop);
    status = ctkd__picture_decode(viewer->reader, file, &view.box, &picture, err);
    if (status == CTKD_OK &&
        ctkd__resize(viewer->resizer, &picture, size, size, &window, view.flip, out) != CTKD_OK)
        status = ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file->name);
    return status;
}

ctkd_status ctkd__viewer_evaluation(struct ctkd__viewer *viewer,
                                    const struct ctkd__picture_file *file, uint8_t *out,
                                    ctkd_error *err)
{
    const struct ctkd__view_settings *const settings = &viewer->settings;
    struct ctkd__picture_info info;
    struct ctkd__picture part;
    size_t resized[2];
    ctkd_status status = ctkd__picture_probe(file, &info, err);
    if (status != CTKD_OK)
        return status;
    if (settings->upright)
        ctkd__picture_info_upright(&info);
    const struct ctkd__box window =
        ctkd__crop_centre(info.width, info.height, settings->resize, settings->size, resized);
    const struct ctkd__resize_plan plan = { info.width, info.height, resized[0], resized[1],
                                            window };
    const struct ctkd__box reads = ctkd__resize_reads(&plan);
    status = ctkd__picture_decode(viewer->reader, file, &reads, &part, err);
    if (status == CTKD_OK &&
        ctkd__resize_part(viewer->resizer, &plan, &part, false, out) != CTKD_OK)
        status = ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file->name);
    return status;
}
