#include "lib/math/rows.h"

#include <math.h>
#include <string.h>

#include "lib/math/clones.h"
#include "lib/math/vexp.h"

/* Number of classes whose terms are computed at a time and stay in the first-level cache; a
   multiple of CTKD__LANES. */
enum { BLOCK = 128 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct ctkd__lse ctkd__row_lse_keeping(size_t k, const float *x, double *kept)
{
    struct ctkd__lse lse = { .max = ctkd__row_max(k, x) };
    double lanes[CTKD__LANES] = { 0 }, own[BLOCK];
    for (size_t j = 0; j < k; j += BLOCK) {
        const size_t count = least(BLOCK, k - j);
        double *const e = kept ? kept + j : own;
        ctkd__exp_row(count, x + j, lse.max, 1, e);
        ctkd__add_lanes(count, e, lanes);
    }
    lse.log_sum = log(ctkd__lanes_sum(lanes));
    return lse;
}

struct ctkd__lse ctkd__row_lse(size_t k, const float *x)
{
    return ctkd__row_lse_keeping(k, x, NULL);
}

CTKD__CLONES static void probabilities_clones(size_t k, const float *x, struct ctkd__lse lse,
                                              float *restrict p)
{
    const double shift = lse.max + lse.log_sum;
    for (size_t j = 0; j < k; j++)
        p[j] = (float)ctkd__exp((double)x[j] - shift);
}

void ctkd__probabilities(size_t k, const float *x, struct ctkd__lse lse, float *p)
{
    probabilities_clones(k, x, lse, p);
}

/* Both forms are computed and one is selected, so that the loop over classes has no branch. */
static inline struct ctkd__kl_term kl_term(double p, double q, double r)
{
    /* r + e^-r - 1 cancels to r^2/2 */
    const double series =
        0.5 +
        r * (-1.0 / 6 + r * (1.0 / 24 + r * (-1.0 / 120 + r * (1.0 / 720 - r * (1.0 / 5040)))));
    const double near_kl = p * r * r * series, near_difference = p * r * (r * series - 1.0);
    const double kl = p * (r - 1.0) + q, difference = q - p; /* e^-r overflows where p is 0 */
    const bool near = fabs(r) < 0.03;
    return (struct ctkd__kl_term){ near ? near_kl : kl, near ? near_difference : difference };
}

struct ctkd__kl_term ctkd__kl_term(double p, double q, double r)
{
    return kl_term(p, q, r);
}

double ctkd__softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

double ctkd__sigmoid(double x)
{
    const double e = exp(-fabs(x));
    return (x < 0 ? e : 1.0) / (1.0 + e);
}

/* One class of a row. */
struct row_class {
    double s, t;     /* logits less the row's maximum */
    double p, q, r;  /* r = log p - log q */
    double r_smooth; /* log(p + epsilon) - log q */
};

static struct row_class class_at(const struct ctkd__kl_row *row, size_t j)
{
    struct row_class c;
    c.s = ctkd__kl_row_s(row, j);
    c.t = ctkd__kl_row_t(row, j);
    const double log_q = c.s / row->tau - row->s_lse;
    c.q = exp(log_q);
    c.p = exp(c.t / row->tau - row->t_lse);
    c.r = (c.t - c.s) / row->tau - row->lse_difference;
    c.r_smooth = c.r;
    if (row->epsilon > 0)
        c.r_smooth =
            c.p > row->epsilon ? c.r + log1p(row->epsilon / c.p) : log(c.p + row->epsilon) - log_q;
    return c;
}

/* The classes that count are those before the one left out and those after it. */
struct class_range {
    size_t begin, end;
};

static struct class_range part_of(const struct ctkd__kl_row *row, size_t i)
{
    const size_t skip = least(row->skip, row->k);
    return i == 0 ? (struct class_range){ 0, skip }
                  : (struct class_range){ least(skip + 1, row->k), row->k };
}

static void find_maxima(struct ctkd__kl_row *row)
{
    row->s_max = row->t_max = -INFINITY;
    for (size_t i = 0; i < 2; i++) {
        const struct class_range part = part_of(row, i);
        const size_t count = part.end - part.begin;
        row->s_max = fmax(row->s_max, ctkd__row_max(count, row->s + part.begin));
        row->t_max = fmax(row->t_max, ctkd__row_max(count, row->t + part.begin));
    }
}

/* Exponentials of a block of classes: where they are kept, else in `own`. */
struct class_block {
    size_t begin, count;
    const double *s, *t;
};

static struct class_block block_at(const struct ctkd__kl_row *row, size_t begin, size_t end,
                                   bool known, double own[2][BLOCK])
{
    const size_t count = least(BLOCK, end - begin);
    const bool keeps = row->kept && row->k <= CTKD__ROW_KEPT;
    double *const s = keeps ? row->kept + begin : own[0];
    double *const t = keeps ? row->kept + CTKD__ROW_KEPT + begin : own[1];
    if (!known || !keeps) {
        ctkd__exp_row(count, row->s + begin, row->s_max, row->s_factor * row->inverse, s);
        ctkd__exp_row(count, row->t + begin, row->t_max, row->t_factor * row->inverse, t);
    }
    return (struct class_block){ begin, count, s, t };
}

/* e_s (e^((t - s)/tau) - 1), for logits less than tau apart. */
CTKD__CLONES static void excesses(const struct ctkd__kl_row *row, struct class_block b,
                                  double *restrict out)
{
    const float *const s = row->s + b.begin, *const t = row->t + b.begin;
    const double s_max = row->s_max, t_max = row->t_max, inverse = row->inverse;
    const double s_factor = row->s_factor, t_factor = row->t_factor;
    for (size_t j = 0; j < b.count; j++) {
        const double at_s = ((double)s[j] - s_max) * s_factor;
        const double at_t = ((double)t[j] - t_max) * t_factor;
        out[j] = b.s[j] * ctkd__expm1((at_t - at_s) * inverse);
    }
}

/* Whether t and s, each less its maximum and times its factor, differ by less than `limit`
   everywhere. */
CTKD__CLONES static bool within(const struct ctkd__kl_row *row, struct class_range part,
                                double limit)
{
    enum { WIDTH = 32 }; /* a constant count, so that GCC vectorises the loop */
    const float *const s = row->s + part.begin, *const t = row->t + part.begin;
    const double s_max = row->s_max, t_max = row->t_max;
    const double s_factor = row->s_factor, t_factor = row->t_factor;
    const size_t count = part.end - part.begin;
    for (size_t j = 0; j < count; j += WIDTH) { /* rarely more than once */
        const size_t n = least(WIDTH, count - j);
        int apart = 0;
        for (size_t l = 0; l < n; l++)
            apart |= fabs(((double)t[j + l] - t_max) * t_factor -
                          ((double)s[j + l] - s_max) * s_factor) *
                         row->inverse >=
                     limit;
        if (apart)
            return false;
    }
    return true;
}

/* As ctkd__add_lanes of both. */
CTKD__CLONES static void add_block(struct class_block b, double *restrict s_lanes,
                                   double *restrict t_lanes)
{
    double s[CTKD__LANES], t[CTKD__LANES];
    memcpy(s, s_lanes, sizeof s);
    memcpy(t, t_lanes, sizeof t);
    size_t j = 0;
    for (; j + CTKD__LANES <= b.count; j += CTKD__LANES) {
        for (size_t l = 0; l < CTKD__LANES; l++)
            s[l] += b.s[j + l];
        for (size_t l = 0; l < CTKD__LANES; l++)
            t[l] += b.t[j + l];
    }
    for (size_t l = 0; j + l < b.count; l++) {
        s[l] += b.s[j + l];
        t[l] += b.t[j + l];
    }
    memcpy(s_lanes, s, sizeof s);
    memcpy(t_lanes, t, sizeof t);
}

void ctkd__kl_row_prepare(struct ctkd__kl_row *row)
{
    find_maxima(row);
    row->inverse = 1 / row->tau;
    row->s_factor = row->s_factor == 0 ? 1 : row->s_factor;
    row->t_factor = row->t_factor == 0 ? 1 : row->t_factor;
    double s_lanes[CTKD__LANES] = { 0 }, t_lanes[CTKD__LANES] = { 0 }, own[2][BLOCK];
    for (size_t i = 0; i < 2; i++) {
        const struct class_range part = part_of(row, i);
        for (size_t j = part.begin; j < part.end; j += BLOCK) {
            const struct class_block b = block_at(row, j, part.end, false, own);
            add_block(b, s_lanes, t_lanes);
        }
    }
    row->s_sum = ctkd__lanes_sum(s_lanes);
    row->t_sum = ctkd__lanes_sum(t_lanes);
    row->s_lse = log(row->s_sum);
    row->t_lse = log(row->t_sum);
    row->lse_difference = row->t_lse - row->s_lse;
    if (!within(row, part_of(row, 0), 1e-3) || !within(row, part_of(row, 1), 1e-3))
        return;
    /* Both are near log k, each to some 1e-15, and their difference is of the size of the logits'
       differences over tau: sum q e^((t - s)/tau) = e^lse_difference gives it without the
       cancellation. */
    double lanes[CTKD__LANES] = { 0 }, excess[BLOCK];
    for (size_t i = 0; i < 2; i++) {
        const struct class_range part = part_of(row, i);
        for (size_t j = part.begin; j < part.end; j += BLOCK) {
            const struct class_block b = block_at(row, j, part.end, true, own);
            excesses(row, b, excess);
            ctkd__add_lanes(b.count, excess, lanes);
        }
    }
    row->lse_difference = log1p(ctkd__lanes_sum(lanes) / row->s_sum);
}

/* What a class adds to the sums of a row, and its gradient. */
enum { KL, S, T, TR, MOVED, SUMS };
struct terms {
    double of[SUMS][BLOCK], ds[BLOCK];
};

/* As ctkd__add_lanes of each. All sums in one loop: with a single sum every addition would wait for
   the one before it. */
CTKD__CLONES static void add_terms(size_t n, const struct terms *restrict terms,
                                   double (*restrict lanes)[CTKD__LANES])
{
    double kl[CTKD__LANES], s[CTKD__LANES], t[CTKD__LANES], tr[CTKD__LANES], moved[CTKD__LANES];
    memcpy(kl, lanes[KL], sizeof kl);
    memcpy(s, lanes[S], sizeof s);
    memcpy(t, lanes[T], sizeof t);
    memcpy(tr, lanes[TR], sizeof tr);
    memcpy(moved, lanes[MOVED], sizeof moved);
    size_t j = 0;
    for (; j + CTKD__LANES <= n; j += CTKD__LANES) {
        for (size_t l = 0; l < CTKD__LANES; l++)
            kl[l] += terms->of[KL][j + l];
        for (size_t l = 0; l < CTKD__LANES; l++)
            s[l] += terms->of[S][j + l];
        for (size_t l = 0; l < CTKD__LANES; l++)
            t[l] += terms->of[T][j + l];
        for (size_t l = 0; l < CTKD__LANES; l++)
            tr[l] += terms->of[TR][j + l];
        for (size_t l = 0; l < CTKD__LANES; l++)
            moved[l] += terms->of[MOVED][j + l];
    }
    for (size_t l = 0; j + l < n; l++) {
        kl[l] += terms->of[KL][j + l];
        s[l] += terms->of[S][j + l];
        t[l] += terms->of[T][j + l];
        tr[l] += terms->of[TR][j + l];
        moved[l] += terms->of[MOVED][j + l];
    }
    memcpy(lanes[KL], kl, sizeof kl);
    memcpy(lanes[S], s, sizeof s);
    memcpy(lanes[T], t, sizeof t);
    memcpy(lanes[TR], tr, sizeof tr);
    memcpy(lanes[MOVED], moved, sizeof moved);
}

/* In two loops, for the reason given in vexp.c. */
CTKD__CLONES static void make_terms(const struct ctkd__kl_row *row, struct class_block b,
                                    struct ctkd__ds_weights w, struct terms *restrict terms)
{
    const float *const s = row->s + b.begin, *const t = row->t + b.begin;
    const double s_max = row->s_max, t_max = row->t_max, inverse = row->inverse;
    const double s_factor = row->s_factor, t_factor = row->t_factor;
    const double s_scale = 1 / row->s_sum, t_scale = 1 / row->t_sum;
    const double lse_difference = row->lse_difference;
    double rs[BLOCK], qs[BLOCK], ps[BLOCK], at[BLOCK];
    for (size_t j = 0; j < b.count; j++) {
        const double at_s = ((double)s[j] - s_max) * s_factor;
        const double at_t = ((double)t[j] - t_max) * t_factor;
        const double q = b.s[j] * s_scale, p = b.t[j] * t_scale;
        const double r = (at_t - at_s) * inverse - lse_difference;
        terms->of[S][j] = q * at_s;
        terms->of[T][j] = p * at_t;
        terms->of[TR][j] = p * at_t * r;
        rs[j] = r, qs[j] = q, ps[j] = p, at[j] = at_s;
    }
    for (size_t j = 0; j < b.count; j++) {
        const struct ctkd__kl_term term = kl_term(ps[j], qs[j], rs[j]);
        terms->of[KL][j] = term.kl;
        terms->of[MOVED][j] = term.difference * at[j];
        terms->ds[j] = w.difference * term.difference + w.student * qs[j] + w.constant;
    }
}

CTKD__CLONES static void put_block(size_t begin, size_t count, const double *restrict x,
                                   struct ctkd__row_gradient to)
{
    if (to.floats)
        for (size_t j = 0; j < count; j++)
            to.floats[begin + j] = (float)x[j];
    else if (to.doubles)
        memcpy(to.doubles + begin, x, count * sizeof *x);
}

/* The sums of a row with epsilon, class by class: there is no vector form of log(p + epsilon). */
static void sum_smoothed(struct ctkd__kl_row *row, struct ctkd__ds_weights weights,
                         struct ctkd__row_gradient ds, double *moved_s, double *mean_tr)
{
    for (size_t j = 0; j < row->k; j++) {
        if (j == row->skip)
            continue;
        const struct row_class c = class_at(row, j);
        const struct ctkd__kl_term term = ctkd__kl_term(c.p, c.q, c.r);
        /* sum p r is sum term.kl, because the differences sum to 0 */
        const double smoothed = term.kl + c.p * (c.r_smooth - c.r);
        row->mean_r += smoothed;
        row->kl += smoothed + row->epsilon * c.r_smooth;
        row->mean_s += c.q * c.s;
        row->mean_t += c.p * c.t;
        *mean_tr += c.p * c.t * c.r_smooth;
        const double d = term.difference + row->epsilon * ((double)row->k * c.q - 1.0);
        *moved_s += d * c.s;
        ctkd__put(ds, j,
                  weights.difference * term.difference + weights.student * c.q + weights.constant);
    }
}

static void sum_exact(struct ctkd__kl_row *row, struct ctkd__ds_weights weights,
                      struct ctkd__row_gradient ds, double *moved_s, double *mean_tr)
{
    double lanes[SUMS][CTKD__LANES] = { { 0 } }, own[2][BLOCK];
    struct terms terms;
    for (size_t i = 0; i < 2; i++) {
        const struct class_range part = part_of(row, i);
        for (size_t j = part.begin; j < part.end; j += BLOCK) {
            const struct class_block b = block_at(row, j, part.end, true, own);
            make_terms(row, b, weights, &terms);
            put_block(j, b.count, terms.ds, ds);
            add_terms(b.count, &terms, lanes);
        }
    }
    row->kl = row->mean_r = ctkd__lanes_sum(lanes[KL]); /* the differences q - p sum to 0 */
    row->mean_s = ctkd__lanes_sum(lanes[S]);
    row->mean_t = ctkd__lanes_sum(lanes[T]);
    *mean_tr = ctkd__lanes_sum(lanes[TR]);
    *moved_s = ctkd__lanes_sum(lanes[MOVED]);
}

void ctkd__kl_row_sum(struct ctkd__kl_row *row, struct ctkd__ds_weights weights,
                      struct ctkd__row_gradient ds)
{
    double moved_s = 0, mean_tr = 0;
    row->kl = row->mean_r = row->mean_s = row->mean_t = 0;
    if (row->epsilon > 0)
        sum_smoothed(row, weights, ds, &moved_s, &mean_tr);
    else
        sum_exact(row, weights, ds, &moved_s, &mean_tr);
    /* Both softmaxes and the factor tau^2 depend on tau. */
    row->dtau = 2.0 * row->tau * row->kl - moved_s - (mean_tr - row->mean_t * row->mean_r);
}

void ctkd__kl_row_teacher(const struct ctkd__kl_row *row, double weight, double constant,
                          struct ctkd__row_gradient dt)
{
    for (size_t j = 0; j < row->k; j++) {
        if (j == row->skip)
            continue;
        const struct row_class c = class_at(row, j);
        ctkd__put(dt, j, c.p * (weight * (c.r_smooth - row->mean_r) + constant));
    }
}

bool ctkd__loss_arguments_ok(size_t n, size_t k, const float *s, const float *t, const float *tau,
                             size_t n_tau, const float *loss)
{
    if (n == 0 || k == 0 || !s || !t || !tau || !loss || (n_tau != 1 && n_tau != n))
        return false;
    for (size_t i = 0; i < n_tau; i++)
        if (!(tau[i] > 0) || !isfinite(tau[i]))
            return false;
    return true;
}

bool ctkd__labels_ok(size_t n, size_t k, const int32_t *labels)
{
    for (size_t i = 0; i < n; i++)
        if (labels[i] < 0 || (size_t)labels[i] >= k)
            return false;
    return true;
}
