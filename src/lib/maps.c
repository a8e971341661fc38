#include "lib/maps.h"

#include <stdint.h>
#include <string.h>

#include "lib/memory.h"

ctkd_status ctkd__maps_check(const ctkd_loss_args *a, size_t group)
{
    if (a->n == 0 || !a->loss || !a->maps)
        return CTKD_EINVAL;
    for (size_t i = 0; i < a->n_maps; i++)
        if (!a->maps[i].x)
            return CTKD_EINVAL;
        else if (ctkd__map_size(&a->maps[i]) == 0)
            return CTKD_ESHAPE;
    if (a->part &&
        (!a->part->gather || a->part->count > a->n || a->part->first > a->n - a->part->count))
        return CTKD_EINVAL;
    return a->n_maps == 0 || a->n_maps % group != 0 ? CTKD_ESHAPE : CTKD_OK;
}

ctkd_status ctkd__map_pairs_check(const ctkd_loss_args *a)
{
    const ctkd_status status = ctkd__maps_check(a, 2);
    for (size_t i = 0; i < a->n_maps && status == CTKD_OK; i += 2)
        if (a->maps[i].h != a->maps[i + 1].h || a->maps[i].w != a->maps[i + 1].w)
            return CTKD_ESHAPE;
    return status;
}

size_t ctkd__largest_area(const ctkd_map *maps, size_t n_maps)
{
    size_t largest = 0;
    for (size_t i = 0; i < n_maps; i++) {
        size_t area = 0;
        if (!ctkd__add_product(&area, maps[i].h, maps[i].w))
            return SIZE_MAX;
        largest = area > largest ? area : largest;
    }
    return largest;
}

bool ctkd__maps_alike(const ctkd_map *a, const ctkd_map *b)
{
    return a->c == b->c && a->h == b->h && a->w == b->w;
}

void ctkd__maps_clear_gradients(const ctkd_loss_args *a)
{
    for (size_t i = 0; i < a->n_maps; i++)
        if (a->maps[i].dx)
            memset(a->maps[i].dx, 0, a->n * ctkd__map_size(&a->maps[i]) * sizeof(float));
}

void ctkd__read_both(ctkd_builder *builder, int index)
{
    builder->read(builder, builder->tap(builder, CTKD_STUDENT, index, false), CTKD_STAGE_MAIN,
                  true);
    builder->read(builder, builder->tap(builder, CTKD_TEACHER, index, false), CTKD_STAGE_MAIN,
                  false);
}

size_t ctkd__maps_end(ctkd_builder *builder)
{
    const size_t s = builder->taps(builder, CTKD_STUDENT), t = builder->taps(builder, CTKD_TEACHER);
    const size_t fewer = s < t ? s : t;
    if (fewer >= 3)
        return fewer - 1;
    (void)builder->refuse(
        builder, "the %s has %zu features, expected at least 3 (stem, map and pooled vector)",
        s < t ? "student" : "teacher", fewer);
    return 1;
}

void ctkd__pool_alike(ctkd_builder *builder, int *x, int *y)
{
    size_t c, xh = 1, xw = 1, yh = 1, yw = 1;
    builder->size(builder, *x, &c, &xh, &xw);
    builder->size(builder, *y, &c, &yh, &yw);
    const size_t h = xh < yh ? xh : yh, w = xw < yw ? xw : yw;
    *x = builder->pool_to(builder, *x, h, w);
    *y = builder->pool_to(builder, *y, h, w);
}

void ctkd__read_map_pairs(ctkd_builder *builder)
{
    const size_t end = ctkd__maps_end(builder);
    for (size_t i = 1; i < end; i++) {
        int s = builder->tap(builder, CTKD_STUDENT, (int)i, false);
        int t = builder->tap(builder, CTKD_TEACHER, (int)i, false);
        ctkd__pool_alike(builder, &s, &t);
        builder->read(builder, s, CTKD_STAGE_MAIN, true);
        builder->read(builder, t, CTKD_STAGE_MAIN, false);
    }
}
