/*
 * PKT: probabilistic knowledge transfer. Pooled features f [n, d] of the student and g [n, d'] of
 * the teacher become, for each sample, a distribution over the samples of the batch; e = 1e-7:
 *   v_i = f_i/(|f_i| + e),  M_ij = (1 + <v_i, v_j>)/2,  m_ij = M_ij/R_i,  R_i = sum_j M_ij
 *   L = 1/n^2 sum_ij m'_ij log((m'_ij + e)/(m_ij + e)),   m' of the teacher in the same way
 * Passalis & Tefas, ECCV 2018. The widths d and d' may differ, so no adaptor is needed.
 */
#include <math.h>

#include "ctkd/loss.h"
#include "lib/each.h"
#include "lib/maps.h"
#include "lib/math/matrix.h"
#include "lib/memory.h"

static const double epsilon = 1e-7;

struct pkt {
    size_t n, d, teacher_d;
    const float *f, *g;
    double *length, *teacher_length;          /* [n], with epsilon */
    double *m, *teacher_m;                    /* [n, n]; m is overwritten by dL/dM */
    double *loss;                             /* [n], by row */
    float *weights;                           /* [n, n], of f_j in the gradient of v_i */
    const float *products, *teacher_products; /* [n, n] of a multiplier, or NULL; until weights */
    float *df;
};

static ctkd_status pkt_plan(const void *config, ctkd_builder *builder)
{
    (void)config;
    ctkd__read_both(builder, -1);
    return builder->status;
}

static size_t pkt_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0;
    return ctkd__add_product(&values, 3, shape->n) &&
                   ctkd__add_product(&values, shape->n, shape->n) &&
                   ctkd__add_product(&values, shape->n, shape->n) &&
                   ctkd__add_product(&values, shape->n, shape->n)
               ? values
               : 0;
}

static void measure_length(void *argument, size_t i)
{
    const struct pkt *p = argument;
    const float *f = p->f + i * p->d, *g = p->g + i * p->teacher_d;
    p->length[i] = sqrt(ctkd__dot(p->d, f, f)) + epsilon;
    p->teacher_length[i] = sqrt(ctkd__dot(p->teacher_d, g, g)) + epsilon;
}

/* Row i of m; returns R_i. */
static double similarities(size_t n, size_t d, const float *f, const float *products,
                           const double *length, size_t i, double *m)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++) {
        const double product =
            products ? (double)products[i * n + j] : ctkd__dot(d, f + i * d, f + j * d);
        m[j] = 0.5 + 0.5 * product / (length[i] * length[j]);
        sum += m[j];
    }
    for (size_t j = 0; j < n; j++)
        m[j] /= sum;
    return sum;
}

/* A row's part of the loss, and b = dL/dM in the place of m:
     b_ij = (a_ij - sum_k a_ik m_ik)/R_i,  a_ij = dL/dm_ij = -m'_ij/(n^2 (m_ij + e)) */
static void compare_row(void *argument, size_t i)
{
    const struct pkt *p = argument;
    const double pairs = (double)p->n * (double)p->n;
    double *m = p->m + i * p->n, *teacher_m = p->teacher_m + i * p->n;
    const double sum = similarities(p->n, p->d, p->f, p->products, p->length, i, m);
    (void)similarities(p->n, p->teacher_d, p->g, p->teacher_products, p->teacher_length, i,
                       teacher_m);
    double loss = 0, mean = 0;
    for (size_t j = 0; j < p->n; j++) {
        loss += teacher_m[j] * log((teacher_m[j] + epsilon) / (m[j] + epsilon));
        mean -= teacher_m[j] / (m[j] + epsilon) * m[j];
    }
    for (size_t j = 0; j < p->n; j++)
        m[j] = (-teacher_m[j] / (m[j] + epsilon) - mean) / (pairs * sum);
    p->loss[i] = loss / pairs;
}

