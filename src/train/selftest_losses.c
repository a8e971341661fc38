/* The part of the selftest on libctkd: every loss of the registry, and the temperature. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctkd/loss.h"
#include "ctkd/random.h"
#include "ctkd/temperature.h"
#include "train/selftest.h"

enum { N = 6, K = 9, NK = N * K };

/* Losses of features are tried within whole runs (selftest_runs.c). */
static const unsigned more_than_logits = CTKD_NEEDS_MAPS | CTKD_NEEDS_IDS | CTKD_NEEDS_HEAD;

static const int32_t labels[N] = { 0, 8, 3, 3, 5, 1 };
/* Five-point central differences: the error is O(step^4), so that steps can be large enough for a
   float loss. */
static const float offsets[4] = { -2, -1, 1, 2 };
static const double weights[4] = { 1, -8, 8, -1 };
static const double tolerance = 3e-3; /* of the norm of a gradient */

static void fill(float *out, size_t n, uint64_t seed, float scale)
{
    for (size_t i = 0; i < n; i++)
        out[i] = scale * (2 * ctkd_random_uniform(seed, CTKD_RANDOM_TEST, 1, i) - 1);
}

/* Norm of the difference over the norm of what is expected; NaN when anything is that. */
static double relative_error(const float *actual, const double *expected, size_t n)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)actual[i] - expected[i];
        difference += d * d;
        norm += expected[i] * expected[i];
    }
    return sqrt(difference) / (sqrt(norm) + 1e-12);
}

/* --- losses */

struct loss_case {
    const ctkd_loss_def *def; /* NULL: the cross-entropy, which is in no registry */
    void *config;
    double *workspace;
    float s[NK], t[NK], tau[N];
};
struct gradients {
    float ds[NK], dt[NK], dtau[N];
};

static ctkd_status evaluate(const struct loss_case *c, float *loss, struct gradients *out)
{
    if (!c->def)
        return ctkd_cross_entropy(N, K, c->s, labels, loss, out ? out->ds : NULL);
    const ctkd_loss_args args = { .n = N,
                                  .k = K,
                                  .s = c->s,
                                  .t = c->t,
                                  .labels = labels,
                                  .tau = c->tau,
                                  .n_tau = N,
                                  .loss = loss,
                                  .ds = out ? out->ds : NULL,
                                  .dt = out ? out->dt : NULL,
                                  .dtau = out ? out->dtau : NULL,
                                  .workspace = c->workspace };
    return c->def->eval(c->config, &args);
}

/* Relative error of a gradient with respect to the n values at x, which are in the case. */
static double check_input(const struct loss_case *c, float *x, size_t n, const float *gradient)
{
    const float step = 0.0625f;
    double expected[NK];
    for (size_t i = 0; i < n; i++) {
        const float at = x[i], h = x == c->tau ? step * at : step;
        double sum = 0;
        for (size_t j = 0; j < 4; j++) {
            float loss = NAN;
            x[i] = at + offsets[j] * h;
            if (evaluate(c, &loss, NULL) != CTKD_OK)
                return (double)NAN;
            sum += weights[j] * (double)loss;
        }
        x[i] = at;
        expected[i] = sum / (12 * (double)h);
    }
    return relative_error(gradient, expected, n);
}

/* The larger of two errors; NaN wins. */
static double worse(double a, double b)
{
    return isnan(a) || a > b ? a : b;
}

static double worst_error(struct loss_case *c)
{
    static const float taus[] = { 1, 4, 20 };
    double worst = 0;
    for (size_t i = 0; i <= 3; i++) {
        struct gradients found = { { 0 }, { 0 }, { 0 } };
        float loss;
        for (size_t j = 0; j < N; j++) /* at last, every sample its own */
            c->tau[j] = i < 3 ? taus[i] : 1 + 3.5f * (float)j;
        if (evaluate(c, &loss, &found) != CTKD_OK)
            return (double)NAN;
        worst = worse(check_input(c, c->s, NK, found.ds), worst);
        if (c->def)
            worst = worse(check_input(c, c->t, NK, found.dt), worst);
        if (c->def && c->def->needs & CTKD_NEEDS_TAU)
            worst = worse(check_input(c, c->tau, N, found.dtau), worst);
    }
    return worst;
}

