/*
 * ReviewKD: every level of the student, joined with what deeper levels saw, should reproduce the
 * teacher's map before its ReLU. From deep to shallow (the pooled vector, the last map, ..., map 1)
 * with mid = min(512, channels of the deepest), y = nearest-neighbour resize:
 *   x = BN(conv1x1 f); but for the deepest: y of the deeper level's r,
 *       (g1, g2) = sigmoid(conv1x1 [x; y]),  x <- g1 x + g2 y
 *   r = x resized to the teacher's map,  out = BN(conv3x3 r)
 * and the hierarchical loss of outs and teacher's maps, averaged to sides l of 4, 2, 1 below h:
 *   L = sum over levels of [ MSE(out, t) + sum_l w_l MSE(out_l, t_l) ]/(1 + sum_l w_l),
 *   w = 1/2, 1/4, 1/8 in the order of use
 * Maps: for each level out, t, then out_l, t_l for each l. A level ends with its maps of height 1.
 */
#include "ctkd/loss.h"
#include "lib/maps.h"
#include "lib/memory.h"
#include "lib/pairs.h"
#include "lib/part.h"
#include "lib/taps.h"

struct reviewkd_config {
    bool student_pre;
};

/* The fusion block of one level; *r is the deeper level's (-1: none) and becomes this one's. */
static int fuse(ctkd_builder *b, int f, int t, size_t mid, size_t level, int *r)
{
    char name[CTKD__NAME_BYTES];
    size_t c = 0, h = 1, w = 1, out_h = 1, out_w = 1;
    b->size(b, f, &c, &h, &w);
    b->size(b, t, &c, &out_h, &out_w);
    ctkd_conv conv = { .out = mid, .kernel = 1, .stride = 1, .start = CTKD_START_KAIMING_UNIFORM };
    int x = b->conv(b, f, ctkd__layer_name(name, "abf", level, "conv1"), &conv);
    x = b->batch_norm(b, x, ctkd__layer_name(name, "abf", level, "norm1"));
    if (level > 0) {
        const ctkd_conv gates = { .out = 2, .kernel = 1, .stride = 1, .bias = true };
        const int y = b->resize(b, *r, h, w);
        int g =
            b->conv(b, b->concat(b, x, y), ctkd__layer_name(name, "abf", level, "gate"), &gates);
        g = b->activate(b, g, CTKD_SIGMOID, 0);
        x = b->add(b, b->scale_by(b, x, g, 0), b->scale_by(b, y, g, 1));
    }
    *r = x = b->resize(b, x, out_h, out_w);
    conv = (ctkd_conv){
        .out = c, .kernel = 3, .stride = 1, .padding = 1, .start = CTKD_START_KAIMING_UNIFORM
    };
    x = b->conv(b, x, ctkd__layer_name(name, "abf", level, "conv2"), &conv);
    return b->batch_norm(b, x, ctkd__layer_name(name, "abf", level, "norm2"));
}

static void read_level(ctkd_builder *b, int x, int t)
{
    size_t c, h = 1, w = 1;
    b->size(b, t, &c, &h, &w);
    b->read(b, x, CTKD_STAGE_MAIN, true);
    b->read(b, t, CTKD_STAGE_MAIN, false);
    for (size_t side = 4; side > 0; side /= 2)
        if (side < h) {
            b->read(b, b->pool_to(b, x, side, side), CTKD_STAGE_MAIN, true);
            b->read(b, b->pool_to(b, t, side, side), CTKD_STAGE_MAIN, false);
        }
}

