/*
 * FitNet: a map of the student, brought by a regressor to channels and size of the teacher's map at
 * the same tap, should equal it.
 *   L = mean (r - f_t)^2,  r = relu(BN(conv f)),  dr = 2/N (r - f_t)
 * The convolution has a bias; ctkd__conv_regressor says its kernel. Maps: r, f_t of one shape.
 */
#include "ctkd/loss.h"
#include "lib/maps.h"
#include "lib/memory.h"
#include "lib/pairs.h"
#include "lib/part.h"
#include "lib/taps.h"

struct fitnet_config {
    int64_t hint;
};

static ctkd_status fitnet_plan(const void *config, ctkd_builder *b)
{
    const struct fitnet_config *fitnet = config;
    const size_t end = ctkd__maps_end(b);
    if (b->status == CTKD_OK && (size_t)fitnet->hint >= end)
        (void)b->refuse(b, "hint: found %d, expected a map that both networks have, 0 to %zu",
                        (int)fitnet->hint, end - 1);
    int t = b->tap(b, CTKD_TEACHER, (int)fitnet->hint, false);
    const int x = b->tap(b, CTKD_STUDENT, (int)fitnet->hint, false);
    const int r = ctkd__conv_regressor(b, x, &t, "regressor", (size_t)fitnet->hint);
    b->read(b, b->activate(b, r, CTKD_RELU, 0), CTKD_STAGE_MAIN, true);
    b->read(b, t, CTKD_STAGE_MAIN, false);
    return b->status;
}

static size_t fitnet_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0;
    return ctkd__add_product(&values, shape->n, 1) ? values : 0;
}

static ctkd_status fitnet_eval(const void *config, const ctkd_loss_args *a)
{
    (void)config;
    const ctkd_status status = ctkd__maps_check(a, 2);
    if (status != CTKD_OK)
        return status;
    if (!a->workspace)
        return CTKD_EINVAL;
    if (a->n_maps != 2 || !ctkd__maps_alike(&a->maps[0], &a->maps[1]))
        return CTKD_ESHAPE;
    double *const terms = a->workspace;
    ctkd__map_errors(a, &a->maps[0], &a->maps[1], 1, terms, 1);
    const ctkd_status gathered = ctkd__part_gather(a, 1, terms);
    if (gathered == CTKD_OK)
        *a->loss = (float)ctkd__map_error(a->n, &a->maps[0], terms, 1);
    return gathered;
}

static const ctkd_option fitnet_options[] = {
    CTKD_OPT_I64(struct fitnet_config, hint, 2, 0, 64,
                 "index of the map that is compared; 0 is the stem"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_fitnet = {
    .name = "fitnet",
    .title = "Hints for thin deep networks",
    .formula = "mean (relu(BN(conv f_s)) - f_t)^2 at one map",
    .source = "Romero et al. 2015, arXiv:1412.6550",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_NONNEGATIVE | CTKD_BY_PARTS,
    .classes_min = 1,
    .options = fitnet_options,
    .config_size = sizeof(struct fitnet_config),
    .weight = 100,
    .plan = fitnet_plan,
    .workspace = fitnet_workspace,
    .eval = fitnet_eval,
};
