/**
 * @file loss.h  Distillation losses with exact gradients, as functions and as a registry.
 *
 * Arrays are plain row-major float. Outputs are overwritten. Nothing here allocates (a loss that
 * keeps state gets it from its creator); all functions may run side by side on different outputs.
 * Per-row values are computed in double: n*k float terms would lose digits.
 */
#ifndef CTKD_LOSS_H
#define CTKD_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/adaptor.h"
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
CTKD_API CTKD_NODISCARD ctkd_status ctkd_cross_entropy(size_t n, size_t k, const float *s,
                                                       const int32_t *labels, float *loss,
                                                       float *ds);

/**
 * Cross-entropy with soft labels (mixup, label smoothing, a set of soft targets), batch mean:
 *   L = 1/n sum_i (Y_i lse(s_i) - sum_j y_ij s_ij),  ds_i = (Y_i softmax(s_i) - y_i)/n,
 *   Y_i = sum_j y_ij  (1 for a distribution, which is not required)
 * @param y  [n, k], finite and >= 0
 * Other arguments as ctkd_cross_entropy. CTKD_ERANGE: a y that is negative or not finite.
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_cross_entropy_soft(size_t n, size_t k, const float *s,
                                                            const float *y, float *loss, float *ds);

/** How logits are stored: IEEE 754 binary32 and binary16, and the upper half of a binary32. */
typedef enum ctkd_logit_type { CTKD_F32, CTKD_F16, CTKD_BF16 } ctkd_logit_type;

/**
 * Reads n numbers of a type as float, exactly.
 * @param x    aligned as its type
 * @param out  [n]; may not overlap x
 * @return CTKD_OK, or CTKD_EINVAL (NULL argument, unknown type)
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_logits_read(size_t n, ctkd_logit_type type, const void *x,
                                                     float *out);

/** Which form of the KL divergence the KD loss uses. */
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
CTKD_API CTKD_NODISCARD ctkd_status ctkd_kd_loss(size_t n, size_t k, const float *s, const float *t,
                                                 const float *tau, size_t n_tau, ctkd_kd_form form,
                                                 float *loss, float *ds, float *dt, float *dtau);

/**
 * Decoupled knowledge distillation (Zhao et al., CVPR 2022, eq. 7), batch mean.
 *   L = 1/n * sum_i tau_i^2 (alpha * TCKD_i + beta * NCKD_i)
 * The target class is masked exactly, and dtau is the limit that autograd misses: never NaN.
 * Arguments as ctkd_kd_loss.
 * @param labels  [n], each in 0..k-1
 * @return as ctkd_kd_loss; CTKD_EINVAL also for k < 3 (with two classes NCKD has one class and is
 *         constant 0), alpha or beta negative or not finite; CTKD_ERANGE for a label outside
 *         0..k-1.
 */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_dkd_loss(size_t n, size_t k, const float *s,
                                                  const float *t, const int32_t *labels,
                                                  const float *tau, size_t n_tau, float alpha,
                                                  float beta, float *loss, float *ds, float *dt,
                                                  float *dtau);

/** What a loss needs from its caller; flags of ctkd_loss_def.needs. */
enum {
    CTKD_NEEDS_LABELS = 1u << 0,
    CTKD_NEEDS_TAU = 1u << 1,    /**< tau enters this loss, so it gives dtau */
    CTKD_NEEDS_LOGITS = 1u << 2, /**< s and t enter this loss, so it gives ds and dt */
    CTKD_NEEDS_MAPS = 1u << 3,   /**< features, as its `plan` asks for them */
    CTKD_NEEDS_IDS = 1u << 4,    /**< indices of the samples and the labels of the whole set */
    CTKD_NEEDS_HEAD = 1u << 5,   /**< the teacher's classifier */
    CTKD_NEEDS_VIEWS = 1u << 6   /**< two views of each image, evaluated one after the other */
};

/** Properties that tests check for every entry; flags of ctkd_loss_def.properties. */
enum {
    CTKD_ZERO_WHEN_EQUAL = 1u << 0, /**< L = 0 and no gradient when student equals teacher */
    CTKD_SHIFT_INVARIANT = 1u << 1, /**< unchanged when a constant is added to a row of s or t */
    CTKD_NONNEGATIVE = 1u << 2,
    /** L grows as tau^2 for large tau and has no maximum: a temperature that is trained to increase
     * L runs to the upper end of its range, and this loss outgrows all other terms. Use a fixed
     * temperature with such a loss. Without this flag L tends to a constant for large tau. */
    CTKD_GROWS_WITH_TAU = 1u << 3,
    /** The loss is the mean of one loss per sample, so samples can be weighted. */
    CTKD_ROWWISE = 1u << 4,
    /** A loss of maps alone that is a sum of terms of single samples, of which eval can compute
        those of a part of the batch (ctkd_loss_args.part). */
    CTKD_BY_PARTS = 1u << 5
};

