/*
 * AT: attention transfer. For each pair of maps, brought to one size hw, and sample:
 *   a = 1/c sum_c f_c^p  [hw],  A = a/|a|
 *   L = sum over pairs of mean over samples and places of (A_s - A_t)^2
 * Zagoruyko & Komodakis, ICLR 2017; p = 2 there. Student and teacher may differ in their number of
 * channels, because channels are averaged out. A map of zeros has A = 0 and no gradient.
 */
#include "ctkd/loss.h"
#include "lib/maps.h"
#include "lib/math/matrix.h"
#include "lib/memory.h"
#include "lib/part.h"

struct at_config {
    int64_t power;
};

struct at {
    const ctkd_loss_args *args;
    int64_t power;
    size_t places;          /* of the largest map */
    double *loss, *scratch; /* [n], [n, SCRATCH places] */
};

enum { SCRATCH = 3 }; /* of a sample: A_s, A_t, and a row */

static ctkd_status at_plan(const void *config, ctkd_builder *builder)
{
    (void)config;
    ctkd__read_map_pairs(builder);
    return builder->status;
}

static size_t at_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0, row = 0;
    return ctkd__add_product(&values, shape->n, 1) &&
                   ctkd__add_product(&row, SCRATCH,
                                     ctkd__largest_area(shape->maps, shape->n_maps)) &&
                   ctkd__add_product(&values, shape->n, row)
               ? values
               : 0;
}

/* row = x^power, in double: rounded to float, two nearly equal maps would differ by little but
   their rounding. */
static void raise_to(size_t count, const float *restrict x, int64_t power, double *restrict row)
{
    for (size_t i = 0; i < count; i++)
        row[i] = power > 0 ? (double)x[i] : 1;
    for (int64_t p = 1; p < power; p++)
        for (size_t i = 0; i < count; i++)
            row[i] *= (double)x[i];
}

/* unit = A of a sample f [c, hw]; returns its divisor |a|. */
static double attention(const ctkd_map *map, const float *f, int64_t power, double *row,
                        double *unit)
{
    const size_t places = map->h * map->w;
    for (size_t i = 0; i < places; i++)
        unit[i] = 0;
    for (size_t c = 0; c < map->c; c++) {
        raise_to(places, f + c * places, power, row);
        for (size_t i = 0; i < places; i++)
            unit[i] += row[i];
    }
    for (size_t i = 0; i < places; i++)
        unit[i] /= (double)map->c;
    return ctkd__normalise_double(places, unit, unit);
}

/* df_c = da p f_c^(p-1) / c. */
static void through_attention(const ctkd_map *map, const float *f, int64_t power, const double *da,
                              double *row, float *df)
{
    const size_t places = map->h * map->w;
    for (size_t c = 0; c < map->c; c++) {
        raise_to(places, f + c * places, power - 1, row);
        for (size_t i = 0; i < places; i++)
            df[c * places + i] = (float)(da[i] * (double)power / (double)map->c * row[i]);
    }
}

/* One sample and pair of maps; returns its part of the loss. */
static double compare(const struct at *p, const ctkd_map *s, const ctkd_map *t, size_t i)
{
    const size_t places = s->h * s->w;
    const double scale = 1 / ((double)p->args->n * (double)places);
    const float *f = s->x + i * ctkd__map_size(s), *g = t->x + i * ctkd__map_size(t);
    double *const unit = p->scratch + i * SCRATCH * p->places, *const da = unit + p->places;
    double *const row = da + p->places;
    (void)attention(t, g, p->power, row, da);
    const double length = attention(s, f, p->power, row, unit);
    double squares = 0;
    for (size_t j = 0; j < places; j++) {
        const double difference = unit[j] - da[j];
        squares += difference * difference;
        da[j] = 2 * scale * difference;
    }
    if (s->dx) {
        ctkd__through_normalise_double(places, unit, length, da, da);
        through_attention(s, f, p->power, da, row, s->dx + i * ctkd__map_size(s));
    }
    return scale * squares;
}

static void compare_sample(void *argument, size_t i)
{
    const struct at *p = argument;
    p->loss[i] = 0;
    for (size_t m = 0; m < p->args->n_maps; m += 2)
        p->loss[i] += compare(p, &p->args->maps[m], &p->args->maps[m + 1], i);
}

static ctkd_status at_eval(const void *config, const ctkd_loss_args *a)
{
    const struct at_config *at = config;
    const ctkd_status status = ctkd__map_pairs_check(a);
    if (status != CTKD_OK)
        return status;
    if (!a->workspace)
        return CTKD_EINVAL;
    struct at p = { .args = a,
                    .power = at->power,
                    .places = ctkd__largest_area(a->maps, a->n_maps),
                    .loss = a->workspace,
                    .scratch = a->workspace + a->n };
    ctkd__part_each(a, compare_sample, &p);
    double loss = 0;
    const ctkd_status gathered = ctkd__part_sum(a, p.loss, &loss);
    if (gathered == CTKD_OK)
        *a->loss = (float)loss;
    return gathered;
}

static const ctkd_option at_options[] = {
    CTKD_OPT_I64(struct at_config, power, 2, 1, 8,
                 "power p that features are raised to in the attention map"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_at = {
    .name = "at",
    .title = "Attention transfer",
    .formula = "sum over maps of mean (A_s - A_t)^2, A = RN(mean_c f_c^p)",
    .source = "Zagoruyko & Komodakis 2017, arXiv:1612.03928",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_NONNEGATIVE | CTKD_BY_PARTS,
    .classes_min = 1,
    .options = at_options,
    .config_size = sizeof(struct at_config),
    .weight = 1000,
    .plan = at_plan,
    .workspace = at_workspace,
    .eval = at_eval,
};
