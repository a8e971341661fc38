#include "report/statistics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "ctkd/random.h"
#include "util/median.h"

enum { EXACT_MAX = 30 };

/* --- distributions */

double ctkd__normal_cdf(double z)
{
    return 0.5 * erfc(-z / sqrt(2.0));
}

/* Inverts an increasing function by bisection, to the last bit that it resolves. */
static double invert(double (*f)(double x, const void *context), const void *context, double target,
                     double low, double high)
{
    for (int i = 0; i < 200; i++) {
        const double middle = 0.5 * (low + high);
        if (middle <= low || middle >= high)
            break;
        if (f(middle, context) < target)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}

static double normal_of(double x, const void *context)
{
    (void)context;
    return ctkd__normal_cdf(x);
}

/* In the lower half, where the distribution keeps its digits; the upper half is its mirror. */
double ctkd__normal_quantile(double p)
{
    return p > 0.5 ? -ctkd__normal_quantile(1.0 - p) : invert(normal_of, NULL, p, -40.0, 0.0);
}

/* The continued fraction of the incomplete beta function, by Lentz's method (Numerical Recipes,
   sec. 6.4; Abramowitz & Stegun 26.5.8). */
static double beta_fraction(double x, double a, double b)
{
    enum { TERMS_MAX = 100000 };
    const double tiny = 1e-300;
    double c = 1.0, d = 1.0 - (a + b) * x / (a + 1.0);
    d = 1.0 / (fabs(d) < tiny ? tiny : d);
    double result = d;
    for (int m = 1; m <= TERMS_MAX; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        for (int half = 0; half < 2; half++) {
            const double term = half ? odd : even;
            d = 1.0 + term * d;
            c = 1.0 + term / c;
            d = 1.0 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            result *= c * d;
        }
        if (fabs(c * d - 1.0) < 1e-16)
            break;
    }
    return result;
}

/* Regularised incomplete beta function I_x(a, b); y is 1 - x, which may be too small to be its
   difference. */
static double beta_of(double x, double y, double a, double b)
{
    if (x <= 0.0 || y <= 0.0)
        return x <= 0.0 ? 0.0 : 1.0;
    const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(y));
    return x < (a + 1.0) / (a + b + 2.0) ? front * beta_fraction(x, a, b) / a
                                         : 1.0 - front * beta_fraction(y, b, a) / b;
}

double ctkd__t_cdf(double t, double nu)
{
    const double square = t * t;
    const double tail = 0.5 * beta_of(nu / (nu + square), square / (nu + square), nu / 2.0, 0.5);
    return t > 0 ? 1.0 - tail : tail;
}

static double t_of(double x, const void *context)
{
    return ctkd__t_cdf(x, *(const double *)context);
}

double ctkd__t_quantile(double p, double nu)
{
    if (p > 0.5)
        return -ctkd__t_quantile(1.0 - p, nu);
    double low = -1.0;
    while (ctkd__t_cdf(low, nu) > p && low > -1e300)
        low *= 4.0;
    return invert(t_of, &nu, p, low, 0.0);
}

/* The integrand of the power at u = sqrt(chi^2 / nu). */
static double power_at(double u, double nu, double critical, double shift)
{
    if (u <= 0.0)
        return 0.0;
    const double log_density = 0.5 * nu * log(nu) + (nu - 1.0) * log(u) - 0.5 * nu * u * u -
                               (0.5 * nu - 1.0) * log(2.0) - lgamma(0.5 * nu);
    return exp(log_density) *
           (ctkd__normal_cdf(shift - critical * u) + ctkd__normal_cdf(-shift - critical * u));
}

double ctkd__t_power(double effect, size_t n, double level)
{
    enum { STEPS = 4000 };
    const double nu = (double)n - 1.0, critical = ctkd__t_quantile(1.0 - level / 2.0, nu);
    const double shift = fabs(effect) * sqrt((double)n);
    const double end = 1.0 + 12.0 / sqrt(nu), step = end / STEPS;
    double sum = power_at(end, nu, critical, shift); /* Simpson's rule */
    if (n == 2)
        sum += sqrt(2.0 / 3.14159265358979323846); /* the density at 0; elsewhere 0 */
    for (int i = 1; i < STEPS; i++)
        sum += (i % 2 ? 4.0 : 2.0) * power_at(i * step, nu, critical, shift);
    return sum * step / 3.0;
}

