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
#include "lib/each.h"
#include "lib/maps.h"
#include "lib/math/rows.h"
#include "lib/memory.h"
#include "lib/pairs.h"
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

/* Of the widest pair: v_c [c], then sum over h, w of (mu - t)^2 for each sample and channel. */
static size_t vid_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0, widest = 1;
    for (size_t i = 0; i < shape->n_maps; i++)
        if (shape->maps[i].c > widest)
            widest = shape->maps[i].c;
    return ctkd__add_product(&values, shape->n, widest) && ctkd__add_product(&values, 1, widest)
               ? values
               : 0;
}

struct vid_pair {
    const ctkd_map *mu, *t;
    double count; /* N */
    const double *variance;
    double *squares; /* [n][c] */
};

static void add_sample(void *argument, size_t i)
{
    const struct vid_pair *p = argument;
    const size_t c = p->mu->c, hw = p->mu->h * p->mu->w;
    for (size_t j = 0; j < c; j++) {
        const size_t at = (i * c + j) * hw;
        p->squares[i * c + j] = ctkd__squared_error(hw, p->mu->x + at, p->t->x + at,
                                                    (float)(1 / (p->variance[j] * p->count)),
                                                    p->mu->dx ? p->mu->dx + at : NULL);
    }
}

static double add_pair(const ctkd_loss_args *a, const ctkd_map *maps)
{
    const ctkd_map *const l = &maps[2];
    const size_t n = a->n, c = l->c;
    double *const variance = a->workspace, *const squares = variance + c;
    const double each = (double)n * (double)(maps->h * maps->w), count = each * (double)c;
    for (size_t j = 0; j < c; j++)
        variance[j] = ctkd__softplus((double)l->x[j]) + variance_least;
    struct vid_pair p = { &maps[0], &maps[1], count, variance, squares };
    ctkd__each(a->pool, n, add_sample, &p);
    double loss = 0;
    for (size_t j = 0; j < c; j++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += squares[i * c + j];
        const double v = variance[j];
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
    double loss = 0;
    for (size_t i = 0; i < a->n_maps; i += 3)
        loss += add_pair(a, a->maps + i);
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
    .classes_min = 1,
    .options = vid_options,
    .config_size = sizeof(struct vid_config),
    .weight = 1,
    .plan = vid_plan,
    .workspace = vid_workspace,
    .eval = vid_eval,
};
