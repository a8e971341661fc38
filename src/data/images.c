#include "data/images.h"

#include <stdlib.h>

#include "util/error.h"

ctkd_status ctkd__images_alloc(const char *place, struct ctkd__images *images, ctkd_error *err)
{
    size_t bytes;
    if (__builtin_mul_overflow(images->count, images->channels, &bytes) ||
        __builtin_mul_overflow(bytes, images->height, &bytes) ||
        __builtin_mul_overflow(bytes, images->width, &bytes) || bytes == 0)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: found %zu images of %zux%zux%zu, expected at least one, and no more "
                          "than memory can hold",
                          place, images->count, images->channels, images->height, images->width);
    images->pixels = malloc(bytes);
    images->labels = calloc(images->count, sizeof *images->labels);
    if (images->pixels && images->labels)
        return CTKD_OK;
    ctkd__images_free(images);
    return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory for %zu bytes of images", place, bytes);
}

void ctkd__images_free(struct ctkd__images *images)
{
    free(images->pixels);
    free(images->labels);
    images->pixels = NULL;
    images->labels = NULL;
}

ctkd_status ctkd__label_check(const char *place, size_t record, const char *kind, int64_t label,
                              size_t classes, ctkd_error *err)
{
    if (label >= 0 && (uint64_t)label < classes)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_ERANGE, "%s: record %zu: found %s %jd, expected 0..%zu", place,
                      record, kind, (intmax_t)label, classes - 1);
}