/* --- one arm */

static double mean_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

struct ctkd__spread ctkd__spread(const double *x, size_t n)
{
    const double mean = n ? mean_of(x, n) : (double)NAN;
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    return (struct ctkd__spread){ n, mean,
                                  n < 2 ? (double)NAN : sqrt(squares / ((double)n - 1.0)) };
}

struct ctkd__interval ctkd__t_interval(const double *x, size_t n, double coverage)
{
    const struct ctkd__spread s = ctkd__spread(x, n);
    if (n < 2)
        return (struct ctkd__interval){ NAN, NAN };
    const double half =
        ctkd__t_quantile(0.5 + coverage / 2.0, (double)n - 1.0) * s.deviation / sqrt((double)n);
    return (struct ctkd__interval){ s.mean - half, s.mean + half };
}

/* Means of resamples; draw d of the bootstrap takes its words from the blocks of major d. */
static void resample(const double *x, size_t n, size_t draws, uint64_t seed, double *means)
{
    for (size_t d = 0; d < draws; d++) {
        double sum = 0;
        uint32_t words[4];
        for (size_t i = 0; i < n; i++) {
            if (i % 4 == 0)
                ctkd_random_u32x4(seed, CTKD_RANDOM_REPORT, d, i / 4, words);
            sum += x[((uint64_t)words[i % 4] * n) >> 32];
        }
        means[d] = sum / (double)n;
    }
}

/* Skewness of the jackknife over 6. */
static double acceleration(const double *x, size_t n, double mean)
{
    double squares = 0, cubes = 0;
    for (size_t i = 0; i < n; i++) {
        /* mean of the leave-one-out means minus one of them: (x_i - mean) / (n - 1) */
        const double u = (x[i] - mean) / ((double)n - 1.0);
        squares += u * u;
        cubes += u * u * u;
    }
    return cubes / (6.0 * pow(squares, 1.5));
}

/* Linear between order statistics, as NumPy's default. */
static double percentile(const double *sorted, size_t n, double p)
{
    const double at = p * (double)(n - 1);
    const size_t below = (size_t)at, above = below + 1 < n ? below + 1 : below;
    return sorted[below] + (at - (double)below) * (sorted[above] - sorted[below]);
}

ctkd_status ctkd__bca_interval(const double *x, size_t n, double coverage, size_t draws,
                               uint64_t seed, struct ctkd__interval *out)
{
    *out = (struct ctkd__interval){ NAN, NAN };
    if (n < 2 || draws == 0)
        return CTKD_OK;
    const struct ctkd__spread s = ctkd__spread(x, n);
    if (s.deviation <= 0.0) {
        *out = (struct ctkd__interval){ s.mean, s.mean };
        return CTKD_OK;
    }
    double *const means = malloc(draws * sizeof *means);
    if (!means)
        return CTKD_ENOMEM;
    resample(x, n, draws, seed, means);
    ctkd__sort_doubles(draws, means);
    double below = 0;
    for (size_t d = 0; d < draws; d++)
        below += means[d] < s.mean ? 1.0 : means[d] > s.mean ? 0.0 : 0.5;
    const double z0 = ctkd__normal_quantile(below / (double)draws);
    const double a = acceleration(x, n, s.mean);
    double ends[2];
    for (int i = 0; i < 2; i++) {
        const double z = z0 + ctkd__normal_quantile(i ? 0.5 + coverage / 2 : 0.5 - coverage / 2);
        ends[i] = percentile(means, draws, ctkd__normal_cdf(z0 + z / (1.0 - a * z)));
    }
    *out = (struct ctkd__interval){ ends[0], ends[1] };
    free(means);
    return CTKD_OK;
}

/* --- pairs */

/* Sum of the differences with the signs of one of the 2^n patterns, or of a random one. */
static double signed_sum(const double *d, size_t n, uint64_t signs)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += signs >> i & 1 ? -d[i] : d[i];
    return sum;
}

