/**
 * @file plugin.h  Curriculum temperature for a training loop of your own, in one object.
 *
 *   L = ce_weight * CE(s, y) + kd_weight * KD(s, t, tau) + method_weight * L_method(s, t, y, tau)
 * where tau comes from the learnable temperature, which SGD moves along the reversed gradient.
 *
 * A loop that steps once per batch calls ctkd_plugin_step (examples/plugin.c). One that validates,
 * accumulates micro-batches, averages over ranks or may skip a step calls ctkd_plugin_evaluate,
 * which moves nothing, and then ctkd_plugin_apply, unless it skips the step
 * (examples/micro_batches.c). A binding needs no C macros: it passes the sizes of structs, and sets
 * options by name and text.
 *
 * A plugin is not locked: one thread at a time. Structs with a `size`: see ctkd/loss.h.
 */
#ifndef CTKD_PLUGIN_H
#define CTKD_PLUGIN_H

#include "ctkd/curriculum.h"
#include "ctkd/loss.h"
#include "ctkd/temperature.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a step measured. It may grow at its end; ctkd_plugin_config.report_size says how many bytes
    are written. */
typedef struct ctkd_plugin_report {
    float loss, loss_ce, loss_kd, loss_method; /**< total; unweighted parts */
    float tau_mean, tau_min, tau_max;          /**< used in this step, before its update */
    float lambda;
    float theta_gradient; /**< dL/dtheta before reversal, summed over the batch */
    size_t counted;       /**< samples that the mask left, over which L is the mean */
    size_t labelled; /**< those of them with a label, over which cross-entropy and a method that
                        reads labels are the mean */
} ctkd_plugin_report;

typedef struct ctkd_plugin_config {
    size_t size;        /**< sizeof(ctkd_plugin_config), or 0 */
    size_t report_size; /**< sizeof(ctkd_plugin_report), or 0 */
    size_t n_max, k;    /**< largest batch, classes */
    float ce_weight;    /**< gamma of the published scripts (-r); default 0.1 */
    float kd_weight;    /**< alpha (-a); default 0.9 */
    ctkd_kd_form kd_form;
    const char *method;                  /**< a loss of logits (ctkd_loss_list()), or NULL */
    float method_weight;                 /**< beta (-b); default 0, and 0 without a method */
    ctkd_temperature_config temperature; /**< n_max and k are taken from above */
    ctkd_curriculum curriculum;          /**< default COSINE */
    size_t curriculum_epochs;            /**< default 10; 0: lambda_max from the start */
    float learning_rate, momentum, weight_decay; /**< of theta; default 0.05, 0.9, 5e-4 */
    float lambda_min, lambda_max; /**< lambda at the ends of the curriculum; default 0 and 1 */
    uint64_t curriculum_steps;    /**< length of the curriculum in steps, counted by
                                     ctkd_plugin_batch.step; default 0: it counts epochs */
    /** A loss of logits of your own in place of `method`, or NULL. It is copied at create; its
        strings, options and functions are used until destroy. */
    const ctkd_loss_def *method_def;
    int64_t ignored_label; /**< samples with this label count as unlabelled; default INT64_MIN
                              (no label); PyTorch uses -100 */
    const ctkd_pool *pool; /**< kept until destroy; NULL: everything in the calling thread */
    const ctkd_multiplier *multiplier; /**< kept until destroy; used by a method; may be NULL */
} ctkd_plugin_config;

/** Writes every default. size and report_size are sizeof(ctkd_plugin_config) and
    sizeof(ctkd_plugin_report) in the caller. */
CTKD_API void ctkd_plugin_config_init(ctkd_plugin_config *config, size_t size, size_t report_size,
                                      size_t n_max, size_t k);

/** Returns the defaults of ctkd_plugin_config_init as a value. */
static inline ctkd_plugin_config ctkd_plugin_defaults(size_t n_max, size_t k)
{
    ctkd_plugin_config config;
    ctkd_plugin_config_init(&config, sizeof config, sizeof(ctkd_plugin_report), n_max, k);
    return config;
}

/** The options of ctkd_plugin_config_set, with name, type, default, range and help. Their offsets
    do not refer to ctkd_plugin_config. */
CTKD_API const ctkd_option *ctkd_plugin_options(void);

/**
 * Sets a field by its name in ctkd_plugin_options(), or "method" to the name of a loss ("" for
 * none). As ctkd_option_set_text; CTKD_ENOTFOUND also for an unknown method.
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_config_set(ctkd_plugin_config *config,
                                                           const char *name, const char *text,
                                                           ctkd_error *err);

typedef struct ctkd_plugin ctkd_plugin;

/**
 * @return CTKD_OK, CTKD_EINVAL (a field out of range, or a method that needs more than logits,
 *         whose ctkd_loss_def.eval you can call yourself), CTKD_ENOTFOUND (unknown method),
 *         CTKD_EUNSUPPORTED (a struct of a later version that uses its new members), CTKD_ENOMEM;
 *         *out is NULL on failure.
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_create(const ctkd_plugin_config *config,
                                                       ctkd_plugin **out);
/** As ctkd_plugin_create; err (may be NULL) names the wrong field and what was expected. */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_create_checked(const ctkd_plugin_config *config,
                                                               ctkd_plugin **out, ctkd_error *err);
CTKD_API void ctkd_plugin_destroy(ctkd_plugin *plugin);

/** Sets an option of the method (ctkd_loss_def.options), as ctkd_option_set. */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_set_method_option(ctkd_plugin *plugin,
                                                                  const char *name, double value);
/** Sets an option of the method from text, as ctkd_option_set_text. */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_set_method_text(ctkd_plugin *plugin,
                                                                const char *name, const char *text,
                                                                ctkd_error *err);
