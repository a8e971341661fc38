#include "data/dev_part.h"

#include <math.h>
#include <stdlib.h>

#include "data/subset.h"
#include "util/error.h"

/* FNV-1a, 64 bits. */
static uint64_t hash_of(const void *data, size_t bytes)
{
    const uint8_t *const at = data;
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ at[i]) * UINT64_C(1099511628211);
    return hash;
}

static ctkd_status choose(const struct ctkd__images *images, uint64_t *keys,
                          struct ctkd__dev_part *out)
{
    const size_t image = images->channels * images->height * images->width;
    size_t dev = 0, rest = 0;
    for (size_t i = 0; i < images->count; i++) {
        const uint64_t id = i;
        keys[i] =
            images->pixels ? hash_of(images->pixels + i * image, image) : hash_of(&id, sizeof id);
    }
    const ctkd_status status =
        ctkd__subset_by_keys(images->labels, images->count, out->n_dev, keys, out->dev);
    for (size_t i = 0; i < images->count && status == CTKD_OK; i++)
        if (dev < out->n_dev && out->dev[dev] == i)
            dev++;
        else
            out->rest[rest++] = (uint32_t)i;
    return status;
}

ctkd_status ctkd__dev_part_choose(const struct ctkd__images *images, double part,
                                  struct ctkd__dev_part *out, ctkd_error *err)
{
    *out = (struct ctkd__dev_part){ .n_dev = (size_t)llround(part * (double)images->count) };
    out->n_rest = images->count - out->n_dev;
    if (out->n_dev == 0 || out->n_rest == 0)
        return ctkd__fail(err, CTKD_ERANGE,
                          "data.dev: found %g, which is %zu of %zu training images; expected at "
                          "least one, and less than all",
                          part, out->n_dev, images->count);
    uint64_t *const keys = malloc(images->count * sizeof *keys);
    out->dev = malloc(out->n_dev * sizeof *out->dev);
    out->rest = malloc(out->n_rest * sizeof *out->rest);
    const ctkd_status status =
        keys && out->dev && out->rest ? choose(images, keys, out) : CTKD_ENOMEM;
    free(keys);
    if (status == CTKD_OK)
        return status;
    ctkd__dev_part_free(out);
    return ctkd__fail(err, status, "data.dev: out of memory");
}

void ctkd__dev_part_free(struct ctkd__dev_part *part)
{
    free(part->dev);
    free(part->rest);
    *part = (struct ctkd__dev_part){ .dev = NULL };
}
