/**
 * @file temperature.h  The learnable temperature (Li et al., AAAI 2023, arXiv:2211.16231).
 *
 *   tau = tau_min + tau_span * sigmoid(theta)
 *
 *   FIXED     a constant tau, no parameters
 *   GLOBAL    one theta (sec. 3.2)
 *   INSTANCE  one theta per sample: theta_i = w2 . relu(W1 x_i + b1) + b2,
 *             x_i = [softmax(t_i); softmax(s_i)]
 *
 * A module is not locked: one thread at a time. Nothing but create allocates. Structs with a
 * `size`: see ctkd/loss.h.
 */
#ifndef CTKD_TEMPERATURE_H
#define CTKD_TEMPERATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ctkd_temperature_kind {
    CTKD_TEMPERATURE_FIXED,
    CTKD_TEMPERATURE_GLOBAL,
    CTKD_TEMPERATURE_INSTANCE
} ctkd_temperature_kind;

/** Memory functions: both set, or both NULL for malloc and free. `context` is passed to both. */
typedef struct ctkd_allocator {
    void *(*allocate)(void *context, size_t bytes);
    void (*release)(void *context, void *memory);
    void *context;
} ctkd_allocator;

typedef struct ctkd_temperature_config {
    size_t size; /**< sizeof(ctkd_temperature_config), or 0 */
    ctkd_temperature_kind kind;
    float tau;        /**< FIXED: the temperature, > 0; default 4 */
    float tau_min;    /**< > 0; default 1 (published t_start) */
    float tau_span;   /**< > 0; default 20 (published t_end, which is a range, not an end) */
    float theta_init; /**< GLOBAL: initial theta; default 1, so that tau starts at 15.62 */
    size_t n_max;     /**< INSTANCE: largest batch; >= 1 */
    size_t k;         /**< INSTANCE: classes; >= 1 */
    size_t hidden;    /**< INSTANCE: hidden width H; 0 means k */
    bool from_logits; /**< INSTANCE: x is [t; s] instead of their softmaxes; default false */
    bool through;     /**< INSTANCE: send gradient to the student's logits; default false */
    float bias_init;  /**< INSTANCE: initial b2 with set_bias; 1 starts tau at 15.62 */
    bool set_bias;    /**< INSTANCE: use bias_init instead of the uniform draw; default false */
    uint64_t seed;    /**< seed of INSTANCE's initial weights, U(-1/sqrt(fan_in), 1/sqrt(fan_in)) */
    ctkd_allocator allocator;
    uint64_t reserved[8]; /**< 0; room for later members, because other structs contain this one */
} ctkd_temperature_config;

/** Writes the published setting: GLOBAL, tau in (1, 21), theta 1.
    @param size  sizeof(ctkd_temperature_config) */
CTKD_API void ctkd_temperature_config_init(ctkd_temperature_config *config, size_t size);

/** Returns the defaults of ctkd_temperature_config_init as a value. */
static inline ctkd_temperature_config ctkd_temperature_defaults(void)
{
    ctkd_temperature_config config;
    ctkd_temperature_config_init(&config, sizeof config);
    return config;
}

typedef struct ctkd_temperature ctkd_temperature;

/**
 * Creates a temperature module and allocates all its memory, in one block.
 * @param config  copied; the allocator's functions and context are kept until destroy
 * @param out     the caller destroys it (ctkd_temperature_destroy)
 * @return CTKD_OK, CTKD_EINVAL (a field out of its range, NULL argument), CTKD_ENOMEM;
 *         *out is NULL on failure.
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_temperature_create(const ctkd_temperature_config *config,
                                                            ctkd_temperature **out);
/** Frees a module; NULL is allowed. */
CTKD_API void ctkd_temperature_destroy(ctkd_temperature *temperature);

/** Number of temperatures that a batch of n has: n for INSTANCE, else 1. */
CTKD_API size_t ctkd_temperature_count(const ctkd_temperature *temperature, size_t n);

/**
 * Temperatures of a batch; keeps what backward needs.
 * @param s, t  student and teacher logits, [n, k] row-major; read by INSTANCE only, else may be
 *              NULL
 * @param tau   out, ctkd_temperature_count(temperature, n) values; overwritten; must not overlap
 *              s or t
 * @return CTKD_OK, or CTKD_EINVAL (n is 0, INSTANCE: n above n_max; NULL arguments); on error no
 *         output is written. A logit that is NaN makes its sample's tau NaN.
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_temperature_forward(ctkd_temperature *temperature,
                                                             size_t n, const float *s,
                                                             const float *t, float *tau);

/**
 * Receives dL/dtau of the last forward and overwrites the parameters' gradient with
 *   -lambda * dL/dtheta   (through ctkd_gradient_reverse, the only place of the minus sign).
 * @param dtau    ctkd_temperature_count(temperature, n) values, not reversed
 * @param lambda  reversal strength, >= 0
 * @param ds      [n, k], accumulated: adds the path through INSTANCE's input when `through` is
 *                set, else unchanged; NULL to skip
 * @return CTKD_OK, or CTKD_EINVAL (NULL dtau, lambda negative or not finite, n differs from the
 *         last forward); nothing is written on error.
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_temperature_backward(ctkd_temperature *temperature,
                                                              size_t n, const float *dtau,
                                                              float lambda, float *ds);

/**
 * Gradient of theta before reversal in the last backward: sum over samples of dL/dtheta_i.
 * 0 for FIXED.
 */
CTKD_API float ctkd_temperature_theta_gradient(const ctkd_temperature *temperature);

/**
 * The learnable parameters and their gradient, as flat arrays owned by the module until destroy.
 * GLOBAL: [theta]. INSTANCE: [W1 (H x 2k), b1 (H), w2 (H), b2 (1)]. FIXED: count 0.
 * An optimiser reads *gradient and writes *parameters between backward and the next forward.
 * @param parameters, gradient  out, not NULL; the arrays of the returned number of values, or NULL
 *                              for FIXED
 */
CTKD_API size_t ctkd_temperature_parameters(ctkd_temperature *temperature, float **parameters,
                                            float **gradient);

/**
 * Gradient reversal:  g <- -lambda * g.  Identity in the forward direction (CTKD sec. 3.2;
 * Ganin & Lempitsky 2015).
 * @param lambda  strength, >= 0: this function applies the minus sign
 * @param g       [n], overwritten; may be NULL when n is 0
 */
CTKD_API void ctkd_gradient_reverse(size_t n, float lambda, float *g);

/** tau_min + tau_span * sigmoid(theta), equation (1) of doc/methods.md, "Temperature". Arguments
    are not checked. */
CTKD_API float ctkd_tau_from_theta(float theta, float tau_min, float tau_span);

#ifdef __cplusplus
}
#endif
#endif
