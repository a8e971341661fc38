/*
 * AB: the student's activations should have the signs of the teacher's, with a margin of 1. Taps
 * before the ReLU, 1 .. -2; a connector BN(conv x) where the shapes differ (ctkd__conv_regressor).
 * The initial stage trains the connectors and the student on this loss alone; the main stage does
 * not use it.
 *   e(x, t) = (x + 1)^2 if t <= 0 and x > -1,  (x - 1)^2 if t > 0 and x <= 1,  else 0
 *   L = sum over taps l of 2^(l - taps + 1) 0.003/n sum e,   de/dx = 2 (x + 1) or 2 (x - 1)
 * Maps: for each tap, shallow to deep, x and t of one shape.
 */
#include "ctkd/loss.h"
#include "lib/maps.h"
#include "lib/memory.h"
#include "lib/pairs.h"
#include "lib/part.h"
#include "lib/taps.h"

static const double unit = 0.003; /* of the published code */

static ctkd_status ab_plan(const void *config, ctkd_builder *b)
{
    (void)config;
    const size_t student = b->taps(b, CTKD_STUDENT), teacher = b->taps(b, CTKD_TEACHER);
    const size_t end = ctkd__maps_end(b);
    if (b->status == CTKD_OK && student != teacher)
        (void)b->refuse(b,
                        "the student has %zu features and the teacher %zu, expected equal numbers",
                        student, teacher);
    b->train_in(b, CTKD_STAGE_INITIAL);
    for (size_t i = 1; i < end; i++) {
        int x = b->tap(b, CTKD_STUDENT, (int)i, true), t = b->tap(b, CTKD_TEACHER, (int)i, true);
        ctkd_map from = { 0 }, to = { 0 };
        b->size(b, x, &from.c, &from.h, &from.w);
        b->size(b, t, &to.c, &to.h, &to.w);
        if (!ctkd__maps_alike(&from, &to))
            x = ctkd__conv_regressor(b, x, &t, "connector", i);
        b->read(b, x, CTKD_STAGE_INITIAL, true);
        b->read(b, t, CTKD_STAGE_INITIAL, false);
    }
    return b->status;
}

/* For each sample a sum of each tap. */
static size_t ab_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0;
    return ctkd__add_product(&values, shape->n, shape->n_maps / 2) ? values : 0;
}

struct ab_map {
    const ctkd_map *x, *t;
    float scale;  /* of the gradient */
    double *sums; /* sums[i * taps] of sample i */
    size_t taps;
};

/* Without branches, which would be taken about half the time and so be mispredicted. A NaN of the
   student's stays NaN. */
static void compare_sample(void *argument, size_t sample)
{
    const struct ab_map *tap = argument;
    const size_t size = ctkd__map_size(tap->x), end = (sample + 1) * size;
    double sum = 0;
    for (size_t at = sample * size; at < end; at += CTKD__STRETCH) {
        const float *const x = tap->x->x + at, *const t = tap->t->x + at;
        const size_t count = end - at < CTKD__STRETCH ? end - at : CTKD__STRETCH;
        float d[CTKD__STRETCH];
        for (size_t i = 0; i < count; i++) {
            const float low = x[i] - 1, high = x[i] + 1;
            const float below = low >= 0 ? 0 : low, above = high <= 0 ? 0 : high;
            d[i] = t[i] > 0 ? below : above;
        }
        sum += ctkd__take_residuals(count, d, tap->scale, tap->x->dx ? tap->x->dx + at : NULL);
    }
    tap->sums[sample * tap->taps] = sum;
}

static ctkd_status ab_eval(const void *config, const ctkd_loss_args *a)
{
    (void)config;
    const ctkd_status status = ctkd__maps_check(a, 2);
    if (status != CTKD_OK)
        return status;
    if (!a->workspace)
        return CTKD_EINVAL;
    for (size_t i = 0; i < a->n_maps; i += 2)
        if (!ctkd__maps_alike(&a->maps[i], &a->maps[i + 1]))
            return CTKD_ESHAPE;
    const size_t taps = a->n_maps / 2;
    double *const sums = a->workspace;
    double loss = 0, factor = unit / (double)a->n;
    for (size_t l = taps; l-- > 0; factor /= 2) { /* the deepest weighs most */
        struct ab_map tap = { &a->maps[2 * l], &a->maps[2 * l + 1], (float)(2 * factor), sums + l,
                              taps };
        ctkd__part_each(a, compare_sample, &tap);
    }
    const ctkd_status gathered = ctkd__part_gather(a, taps, sums);
    if (gathered != CTKD_OK)
        return gathered;
    factor = unit / (double)a->n;
    for (size_t l = taps; l-- > 0; factor /= 2)
        loss += factor * ctkd__sum(a->n, sums + l, taps);
    *a->loss = (float)loss;
    return CTKD_OK;
}

const ctkd_loss_def ctkd__loss_ab = {
    .name = "ab",
    .title = "Activation boundaries",
    .formula = "sum over taps of 2^(l-L+1) 0.003/n sum (x + 1)^2 [t <= 0, x > -1] + (x - 1)^2 [t > "
               "0, x <= 1], before training",
    .source = "Heo et al. 2019, arXiv:1811.03233",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_NONNEGATIVE | CTKD_BY_PARTS,
    .classes_min = 1,
    .weight = 1,
    .stages = CTKD_STAGE_INITIAL,
    .initial_trains_student = true,
    .plan = ab_plan,
    .workspace = ab_workspace,
    .eval = ab_eval,
};
