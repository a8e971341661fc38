/*
 * SP: similarity preserving. The last maps of student and teacher, a sample's values in a row of
 * F [n, chw] and of the teacher's F' [n, c'h'w']:
 *   Gh = rows of F F^T brought to length 1,  Hh of F' F'^T,  L = |Gh - Hh|^2 / n^2
 * Tung & Mori, ICCV 2019. It compares [n, n] matrices, so the networks' sizes need not agree. A
 * sample of zeros has a row of zeros, which has no direction: its loss stays, its gradient is 0.
 */
#include "ctkd/loss.h"
#include "lib/each.h"
#include "lib/maps.h"
#include "lib/math/matrix.h"
#include "lib/memory.h"

struct sp {
    size_t n;
    float *student, *teacher; /* [n, n]: G and H; student becomes the weights of F in dF */
    double *unit;             /* [n, n]: Gh */
    double *dg;               /* [n, n]: Hh, then dL/dG */
    double *loss;             /* [n], by row */
};

static ctkd_status sp_plan(const void *config, ctkd_builder *builder)
{
    (void)config;
    ctkd__read_both(builder, -2);
    return builder->status;
}

/* unit, dg, both float arrays; loss. */
static size_t sp_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0;
    for (int i = 0; i < 3; i++)
        if (!ctkd__add_product(&values, shape->n, shape->n))
            return 0;
    return ctkd__add_product(&values, shape->n, 1) ? values : 0;
}

/* A row of both matrices: its part of the loss, and dL/dG = RN backward of 2 (Gh - Hh)/n^2. */
static void compare_row(void *argument, size_t i)
{
    const struct sp *p = argument;
    const size_t n = p->n, at = i * n;
    const double scale = 1 / ((double)n * (double)n);
    double *unit = p->unit + at, *dg = p->dg + at;
    for (size_t j = 0; j < n; j++) {
        unit[j] = (double)p->student[at + j];
        dg[j] = (double)p->teacher[at + j];
    }
    const double length = ctkd__normalise_double(n, unit, unit);
    (void)ctkd__normalise_double(n, dg, dg);
    double squares = 0;
    for (size_t j = 0; j < n; j++) {
        const double difference = unit[j] - dg[j];
        squares += difference * difference;
        dg[j] = 2 * scale * difference;
    }
    ctkd__through_normalise_double(n, unit, length, dg, dg);
    p->loss[i] = scale * squares;
}

/* dF = (dG + dG^T) F. */
static void weigh_row(void *argument, size_t i)
{
    const struct sp *p = argument;
    for (size_t j = 0; j < p->n; j++)
        p->student[i * p->n + j] = (float)(p->dg[i * p->n + j] + p->dg[j * p->n + i]);
}

static ctkd_status sp_eval(const void *config, const ctkd_loss_args *a)
{
    (void)config;
    const ctkd_status status = ctkd__maps_check(a, 2);
    if (status != CTKD_OK)
        return status;
    if (a->n_maps != 2)
        return CTKD_ESHAPE;
    if (!a->workspace)
        return CTKD_EINVAL;
    const size_t n = a->n, values = ctkd__map_size(&a->maps[0]);
    const size_t teacher_values = ctkd__map_size(&a->maps[1]);
    const float *f = a->maps[0].x, *g = a->maps[1].x;
    float *const products = (float *)(void *)a->workspace;
    struct sp p = { .n = n,
                    .student = products,
                    .teacher = products + n * n,
                    .unit = a->workspace + n * n,
                    .dg = a->workspace + 2 * n * n,
                    .loss = a->workspace + 3 * n * n };
    ctkd__multiply((struct ctkd__means){ a->pool, a->multiplier }, n, n, values,
                   ctkd__rows(f, values), ctkd__columns(f, values), p.student);
    ctkd__multiply((struct ctkd__means){ a->pool, a->multiplier }, n, n, teacher_values,
                   ctkd__rows(g, teacher_values), ctkd__columns(g, teacher_values), p.teacher);
    ctkd__each(a->pool, n, compare_row, &p);
    double loss = 0;
    for (size_t i = 0; i < n; i++)
        loss += p.loss[i];
    if (a->maps[0].dx) {
        ctkd__each(a->pool, n, weigh_row, &p);
        ctkd__multiply((struct ctkd__means){ a->pool, a->multiplier }, n, values, n,
                       ctkd__rows(p.student, n), ctkd__rows(f, values), a->maps[0].dx);
    }
    *a->loss = (float)loss;
    return CTKD_OK;
}

const ctkd_loss_def ctkd__loss_sp = {
    .name = "sp",
    .title = "Similarity-preserving distillation",
    .formula = "1/n^2 |Gh - Hh|^2, Gh the normalised rows of F F^T of the last maps, Hh the "
               "teacher's",
    .source = "Tung & Mori 2019, arXiv:1907.09682",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_NONNEGATIVE,
    .classes_min = 1,
    .weight = 3000,
    .plan = sp_plan,
    .workspace = sp_workspace,
    .eval = sp_eval,
};
