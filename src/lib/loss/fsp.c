/*
 * FSP: flow of the solution procedure. For consecutive maps of one network, x [c, hw] and w
 * [c', hw], the larger averaged to the smaller one's size, and a sample:
 *   Phi = x w^T/hw  [c, c'],   L = sum over pairs of maps of mean (Phi_s - Phi_t)^2
 * Yim et al., CVPR 2017. Student and teacher must have the same channels in every map. It trains
 * the student's layers below the classifier in a stage of its own; the main stage has no term.
 */
#include "ctkd/loss.h"
#include "lib/each.h"
#include "lib/maps.h"
#include "lib/math/clones.h"
#include "lib/math/matrix.h"
#include "lib/memory.h"
#include "lib/part.h"

enum { BLOCK = 256 }; /* entries whose differences wait for their sum */

/* The maps of one comparison, in eval's order. */
enum { STUDENT_X, STUDENT_W, TEACHER_X, TEACHER_W, GROUP };

struct fsp {
    const ctkd_loss_args *args;
    double *loss; /* [n] */
    float *flows; /* of each task two matrices [c, c'] */
    size_t flow;  /* values of the largest */
};

/* Maps `index` and the next of one network, brought to one size, are the next two reads. */
static void read_flow(ctkd_builder *builder, ctkd_side side, int index)
{
    int x = builder->tap(builder, side, index, false);
    int w = builder->tap(builder, side, index + 1, false);
    ctkd__pool_alike(builder, &x, &w);
    builder->read(builder, x, CTKD_STAGE_INITIAL, side == CTKD_STUDENT);
    builder->read(builder, w, CTKD_STAGE_INITIAL, side == CTKD_STUDENT);
}

static ctkd_status fsp_plan(const void *config, ctkd_builder *builder)
{
    (void)config;
    const size_t end = ctkd__maps_end(builder);
    for (size_t i = 0; i < end; i++) {
        size_t c = 0, teacher_c = 0, h, w;
        builder->size(builder, builder->tap(builder, CTKD_STUDENT, (int)i, false), &c, &h, &w);
        builder->size(builder, builder->tap(builder, CTKD_TEACHER, (int)i, false), &teacher_c, &h,
                      &w);
        if (c != teacher_c)
            (void)builder->refuse(builder,
                                  "feature %zu: the student has %zu channels and the teacher %zu, "
                                  "expected equal numbers",
                                  i, c, teacher_c);
    }
    for (size_t i = 0; i + 1 < end; i++) {
        read_flow(builder, CTKD_STUDENT, (int)i);
        read_flow(builder, CTKD_TEACHER, (int)i);
    }
    return builder->status;
}

/* Values of the largest flow matrix, 0 if that overflows. */
static size_t largest_flow(const ctkd_map *maps, size_t n_maps)
{
    size_t largest = 0;
    for (size_t i = 0; i + GROUP <= n_maps; i += GROUP) {
        size_t values = 0;
        if (!ctkd__add_product(&values, maps[i + STUDENT_X].c, maps[i + STUDENT_W].c))
            return 0;
        largest = values > largest ? values : largest;
    }
    return largest;
}

/* The losses, and for each task two float matrices in the room of one in double. */
static size_t fsp_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    const size_t flow = largest_flow(shape->maps, shape->n_maps);
    size_t values = 0;
    return flow > 0 && ctkd__add_product(&values, shape->n, 1) &&
                   ctkd__add_product(&values, CTKD__TASKS, flow)
               ? values
               : 0;
}

static const float *sample_of(const ctkd_map *map, size_t i)
{
    return map->x + i * ctkd__map_size(map);
}

/* flow = x w^T, not yet over hw. */
static void multiply_flow(struct ctkd__means means, const ctkd_map *x, const ctkd_map *w, size_t i,
                          float *flow)
{
    const size_t places = x->h * x->w;
    ctkd__multiply(means, x->c, w->c, places, ctkd__rows(sample_of(x, i), places),
                   ctkd__columns(sample_of(w, i), places), flow);
}

/* d = Phi_s - Phi_t of some entries; flow = dL/dPhi/hw = factor d/size. */
CTKD__CLONES static void subtract(size_t count, double size, double teacher_size, double factor,
                                  const float *restrict teacher, float *restrict flow,
                                  double *restrict d)
{
    for (size_t j = 0; j < count; j++) {
        d[j] = (double)flow[j] / size - (double)teacher[j] / teacher_size;
        flow[j] = (float)(factor * d[j] / size);
    }
}

