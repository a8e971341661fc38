/*
 * The part of the selftest on libctkd: every loss of the registry in every stage that it has, with
 * respect to everything that it gives a gradient of, and the temperature. What a loss of features
 * reads is what its plan asks two toy networks for, through the trainer's own builder.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctkd/loss.h"
#include "ctkd/random.h"
#include "ctkd/temperature.h"
#include "selftest/selftest.h"
#include "train/adaptors.h"
#include "util/error.h"

enum { N = 6, K = 9, NK = N * K, SAMPLES = 40, PROBES = 32, LAYERS = 4, WIDTH = 5 };

/* Five-point central differences: the error is O(step^4), so that steps can be large enough for a
   float loss. */
static const float steps[] = { 0.25f, 0.0625f, 0.0078125f };
static const float offsets[4] = { -2, -1, 1, 2 };
static const double weights[4] = { 1, -8, 8, -1 };
static const double tolerance = 3e-3; /* of the norm of a gradient */

static void fill(float *out, size_t n, uint64_t seed, float lo, float hi)
{
    for (size_t i = 0; i < n; i++)
        out[i] = lo + (hi - lo) * ctkd_random_uniform(seed, CTKD_RANDOM_TEST, 1, i);
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

/* --- what a loss reads */

struct loss_case {
    const ctkd_loss_def *def; /* NULL: the cross-entropy, which is in no registry */
    void *config;
    unsigned stage;
    float s[NK], t[NK], tau[N], ds[NK], dt[NK], dtau[N], loss;
    int32_t labels[N], all_labels[SAMPLES];
    uint64_t ids[N];
    ctkd_map maps[CTKD__READS_MAX];
    size_t n_maps, counts[CTKD__READS_MAX]; /* values of each */
    float head_weight[K * WIDTH], head_bias[K];
    double *workspace;
    float *state, *fresh_state;
    size_t n_state;
    struct ctkd__graph *student, *teacher;
    struct ctkd__weights *teacher_weights; /* maps have weights of its batch norms */
    struct ctkd__adaptors *adaptors;
};

/* Four layers with taps, a pooled vector, a classifier. */
static ctkd_status build_toy(struct ctkd__graph **out, ctkd_error *err)
{
    static const size_t channels[LAYERS] = { 3, 3, 4, WIDTH };
    *out = NULL;
    if (ctkd__graph_create(out) != CTKD_OK)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    struct ctkd__graph *const g = *out;
    int x = ctkd__graph_input(g, 3, 8, 8);
    for (size_t i = 0; i < LAYERS; i++) {
        const struct ctkd__conv_args conv = {
            .out = channels[i], .kernel = 3, .stride = i < 2 ? 1 : 2, .padding = 1
        };
        char conv_name[] = "conv0", norm_name[] = "norm0", pre[] = "pre0", tap[] = "f0";
        conv_name[4] = norm_name[4] = pre[3] = tap[1] = (char)('0' + i);
        x = ctkd__graph_batch_norm(g, ctkd__graph_conv(g, x, conv_name, &conv), norm_name);
        ctkd__graph_tap(g, pre, x);
        x = ctkd__graph_relu(g, x);
        ctkd__graph_tap(g, tap, x);
    }
    x = ctkd__graph_global_pool(g, x);
    ctkd__graph_tap(g, "f4", x);
    return ctkd__graph_finish(
        g, ctkd__graph_linear(g, x, "fc", K, CTKD__INIT_CONSTANT, 0, CTKD__INIT_CONSTANT, 0), err);
}

/* Defaults; what counts things, and so costs time alone, is smaller. */
static ctkd_status set_options(struct loss_case *c, ctkd_error *err)
{
    c->config = calloc(1, c->def->config_size + 1);
    if (!c->config)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    ctkd_options_defaults(c->def->options, c->config);
    double value;
    for (const ctkd_option *o = c->def->options; o && o->name; o++)
        if (ctkd__selftest_smaller(o, &value) &&
            ctkd_option_set(c->def->options, c->config, o->name, value) != CTKD_OK)
            return ctkd__fail(err, CTKD_ERANGE, "cannot set option %s", o->name);
    return CTKD_OK;
}

/* The maps of the case's stage, without values. */
static ctkd_status plan(struct loss_case *c, ctkd_error *err)
{
    const struct ctkd__methods methods = { .items = { { c->def, c->config, 1 } },
                                           .count = 1,
                                           .needs = c->def->needs };
    struct ctkd__adaptors_args args = { .methods = &methods,
                                        .student_name = "the student",
                                        .teacher_name = "the teacher" };
    ctkd_status status = build_toy(&c->teacher, err);
    if (status == CTKD_OK)
        status = ctkd__weights_create(c->teacher, 8, &c->teacher_weights, err);
    if (status == CTKD_OK)
        status = build_toy(&c->student, err);
    if (status != CTKD_OK)
        return status;
    fill(c->teacher_weights->values, c->teacher_weights->n_values, 3, 0.2f, 1);
    args.student = c->student;
    args.teacher = c->teacher;
    args.teacher_weights = c->teacher_weights;
    return ctkd__adaptors_create(&args, &c->adaptors, err);
}

static ctkd_status make_maps(struct loss_case *c, ctkd_error *err)
{
    const struct ctkd__stage_reads *const reads =
        c->stage == CTKD_STAGE_INITIAL ? &c->adaptors->initial : &c->adaptors->main;
    for (c->n_maps = 0; c->n_maps < reads->n_reads; c->n_maps++) {
        const struct ctkd__read *const read = &reads->reads[c->n_maps];
        const size_t count = (read->parameter ? 1 : N) * read->c * read->h * read->w;
        float *const x = calloc(count, sizeof *x);
        float *const dx = read->gradient ? calloc(count, sizeof *dx) : NULL;
        c->counts[c->n_maps] = count;
        c->maps[c->n_maps] = (ctkd_map){ .c = read->c,
                                         .h = read->h,
                                         .w = read->w,
                                         .x = x,
                                         .dx = dx,
                                         .norm_weight = read->norm_weight,
                                         .norm_bias = read->norm_bias };
        if (!x || (read->gradient && !dx)) {
            c->n_maps++;
            return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
        }
        fill(x, count, 100 + c->n_maps, read->parameter ? 0.5f : -1, read->parameter ? 1.5f : 1);
    }
    return CTKD_OK;
}

static ctkd_status make_state(struct loss_case *c, ctkd_error *err)
{
    const ctkd_loss_shape shape = { .n = N,
                                    .k = K,
                                    .maps = c->maps,
                                    .n_maps = c->n_maps,
                                    .samples = c->def->needs & CTKD_NEEDS_IDS ? SAMPLES : 0 };
    size_t workspace = 0;
    ctkd_status status = ctkd_loss_workspace(c->def, c->config, &shape, &workspace);
    if (status == CTKD_OK)
        status = ctkd_loss_state(c->def, c->config, &shape, &c->n_state);
    if (status != CTKD_OK)
        return ctkd__fail(err, status, "the size of its workspace or state overflows");
    c->workspace = calloc(workspace + 1, sizeof *c->workspace);
    c->state = calloc(c->n_state + 1, sizeof *c->state);
    c->fresh_state = calloc(c->n_state + 1, sizeof *c->fresh_state);
    if (!c->workspace || !c->state || !c->fresh_state)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    if (c->def->state_init)
        c->def->state_init(c->config, &shape, 6, c->fresh_state);
    return CTKD_OK;
}

static void fill_others(struct loss_case *c)
{
    fill(c->s, NK, 1, -3, 3);
    fill(c->t, NK, 2, -4, 4);
    fill(c->head_weight, K * WIDTH, 4, -1, 1);
    fill(c->head_bias, K, 5, -1, 1);
    for (size_t i = 0; i < SAMPLES; i++)
        c->all_labels[i] = (int32_t)(7 * i % K);
    for (size_t i = 0; i < N; i++) {
        c->ids[i] = 11 * i % SAMPLES;
        c->labels[i] = c->all_labels[c->ids[i]];
        c->tau[i] = 1 + 3.5f * (float)i;
    }
}

static void close_case(struct loss_case *c)
{
    for (size_t i = 0; i < c->n_maps; i++) {
        free((float *)c->maps[i].x);
        free(c->maps[i].dx);
    }
    ctkd__adaptors_destroy(c->adaptors);
    ctkd__weights_destroy(c->teacher_weights);
    ctkd__graph_destroy(c->student);
    ctkd__graph_destroy(c->teacher);
    free(c->config);
    free(c->workspace);
    free(c->state);
    free(c->fresh_state);
}

static ctkd_status open_case(const ctkd_loss_def *def, unsigned stage, struct loss_case *c,
                             ctkd_error *err)
{
    *c = (struct loss_case){ .def = def, .stage = stage };
    fill_others(c);
    if (!def)
        return CTKD_OK;
    ctkd_status status = set_options(c, err);
    if (status == CTKD_OK)
        status = plan(c, err);
    if (status == CTKD_OK)
        status = make_maps(c, err);
    if (status == CTKD_OK)
        status = make_state(c, err);
    return status;
}

/* --- gradients of losses */

static ctkd_status evaluate(struct loss_case *c)
{
    if (!c->def)
        return ctkd_cross_entropy(N, K, c->s, c->labels, &c->loss, c->ds);
    const ctkd_head head = { K, WIDTH, c->head_weight, c->head_bias };
    const ctkd_samples samples = { SAMPLES, c->all_labels, 5, 0 };
    memcpy(c->state, c->fresh_state, c->n_state * sizeof *c->state);
    const ctkd_loss_args args = { .n = N,
                                  .k = K,
                                  .s = c->s,
                                  .t = c->t,
                                  .labels = c->labels,
                                  .tau = c->tau,
                                  .n_tau = N,
                                  .loss = &c->loss,
                                  .ds = c->ds,
                                  .dt = c->dt,
                                  .dtau = c->dtau,
                                  .workspace = c->workspace,
                                  .stage = c->stage,
                                  .maps = c->maps,
                                  .n_maps = c->n_maps,
                                  .head = &head,
                                  .ids = c->ids,
                                  .samples = &samples,
                                  .state = c->state };
    return c->def->eval(c->config, &args);
}

/* dL/dx of one value; NaN where there is no loss. */
static double difference_at(struct loss_case *c, float *x, float h)
{
    const float at = *x;
    double sum = 0;
    for (size_t j = 0; j < 4; j++) {
        *x = at + offsets[j] * h;
        sum += evaluate(c) == CTKD_OK ? weights[j] * (double)c->loss : (double)NAN;
    }
    *x = at;
    return sum / (12 * (double)h);
}

/* Some of the n values at x, what their gradient is said to be, and the size of that. */
struct probes {
    float *x;
    bool is_tau; /* temperatures differ in size, and so do their steps */
    size_t count, at[2 * PROBES];
    float gradient[2 * PROBES];
    double size;
};

static void choose(struct probes *p, size_t n, const float *gradient)
{
    p->count = n < 2 * PROBES ? n : PROBES;
    p->size = 0;
    for (size_t i = 0; i < p->count; i++) {
        const size_t first = i * n / p->count, end = (i + 1) * n / p->count;
        p->at[i] = first + ctkd_random_below(8, CTKD_RANDOM_TEST, n, i, (uint32_t)(end - first));
        p->gradient[i] = gradient[p->at[i]];
        p->size = hypot(p->size, (double)p->gradient[i] / sqrt((double)p->count));
    }
}

/* Relative error of the gradient against differences of one step. Where a quarter of the step gives
   another result, the loss has a kink within it: such values do not count, and must be few. */
static double error_at_step(struct loss_case *c, const struct probes *p, float step,
                            double rounding)
{
    double error = 0, square = 0;
    size_t kinks = 0;
    for (size_t i = 0; i < p->count; i++) {
        float *const x = &p->x[p->at[i]];
        const float h = p->is_tau ? step * *x : step;
        const double coarse = difference_at(c, x, h), fine = difference_at(c, x, h / 4);
        if (fabs(coarse - fine) > 0.002 * (p->size + fabs(fine)) + rounding / (double)(h / 4)) {
            kinks++;
            continue;
        }
        error = hypot(error, (double)p->gradient[i] - coarse);
        square = hypot(square, coarse);
    }
    return 4 * kinks > p->count ? (double)INFINITY : error / (square + 1e-12);
}

/* The least error of several steps: with a short step the rounding of a float loss dominates, and a
   long one meets curvature and kinks. A wrong gradient is wrong with every step. */
static double check_input(struct loss_case *c, float *x, size_t n, const float *gradient)
{
    struct probes p = { .x = x, .is_tau = x == c->tau };
    if (evaluate(c) != CTKD_OK)
        return (double)NAN;
    choose(&p, n, gradient);
    const double rounding = (double)FLT_EPSILON * fabs((double)c->loss);
    double least = (double)INFINITY;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !isnan(least); i++) {
        const double error = error_at_step(c, &p, steps[i], rounding);
        least = isnan(error) || error < least ? error : least;
    }
    return least;
}

