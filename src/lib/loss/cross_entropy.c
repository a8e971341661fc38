#include <math.h>

#include "ctkd/loss.h"
#include "lib/each.h"
#include "lib/loss/pooled.h"
#include "lib/math/clones.h"
#include "lib/math/rows.h"
#include "lib/math/vexp.h"

struct cross_entropy {
    size_t n, k;
    const float *s;
    const int32_t *labels; /* or: */
    const float *y;
    float *ds;
    double sums[CTKD__TASKS];
};

enum { BLOCK = 128 };

/* ds = weight e + constant */
CTKD__CLONES static void scale_row(size_t count, double weight, const double *restrict e,
                                   float *restrict ds)
{
    for (size_t j = 0; j < count; j++)
        ds[j] = (float)(weight * e[j]);
}

/* ds = (total softmax(s) - y)/n with y one label or soft ones, whose sum is `total`; kept: the
   row's exponentials, or NULL. */
static void differentiate(const struct cross_entropy *c, size_t i, struct ctkd__lse lse,
                          double total, const double *kept)
{
    const float *const s = c->s + i * c->k, *const y = c->y ? c->y + i * c->k : NULL;
    float *const ds = c->ds + i * c->k;
    const double n = (double)c->n, sum = exp(lse.log_sum);
    double own[BLOCK];
    for (size_t j = 0; j < c->k; j += BLOCK) {
        const size_t count = c->k - j < BLOCK ? c->k - j : BLOCK;
        const double *const e = kept ? kept + j : own;
        if (!kept)
            ctkd__exp_row(count, s + j, lse.max, 1, own);
        if (y)
            for (size_t b = 0; b < count; b++)
                ds[j + b] = (float)((total * e[b] / sum - (double)y[j + b]) / n);
        else
            scale_row(count, 1 / (sum * n), e, ds + j);
    }
    if (!y) {
        const size_t label = (size_t)c->labels[i];
        const double q = ctkd__exp((double)s[label] - lse.max) / sum;
        ds[label] = (float)((q - 1) / n);
    }
}

static void run_task(void *argument, size_t task)
{
    struct cross_entropy *c = argument;
    double sum = 0, row[CTKD__ROW_KEPT];
    double *const kept = c->ds && c->k <= CTKD__ROW_KEPT ? row : NULL;
    for (size_t i = ctkd__task_begin(c->n, task); i < ctkd__task_begin(c->n, task + 1); i++) {
        const float *const s = c->s + i * c->k, *const y = c->y ? c->y + i * c->k : NULL;
        const struct ctkd__lse lse = ctkd__row_lse_keeping(c->k, s, kept);
        double total = 1;
        if (y) {
            total = 0;
            for (size_t j = 0; j < c->k; j++) {
                total += (double)y[j];
                if (y[j] > 0)
                    sum += (double)y[j] * (lse.log_sum - ((double)s[j] - lse.max));
            }
        } else {
            sum += lse.log_sum - ((double)s[c->labels[i]] - lse.max);
        }
        if (c->ds)
            differentiate(c, i, lse, total, kept);
    }
    c->sums[task] = sum;
}

static float evaluate(struct cross_entropy *c, const ctkd_pool *pool)
{
    ctkd__each(pool, CTKD__TASKS, run_task, c);
    double sum = 0;
    for (size_t i = 0; i < CTKD__TASKS; i++)
        sum += c->sums[i];
    return (float)(sum / (double)c->n);
}

ctkd_status ctkd__cross_entropy(const ctkd_pool *pool, size_t n, size_t k, const float *s,
                                const int32_t *labels, float *loss, float *ds)
{
    if (n == 0 || k == 0 || !s || !labels || !loss)
        return CTKD_EINVAL;
    if (!ctkd__labels_ok(n, k, labels))
        return CTKD_ERANGE;
    *loss = evaluate(&(struct cross_entropy){ .n = n, .k = k, .s = s, .labels = labels, .ds = ds },
                     pool);
    return CTKD_OK;
}

ctkd_status ctkd__cross_entropy_soft(const ctkd_pool *pool, size_t n, size_t k, const float *s,
                                     const float *y, float *loss, float *ds)
{
    if (n == 0 || k == 0 || !s || !y || !loss)
        return CTKD_EINVAL;
    for (size_t i = 0; i < n * k; i++)
        if (!(y[i] >= 0) || !isfinite(y[i]))
            return CTKD_ERANGE;
    *loss = evaluate(&(struct cross_entropy){ .n = n, .k = k, .s = s, .y = y, .ds = ds }, pool);
    return CTKD_OK;
}

ctkd_status ctkd_cross_entropy(size_t n, size_t k, const float *s, const int32_t *labels,
                               float *loss, float *ds)
{
    return ctkd__cross_entropy(NULL, n, k, s, labels, loss, ds);
}

ctkd_status ctkd_cross_entropy_soft(size_t n, size_t k, const float *s, const float *y, float *loss,
                                    float *ds)
{
    return ctkd__cross_entropy_soft(NULL, n, k, s, y, loss, ds);
}
