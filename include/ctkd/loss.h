/**
 * @file loss.h  Distillation losses with exact gradients, as functions and as a registry.
 *
 * Arrays are plain row-major float. Outputs are overwritten. Nothing here allocates (a loss that
 * keeps state gets it from its creator); all functions may run side by side on different outputs.
 * Per-row values are computed in double: n*k float terms would lose digits.
 */
#ifndef CTKD_LOSS_H
#define CTKD_LOSS_H

#include <stddef.h>
#include <stdint.h>

#include "ctkd/option.h"
#include "ctkd/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Cross-entropy, batch mean:  L = 1/n * sum_i (lse(s_i) - s_i,y_i),  ds = (softmax(s) - onehot)/n.
 * @param s       logits [n, k], finite
 * @param labels  [n], each in 0..k-1
 * @param loss    out, nats per sample
 * @param ds      out, dL/ds [n, k]; must not overlap s; NULL to skip
 * @return CTKD_OK, CTKD_EINVAL (n or k is 0, NULL argument), CTKD_ERANGE (a label outside 0..k-1).
 *         On error no output is written.
 */
CTKD_NODISCARD ctkd_status ctkd_cross_entropy(size_t n, size_t k, const float *s,
                                              const int32_t *labels, float *loss, float *ds);

/** Which KL divergence the KD loss uses. */
typedef enum ctkd_kd_form {
    CTKD_KD_EXACT,  /**< KL(p || q) */
    CTKD_KD_EPSILON /**< the published instance-wise form: (p + 1e-7) (log(p + 1e-7) - log q) */
} ctkd_kd_form;

/**
 * Softened KL distillation loss, batch mean, and its gradients.
 *   L = 1/n * sum_i tau_i^2 KL(softmax(t_i/tau_i) || softmax(s_i/tau_i))
 * Hinton et al. 2015, sec. 2. dtau includes both softmaxes and the tau^2 factor.
 * @param s, t   student and teacher logits, [n, k], finite
 * @param tau    n_tau temperatures, > 0
 * @param n_tau  1 (one temperature) or n (one per sample)
 * @param loss   out, nats per sample
 * @param ds     out, dL/ds [n, k]; NULL to skip
 * @param dt     out, dL/dt [n, k]; NULL to skip
 * @param dtau   out, dL/dtau, n_tau values, not yet reversed; NULL to skip
 * @return CTKD_OK, or CTKD_EINVAL (n or k is 0, NULL s, t, tau or loss, n_tau neither 1 nor n, a
 *         tau not positive and finite, unknown form); on error no output is written.
 */
CTKD_NODISCARD ctkd_status ctkd_kd_loss(size_t n, size_t k, const float *s, const float *t,
                                        const float *tau, size_t n_tau, ctkd_kd_form form,
                                        float *loss, float *ds, float *dt, float *dtau);

/**
 * Decoupled knowledge distillation (Zhao et al., CVPR 2022, eq. 7), batch mean.
 *   L = 1/n * sum_i tau_i^2 (alpha * TCKD_i + beta * NCKD_i)
 * The target class is masked exactly, and dtau is the limit that autograd misses: never NaN.
 * Arguments as ctkd_kd_loss.
 * @param labels  [n], each in 0..k-1
 * @return as ctkd_kd_loss; CTKD_EINVAL also for k < 3 (with two classes NCKD has one class and is
 *         constant 0), alpha or beta negative or not finite; CTKD_ERANGE for a label outside.
 */
CTKD_NODISCARD ctkd_status ctkd_dkd_loss(size_t n, size_t k, const float *s, const float *t,
                                         const int32_t *labels, const float *tau, size_t n_tau,
                                         float alpha, float beta, float *loss, float *ds, float *dt,
                                         float *dtau);

/** What a loss needs from its caller; flags of ctkd_loss_def.needs. */
enum {
    CTKD_NEEDS_LABELS = 1u << 0,
    CTKD_NEEDS_TAU = 1u << 1, /**< tau enters this loss, so it gives dtau */
};

/** Properties that tests check for every entry; flags of ctkd_loss_def.properties. */
enum {
    CTKD_ZERO_WHEN_EQUAL = 1u << 0, /**< L = 0 and ds = 0 when s equals t */
    CTKD_SHIFT_INVARIANT = 1u << 1, /**< unchanged when a constant is added to a row of s or t */
    CTKD_NONNEGATIVE = 1u << 2
};

/** Inputs and outputs of one evaluation. Shapes as in the functions above. */
typedef struct ctkd_loss_args {
    size_t n, k;
    const float *s, *t;
    const int32_t *labels; /**< NULL unless needed */
    const float *tau;      /**< NULL unless needed */
    size_t n_tau;
    float *loss;
    float *ds, *dt, *dtau; /**< NULL to skip */
    double *workspace;     /**< as many values as ctkd_loss_def.workspace says; NULL if that is 0 */
} ctkd_loss_args;

/** One entry of the registry: all that a command, a config check or a test knows of a loss. */
typedef struct ctkd_loss_def {
    const char *name;    /**< as in a config */
    const char *title;   /**< one line */
    const char *formula; /**< in the notation of doc/methods.md */
    const char *source;  /**< paper, year, identifier */
    unsigned needs, properties;
    size_t classes_min; /**< smallest k */
    const ctkd_option *options;
    size_t config_size;
    /** Values of scratch memory that eval needs for a batch of n samples and k classes, 0 if that
        overflows size_t; NULL: none. Its contents need not be kept between calls. */
    size_t (*workspace)(size_t n, size_t k);
    /** Evaluates; `config` holds config_size bytes set through `options`. */
    ctkd_status (*eval)(const void *config, const ctkd_loss_args *args);
} ctkd_loss_def;

/** Values that args.workspace needs: 0 when the loss needs none. CTKD_ERANGE: they overflow. */
CTKD_NODISCARD ctkd_status ctkd_loss_workspace(const ctkd_loss_def *def, size_t n, size_t k,
                                               size_t *values);

/** NULL-terminated array of every loss, in the order of src/lib/loss/list.h. */
const ctkd_loss_def *const *ctkd_loss_list(void);
/** The loss of that name, or NULL. */
const ctkd_loss_def *ctkd_loss_find(const char *name);

#ifdef __cplusplus
}
#endif
#endif