/** Stages of training; flags. Most methods have the main one alone. */
enum {
    CTKD_STAGE_INITIAL = 1u << 0, /**< before the main one: the method's loss alone */
    CTKD_STAGE_MAIN = 1u << 1
};

/** Which view of the images an evaluation reads. The loss of a step is the sum over its views. */
typedef enum ctkd_view {
    CTKD_VIEW_ONLY, /**< there is only one; a loss with CTKD_NEEDS_VIEWS uses it for both */
    CTKD_VIEW_WEAK,
    CTKD_VIEW_STRONG /**< strongly augmented; only for losses with CTKD_NEEDS_VIEWS */
} ctkd_view;

/**
 * What a loss reads of a feature: [n, c, h, w] row-major, h = w = 1 for a vector; for a parameter
 * of the method (ctkd_builder.parameter) [c], without n.
 */
typedef struct ctkd_map {
    size_t c, h, w;
    const float *x;
    float *dx; /**< out, dL/dx, overwritten; NULL to skip */
    /** Weight and bias [c] of the batch norm whose output this is (a teacher's tap before its ReLU,
        see ctkd_builder.tap); else NULL. */
    const float *norm_weight, *norm_bias;
} ctkd_map;

/** The teacher's classifier: logits = weight f + bias for its pooled features f. */
typedef struct ctkd_head {
    size_t k, c;
    const float *weight; /**< [k, c] */
    const float *bias;   /**< [k] */
} ctkd_head;

/** The training set, for a loss that keeps state about each sample. */
typedef struct ctkd_samples {
    size_t count;          /**< number of samples in the set */
    const int32_t *labels; /**< [count], each in 0..k-1 */
    uint64_t seed, step;   /**< seed of the run's draws; number of the step, from 0 */
} ctkd_samples;

/** Threads that the caller lends. Results never depend on their number. */
typedef struct ctkd_pool {
    void *context;
    /** Calls body(argument, i) once for each i below count, in any order, at once or in turn;
       returns when all are done. */
    void (*run)(void *context, size_t count, void (*body)(void *argument, size_t i),
                void *argument);
} ctkd_pool;

/**
 * A matrix product that the caller lends (sgemm of a BLAS), for the losses that spend their time in
 * products of features: NST, FSP, SP, PKT and SRRL. Their values are then rounded as it rounds.
 */
typedef struct ctkd_multiplier {
    void *context;
    /**
     * out = a b, overwritten: out [m, n] row-major, overlapping neither a [m, k], entry (i, p) at
     * a[i * a_row + p * a_column], nor b [k, n], likewise. One stride of a matrix is 1. Called from
     * the threads of the pool at once. It cannot fail.
     */
    void (*multiply)(void *context, size_t m, size_t n, size_t k, const float *a, size_t a_row,
                     size_t a_column, const float *b, size_t b_row, size_t b_column, float *out);
} ctkd_multiplier;

/**
 * A part of the batch, for a caller that divides one among processes. In each of them eval reads
 * and writes, of the maps and their gradients, only the rows of its part; the arrays have n rows
 * all the same. The loss, which every process gets, and the gradients have the bits that one
 * evaluation of all samples gives them; a parameter's gradient is that of the batch, in every
 * process.
 */
typedef struct ctkd_part {
    size_t first, count; /**< samples first to first + count - 1; count may be 0 */
    void *context;
    /**
     * values [n, width] holds the terms of this part's samples at their rows: fills in the rows of
     * all others. Called in the thread of eval, once unless its arguments are refused. eval returns
     * a status other than CTKD_OK as it is; the gradients are overwritten then.
     */
    ctkd_status (*gather)(void *context, size_t width, double *values);
} ctkd_part;

/*
 * Structs with a `size` may grow at their end in later versions. Set it to the sizeof of the struct
 * that you compile with, so that members which your version does not have are not read; 0 means the
 * struct of version 0.1.0. Structs without one keep their members within a major version.
 */

/** The sizes on which a loss's state and scratch memory depend: the largest batch n, the number of
    classes k, and the sizes of the maps. */
typedef struct ctkd_loss_shape {
    size_t size; /**< sizeof(ctkd_loss_shape), or 0: see above */
    size_t n, k;
    const ctkd_map *maps;
    size_t n_maps;
    size_t samples; /**< ctkd_samples.count; 0 unless CTKD_NEEDS_IDS */
} ctkd_loss_shape;

