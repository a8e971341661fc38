/**
 * @file rows.h  What the losses on logits share: one row at a time, in double.
 *
 * KL(p || q) of a teacher's and a student's softmax at temperature tau, its derivatives, and the
 * same with one class left out (DKD). The formulas stay accurate where the obvious ones cancel: the
 * KL is a sum of non-negative terms p (r + e^-r - 1), r = log p/q, and r comes from differences of
 * logits, so tau^2 KL is right even at temperatures where KL itself is far below rounding.
 */
#ifndef CTKD_LIB_MATH_ROWS_H
#define CTKD_LIB_MATH_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTKD__NO_CLASS SIZE_MAX

/** max_j x_j of a row and, relative to it, log sum_j exp(x_j - max). */
struct ctkd__lse {
    double max, log_sum;
};
struct ctkd__lse ctkd__row_lse(size_t k, const float *x);
/** The same; writes exp(x_j - max), k values, to kept unless it is NULL. */
struct ctkd__lse ctkd__row_lse_keeping(size_t k, const float *x, double *kept);

/** p = softmax(x) of a row whose lse this is. */
void ctkd__probabilities(size_t k, const float *x, struct ctkd__lse lse, float *p);

/** One class in a KL divergence. */
struct ctkd__kl_term {
    double kl;         /**< its non-negative share p (r + e^-r - 1) */
    double difference; /**< q - p */
};
/** Makes a term from p, q and r = log p - log q, each of which must be accurate by itself. */
struct ctkd__kl_term ctkd__kl_term(double p, double q, double r);

/** log(1 + e^x) and 1/(1 + e^-x), for every x. */
double ctkd__softplus(double x);
double ctkd__sigmoid(double x);

/** Rows up to this length keep their exponentials from one pass to the next. */
enum { CTKD__ROW_KEPT = 1024 };

/** A row at a temperature. The caller sets the first block; the functions below fill the rest as
    noted. */
struct ctkd__kl_row {
    size_t k, skip; /**< classes; the one left out, or CTKD__NO_CLASS */
    const float *s, *t;
    double tau;
    double epsilon; /**< added to p inside the KL (the 1e-7 form of doc/methods.md, "KD"), or 0 */
    /** Factors of the logits; 0 means 1. Standardised logits are never stored as floats: their
     * rounding would be as large as s - t where student and teacher are close. */
    double s_factor, t_factor;
    double *kept; /**< scratch of 2 CTKD__ROW_KEPT values; NULL: exponentials are computed twice */
    /* by prepare */
    double s_max, t_max; /**< over the classes that count, without the factors */
    double inverse;      /**< 1/tau */
    double s_sum, t_sum; /**< of exp of the logits less the maximum, times their factor over tau */
    double s_lse, t_lse; /**< their logarithms */
    double lse_difference; /**< t_lse - s_lse, accurate when small */
    /* by sum */
    double kl;             /**< sum (p + epsilon) (log(p + epsilon) - log q) */
    double mean_r;         /**< E_p of log(p + epsilon) - log q */
    double mean_s, mean_t; /**< E_q, E_p of the logits less the maximum, times their factor */
    double dtau;           /**< d(tau^2 kl)/dtau */
};

void ctkd__kl_row_prepare(struct ctkd__kl_row *row);

/** Student gradient of a class: difference * (q - p) + student * q + constant. */
struct ctkd__ds_weights {
    double difference, student, constant;
};
/** Where a row's gradient goes: one of the two, or neither. With respect to the logits times their
    factor. */
struct ctkd__row_gradient {
    float *floats;
    double *doubles; /**< for callers that compute with it */
};
static inline void ctkd__put(struct ctkd__row_gradient to, size_t j, double value)
{
    if (to.floats)
        to.floats[j] = (float)value;
    else if (to.doubles)
        to.doubles[j] = value;
}

/** A class's logit times its factor, less the row's maximum over the classes that count. */
static inline double ctkd__kl_row_s(const struct ctkd__kl_row *row, size_t j)
{
    return ((double)row->s[j] - row->s_max) * row->s_factor;
}
static inline double ctkd__kl_row_t(const struct ctkd__kl_row *row, size_t j)
{
    return ((double)row->t[j] - row->t_max) * row->t_factor;
}

/** Fills the sums; writes ds of every class that counts. */
void ctkd__kl_row_sum(struct ctkd__kl_row *row, struct ctkd__ds_weights weights,
                      struct ctkd__row_gradient ds);

/** Writes dt_j = p_j * (weight * (r_j - mean_r) + constant); needs the sums. */
void ctkd__kl_row_teacher(const struct ctkd__kl_row *row, double weight, double constant,
                          struct ctkd__row_gradient dt);

/** The argument check that losses with a temperature share. */
bool ctkd__loss_arguments_ok(size_t n, size_t k, const float *s, const float *t, const float *tau,
                             size_t n_tau, const float *loss);
/** Whether every label is in 0..k-1. */
bool ctkd__labels_ok(size_t n, size_t k, const int32_t *labels);

#endif
