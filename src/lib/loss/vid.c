/*
 * VID: the teacher's maps under a Gaussian whose mean a regressor predicts from the student's maps
 * and whose variance is learned per channel. Taps 1 .. -2 in pairs; the larger map of a pair is
 * pooled to the smaller; mu = W3 relu(W2 relu(W1 f)), three 1x1 convolutions without bias. With
 * v_c = softplus(l_c) + 1e-5 and N = n c h w elements:
 *   L  = sum over pairs of 1/N sum 1/2 [ (mu - t)^2/v_c + log v_c ]
 *   dmu = (mu - t)/(v_c N),  dl_c = sigmoid(l_c) 1/N sum_{n,h,w} 1/2 [ 1/v_c - (mu - t)^2/v_c^2 ]
 * Maps: for each pair mu [c, h, w], t of the same shape, l [c] without n.
 */
#include <math.h>

#include "ctkd/loss.h"
#include "lib/maps.h"
#include "lib/math/rows.h"
#include "lib/memory.h"
#include "lib/pairs.h"
#include "lib/part.h"
#include "lib/taps.h"

static const double variance_least = 1e-5;

struct vid_config {
    float variance;
};

static int regressor(ctkd_builder *b, int x, size_t out, size_t tap)
{
    static const char *const parts[] = { "0", "2", "4" };
    const ctkd_conv conv = { .out = out, .kernel = 1, .stride = 1 };
    char name[CTKD__NAME_BYTES];
    for (int i = 0; i < 3; i++) {
        x = b->conv(b, x, ctkd__layer_name(name, "regressor", tap, parts[i]), &conv);
        if (i < 2)
            x = b->activate(b, x, CTKD_RELU, 0);
    }
    return x;
}

static ctkd_status vid_plan(const void *config, ctkd_builder *b)
{
    const struct vid_config *vid = config;
    const double v = (double)vid->variance - variance_least;
    const double start = v + log(-expm1(-v)); /* softplus(start) = v */
    const size_t end = ctkd__maps_end(b);
    for (size_t i = 1; i < end; i++) {
        int x = b->tap(b, CTKD_STUDENT, (int)i, false);
        int t = b->tap(b, CTKD_TEACHER, (int)i, false);
        size_t c = 0, h, w;
        char name[CTKD__NAME_BYTES];
        ctkd__pool_alike(b, &x, &t);
        b->size(b, t, &c, &h, &w);
        b->read(b, regressor(b, x, c, i), CTKD_STAGE_MAIN, true);
        b->read(b, t, CTKD_STAGE_MAIN, false);
        b->read(b, b->parameter(b, ctkd__layer_name(name, "log_scale", i, NULL), c, (float)start),
                CTKD_STAGE_MAIN, true);
    }
    return b->status;
}

/* The channels of all pairs; 0 if their number overflows. */
static size_t channels(const ctkd_map *maps, size_t n_maps)
{
    size_t count = 0;
    for (size_t i = 0; i < n_maps; i += 3)
        if (!ctkd__add_product(&count, 1, maps[i].c))
            return 0;
    return count;
}

/* For each sample and channel of all pairs the sum over h, w of (mu - t)^2; then v_c of each. */
static size_t vid_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    const size_t width = channels(shape->maps, shape->n_maps);
    size_t values = 0;
    return ctkd__add_product(&values, shape->n, width) && ctkd__add_product(&values, 1, width)
               ? values
               : 0;
}

struct vid_pair {
    const ctkd_map *mu, *t;
    double count;           /* N */
    const double *variance; /* [c] */
    double *squares;        /* squares[i * width + j] of sample i and channel j */
    size_t width;
};

static void add_sample(void *argument, size_t i)
{
    const struct vid_pair *p = argument;
    const size_t c = p->mu->c, hw = p->mu->h * p->mu->w;
    for (size_t j = 0; j < c; j++) {
        const size_t at = (i * c + j) * hw;
        p->squares[i * p->width + j] = ctkd__squared_error(hw, p->mu->x + at, p->t->x + at,
                                                           (float)(1 / (p->variance[j] * p->count)),
                                                           p->mu->dx ? p->mu->dx + at : NULL);
    }
}

/* n h w of a pair. */
static double elements_of_channel(const ctkd_loss_args *a, const ctkd_map *maps)
{
    return (double)a->n * (double)(maps->h * maps->w);
}

static void compare_pair(const ctkd_loss_args *a, const ctkd_map *maps, double *squares,
                         double *variance, size_t width)
{
    const ctkd_map *const l = &maps[2];
    const double count = elements_of_channel(a, maps) * (double)l->c;
    for (size_t j = 0; j < l->c; j++)
        variance[j] = ctkd__softplus((double)l->x[j]) + variance_least;
    struct vid_pair p = { &maps[0], &maps[1], count, variance, squares, width };
    ctkd__part_each(a, add_sample, &p);
}

/* The pair's loss and dl, from the squares of all samples. */
static double pair_loss(const ctkd_loss_args *a, const ctkd_map *maps, const double *squares,
                        const double *variance, size_t width)
{
    const ctkd_map *const l = &maps[2];
    const double each = elements_of_channel(a, maps), count = each * (double)l->c;
    double loss = 0;
    for (size_t j = 0; j < l->c; j++) {
        const double sum = ctkd__sum(a->n, squares + j, width), v = variance[j];
        loss += (sum / v + each * log(v)) / (2 * count);
        if (l->dx)
            l->dx[j] = (float)(ctkd__sigmoid((double)l->x[j]) * (each - sum / v) / (2 * v * count));
    }
    return loss;
}

static ctkd_status vid_eval(const void *config, const ctkd_loss_args *a)
{
    (void)config;
    const ctkd_status status = ctkd__maps_check(a, 3);
    if (status != CTKD_OK)
        return status;
    if (!a->workspace)
        return CTKD_EINVAL;
    for (size_t i = 0; i < a->n_maps; i += 3)
        if (!ctkd__maps_alike(&a->maps[i], &a->maps[i + 1]) ||
            ctkd__map_size(&a->maps[i + 2]) != a->maps[i].c)
            return CTKD_ESHAPE;
    const size_t width = channels(a->maps, a->n_maps);
    double *const squares = a->workspace, *const variance = squares + a->n * width;
    double loss = 0;
    for (size_t i = 0, at = 0; i < a->n_maps; at += a->maps[i].c, i += 3)
        compare_pair(a, a->maps + i, squares + at, variance + at, width);
    const ctkd_status gathered = ctkd__part_gather(a, width, squares);
    if (gathered != CTKD_OK)
        return gathered;
    for (size_t i = 0, at = 0; i < a->n_maps; at += a->maps[i].c, i += 3)
        loss += pair_loss(a, a->maps + i, squares + at, variance + at, width);
    *a->loss = (float)loss;
    return CTKD_OK;
}

static const ctkd_option vid_options[] = {
    CTKD_OPT_F32(struct vid_config, variance, 5.0, 0.01, 1e6, "initial variance of every channel"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_vid = {
    .name = "vid",
    .title = "Variational information distillation",
    .formula =
        "sum over taps of mean 1/2 ((mu(f_s) - f_t)^2/v_c + log v_c), v = softplus(l) + 1e-5",
    .source = "Ahn et al. 2019, arXiv:1904.05835",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_BY_PARTS,
    .classes_min = 1,
    .options = vid_options,
    .config_size = sizeof(struct vid_config),
    .weight = 1,
    .plan = vid_plan,
    .workspace = vid_workspace,
    .eval = vid_eval,
};
