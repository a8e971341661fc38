/*
 * KD-SVD: how the leading directions of a map change from one map to the next. For each map (in
 * pairs of one height and width w) and sample, X [c h, w] holds the rows of all channels; its right
 * singular vectors v_0, v_1, ... [w] by descending singular value are the eigenvectors of X^T X.
 *   teacher: t_b, b < k, of any sign: the largest entry is made positive;
 *   student: s_b = sign(<v_a, t_b>) v_a for the a < k + 3 that makes |<v_a, t_b>| largest;
 *   both times the teacher's singular values g_b / |g|;
 *   between a map and the one before it  R[i,j,b] = exp(-(v_b[i] - v'_b[j])^2/8),
 *   L = 1/n sum over samples and maps but the first of |R_s - R_t|^2
 * Lee et al., ECCV 2018, in the form of the published reimplementation with rows of channels, which
 * does not need equal numbers of channels. The gradient treats the choice and the sign of s_b as
 * constants. Through the eigenvectors, with lambda the eigenvalues and dv_b the gradient of v_b:
 *   y_b = sum_{j != b} v_j <v_j, dv_b>/(lambda_b - lambda_j),  dX = sum_b X (y_b v_b^T + v_b y_b^T)
 * leaving out the terms whose eigenvalues are equal to within the precision of the features.
 */
#include <math.h>
#include <string.h>

#include "ctkd/loss.h"
#include "lib/each.h"
#include "lib/maps.h"
#include "lib/math/eigen.h"
#include "lib/math/matrix.h"
#include "lib/memory.h"
#include "lib/part.h"

static const double narrowest = 1e-7; /* gap of eigenvalues, of the largest one */

struct kdsvd_config {
    int64_t k;
};

enum { EXTRA = 3 }; /* student's vectors beyond k among which one is chosen */

/* A sample's map: all rows are vectors of its width. */
struct svd_map {
    size_t width;
    double *basis, *values; /* the student's eigenvectors and eigenvalues */
    double *scale;          /* [k] */
    double *s, *t;          /* [k, width], scaled */
    double *ds;             /* [k, width] */
};

struct kdsvd {
    const ctkd_loss_args *args;
    size_t k, width; /* the largest of the maps */
    double *loss;    /* [n] */
    double *memory;  /* of the tasks: taps, then scratch */
    size_t of_tap, of_task;
};

static ctkd_status kdsvd_plan(const void *config, ctkd_builder *builder)
{
    const struct kdsvd_config *kdsvd = config;
    const size_t end = ctkd__maps_end(builder);
    if (end < 3)
        (void)builder->refuse(builder,
                              "found %zu map besides the stem, expected at least 2, because kdsvd "
                              "compares consecutive maps",
                              end - 1);
    for (size_t i = 1; i < end; i++) {
        size_t c, h, w = SIZE_MAX, teacher_w = SIZE_MAX;
        builder->size(builder, builder->tap(builder, CTKD_STUDENT, (int)i, false), &c, &h, &w);
        builder->size(builder, builder->tap(builder, CTKD_TEACHER, (int)i, false), &c, &h,
                      &teacher_w);
        w = w < teacher_w ? w : teacher_w;
        if (w < (size_t)kdsvd->k)
            (void)builder->refuse(builder,
                                  "feature %zu: found width %zu, expected at least k, %lld", i, w,
                                  (long long)kdsvd->k);
    }
    ctkd__read_map_pairs(builder);
    return builder->status;
}

/* Lays out the tasks' memory for these maps; false if its size overflows. */
static bool lay_out(const ctkd_map *maps, size_t n_maps, size_t k, struct kdsvd *p)
{
    p->k = k;
    p->width = 0;
    for (size_t i = 0; i < n_maps; i++)
        p->width = maps[i].w > p->width ? maps[i].w : p->width;
    const size_t w = p->width;
    p->of_tap = p->of_task = 0;
    return ctkd__add_product(&p->of_tap, w, w) && ctkd__add_product(&p->of_tap, 3 * k + 1, w) &&
           ctkd__add_product(&p->of_tap, k, 1) &&
           ctkd__add_product(&p->of_task, n_maps / 2, p->of_tap) &&
           ctkd__add_product(&p->of_task, w, w) && ctkd__add_product(&p->of_task, w, w) &&
           ctkd__add_product(&p->of_task, 5, w);
}

static size_t kdsvd_workspace(const void *config, const ctkd_loss_shape *shape)
{
    const struct kdsvd_config *kdsvd = config;
    struct kdsvd p;
    size_t values = 0;
    return lay_out(shape->maps, shape->n_maps, (size_t)kdsvd->k, &p) &&
                   ctkd__add_product(&values, shape->n, 1) &&
                   ctkd__add_product(&values, CTKD__TASKS, p.of_task)
               ? values
               : 0;
}