/* dL/dv_i = 1/2 sum_j (b_ij + b_ji) v_j, as weights of f_j. */
static void weigh_row(void *argument, size_t i)
{
    const struct pkt *p = argument;
    for (size_t j = 0; j < p->n; j++)
        p->weights[i * p->n + j] =
            (float)(0.5 * (p->m[i * p->n + j] + p->m[j * p->n + i]) / p->length[j]);
}

/* df_i holds gv = dL/dv_i and becomes gv/(|f_i| + e) - <gv, f_i> f_i/(|f_i| (|f_i| + e)^2); a
   sample of zeros has no direction and passes no gradient (published: NaN). */
static void through_length(void *argument, size_t i)
{
    const struct pkt *p = argument;
    const float *f = p->f + i * p->d;
    float *df = p->df + i * p->d;
    const double length = p->length[i], own = length - epsilon;
    const double along = own > 0 ? ctkd__dot(p->d, df, f) / (own * length * length) : 0;
    for (size_t j = 0; j < p->d; j++)
        df[j] = own != 0 ? (float)((double)df[j] / length - along * (double)f[j]) : 0;
}

static ctkd_status pkt_eval(const void *config, const ctkd_loss_args *a)
{
    (void)config;
    const ctkd_status status = ctkd__maps_check(a, 2);
    if (status != CTKD_OK)
        return status;
    if (a->n_maps != 2)
        return CTKD_ESHAPE;
    if (!a->workspace)
        return CTKD_EINVAL;
    const size_t n = a->n;
    double *const w = a->workspace;
    struct pkt p = { .n = n,
                     .d = ctkd__map_size(&a->maps[0]),
                     .teacher_d = ctkd__map_size(&a->maps[1]),
                     .f = a->maps[0].x,
                     .g = a->maps[1].x,
                     .length = w,
                     .teacher_length = w + n,
                     .loss = w + 2 * n,
                     .m = w + 3 * n,
                     .teacher_m = w + 3 * n + n * n,
                     .weights = (float *)(void *)(w + 3 * n + 2 * n * n),
                     .df = a->maps[0].dx };
    const struct ctkd__means means = { a->pool, a->multiplier };
    if (a->multiplier) { /* all at once; else double dots */
        float *const teacher_products = p.weights + n * n;
        ctkd__multiply(means, n, n, p.d, ctkd__rows(p.f, p.d), ctkd__columns(p.f, p.d), p.weights);
        ctkd__multiply(means, n, n, p.teacher_d, ctkd__rows(p.g, p.teacher_d),
                       ctkd__columns(p.g, p.teacher_d), teacher_products);
        p.products = p.weights;
        p.teacher_products = teacher_products;
    }
    ctkd__each(a->pool, n, measure_length, &p);
    ctkd__each(a->pool, n, compare_row, &p);
    double loss = 0;
    for (size_t i = 0; i < n; i++)
        loss += p.loss[i];
    if (p.df) {
        ctkd__each(a->pool, n, weigh_row, &p);
        ctkd__multiply(means, n, p.d, n, ctkd__rows(p.weights, n), ctkd__rows(p.f, p.d), p.df);
        ctkd__each(a->pool, n, through_length, &p);
    }
    *a->loss = (float)loss;
    return CTKD_OK;
}

const ctkd_loss_def ctkd__loss_pkt = {
    .name = "pkt",
    .title = "Probabilistic knowledge transfer",
    .formula = "1/n^2 sum_ij m'_ij log((m'_ij + e)/(m_ij + e)), m_i. the normalised (1 + cosine)/2 "
               "of sample i's pooled features with all of the batch",
    .source = "Passalis & Tefas 2018, arXiv:1803.10837",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_ZERO_WHEN_EQUAL,
    .classes_min = 1,
    .weight = 30000,
    .plan = pkt_plan,
    .workspace = pkt_workspace,
    .eval = pkt_eval,
};
