/*
 * Statistics for a few runs: pairs of runs with the same seed, from two arms.
 *
 * Everything is computed to double precision, except for the bootstrap and, with many pairs, the
 * sign-flip test. These draw from the counter-based generator with a fixed seed, so that the same
 * numbers give the same result.
 */
#ifndef CTKD_REPORT_STATISTICS_H
#define CTKD_REPORT_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

/* --- distributions */

double ctkd__normal_cdf(double z);
double ctkd__normal_quantile(double p); /* 0 < p < 1 */
/* Student's t with nu > 0 degrees of freedom: P(T <= t), and its inverse. */
double ctkd__t_cdf(double t, double nu);
double ctkd__t_quantile(double p, double nu);
/* Power of the two-sided t test at `level` with n values whose mean is `effect` deviations away
   from 0 (noncentral t, effect sqrt(n)); n >= 2. */
double ctkd__t_power(double effect, size_t n, double level);

/* --- one arm */

struct ctkd__spread {
    size_t n;
    double mean, deviation; /* of the sample, divisor n - 1; NaN for n < 2 */
};
struct ctkd__spread ctkd__spread(const double *x, size_t n);

struct ctkd__interval {
    double low, high; /* NaN: too few values */
};
/* mean +- t(0.5 + coverage / 2, n - 1) deviation / sqrt(n) */
struct ctkd__interval ctkd__t_interval(const double *x, size_t n, double coverage);
/* BCa bootstrap interval of the mean (Efron 1987): percentiles of `draws` resampled means,
   corrected for bias z0 (the share below the mean, ties half) and acceleration a (jackknife):
     alpha' = Phi(z0 + (z0 + z) / (1 - a (z0 + z)))
   Values that are all equal give that value twice. CTKD_ENOMEM: no room for the draws. */
ctkd_status ctkd__bca_interval(const double *x, size_t n, double coverage, size_t draws,
                               uint64_t seed, struct ctkd__interval *out);

/* --- pairs */

/* Share of the 2^n signs of the differences d for which |sum| is at least the one observed
   (two-sided exact test of a difference symmetric about 0). Above `exact_max` values (at most 30)
   `draws` random signs, the observed ones among them, give the estimate. */
double ctkd__sign_flip_p(const double *d, size_t n, size_t exact_max, size_t draws, uint64_t seed);
/* p of the two-sided t test of mean(d) = 0; NaN for n < 2; deviation 0: 1 at mean 0, else 0. */
double ctkd__t_test_p(const double *d, size_t n);
/* Pearson's correlation; NaN for n < 2 or a constant side. */
double ctkd__correlation(const double *x, const double *y, size_t n);
/* Holm's adjustment of `n` values of p (Holm 1979), in place, order kept. */
ctkd_status ctkd__holm(double *p, size_t n);

/* Smallest |mean difference| that the test at `level` finds with probability `power` from n pairs
   whose differences have this deviation. NaN for n < 2. */
double ctkd__detectable(double deviation, size_t n, double level, double power);
/* Smallest n >= 2 that detects `difference`; 0: above a million. */
size_t ctkd__pairs_needed(double difference, double deviation, double level, double power);

#endif