/* Default options and scratch memory; false when there is none. */
static bool prepare(struct loss_case *c)
{
    const ctkd_loss_shape shape = { .n = N, .k = K };
    size_t values = 0;
    if (!c->def)
        return true;
    c->config = calloc(1, c->def->config_size + 1);
    if (!c->config)
        return false;
    ctkd_options_defaults(c->def->options, c->config);
    if (ctkd_loss_workspace(c->def, c->config, &shape, &values) != CTKD_OK)
        return false;
    c->workspace = calloc(values + 1, sizeof *c->workspace);
    return c->workspace != NULL;
}

static void check_loss(struct ctkd__selftest *test, const ctkd_loss_def *def)
{
    struct loss_case c = { .def = def };
    char what[96];
    snprintf(what, sizeof what, "loss %s: gradients", def ? def->name : "cross_entropy");
    fill(c.s, NK, 1, 3);
    fill(c.t, NK, 2, 4);
    const double error = prepare(&c) ? worst_error(&c) : (double)NAN;
    ctkd__selftest_say(test, error <= tolerance, what, "error %.1e of central differences", error);
    free(c.config);
    free(c.workspace);
}

/* --- the temperature: F = sum of w_i tau_i, whose gradient arrives reversed */

static double weighted_tau(ctkd_temperature *temperature, const float *s, const float *t,
                           const float *w)
{
    float tau[N];
    double sum = 0;
    if (ctkd_temperature_forward(temperature, N, s, t, tau) != CTKD_OK)
        return (double)NAN;
    for (size_t i = 0; i < ctkd_temperature_count(temperature, N); i++)
        sum += (double)(w[i] * tau[i]);
    return sum;
}

/* Relative error of -gradient with respect to the n values at x; NaN when out of memory. */
static double check_theta(ctkd_temperature *temperature, const float *s, const float *t,
                          const float *w, float *x, size_t n, const float *gradient, double sign)
{
    const float h = 0.00390625f; /* small: a hidden unit's ReLU may have its kink near */
    double *expected = calloc(n, sizeof *expected), error = (double)NAN;
    for (size_t i = 0; expected && i < n; i++) {
        const float at = x[i];
        double sum = 0;
        for (size_t j = 0; j < 4; j++) {
            x[i] = at + offsets[j] * h;
            sum += weights[j] * weighted_tau(temperature, s, t, w);
        }
        x[i] = at;
        expected[i] = sign * sum / (12 * (double)h);
    }
    if (expected)
        error = relative_error(gradient, expected, n);
    free(expected);
    return error;
}

static double temperature_error(ctkd_temperature_kind kind)
{
    float s[NK], t[NK], w[N], ds[NK] = { 0 }, *values, *gradient;
    ctkd_temperature_config config = ctkd_temperature_defaults();
    ctkd_temperature *temperature;
    config.kind = kind;
    config.n_max = N;
    config.k = K;
    config.through = true;
    fill(s, NK, 1, 3);
    fill(t, NK, 2, 4);
    fill(w, N, 3, 1);
    if (ctkd_temperature_create(&config, &temperature) != CTKD_OK)
        return (double)NAN;
    const size_t n = ctkd_temperature_parameters(temperature, &values, &gradient);
    double error = (double)NAN;
    if (!isnan(weighted_tau(temperature, s, t, w)) &&
        ctkd_temperature_backward(temperature, N, w, 1, ds) == CTKD_OK) {
        error = check_theta(temperature, s, t, w, values, n, gradient, -1);
        if (kind == CTKD_TEMPERATURE_INSTANCE)
            error = worse(check_theta(temperature, s, t, w, s, NK, ds, -1), error);
    }
    ctkd_temperature_destroy(temperature);
    return error;
}

void ctkd__selftest_losses(struct ctkd__selftest *test)
{
    check_loss(test, NULL);
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++)
        if (!((*def)->needs & more_than_logits))
            check_loss(test, *def);
    const double global = temperature_error(CTKD_TEMPERATURE_GLOBAL);
    ctkd__selftest_say(test, global <= tolerance, "temperature global: reversed gradient",
                       "error %.1e of central differences", global);
    const double instance = temperature_error(CTKD_TEMPERATURE_INSTANCE);
    ctkd__selftest_say(test, instance <= 1e-2, "temperature instance: reversed gradients",
                       "error %.1e of central differences", instance);
}
