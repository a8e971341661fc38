/*
 * SRRL: the student's features, through the teacher's own classifier, should give the teacher's
 * logits. g = relu(BN(W f)), W [c, c_student] without bias, of the pooled vectors; h = A g + b with
 * the teacher's classifier A [k, c], b, which is not trained:
 *   L = mean (g - f_t)^2 + mean (h - t)^2
 *   dg = 2/(n c) (g - f_t) + 2/(n k) (h - t) A,   dt = -2/(n k) (h - t)
 * The student's own logits do not enter: ds = 0. Maps: g, f_t, each [c].
 */
#include <string.h>

#include "ctkd/loss.h"
#include "lib/maps.h"
#include "lib/math/matrix.h"
#include "lib/memory.h"
#include "lib/pairs.h"

static ctkd_status srrl_plan(const void *config, ctkd_builder *b)
{
    (void)config;
    const int t = b->tap(b, CTKD_TEACHER, -1, false);
    size_t c = 0, h, w;
    b->size(b, t, &c, &h, &w);
    const ctkd_conv linear = { .out = c, .kernel = 1, .stride = 1 };
    int x = b->conv(b, b->tap(b, CTKD_STUDENT, -1, false), "transfer.conv", &linear);
    x = b->batch_norm(b, x, "transfer.norm");
    b->read(b, b->activate(b, x, CTKD_RELU, 0), CTKD_STAGE_MAIN, true);
    b->read(b, t, CTKD_STAGE_MAIN, false);
    return b->status;
}

/* n sums; then floats: h [n, k], the gradient through the classifier [n, c]. */
static size_t srrl_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 1, width = 1;
    return shape->n_maps > 0 && ctkd__add_product(&width, shape->maps[0].c, 1) &&
                   ctkd__add_product(&width, shape->k, 1) &&
                   ctkd__add_product(&values, shape->n, width)
               ? values
               : 0;
}

static ctkd_status check(const ctkd_loss_args *a)
{
    const ctkd_status status = ctkd__maps_check(a, 2);
    if (status != CTKD_OK)
        return status;
    if (!a->workspace || !a->s || !a->t || a->k == 0 || !a->head || !a->head->weight ||
        !a->head->bias)
        return CTKD_EINVAL;
    return a->n_maps == 2 && ctkd__maps_alike(&a->maps[0], &a->maps[1]) &&
                   a->head->c == ctkd__map_size(&a->maps[0]) && a->head->k == a->k
               ? CTKD_OK
               : CTKD_ESHAPE;
}

static ctkd_status srrl_eval(const void *config, const ctkd_loss_args *a)
{
    (void)config;
    const ctkd_status status = check(a);
    if (status != CTKD_OK)
        return status;
    const size_t n = a->n, k = a->k, c = a->head->c;
    const ctkd_map *const g = &a->maps[0];
    double *const sums = a->workspace;
    float *const h = (float *)(void *)(sums + n), *const back = h + n * k;
    ctkd__map_errors(a, g, &a->maps[1], 1, sums, 1);
    double loss = ctkd__map_error(n, g, sums, 1);
    ctkd__multiply((struct ctkd__means){ a->pool, a->multiplier }, n, k, c, ctkd__rows(g->x, c),
                   ctkd__columns(a->head->weight, c), h);
    for (size_t i = 0; i < n * k; i++)
        h[i] += a->head->bias[i % k];
    const double count = (double)n * (double)k;
    for (size_t i = 0; i < n; i++)
        sums[i] = ctkd__squared_error(k, h + i * k, a->t + i * k, (float)(2 / count), h + i * k);
    loss += ctkd__sum(n, sums, 1) / count;
    if (g->dx) {
        ctkd__multiply((struct ctkd__means){ a->pool, a->multiplier }, n, c, k, ctkd__rows(h, k),
                       ctkd__rows(a->head->weight, c), back);
        for (size_t i = 0; i < n * c; i++)
            g->dx[i] += back[i];
    }
    for (size_t i = 0; a->dt && i < n * k; i++)
        a->dt[i] = -h[i];
    if (a->ds)
        memset(a->ds, 0, n * k * sizeof *a->ds);
    *a->loss = (float)loss;
    return CTKD_OK;
}

const ctkd_loss_def ctkd__loss_srrl = {
    .name = "srrl",
    .title = "Softmax regression representation learning",
    .formula = "mean (g - f_t)^2 + mean (A g + b - t)^2, g = relu(BN(W f_s)), A, b of the teacher",
    .source = "Yang et al. 2021, ICLR",
    .needs = CTKD_NEEDS_MAPS | CTKD_NEEDS_HEAD | CTKD_NEEDS_LOGITS,
    .properties = CTKD_NONNEGATIVE,
    .classes_min = 1,
    .weight = 1,
    .plan = srrl_plan,
    .workspace = srrl_workspace,
    .eval = srrl_eval,
};