/* The largest error with respect to any input, and which. */
struct worst_input {
    double error;
    const char *where;
    size_t n_inputs;
};

static void note_error(struct worst_input *worst, double error, const char *where)
{
    worst->n_inputs++;
    if (ctkd__selftest_worse(error, worst->error)) {
        worst->error = error;
        worst->where = where;
    }
}

static void check_inputs(struct loss_case *c, struct worst_input *worst)
{
    const unsigned needs = c->def ? c->def->needs : CTKD_NEEDS_LOGITS;
    if (needs & CTKD_NEEDS_LOGITS)
        note_error(worst, check_input(c, c->s, NK, c->ds), "s");
    if (needs & CTKD_NEEDS_LOGITS && c->def)
        note_error(worst, check_input(c, c->t, NK, c->dt), "t");
    if (needs & CTKD_NEEDS_TAU)
        note_error(worst, check_input(c, c->tau, N, c->dtau), "tau");
    for (size_t i = 0; i < c->n_maps; i++)
        if (c->maps[i].dx)
            note_error(worst, check_input(c, (float *)c->maps[i].x, c->counts[i], c->maps[i].dx),
                       "a map");
}

/* With a temperature of its own for each sample, then with the same for all. */
static void check_all(struct loss_case *c, struct worst_input *worst)
{
    static const float taus[] = { 1, 4, 20 };
    if (evaluate(c) != CTKD_OK) {
        note_error(worst, (double)NAN, "the loss has no value");
        return;
    }
    /* State that the first call sets is then a constant, which is not differentiated. */
    if (c->n_state)
        memcpy(c->fresh_state, c->state, c->n_state * sizeof *c->state);
    check_inputs(c, worst);
    for (size_t i = 0; i < 3 && c->def && c->def->needs & CTKD_NEEDS_TAU; i++) {
        for (size_t j = 0; j < N; j++)
            c->tau[j] = taus[i];
        check_inputs(c, worst);
    }
}