/* One sample of one comparison; d = dL/dPhi/hw in the place of the student's flow. */
static double compare(const struct fsp *p, const ctkd_map *maps, size_t i, float *flow)
{
    const struct ctkd__means means = { .multiplier = p->args->multiplier }; /* within a task */
    const ctkd_map *x = &maps[STUDENT_X], *w = &maps[STUDENT_W];
    const size_t places = x->h * x->w, count = x->c * w->c;
    const double size = (double)places;
    const double teacher_size = (double)(maps[TEACHER_X].h * maps[TEACHER_X].w);
    const double scale = 1 / ((double)p->args->n * (double)count);
    float *const teacher_flow = flow + p->flow;
    multiply_flow(means, x, w, i, flow);
    multiply_flow(means, &maps[TEACHER_X], &maps[TEACHER_W], i, teacher_flow);
    double loss = 0;
    for (size_t j = 0; j < count; j += BLOCK) {
        const size_t values = count - j < BLOCK ? count - j : BLOCK;
        double d[BLOCK];
        subtract(values, size, teacher_size, 2 * scale, teacher_flow + j, flow + j, d);
        for (size_t b = 0; b < values; b++)
            loss += d[b] * d[b];
    }
    if (x->dx) /* dx = d w */
        ctkd__multiply(means, x->c, places, w->c, ctkd__rows(flow, w->c),
                       ctkd__rows(sample_of(w, i), places), x->dx + i * ctkd__map_size(x));
    if (w->dx) /* dw = d^T x */
        ctkd__multiply(means, w->c, places, x->c, ctkd__columns(flow, w->c),
                       ctkd__rows(sample_of(x, i), places), w->dx + i * ctkd__map_size(w));
    return scale * loss;
}

static void run_task(void *argument, size_t task)
{
    const struct fsp *p = argument;
    const size_t begin = ctkd__part_begin(p->args), end = ctkd__part_end(p->args);
    for (size_t i = begin + task; i < end; i += CTKD__TASKS) {
        p->loss[i] = 0;
        for (size_t m = 0; m < p->args->n_maps; m += GROUP)
            p->loss[i] += compare(p, &p->args->maps[m], i, p->flows + 2 * task * p->flow);
    }
}

static bool same_area(const ctkd_map *a, const ctkd_map *b)
{
    return a->h == b->h && a->w == b->w;
}

static ctkd_status check(const ctkd_loss_args *a)
{
    const ctkd_status status = ctkd__maps_check(a, GROUP);
    for (size_t i = 0; i < a->n_maps && status == CTKD_OK; i += GROUP) {
        const ctkd_map *maps = &a->maps[i];
        if (!same_area(&maps[STUDENT_X], &maps[STUDENT_W]) ||
            !same_area(&maps[TEACHER_X], &maps[TEACHER_W]) ||
            maps[STUDENT_X].c != maps[TEACHER_X].c || maps[STUDENT_W].c != maps[TEACHER_W].c)
            return CTKD_ESHAPE;
    }
    return status;
}

static ctkd_status fsp_eval(const void *config, const ctkd_loss_args *a)
{
    (void)config;
    const ctkd_status status = check(a);
    if (status != CTKD_OK)
        return status;
    if (!a->workspace)
        return CTKD_EINVAL;
    struct fsp p = { .args = a,
                     .loss = a->workspace,
                     .flows = (float *)(void *)(a->workspace + a->n),
                     .flow = largest_flow(a->maps, a->n_maps) };
    ctkd__part_tasks(a, run_task, &p);
    double loss = 0;
    const ctkd_status gathered = ctkd__part_sum(a, p.loss, &loss);
    if (gathered == CTKD_OK)
        *a->loss = (float)loss;
    return gathered;
}

const ctkd_loss_def ctkd__loss_fsp = {
    .name = "fsp",
    .title = "Flow of the solution procedure",
    .formula = "initial stage: sum over consecutive maps x, w of mean (x w^T/hw - the teacher's)^2",
    .source = "Yim et al. 2017, CVPR",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_NONNEGATIVE | CTKD_BY_PARTS,
    .classes_min = 1,
    .weight = 50,
    .stages = CTKD_STAGE_INITIAL,
    .initial_trains_student = true,
    .plan = fsp_plan,
    .workspace = fsp_workspace,
    .eval = fsp_eval,
};
