#include "report/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

enum { EXACT_MAX = 20, SAMPLED_FLIPS = 100000, SEED = 1 };

const struct ctkd__compare_options ctkd__compare_defaults = { .level = 0.05,
                                                              .power = 0.8,
                                                              .margin = 0.3,
                                                              .draws = 10000,
                                                              .metric = "test_top1",
                                                              .choice = "last epoch" };

/* Values of the seeds that both arms have: the reference's in x, the arm's in y, y - x in d. */
struct pairs {
    double *x, *y, *d;
    size_t n;
};

static ctkd_status find_pairs(const struct ctkd__compared_arm *reference,
                              const struct ctkd__compared_arm *arm, struct pairs *out,
                              ctkd_error *err)
{
    out->n = 0;
    out->x = calloc(3 * (arm->n + 1), sizeof *out->x);
    if (!out->x)
        return ctkd__fail(err, CTKD_ENOMEM, "comparison: out of memory");
    out->y = out->x + arm->n;
    out->d = out->y + arm->n;
    for (size_t i = 0; i < arm->n; i++)
        for (size_t j = 0; j < reference->n; j++)
            if (arm->seeds[i] == reference->seeds[j]) {
                out->x[out->n] = reference->values[j];
                out->y[out->n] = arm->values[i];
                out->d[out->n] = arm->values[i] - reference->values[j];
                out->n++;
            }
    if (out->n)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EINVAL, "%s and %s have no seed in common, expected at least one",
                      arm->name, reference->name);
}

static ctkd_status compare_pairs(const struct pairs *p, const struct ctkd__compare_options *o,
                                 struct ctkd__comparison *out)
{
    out->difference = ctkd__spread(p->d, p->n);
    out->t = ctkd__t_interval(p->d, p->n, 1 - o->level);
    out->p_t = ctkd__t_test_p(p->d, p->n);
    out->p_flip = ctkd__sign_flip_p(p->d, p->n, EXACT_MAX, SAMPLED_FLIPS, SEED);
    out->correlation = ctkd__correlation(p->x, p->y, p->n);
    out->detectable = ctkd__detectable(out->difference.deviation, p->n, o->level, o->power);
    if (out->difference.deviation > 0 && o->margin > 0)
        out->needed = ctkd__pairs_needed(o->margin, out->difference.deviation, o->level, o->power);
    for (size_t i = 0; i < p->n; i++) {
        out->wins += o->less_is_better ? p->d[i] < 0 : p->d[i] > 0;
        out->ties += p->d[i] == 0;
    }
    return ctkd__bca_interval(p->d, p->n, 1 - o->level, o->draws, SEED, &out->bca);
}

static void describe(const struct ctkd__compared_arm *arm, struct ctkd__comparison *out)
{
    *out = (struct ctkd__comparison){ .name = arm->name,
                                      .arm = ctkd__spread(arm->values, arm->n),
                                      .least = arm->values[0],
                                      .most = arm->values[0],
                                      .unfinished = arm->unfinished };
    for (size_t i = 1; i < arm->n; i++) {
        out->least = fmin(out->least, arm->values[i]);
        out->most = fmax(out->most, arm->values[i]);
    }
}

static ctkd_status adjust(struct ctkd__comparison *arms, size_t count)
{
    double *const p = calloc(count, sizeof *p);
    if (!p)
        return CTKD_ENOMEM;
    for (size_t i = 1; i < count; i++)
        p[i - 1] = arms[i].p_flip;
    const ctkd_status status = ctkd__holm(p, count - 1);
    for (size_t i = 1; i < count && !status; i++)
        arms[i].p_holm = p[i - 1];
    free(p);
    return status;
}

ctkd_status ctkd__compare(const struct ctkd__compared_arm *arms, size_t count,
                          const struct ctkd__compare_options *options, struct ctkd__comparison *out,
                          ctkd_error *err)
{
    if (count < 2)
        return ctkd__fail(err, CTKD_EINVAL, "found %zu arms, expected at least two", count);
    for (size_t i = 0; i < count; i++) {
        if (arms[i].n == 0)
            return ctkd__fail(err, CTKD_EINVAL, "%s: found no finished run, expected at least one",
                              arms[i].name);
        describe(&arms[i], &out[i]);
    }
    for (size_t i = 1; i < count; i++) {
        struct pairs pairs = { 0 };
        ctkd_status status = find_pairs(&arms[0], &arms[i], &pairs, err);
        if (!status && compare_pairs(&pairs, options, &out[i]))
            status = ctkd__fail(err, CTKD_ENOMEM, "comparison: out of memory");
        free(pairs.x);
        if (status)
            return status;
    }
    return adjust(out, count) ? ctkd__fail(err, CTKD_ENOMEM, "comparison: out of memory") : CTKD_OK;
}

/* --- words */

/* The least p that n pairs can give, two-sided. */
static double least_p(size_t n)
{
    return n > EXACT_MAX ? 0 : ldexp(2, -(int)n);
}

static void describe_power(const struct ctkd__comparison *a, const struct ctkd__compare_options *o,
                           char *text, size_t bytes)
{
    int used = snprintf(text, bytes, "%zu seeds detect %.2f", a->difference.n, a->detectable);
    if (a->needed > a->difference.n && used > 0 && (size_t)used < bytes)
        snprintf(text + used, bytes - (size_t)used, ", %zu would detect %.2g", a->needed,
                 o->margin);
}

const char *ctkd__compare_verdict(const struct ctkd__comparison *a, const char *reference,
                                  const struct ctkd__compare_options *o, char *text, size_t bytes)
{
    const size_t n = a->difference.n;
    const double mean = a->difference.mean, cover = 100 * (1 - o->level);
    char power[96] = "";
    if (n < 2) {
        snprintf(text, bytes,
                 "On the one seed in common %s is %.2f %s %s, which says nothing about other seeds",
                 a->name, fabs(mean), mean < 0 ? "below" : "above", reference);
        return text;
    }
    describe_power(a, o, power, sizeof power);
    if (a->p_holm <= o->level)
        snprintf(text, bytes, "%zu seeds: %s is %.2f %s %s (%.0f %%: %.2f to %.2f, p %.2g)", n,
                 a->name, fabs(mean), mean < 0 ? "below" : "above", reference, cover, a->bca.low,
                 a->bca.high, a->p_holm);
    else if (least_p(n) > o->level)
        snprintf(text, bytes,
                 "%zu seeds are too few for the exact test, whose p cannot fall below %.2g: the "
                 "difference is %+.2f (%.0f %% by t: %.2f to %.2f)",
                 n, least_p(n), mean, cover, a->t.low, a->t.high);
    else
        snprintf(text, bytes,
                 "%zu seeds: not distinguishable from %s (difference %+.2f, %.0f %%: %.2f to %.2f, "
                 "p %.2g); %s",
                 n, reference, mean, cover, a->bca.low, a->bca.high, a->p_holm, power);
    return text;
}