static void check_loss(struct ctkd__selftest *test, const ctkd_loss_def *def, unsigned stage)
{
    struct loss_case c;
    struct worst_input worst = { 0, "none", 0 };
    ctkd_error err = { 0 };
    char what[96];
    snprintf(what, sizeof what, "loss %s: gradients%s", def ? def->name : "cross_entropy",
             stage == CTKD_STAGE_INITIAL ? " in its initial stage" : "");
    if (open_case(def, stage, &c, &err) != CTKD_OK) {
        ctkd__selftest_report(test, false, what, "%s", err.message);
    } else {
        check_all(&c, &worst);
        ctkd__selftest_report(test, worst.error <= tolerance && worst.n_inputs > 0, what,
                              "differ from central differences by at most %.1e (%s, of %zu inputs)",
                              worst.error, worst.where, worst.n_inputs);
    }
    close_case(&c);
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
    fill(s, NK, 1, -3, 3);
    fill(t, NK, 2, -4, 4);
    fill(w, N, 3, -1, 1);
    if (ctkd_temperature_create(&config, &temperature) != CTKD_OK)
        return (double)NAN;
    const size_t n = ctkd_temperature_parameters(temperature, &values, &gradient);
    double error = (double)NAN;
    if (!isnan(weighted_tau(temperature, s, t, w)) &&
        ctkd_temperature_backward(temperature, N, w, 1, ds) == CTKD_OK) {
        error = check_theta(temperature, s, t, w, values, n, gradient, -1);
        const double through = kind == CTKD_TEMPERATURE_INSTANCE
                                   ? check_theta(temperature, s, t, w, s, NK, ds, -1)
                                   : 0;
        error = ctkd__selftest_worse(through, error) ? through : error;
    }
    ctkd_temperature_destroy(temperature);
    return error;
}

void ctkd__selftest_losses(struct ctkd__selftest *test)
{
    static const unsigned stages[] = { CTKD_STAGE_INITIAL, CTKD_STAGE_MAIN };
    check_loss(test, NULL, CTKD_STAGE_MAIN);
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++)
        for (size_t i = 0; i < 2; i++)
            if (((*def)->stages ? (*def)->stages : CTKD_STAGE_MAIN) & stages[i])
                check_loss(test, *def, stages[i]);
    const double global = temperature_error(CTKD_TEMPERATURE_GLOBAL);
    ctkd__selftest_report(test, global <= tolerance, "temperature global: reversed gradient",
                          "differs from central differences by %.1e", global);
    const double instance = temperature_error(CTKD_TEMPERATURE_INSTANCE);
    ctkd__selftest_report(test, instance <= 1e-2, "temperature instance: reversed gradients",
                          "differ from central differences by at most %.1e", instance);
}