static struct svd_map tap_at(const struct kdsvd *p, double *memory, size_t index)
{
    struct svd_map tap = { .width = p->args->maps[2 * index].w };
    const size_t w = tap.width;
    tap.basis = memory + index * p->of_tap;
    tap.values = tap.basis + w * w;
    tap.s = tap.values + w;
    tap.t = tap.s + p->k * w;
    tap.ds = tap.t + p->k * w;
    tap.scale = tap.ds + p->k * w;
    return tap;
}

static const float *sample_of(const ctkd_map *map, size_t i)
{
    return map->x + i * ctkd__map_size(map);
}

static void decompose(const ctkd_map *map, size_t i, double *basis, double *values, double *scratch)
{
    ctkd__gram(map->c * map->h, map->w, sample_of(map, i), basis, scratch);
    ctkd__eigen(map->w, basis, values, scratch);
}

static double dot(size_t n, const double *a, const double *b)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* The student's vector that stands for the teacher's `b`, and the sign that aligns it. */
struct partner {
    const double *vector;
    size_t index;
    double sign;
};

static struct partner find_partner(const struct kdsvd *p, const struct svd_map *tap, size_t b)
{
    const size_t candidates = p->k + EXTRA < tap->width ? p->k + EXTRA : tap->width;
    struct partner best = { tap->basis, 0, 0 };
    double largest = 0;
    for (size_t a = 0; a < candidates; a++) {
        const double *v = tap->basis + a * tap->width;
        const double product = dot(tap->width, v, tap->t + b * tap->width);
        if (fabs(product) > largest) {
            largest = fabs(product);
            best = (struct partner){ v, a, product > 0 ? 1 : -1 };
        }
    }
    return best;
}

static double sign_of_largest(size_t n, const double *v)
{
    size_t largest = 0;
    for (size_t i = 1; i < n; i++)
        largest = fabs(v[i]) > fabs(v[largest]) ? i : largest;
    return v[largest] < 0 ? -1 : 1;
}

/* Fills a tap from the maps of student and teacher. */
static void fill_tap(const struct kdsvd *p, const struct svd_map *tap, const ctkd_map *maps,
                     size_t i, double *scratch)
{
    const size_t w = tap->width;
    double *const basis = scratch, *const values = basis + w * w, *const rest = values + w;
    decompose(&maps[1], i, basis, values, rest);
    for (size_t b = 0; b < p->k; b++)
        tap->scale[b] = sqrt(fmax(values[b], 0)); /* rounding may put 0 below 0 */
    (void)ctkd__normalise_double(p->k, tap->scale, tap->scale);
    for (size_t b = 0; b < p->k; b++) {
        const double factor = tap->scale[b] * sign_of_largest(w, basis + b * w);
        for (size_t j = 0; j < w; j++)
            tap->t[b * w + j] = factor * basis[b * w + j];
    }
    decompose(&maps[0], i, tap->basis, tap->values, rest);
    for (size_t b = 0; b < p->k; b++) {
        const struct partner partner = find_partner(p, tap, b);
        for (size_t j = 0; j < w; j++) {
            tap->s[b * w + j] = tap->scale[b] * partner.sign * partner.vector[j];
            tap->ds[b * w + j] = 0;
        }
    }
}

/* Adds to ds of both; returns |R_s - R_t|^2. */
static double compare(const struct kdsvd *p, const struct svd_map *before,
                      const struct svd_map *now)
{
    const double scale = 2 / (double)p->args->n;
    double loss = 0;
    for (size_t b = 0; b < p->k; b++) {
        const double *s = now->s + b * now->width, *t = now->t + b * now->width;
        const double *old_s = before->s + b * before->width;
        const double *old_t = before->t + b * before->width;
        double *const ds = now->ds + b * now->width, *const old_ds = before->ds + b * before->width;
        for (size_t i = 0; i < now->width; i++)
            for (size_t j = 0; j < before->width; j++) {
                const double step = s[i] - old_s[j], teacher_step = t[i] - old_t[j];
                const double r = exp(-step * step / 8);
                const double d = r - exp(-teacher_step * teacher_step / 8);
                const double slope = scale * d * r * step / -4;
                loss += d * d;
                ds[i] += slope;
                old_ds[j] -= slope;
            }
    }
    return loss;
}

/* y += sum over j of v_j <v_j, dv>/(lambda_a - lambda_j), dv = factor ds. */
static void through_vector(const struct svd_map *tap, size_t a, double factor, const double *ds,
                           double *y)
{
    const size_t w = tap->width;
    const double least = narrowest * tap->values[0];
    for (size_t j = 0; j < w; j++) {
        const double *v = tap->basis + j * w, gap = tap->values[a] - tap->values[j];
        const double share = fabs(gap) > least ? factor * dot(w, v, ds) / gap : 0;
        for (size_t c = 0; c < w; c++)
            y[c] += share * v[c];
    }
}

