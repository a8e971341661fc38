/*
 * FT: factors of the last map instead of the map. The initial stage trains a paraphraser on the
 * teacher's map t [c]: three 3x3 convolutions c -> c, c -> c/2, c/2 -> c/2, each with bias and
 * leaky ReLU (0.1), and their mirror image of transposed ones, on the reconstruction alone. In the
 * main stage the paraphraser is frozen, and a translator of the same form, with batch norms,
 * produces the student's factor.
 *   initial: L = mean (reconstruction - t)^2
 *   main:    L = mean |A(F_s) - A(F_t)|,  A(F) = a/|a|,
 *            a_p = mean over channels of F^2 at pixel p
 *            dA = sign(A_s - A_t)/(n h w),  da = (dA - A <A, dA>)/|a|,  dF = 2 F da/c
 * Maps, initial: reconstruction, t; main: F_s, F_t, the larger averaged to the smaller. A map of
 * zeros has A = 0 and no gradient.
 */
#include "ctkd/loss.h"
#include "lib/maps.h"
#include "lib/math/matrix.h"
#include "lib/memory.h"
#include "lib/pairs.h"
#include "lib/part.h"
#include "lib/taps.h"

static const float slope = 0.1f;

enum form { ENCODER, ENCODER_WITH_NORM, DECODER };

/* Three layers of the given widths. */
static int three_layers(ctkd_builder *b, int x, const char *word, enum form form,
                        const size_t widths[3])
{
    for (size_t i = 0; i < 3; i++) {
        char name[CTKD__NAME_BYTES];
        const ctkd_conv conv = {
            .out = widths[i], .kernel = 3, .stride = 1, .padding = 1, .bias = true
        };
        const char *const layer = ctkd__layer_name(name, word, i, "conv");
        x = form == DECODER ? b->transposed_conv(b, x, layer, &conv) : b->conv(b, x, layer, &conv);
        if (form == ENCODER_WITH_NORM)
            x = b->batch_norm(b, x, ctkd__layer_name(name, word, i, "norm"));
        x = b->activate(b, x, CTKD_LEAKY_RELU, slope);
    }
    return x;
}

static ctkd_status ft_plan(const void *config, ctkd_builder *b)
{
    (void)config;
    (void)ctkd__maps_end(b); /* refuses networks without maps */
    const int t = b->tap(b, CTKD_TEACHER, -2, false), s = b->tap(b, CTKD_STUDENT, -2, false);
    size_t c = 2, width = 1, h, w;
    b->size(b, t, &c, &h, &w);
    b->size(b, s, &width, &h, &w);
    if (b->status == CTKD_OK && c < 2)
        (void)b->refuse(b, "the teacher's last map has one channel, expected at least 2");
    const size_t half = c / 2;
    b->train_in(b, CTKD_STAGE_INITIAL);
    int factor = three_layers(b, t, "encoder", ENCODER, (const size_t[3]){ c, half, half });
    const int again = three_layers(b, factor, "decoder", DECODER, (const size_t[3]){ half, c, c });
    b->read(b, again, CTKD_STAGE_INITIAL, true);
    b->read(b, t, CTKD_STAGE_INITIAL, false);
    b->train_in(b, CTKD_STAGE_MAIN);
    int x =
        three_layers(b, s, "translator", ENCODER_WITH_NORM, (const size_t[3]){ width, half, half });
    ctkd__pool_alike(b, &x, &factor);
    b->read(b, x, CTKD_STAGE_MAIN, true);
    b->read(b, factor, CTKD_STAGE_MAIN, false);
    return b->status;
}

/* n sums; A_s, A_t and dA, each [n, h w]. */
static size_t ft_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0, hw = 0, width = 1;
    return shape->n_maps > 0 && ctkd__add_product(&hw, shape->maps[0].h, shape->maps[0].w) &&
                   ctkd__add_product(&width, 3, hw) && ctkd__add_product(&values, shape->n, width)
               ? values
               : 0;
}

struct factors {
    const ctkd_map *s, *t;
    size_t hw;
    double elements; /* n h w */
    double *sums, *maps;
};

/* a of one sample, as a unit vector; returns its length. */
static double attention(const ctkd_map *map, size_t sample, double *a)
{
    const size_t hw = map->h * map->w;
    const float *x = map->x + sample * map->c * hw;
    for (size_t p = 0; p < hw; p++)
        a[p] = 0;
    for (size_t j = 0; j < map->c; j++, x += hw)
        for (size_t p = 0; p < hw; p++)
            a[p] += (double)x[p] * (double)x[p] / (double)map->c;
    return ctkd__normalise_double(hw, a, a);
}

static void compare_sample(void *argument, size_t i)
{
    const struct factors *f = argument;
    const size_t hw = f->hw, c = f->s->c;
    double *const a = f->maps + i * 3 * hw, *const b = a + hw, *const da = b + hw;
    const double length = attention(f->s, i, a);
    (void)attention(f->t, i, b);
    double sum = 0;
    for (size_t p = 0; p < hw; p++) {
        const double d = a[p] - b[p];
        sum += d < 0 ? -d : d;
        da[p] = (double)((d > 0) - (d < 0)) / f->elements;
    }
    f->sums[i] = sum;
    if (!f->s->dx)
        return;
    ctkd__through_normalise_double(hw, a, length, da, da);
    for (size_t j = 0; j < c; j++) {
        const size_t at = (i * c + j) * hw;
        for (size_t p = 0; p < hw; p++)
            f->s->dx[at + p] = (float)(2 * da[p] * (double)f->s->x[at + p] / (double)c);
    }
}

static ctkd_status ft_eval(const void *config, const ctkd_loss_args *a)
{
    (void)config;
    const ctkd_status status = ctkd__maps_check(a, 2);
    if (status != CTKD_OK)
        return status;
    if (!a->workspace)
        return CTKD_EINVAL;
    const ctkd_map *const s = &a->maps[0], *const t = &a->maps[1];
    if (a->n_maps != 2 || s->h != t->h || s->w != t->w)
        return CTKD_ESHAPE;
    if (a->stage == CTKD_STAGE_INITIAL) {
        if (s->c != t->c)
            return CTKD_ESHAPE;
        ctkd__map_errors(a, s, t, 1, a->workspace, 1);
        const ctkd_status gathered = ctkd__part_gather(a, 1, a->workspace);
        if (gathered == CTKD_OK)
            *a->loss = (float)ctkd__map_error(a->n, s, a->workspace, 1);
        return gathered;
    }
    const size_t hw = s->h * s->w;
    struct factors f = { s, t, hw, (double)a->n * (double)hw, a->workspace, a->workspace + a->n };
    double sum = 0;
    ctkd__part_each(a, compare_sample, &f);
    const ctkd_status gathered = ctkd__part_sum(a, f.sums, &sum);
    if (gathered == CTKD_OK)
        *a->loss = (float)(sum / f.elements);
    return gathered;
}

const ctkd_loss_def ctkd__loss_ft = {
    .name = "ft",
    .title = "Factor transfer",
    .formula =
        "mean |A(F_s) - A(F_t)|, A the unit vector of mean_c F^2; before that the paraphraser's "
        "mean (r - t)^2",
    .source = "Kim et al. 2018, arXiv:1802.04977",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_NONNEGATIVE | CTKD_ZERO_WHEN_EQUAL | CTKD_BY_PARTS,
    .classes_min = 1,
    .weight = 200,
    .stages = CTKD_STAGE_INITIAL | CTKD_STAGE_MAIN,
    .plan = ft_plan,
    .workspace = ft_workspace,
    .eval = ft_eval,
};
