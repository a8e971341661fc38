/**
 * @file plugin.h  Curriculum temperature for somebody else's training loop, in one object.
 *
 *   L = ce_weight * CE(s, y) + kd_weight * KD(s, t, tau) + method_weight * L_method(s, t, y, tau)
 * with tau from the learnable temperature, which is updated here by SGD on the reversed gradient.
 * See examples/plugin.c.
 */
#ifndef CTKD_PLUGIN_H
#define CTKD_PLUGIN_H

#include "ctkd/curriculum.h"
#include "ctkd/loss.h"
#include "ctkd/temperature.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ctkd_plugin_config {
    size_t n_max, k; /**< largest batch, classes */
    float ce_weight; /**< gamma of the published scripts (-r); default 0.1 */
    float kd_weight; /**< alpha (-a); default 0.9 */
    ctkd_kd_form kd_form;
    const char *method;                  /**< a loss of logits (ctkd_loss_list()), or NULL */
    float method_weight;                 /**< beta (-b); default 0, and 0 without a method */
    ctkd_temperature_config temperature; /**< n_max and k are taken from above */
    ctkd_curriculum curriculum;          /**< default COSINE */
    size_t curriculum_epochs;            /**< default 10 */
    float learning_rate, momentum, weight_decay; /**< of theta; default 0.05, 0.9, 5e-4 */
} ctkd_plugin_config;

CTKD_API ctkd_plugin_config ctkd_plugin_defaults(size_t n_max, size_t k);

typedef struct ctkd_plugin ctkd_plugin;

/**
 * @return CTKD_OK, CTKD_EINVAL (a field out of range, a method that needs more
 *         than logits: call its ctkd_loss_def.eval yourself), CTKD_ENOTFOUND (unknown method),
 *         CTKD_ENOMEM; *out is NULL on failure.
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_create(const ctkd_plugin_config *config,
                                                       ctkd_plugin **out);
CTKD_API void ctkd_plugin_destroy(ctkd_plugin *plugin);

/** Sets an option of the method (ctkd_loss_def.options), as ctkd_option_set. */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_set_method_option(ctkd_plugin *plugin,
                                                                  const char *name, double value);
/** New learning rate of theta: call it when the student's changes. CTKD_EINVAL if not >= 0. */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_set_learning_rate(ctkd_plugin *plugin, float rate);

/** What a step measured. */
typedef struct ctkd_plugin_report {
    float loss, loss_ce, loss_kd, loss_method; /**< total; unweighted parts */
    float tau_mean, tau_min, tau_max;          /**< used in this step, before its update */
    float lambda;
    float theta_gradient; /**< dL/dtheta before reversal, summed over the batch */
} ctkd_plugin_report;

/**
 * One step: temperature, losses, gradient on the student's logits, reversed update of theta.
 * @param s, t    student and teacher logits [n, k]
 * @param labels  [n]
 * @param epoch   counted from 1
 * @param ds      out, dL/ds [n, k], overwritten; must not overlap s or t
 * @param report  out, may be NULL
 * @return CTKD_OK, CTKD_EINVAL (n is 0 or above n_max, epoch 0, NULL argument), CTKD_ERANGE (a
 *         label), CTKD_ENAN (the loss or theta's gradient is not finite: ds and theta are not
 *         written).
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_step(ctkd_plugin *plugin, size_t n, const float *s,
                                                     const float *t, const int32_t *labels,
                                                     size_t epoch, float *ds,
                                                     ctkd_plugin_report *report);

/** Bytes of the state: parameters, momentum, checks. Constant over the life of a plugin. */
CTKD_API size_t ctkd_plugin_state_size(const ctkd_plugin *plugin);
/** Writes the state into `bytes` bytes of caller's memory. CTKD_ERANGE if too small. */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_save(const ctkd_plugin *plugin, void *memory,
                                                     size_t bytes);
/** Restores it. CTKD_EFORMAT (not a state, damaged), CTKD_ESHAPE (of another shape). */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_restore(ctkd_plugin *plugin, const void *memory,
                                                        size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