/* dX = sum_b X (y_b v_b^T + v_b y_b^T). */
static void differentiate(const struct kdsvd *p, const struct svd_map *tap, const ctkd_map *map,
                          size_t i, double *scratch)
{
    const size_t w = tap->width;
    double *const y = scratch, *const x = y + w, *const dx = x + w;
    const float *from = sample_of(map, i);
    float *to = map->dx + i * ctkd__map_size(map);
    memset(to, 0, ctkd__map_size(map) * sizeof *to);
    for (size_t b = 0; b < p->k; b++) {
        const struct partner partner = find_partner(p, tap, b);
        const double *v = partner.vector;
        memset(y, 0, w * sizeof *y);
        through_vector(tap, partner.index, tap->scale[b] * partner.sign, tap->ds + b * w, y);
        for (size_t row = 0; row < map->c * map->h; row++) {
            for (size_t j = 0; j < w; j++)
                x[j] = (double)from[row * w + j];
            const double along_y = dot(w, x, y), along_v = dot(w, x, v);
            for (size_t j = 0; j < w; j++)
                dx[j] = along_y * v[j] + along_v * y[j];
            for (size_t j = 0; j < w; j++)
                to[row * w + j] += (float)dx[j];
        }
    }
}

static void run_task(void *argument, size_t task)
{
    const struct kdsvd *p = argument;
    const size_t taps = p->args->n_maps / 2;
    double *const memory = p->memory + task * p->of_task, *const scratch =
                                                              memory + taps * p->of_tap;
    const size_t begin = ctkd__part_begin(p->args), end = ctkd__part_end(p->args);
    for (size_t i = begin + task; i < end; i += CTKD__TASKS) {
        p->loss[i] = 0;
        for (size_t l = 0; l < taps; l++) {
            const struct svd_map tap = tap_at(p, memory, l);
            fill_tap(p, &tap, &p->args->maps[2 * l], i, scratch);
            if (l == 0)
                continue;
            const struct svd_map before = tap_at(p, memory, l - 1);
            p->loss[i] += compare(p, &before, &tap);
        }
        for (size_t l = 0; l < taps; l++) {
            const struct svd_map tap = tap_at(p, memory, l);
            if (p->args->maps[2 * l].dx)
                differentiate(p, &tap, &p->args->maps[2 * l], i, scratch);
        }
    }
}

static ctkd_status kdsvd_eval(const void *config, const ctkd_loss_args *a)
{
    const struct kdsvd_config *kdsvd = config;
    const ctkd_status status = ctkd__map_pairs_check(a);
    if (status != CTKD_OK)
        return status;
    if (!a->workspace)
        return CTKD_EINVAL;
    for (size_t i = 0; i < a->n_maps; i++)
        if (a->maps[i].w < (size_t)kdsvd->k)
            return CTKD_ESHAPE;
    struct kdsvd p = { .args = a, .loss = a->workspace, .memory = a->workspace + a->n };
    if (!lay_out(a->maps, a->n_maps, (size_t)kdsvd->k, &p))
        return CTKD_ERANGE;
    ctkd__part_tasks(a, run_task, &p);
    double loss = 0;
    const ctkd_status gathered = ctkd__part_sum(a, p.loss, &loss);
    if (gathered == CTKD_OK)
        *a->loss = (float)(loss / (double)a->n);
    return gathered;
}

static const ctkd_option kdsvd_options[] = {
    CTKD_OPT_I64(struct kdsvd_config, k, 1, 1, 64,
                 "number of singular vectors of a map that are compared"),
    CTKD_OPT_END,
};

const ctkd_loss_def ctkd__loss_kdsvd = {
    .name = "kdsvd",
    .title = "Self-supervised knowledge distillation by singular value decomposition",
    .formula = "1/n sum over consecutive maps of |R_s - R_t|^2, R = exp(-(v[i] - v'[j])^2/8) of "
               "their leading right singular vectors",
    .source = "Lee et al. 2018, arXiv:1807.06819",
    .needs = CTKD_NEEDS_MAPS,
    .properties = CTKD_ZERO_WHEN_EQUAL | CTKD_NONNEGATIVE | CTKD_BY_PARTS,
    .classes_min = 1,
    .options = kdsvd_options,
    .config_size = sizeof(struct kdsvd_config),
    .weight = 1,
    .plan = kdsvd_plan,
    .workspace = kdsvd_workspace,
    .eval = kdsvd_eval,
};