/** Inputs and outputs of one evaluation. Shapes as in the functions above. */
typedef struct ctkd_loss_args {
    size_t size; /**< sizeof(ctkd_loss_args), or 0: see above */
    size_t n, k;
    const float *s, *t;
    const int32_t *labels; /**< NULL unless needed */
    const float *tau;      /**< NULL unless needed */
    size_t n_tau;
    float *loss;
    float *ds, *dt, *dtau; /**< NULL to skip */
    double *workspace;     /**< as many values as ctkd_loss_def.workspace says; NULL if that is 0 */
    ctkd_view view;
    unsigned stage;       /**< one CTKD_STAGE_*; 0 means CTKD_STAGE_MAIN */
    const ctkd_map *maps; /**< what `plan` reads in this stage, in its order */
    size_t n_maps;
    const ctkd_head *head;       /**< NULL unless needed */
    const uint64_t *ids;         /**< [n], each below samples->count; NULL unless needed */
    const ctkd_samples *samples; /**< NULL unless needed */
    float *state; /**< of ctkd_loss_def.state values; read and updated; NULL if that is 0 */
    const ctkd_pool *pool;             /**< NULL: everything in the calling thread */
    const ctkd_multiplier *multiplier; /**< NULL: the loss computes its own products */
    const ctkd_part *part;             /**< NULL: all samples; must be NULL without CTKD_BY_PARTS */
} ctkd_loss_args;

/** One entry of the registry: all that a command, a config check or a test knows about a loss. */
typedef struct ctkd_loss_def {
    size_t size;         /**< sizeof(ctkd_loss_def), or 0: see above */
    const char *name;    /**< as in a config */
    const char *title;   /**< one line */
    const char *formula; /**< in the notation of doc/methods.md */
    const char *source;  /**< paper, year, identifier */
    unsigned needs, properties;
    size_t classes_min; /**< smallest k; 1 where the logits do not matter */
    size_t batch_min;   /**< smallest n that has a value; 0 means 1. A smaller batch gives 0 */
    const ctkd_option *options;
    size_t config_size;
    /** Weight that the source gives to this loss (beta), for listings and recipes. */
    float weight;
    /** Stages in which the loss has a value; 0 means CTKD_STAGE_MAIN. */
    unsigned stages;
    /** With CTKD_STAGE_INITIAL: whether that stage trains the student's layers below its classifier
        (else only the method's own parameters). */
    bool initial_trains_student;
    /** With CTKD_NEEDS_MAPS: picks taps, puts adaptors on them and lists what eval reads
        (ctkd/adaptor.h). CTKD_ESHAPE when the two networks do not fit; ctkd_builder.message then
        says why. */
    ctkd_status (*plan)(const void *config, ctkd_builder *builder);
    /** How many values of scratch memory eval needs, 0 if the number overflows size_t; NULL: it
        needs none. The contents need not be kept between calls. The number for a loss on logits
        alone does not depend on its options, so config may be NULL then. */
    size_t (*workspace)(const void *config, const ctkd_loss_shape *shape);
    /** How many values of state eval needs; they must be kept between calls and belong in a
     * checkpoint. Otherwise as `workspace`. */
    size_t (*state)(const void *config, const ctkd_loss_shape *shape);
    /** Sets the state at the start of a run. */
    void (*state_init)(const void *config, const ctkd_loss_shape *shape, uint64_t seed,
                       float *state);
    /**
     * Evaluates: args->loss, and the gradients that are not NULL, are overwritten. `config` holds
     * config_size bytes set through `options`. Calls may run side by side on different outputs,
     * workspaces and states.
     * @return CTKD_OK; CTKD_EINVAL (a size of 0, a missing array, tau not positive and finite),
     *         CTKD_ERANGE (a label or an id out of range, sizes that overflow), CTKD_ESHAPE (maps
     *         that are not those of `plan`); on error no output is written and the state does not
     *         change
     */
    ctkd_status (*eval)(const void *config, const ctkd_loss_args *args);
    /** What `config` lacks for an option of this loss to have an effect, as a setting of another
        one, such as "base=dkd"; NULL: nothing. The member itself is NULL where every option always
        has one. */
    const char *(*option_lacks)(const void *config, const ctkd_option *option);
} ctkd_loss_def;

/** Number of values that args.workspace must hold; 0 when the loss needs none. CTKD_ERANGE: the
    number overflows. */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_loss_workspace(const ctkd_loss_def *def,
                                                        const void *config,
                                                        const ctkd_loss_shape *shape,
                                                        size_t *values);
/** Number of values that args.state must hold, likewise. */
CTKD_API CTKD_NODISCARD ctkd_status ctkd_loss_state(const ctkd_loss_def *def, const void *config,
                                                    const ctkd_loss_shape *shape, size_t *values);

/** NULL-terminated array of every loss, in the order of src/lib/loss/list.h. */
CTKD_API const ctkd_loss_def *const *ctkd_loss_list(void);
/** The loss of that name, or NULL. */
CTKD_API const ctkd_loss_def *ctkd_loss_find(const char *name);

#ifdef __cplusplus
}
#endif
#endif