/** Sets theta's learning rate; call it when the student's changes. CTKD_EINVAL unless >= 0. */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_set_learning_rate(ctkd_plugin *plugin, float rate);

/**
 * A batch. Zero the struct, set `size`, then the members that you use. Without mask, weights and
 * soft labels L is the batch mean. In general, with M the samples that `mask` leaves (`counted`)
 * and Y those of them whose label is not ignored (`labelled`),
 *   L = ce_weight/|Y| sum_Y w_i CE_i + kd_weight/|M| sum_M w_i KD_i + method_weight L_method,
 * L_method over Y if the method reads labels, else over M. The mean over no samples is 0. The
 * gradient of samples that are left out is 0.
 */
typedef struct ctkd_plugin_batch {
    size_t size;                    /**< sizeof(ctkd_plugin_batch), or 0 */
    size_t n;                       /**< 1 to n_max */
    const void *s, *t;              /**< student and teacher logits [n, k] */
    ctkd_logit_type s_type, t_type; /**< 0 is CTKD_F32; others are converted inside */
    /** [n], each in 0..k-1 or the ignored label. Set labels or labels64. Neither is needed with
        soft labels, or where ce_weight is 0 and the method reads no labels. */
    const int32_t *labels;
    const int64_t *labels64;
    /** [n, k], finite and >= 0; the cross-entropy uses them in place of labels
        (ctkd_cross_entropy_soft). A method that reads labels needs hard labels as well. */
    const float *soft_labels;
    const uint8_t *mask;  /**< [n], 0 leaves a sample out of every term; NULL: all count */
    const float *weights; /**< w [n], finite and >= 0; NULL: 1. Only with CTKD_ROWWISE methods */
    size_t epoch;         /**< counted from 1; with curriculum_steps it may be 0 */
    uint64_t step;        /**< counted from 1 over all epochs; only read with curriculum_steps */
} ctkd_plugin_batch;

/**
 * Losses and gradients of a batch; theta and its momentum do not move.
 * @param ds      out, dL/ds [n, k], overwritten; must not overlap the batch; NULL to skip
 * @param dtheta  out, -lambda dL/dtheta, ctkd_plugin_theta_count() values: the already reversed
 *                gradient (ctkd_gradient_reverse), which an optimiser descends; overwritten; NULL
 *                to skip. dL/dtheta itself, summed, is report->theta_gradient
 * @param report  out; NULL to skip
 * @param err     may be NULL
 * @return CTKD_OK; CTKD_EINVAL (n is 0 or above n_max, epoch or step 0, missing arrays, labels both
 *         as 32 and 64 bits), CTKD_ERANGE (a label, soft label or weight out of range),
 *         CTKD_EUNSUPPORTED (weights with a method that compares samples), CTKD_ENAN (a loss or
 *         gradient is not finite). On error no output is written. Allocates nothing.
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_evaluate(ctkd_plugin *plugin,
                                                         const ctkd_plugin_batch *batch, float *ds,
                                                         float *dtheta, ctkd_plugin_report *report,
                                                         ctkd_error *err);

/**
 * Moves theta: one step of SGD with momentum on g = scale * dtheta.
 *   d = g + weight_decay theta,  v <- momentum v + d,  theta <- theta - learning_rate v
 * @param dtheta  from ctkd_plugin_evaluate, or a sum over micro-batches or ranks, with scale 1 over
 *                their number
 * @return CTKD_OK, CTKD_EINVAL (NULL argument), CTKD_ENAN (scale, dtheta or the new theta is not
 *         finite; nothing moved)
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_apply(ctkd_plugin *plugin, const float *dtheta,
                                                      float scale, ctkd_error *err);

/**
 * One step: ctkd_plugin_evaluate of a plain batch and ctkd_plugin_apply with scale 1.
 * @param s, t    student and teacher logits [n, k]
 * @param labels  [n]
 * @param epoch   counted from 1; with curriculum_steps the step
 * @param ds      out, dL/ds [n, k], overwritten; must not overlap s or t
 * @param report  out, may be NULL
 * @return CTKD_OK, CTKD_EINVAL (n is 0 or above n_max, epoch 0, NULL argument), CTKD_ERANGE (a
 *         label), CTKD_ENAN (a temperature, the loss, a gradient or the new theta is not finite: ds
 *         and theta are not written).
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_step(ctkd_plugin *plugin, size_t n, const float *s,
                                                     const float *t, const int32_t *labels,
                                                     size_t epoch, float *ds,
                                                     ctkd_plugin_report *report);

/** Number of learnable values: GLOBAL 1, FIXED 0, INSTANCE those of its network
 * (ctkd_temperature_parameters).
 */
CTKD_API size_t ctkd_plugin_theta_count(const ctkd_plugin *plugin);
/** Copies the learnable values out, for an optimiser or a broadcast of your own. CTKD_EINVAL: NULL
    argument. */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_theta_read(const ctkd_plugin *plugin, float *theta);
/** Replaces the learnable values; the momentum stays. CTKD_EINVAL (NULL argument), CTKD_ENAN (not
    finite; unchanged). */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_theta_write(ctkd_plugin *plugin,
                                                            const float *theta);

/** Bytes of the state: parameters, momentum and a check sum. Constant over the life of a plugin. */
CTKD_API size_t ctkd_plugin_state_size(const ctkd_plugin *plugin);
/** Writes the state into `bytes` bytes of the caller's memory. CTKD_ERANGE if these are too few. */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_save(const ctkd_plugin *plugin, void *memory,
                                                     size_t bytes);
/** Restores a saved state. CTKD_EFORMAT (not a state, or damaged), CTKD_ESHAPE (the state of a
    plugin of another kind or other sizes). */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_plugin_restore(ctkd_plugin *plugin, const void *memory,
                                                        size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
