/*
 * OFD: maps before the ReLU, and of the teacher's negative values only that they are negative.
 * Connectors BN(conv1x1 x) without bias on the student's taps before their ReLU; the teacher's map
 * t is averaged to the student's size. Its channel's batch norm gives N(b, s^2), s = |w|, b its
 * bias, and the margin m, the mean of that below zero (phi, Phi: normal density and distribution):
 *   m = b - s phi(b/s)/Phi(-b/s) if Phi(-b/s) > 0.001, else -3 s;   t' = max(t, m)
 *   L = sum over levels l of 2^(l - levels + 1) 1/n sum (x - t')^2 [x > t' or t > 0]
 * Published with the teacher's batch norms in training mode: its maps are of the batch's
 * statistics. Pairs are aligned at the deep end; the stem is left out. Maps: for each level,
 * shallow to deep, x and t with the weight and bias of its batch norm; t may differ from x in
 * height and width.
 */
#include <math.h>

#include "ctkd/loss.h"
#include "lib/maps.h"
#include "lib/memory.h"
#include "lib/pairs.h"
#include "lib/part.h"
#include "lib/taps.h"

struct ofd_config {
    bool batch_statistics;
};

static const ctkd_option ofd_options[] = {
    CTKD_OPT_BOOL(struct ofd_config, batch_statistics, 1,
                  "true: the teacher's batch norms use the statistics of the batch, as published; "
                  "false: their running statistics"),
    CTKD_OPT_END,
};

static ctkd_status ofd_plan(const void *config, ctkd_builder *b)
{
    const struct ofd_config *ofd = config;
    if (ofd->batch_statistics)
        b->batch_statistics(b);
    const size_t levels = ctkd__maps_end(b) - 1;
    for (size_t i = 0; i < levels; i++) {
        char name[CTKD__NAME_BYTES];
        const int at = -1 - (int)(levels - i); /* -2 is the last map */
        const int t = b->tap(b, CTKD_TEACHER, at, true);
        if (b->status == CTKD_OK && !b->has_norm(b, t))
            b->refuse(b,
                      "feature %d: the teacher has no batch norm before its ReLU, expected one, "
                      "because its weights give the margin",
                      at);
        size_t c = 0, h, w;
        b->size(b, t, &c, &h, &w);
        const ctkd_conv conv = { .out = c, .kernel = 1, .stride = 1, .start = CTKD_START_HE_OUT };
        int x = b->tap(b, CTKD_STUDENT, at, true);
        x = b->conv(b, x, ctkd__layer_name(name, "connector", i, "conv"), &conv);
        x = b->batch_norm(b, x, ctkd__layer_name(name, "connector", i, "norm"));
        b->read(b, x, CTKD_STAGE_MAIN, true);
        b->read(b, t, CTKD_STAGE_MAIN, false);
    }
    return b->status;
}

/* For each sample a sum of each level. Of the largest level: c margins, and a float channel [h, w]
   of the teacher's map at the student's size for each sample. */
static size_t ofd_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t c = 1, hw = 1, values = 0;
    for (size_t i = 0; i < shape->n_maps; i += 2) {
        size_t area = 0;
        if (!ctkd__add_product(&area, shape->maps[i].h, shape->maps[i].w))
            return 0;
        hw = area > hw ? area : hw;
        c = shape->maps[i].c > c ? shape->maps[i].c : c;
    }
    return ctkd__add_product(&values, 1, c) && ctkd__add_product(&values, shape->n, hw) &&
                   ctkd__add_product(&values, shape->n, shape->n_maps / 2)
               ? values
               : 0;
}

static double margin(double weight, double bias)
{
    const double s = fabs(weight);
    if (s == 0) /* the limit */
        return bias < 0 ? bias : 0;
    const double at = bias / s, below = 0.5 * erfc(at * sqrt(0.5));
    if (!(below > 0.001))
        return -3 * s;
    return bias - s * (exp(-0.5 * at * at) * 0.398942280401432678) / below;
}

struct ofd_level {
    const ctkd_map *x, *t;
    double *margins;
    double *sums; /* sums[i * levels] of sample i */
    size_t levels;
    float *room; /* [n][h][w] */
    float scale; /* of the gradient */
};

/* Adaptive average pooling of one channel: cell a of `out` covers from floor(a in/out) up to
   ceil((a + 1) in/out). */
static void average_to(size_t h, size_t w, const float *x, size_t out_h, size_t out_w, float *y)
{
    for (size_t a = 0; a < out_h; a++)
        for (size_t b = 0; b < out_w; b++) {
            const size_t top = a * h / out_h, bottom = ((a + 1) * h + out_h - 1) / out_h;
            const size_t left = b * w / out_w, right = ((b + 1) * w + out_w - 1) / out_w;
            double sum = 0;
            for (size_t i = top; i < bottom; i++)
                for (size_t j = left; j < right; j++)
                    sum += (double)x[i * w + j];
            y[a * out_w + b] = (float)(sum / (double)((bottom - top) * (right - left)));
        }
}

