/*
 * RKD: relations between two and three samples. Pooled features f [n, d]; smooth L1
 * h(x) = x^2/2 for |x| < 1, else |x| - 1/2; the teacher's with a prime:
 *   d_ij = |f_i - f_j|,  mu = mean of the d_ij > 0,  Ld = 1/n^2 sum_ij h(d_ij/mu - d'_ij/mu')
 *   A_ijk = <e_ij, e_ik>,  e_ij = (f_j - f_i)/d_ij,  La = 1/n^3 sum_ijk h(A_ijk - A'_ijk)
 *   L = distance Ld + angle La
 * Park et al., CVPR 2019. The distances are summed from differences, not from |f_i|^2 + |f_j|^2 -
 * 2 <f_i, f_j>, which cancels; and the angles come from the distances by the law of cosines,
 *   A_ijk = (q_ij + q_ik - q_jk)/(2 d_ij d_ik),  q_ij = d_ij^2,
 * so that all n^3 angles cost O(n^3) operations whatever d is, and the whole gradient is one matrix
 * dL/dq. Samples that coincide (q < 1e-12) have no angle and pass no gradient.
 */
#include <math.h>

#include "ctkd/loss.h"
#include "lib/each.h"
#include "lib/maps.h"
#include "lib/math/matrix.h"
#include "lib/memory.h"
#include "lib/pairs.h"

struct rkd_config {
    float distance, angle;
};

static const double shortest = 1e-12; /* of q */

/* Of one network. */
struct relations {
    size_t d;
    const float *f;
    double *q, *inverse; /* [n, n]: squares, and 1/d_ij or 0 where samples coincide */
    double *sum;         /* [n], of d_ij over a row */
    double mean;         /* mu */
};

struct rkd {
    size_t n;
    double distance, angle; /* weights, over n^2 and n^3 */
    struct relations s, t;
    double *dq;         /* [n, n]: row i's own part of dL/dq */
    double *loss, *mix; /* [n], by row; mix is sum_j h'(x_ij) d_ij */
    double mean_slope;  /* of the distances' loss through mu: sum h' d/(mu n+) */
    float *df;
};

static ctkd_status rkd_plan(const void *config, ctkd_builder *builder)
{
    (void)config;
    ctkd__read_both(builder, -1);
    return builder->status;
}

enum { MATRICES = 5, ROWS = 4 };

static size_t rkd_workspace(const void *config, const ctkd_loss_shape *shape)
{
    (void)config;
    size_t values = 0;
    for (int i = 0; i < MATRICES; i++)
        if (!ctkd__add_product(&values, shape->n, shape->n))
            return 0;
    return ctkd__add_product(&values, ROWS, shape->n) ? values : 0;
}

/* 0 for a sample and itself; the shortest distance for two that coincide. */
static double distance(const struct relations *r, size_t n, size_t i, size_t j)
{
    return i == j ? 0 : sqrt(fmax(r->q[i * n + j], shortest));
}

static void measure_row(struct relations *r, size_t n, size_t i)
{
    r->sum[i] = 0;
    for (size_t j = 0; j < n; j++) {
        const double q = ctkd__distance_squared(r->d, r->f + i * r->d, r->f + j * r->d);
        r->q[i * n + j] = q;
        r->inverse[i * n + j] = q > shortest ? 1 / sqrt(q) : 0;
        r->sum[i] += distance(r, n, i, j);
    }
}

static void measure(void *argument, size_t i)
{
    struct rkd *p = argument;
    measure_row(&p->s, p->n, i);
    measure_row(&p->t, p->n, i);
}

static double clip(double x)
{
    return x < -1 ? -1 : x > 1 ? 1 : x;
}

/* h'(x) of a pair's distances. */
static double distance_slope(const struct rkd *p, size_t i, size_t j, double *loss)
{
    const double x =
        distance(&p->s, p->n, i, j) / p->s.mean - distance(&p->t, p->n, i, j) / p->t.mean;
    const double slope = clip(x);
    *loss += slope * (x - slope / 2);
    return slope;
}

static void compare_distances(void *argument, size_t i)
{
    const struct rkd *p = argument;
    double loss = 0, mix = 0;
    for (size_t j = 0; j < p->n; j++)
        mix += distance_slope(p, i, j, &loss) * distance(&p->s, p->n, i, j);
    p->loss[i] = p->distance * loss;
    p->mix[i] = mix;
}

/* Sums over k of T_k = h'(A_ijk - A'_ijk)/(d_ij d_ik), of h' A, and of h. */
struct angles {
    double slopes, turns, loss;
};

/* Apex i, leg j, every k. Adds T_k to row[k] unless NULL. */
static struct angles compare_angles(const struct rkd *p, size_t i, size_t j, double *restrict row)
{
    const size_t n = p->n;
    const double *si = p->s.q + i * n, *sj = p->s.q + j * n, *s_inverse = p->s.inverse + i * n;
    const double *ti = p->t.q + i * n, *tj = p->t.q + j * n, *t_inverse = p->t.inverse + i * n;
    struct angles sum = { 0 };
    for (size_t k = 0; k < n; k++) {
        const double s_scale = s_inverse[j] * s_inverse[k], t_scale = t_inverse[j] * t_inverse[k];
        const double cosine = 0.5 * (si[j] + si[k] - sj[k]) * s_scale;
        const double x = cosine - 0.5 * (ti[j] + ti[k] - tj[k]) * t_scale;
        const double slope = clip(x);
        sum.loss += slope * (x - slope / 2);
        sum.slopes += slope * s_scale;
        sum.turns += slope * cosine;
        if (row)
            row[k] += slope * s_scale;
    }
    return sum;
}