static ctkd_status reviewkd_plan(const void *config, ctkd_builder *b)
{
    const struct reviewkd_config *reviewkd = config;
    const size_t taps = b->taps(b, CTKD_STUDENT), teacher_taps = b->taps(b, CTKD_TEACHER);
    if (b->status == CTKD_OK && (taps < 3 || taps != teacher_taps))
        (void)b->refuse(b,
                        "the student has %zu features and the teacher %zu, expected equal numbers "
                        "of at least 3",
                        taps, teacher_taps);
    size_t mid = 0, h, w;
    int r = -1;
    for (size_t level = 0; b->status == CTKD_OK && level + 1 < taps; level++) {
        const int at = -1 - (int)level; /* the pooled vector has no value before a ReLU */
        const int f = b->tap(b, CTKD_STUDENT, at, level > 0 && reviewkd->student_pre);
        const int t = b->tap(b, CTKD_TEACHER, at, level > 0);
        if (level == 0)
            b->size(b, f, &mid, &h, &w);
        const int x = fuse(b, f, t, mid < 512 ? mid : 512, level, &r);
        read_level(b, x, t);
    }
    return b->status;
}

/* For each sample a sum of each pair of maps. */
static size_t reviewkd_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0;
    return ctkd__add_product(&values, shape->n, shape->n_maps / 2) ? values : 0;
}

/* Number of maps of the level that begins at `maps`; 0 if no map ends it. */
static size_t level_size(const ctkd_map *maps, size_t n_maps)
{
    for (size_t i = 0; i < n_maps; i += 2)
        if (maps[i].h == 1)
            return i + 2;
    return 0;
}

/* The weight of a level's first pair; each further one has half of that before it. */
static double first_weight(size_t n_maps)
{
    double total = 0, w = 1;
    for (size_t i = 0; i < n_maps; i += 2, w /= 2)
        total += w;
    return 1 / total;
}

/* The level's maps are first to first + size - 1. */
static void compare_level(const ctkd_loss_args *a, size_t first, size_t size)
{
    double w = first_weight(size);
    for (size_t i = first; i < first + size; i += 2, w /= 2)
        ctkd__map_errors(a, &a->maps[i], &a->maps[i + 1], w, a->workspace + i / 2, a->n_maps / 2);
}

static double level_loss(const ctkd_loss_args *a, size_t first, size_t size)
{
    double loss = 0, w = first_weight(size);
    for (size_t i = first; i < first + size; i += 2, w /= 2)
        loss += w * ctkd__map_error(a->n, &a->maps[i], a->workspace + i / 2, a->n_maps / 2);
    return loss;
}

static ctkd_status reviewkd_eval(const void *config, const ctkd_loss_args *a)
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
    if (level_size(a->maps + a->n_maps - 2, 2) == 0)
        return CTKD_ESHAPE;
    for (size_t i = 0, size; i < a->n_maps; i += size) {
        size = level_size(a->maps + i, a->n_maps - i);
        compare_level(a, i, size);
    }
    const ctkd_status gathered = ctkd__part_gather(a, a->n_maps / 2, a->workspace);
    if (gathered != CTKD_OK)
        return gathered;
    double loss = 0;
    for (size_t i = 0, size; i < a->n_maps; i += size) {
        size = level_size(a->maps + i, a->n_maps - i);
        loss += level_loss(a, i, size);
    }
    *a->loss = (float)loss;
    return CTKD_OK;
}

static const ctkd_option reviewkd_options[] = {
    CTKD_OPT_BOOL(struct reviewkd_config, student_pre, 0,
                  "read the student's maps before their ReLU, as published for ImageNet"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_reviewkd = {
    .name = "reviewkd",
    .title = "Knowledge review",
    .formula =
        "sum over levels of [ MSE + sum_l w_l MSE of averages to l x l ]/(1 + sum_l w_l), l = "
        "4, 2, 1, w = 1/2, 1/4, 1/8",
    .source = "Chen et al. 2021, arXiv:2104.09044",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_NONNEGATIVE | CTKD_BY_PARTS,
    .classes_min = 1,
    .options = reviewkd_options,
    .config_size = sizeof(struct reviewkd_config),
    .weight = 1,
    .plan = reviewkd_plan,
    .workspace = reviewkd_workspace,
    .eval = reviewkd_eval,
};