/* One channel: sum of squares where it counts; dx unless NULL. Without branches, which would be
   mispredicted about half the time. A NaN of the student's stays NaN. */
static double compare(size_t n, const float *x, const float *t, float least, float scale, float *dx)
{
    double sum = 0;
    for (size_t at = 0; at < n; at += CTKD__STRETCH) {
        float d[CTKD__STRETCH];
        const size_t count = n - at < CTKD__STRETCH ? n - at : CTKD__STRETCH;
        for (size_t i = 0; i < count; i++) {
            const float teacher = t[at + i], target = teacher > least ? teacher : least;
            const float over = x[at + i] - target, positive = over <= 0 ? 0 : over;
            d[i] = teacher > 0 ? over : positive;
        }
        sum += ctkd__take_residuals(count, d, scale, dx ? dx + at : NULL);
    }
    return sum;
}

static void compare_sample(void *argument, size_t i)
{
    const struct ofd_level *level = argument;
    const ctkd_map *const x = level->x, *const t = level->t;
    const size_t hw = x->h * x->w, t_hw = t->h * t->w;
    float *const room = level->room + i * hw;
    double sum = 0;
    for (size_t j = 0; j < x->c; j++) {
        const size_t at = (i * x->c + j) * hw;
        const float *channel = t->x + (i * x->c + j) * t_hw;
        if (t->h != x->h || t->w != x->w) {
            average_to(t->h, t->w, channel, x->h, x->w, room);
            channel = room;
        }
        sum += compare(hw, x->x + at, channel, (float)level->margins[j], level->scale,
                       x->dx ? x->dx + at : NULL);
    }
    level->sums[i * level->levels] = sum;
}

static ctkd_status check(const ctkd_loss_args *a)
{
    const ctkd_status status = ctkd__maps_check(a, 2);
    if (status != CTKD_OK)
        return status;
    if (!a->workspace)
        return CTKD_EINVAL;
    for (size_t i = 0; i < a->n_maps; i += 2) {
        if (a->maps[i].c != a->maps[i + 1].c)
            return CTKD_ESHAPE;
        if (!a->maps[i + 1].norm_weight || !a->maps[i + 1].norm_bias)
            return CTKD_EINVAL;
    }
    return CTKD_OK;
}

static void compare_level(const ctkd_loss_args *a, size_t l, double factor)
{
    const size_t levels = a->n_maps / 2;
    const ctkd_map *const x = &a->maps[2 * l], *const t = &a->maps[2 * l + 1];
    double *const sums = a->workspace, *const margins = sums + a->n * levels;
    struct ofd_level level = { .x = x,
                               .t = t,
                               .margins = margins,
                               .sums = sums + l,
                               .levels = levels,
                               .room = (float *)(void *)(margins + x->c),
                               .scale = (float)(2 * factor / (double)a->n) };
    for (size_t j = 0; j < x->c; j++)
        margins[j] = margin((double)t->norm_weight[j], (double)t->norm_bias[j]);
    ctkd__part_each(a, compare_sample, &level);
}

static ctkd_status ofd_eval(const void *config, const ctkd_loss_args *a)
{
    (void)config;
    const ctkd_status status = check(a);
    if (status != CTKD_OK)
        return status;
    const size_t levels = a->n_maps / 2;
    double *const sums = a->workspace;
    double loss = 0, factor = 1;
    for (size_t l = levels; l-- > 0; factor /= 2) /* the deepest weighs most */
        compare_level(a, l, factor);
    const ctkd_status gathered = ctkd__part_gather(a, levels, sums);
    if (gathered != CTKD_OK)
        return gathered;
    factor = 1;
    for (size_t l = levels; l-- > 0; factor /= 2)
        loss += factor * ctkd__sum(a->n, sums + l, levels) / (double)a->n;
    *a->loss = (float)loss;
    return CTKD_OK;
}

const ctkd_loss_def ctkd__loss_ofd = {
    .name = "ofd",
    .title = "Overhaul of feature distillation",
    .formula =
        "sum over taps of 2^(l-L+1) 1/n sum (x - t')^2 [x > t' or t > 0], t' = max(t, margin)",
    .source = "Heo et al. 2019, arXiv:1904.01866",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_NONNEGATIVE | CTKD_BY_PARTS,
    .classes_min = 1,
    .options = ofd_options,
    .config_size = sizeof(struct ofd_config),
    .weight = 1e-3f,
    .plan = ofd_plan,
    .workspace = ofd_workspace,
    .eval = ofd_eval,
};