static double sampled_sum(const double *d, size_t n, uint64_t draw, uint64_t seed)
{
    double sum = 0;
    uint32_t words[4] = { 0 };
    for (size_t i = 0; i < n; i++) {
        if (i % 128 == 0)
            ctkd_random_u32x4(seed, CTKD_RANDOM_REPORT, draw, i / 128, words);
        sum += words[i / 32 % 4] >> i % 32 & 1 ? -d[i] : d[i];
    }
    return sum;
}

double ctkd__sign_flip_p(const double *d, size_t n, size_t exact_max, size_t draws, uint64_t seed)
{
    double size = 0, observed = 0;
    for (size_t i = 0; i < n; i++) {
        size += fabs(d[i]);
        observed += d[i];
    }
    const double limit = fabs(observed) - 1e-12 * size; /* equal but for rounding is equal */
    const bool exact = n <= exact_max && n <= EXACT_MAX;
    const uint64_t total = exact ? (uint64_t)1 << n : draws;
    uint64_t extreme = 0;
    for (uint64_t i = 0; i < total; i++)
        extreme += fabs(exact ? signed_sum(d, n, i) : sampled_sum(d, n, i, seed)) >= limit;
    return exact ? (double)extreme / (double)total : (double)(extreme + 1) / (double)(total + 1);
}

double ctkd__t_test_p(const double *d, size_t n)
{
    const struct ctkd__spread s = ctkd__spread(d, n);
    if (n < 2)
        return NAN;
    if (s.deviation <= 0.0)
        return s.mean == 0.0 ? 1.0 : 0.0;
    return 2.0 * ctkd__t_cdf(-fabs(s.mean) / (s.deviation / sqrt((double)n)), (double)n - 1.0);
}

double ctkd__correlation(const double *x, const double *y, size_t n)
{
    if (n < 2)
        return NAN;
    const double mx = mean_of(x, n), my = mean_of(y, n);
    double xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
        xy += (x[i] - mx) * (y[i] - my);
    }
    return xx > 0.0 && yy > 0.0 ? xy / sqrt(xx * yy) : (double)NAN;
}

struct ranked {
    double p;
    size_t index;
};

static int by_p(const void *a, const void *b)
{
    const double x = ((const struct ranked *)a)->p, y = ((const struct ranked *)b)->p;
    return (x > y) - (x < y);
}

ctkd_status ctkd__holm(double *p, size_t n)
{
    struct ranked *const order = malloc((n + 1) * sizeof *order);
    if (!order)
        return CTKD_ENOMEM;
    for (size_t i = 0; i < n; i++)
        order[i] = (struct ranked){ p[i], i };
    qsort(order, n, sizeof *order, by_p);
    double least = 0;
    for (size_t i = 0; i < n; i++) {
        const double adjusted = order[i].p * (double)(n - i);
        least = adjusted > least ? adjusted : least;
        p[order[i].index] = least < 1.0 ? least : 1.0;
    }
    free(order);
    return CTKD_OK;
}

struct power_question {
    size_t n;
    double level;
};

static double power_of(double effect, const void *context)
{
    const struct power_question *const q = context;
    return ctkd__t_power(effect, q->n, q->level);
}

double ctkd__detectable(double deviation, size_t n, double level, double power)
{
    if (n < 2)
        return NAN;
    const struct power_question question = { n, level };
    double high = 1.0;
    while (power_of(high, &question) < power && high < 1e6)
        high *= 2.0;
    double low = 0.0;
    for (int i = 0; i < 40; i++) { /* 12 digits; each evaluation is an integral */
        const double middle = 0.5 * (low + high);
        if (power_of(middle, &question) < power)
            low = middle;
        else
            high = middle;
    }
    return high * deviation;
}

size_t ctkd__pairs_needed(double difference, double deviation, double level, double power)
{
    enum { PAIRS_MAX = 1000000 };
    const double effect = fabs(difference) / deviation;
    size_t low = 1, high = 2;
    while (high <= PAIRS_MAX && ctkd__t_power(effect, high, level) < power) {
        low = high;
        high *= 2;
    }
    if (high > PAIRS_MAX)
        return 0;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (ctkd__t_power(effect, middle, level) < power)
            low = middle;
        else
            high = middle;
    }
    return high;
}