/* Row i of dL/dq, what row i's own terms give:
     distances: (h' - mean_slope)/(mu 2 d_ij)
     angles with apex i, j and k being alike: sum_k T - sum_k h' A/q_ij
     angles with leg i and the opposite side ij: -1/2 sum over the apex of T */
static void differentiate_row(void *argument, size_t i)
{
    const struct rkd *p = argument;
    const size_t n = p->n;
    double *dq = p->dq + i * n, unused = 0, loss = 0;
    for (size_t j = 0; j < n; j++)
        dq[j] = 0;
    for (size_t apex = 0; apex < n; apex++)
        (void)compare_angles(p, apex, i, dq);
    for (size_t j = 0; j < n; j++) {
        const struct angles sum = compare_angles(p, i, j, NULL);
        const double inverse = p->s.inverse[i * n + j];
        const double own = sum.slopes - sum.turns * inverse * inverse;
        const double slope = distance_slope(p, i, j, &unused) - p->mean_slope;
        loss += sum.loss;
        dq[j] = p->angle * (own - 0.5 * dq[j]) + p->distance * 0.5 * slope * inverse / p->s.mean;
    }
    p->loss[i] += p->angle * loss;
}

/* df_i = 2 sum_j (dq_ij + dq_ji) (f_i - f_j). */
static void differentiate_sample(void *argument, size_t i)
{
    const struct rkd *p = argument;
    const size_t n = p->n, d = p->s.d;
    const float *restrict f = p->s.f + i * d;
    float *restrict df = p->df + i * d;
    for (size_t c = 0; c < d; c++)
        df[c] = 0;
    for (size_t j = 0; j < n; j++) {
        const float *restrict other = p->s.f + j * d;
        const float weight = (float)(2 * (p->dq[i * n + j] + p->dq[j * n + i]));
        for (size_t c = 0; c < d && j != i; c++)
            df[c] += weight * (f[c] - other[c]);
    }
}

/* Angles and gradients only exist together: one pass gives both. */
static double evaluate(struct rkd *p, const ctkd_pool *pool)
{
    const double pairs = (double)p->n * (double)(p->n - 1); /* none of them has distance 0 */
    ctkd__each(pool, p->n, measure, p);
    p->s.mean = ctkd__sum(p->n, p->s.sum, 1) / pairs;
    p->t.mean = ctkd__sum(p->n, p->t.sum, 1) / pairs;
    ctkd__each(pool, p->n, compare_distances, p);
    p->mean_slope = ctkd__sum(p->n, p->mix, 1) / (p->s.mean * pairs);
    ctkd__each(pool, p->n, differentiate_row, p);
    if (p->df)
        ctkd__each(pool, p->n, differentiate_sample, p);
    return ctkd__sum(p->n, p->loss, 1);
}

static ctkd_status rkd_eval(const void *config, const ctkd_loss_args *a)
{
    const struct rkd_config *rkd = config;
    const ctkd_status status = ctkd__maps_check(a, 2);
    if (status != CTKD_OK)
        return status;
    if (a->n_maps != 2)
        return CTKD_ESHAPE;
    if (!a->workspace)
        return CTKD_EINVAL;
    if (a->n < 2) { /* a single sample has no relations */
        *a->loss = 0;
        ctkd__maps_clear_gradients(a);
        return CTKD_OK;
    }
    const size_t n = a->n, square = n * n;
    const double size = (double)n;
    double *const w = a->workspace, *const rows = w + MATRICES * square;
    struct rkd p = {
        .n = n,
        .distance = (double)rkd->distance / (size * size),
        .angle = (double)rkd->angle / (size * size * size),
        .s = { ctkd__map_size(&a->maps[0]), a->maps[0].x, w, w + square, rows, 0 },
        .t = { ctkd__map_size(&a->maps[1]), a->maps[1].x, w + 2 * square, w + 3 * square, rows + n,
               0 },
        .dq = w + 4 * square,
        .loss = rows + 2 * n,
        .mix = rows + 3 * n,
        .df = a->maps[0].dx,
    };
    *a->loss = (float)evaluate(&p, a->pool);
    return CTKD_OK;
}

static const ctkd_option rkd_options[] = {
    CTKD_OPT_F32(struct rkd_config, distance, 25.0, 0.0, 1e6, "weight of the distances"),
    CTKD_OPT_F32(struct rkd_config, angle, 50.0, 0.0, 1e6, "weight of the angles"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_rkd = {
    .name = "rkd",
    .title = "Relational knowledge distillation",
    .formula =
        "distance mean h(d/mu - d'/mu') + angle mean h(A - A'), distances and angles between "
        "pooled features, h the smooth L1",
    .source = "Park et al. 2019, arXiv:1904.05068",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_NONNEGATIVE,
    .classes_min = 1,
    .batch_min = 2,
    .options = rkd_options,
    .config_size = sizeof(struct rkd_config),
    .weight = 1,
    .plan = rkd_plan,
    .workspace = rkd_workspace,
    .eval = rkd_eval,
};
