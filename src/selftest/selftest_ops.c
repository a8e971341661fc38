/*
 * The part of the selftest on ops. Each is alone in a small graph whose values keep away from every
 * kink, so that central differences tell its gradients to several digits: every op, with every
 * instruction set of this CPU and every implementation of a convolution on the shapes that it
 * takes. An op or an implementation that no graph of selftest_cases.c has is a failure.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctkd/random.h"
#include "nn/compile/inference.h"
#include "nn/compile/training.h"
#include "nn/conv/conv.h"
#include "selftest/selftest.h"
#include "selftest/selftest_cases.h"
#include "util/error.h"

/* Three images, so that two workers have slices of different sizes. */
enum {
    N = 3,
    VALUES_MAX = 8192,
    VARIABLES_MAX = 16,
    DIRECTIONS = 6,
    SETTLING = 200,
    CONVS_MAX = 16
};

/* About ten times the errors found. One wrong element in a thousand gives 3e-2. */
static const double gradient_limit = 1e-4, block_limit = 2e-3, value_limit = 1e-5;

/* --- a case compiled */

struct op_variant {
    const struct ctkd__op_case *tested;
    const struct ctkd__kernels *kernels;
    const char *conv;
};

/* What a gradient is of: a source or a parameter. */
struct variable {
    const char *name;
    int source, parameter; /* one of them is -1 */
    size_t n;
    float values[VALUES_MAX], gradient[VALUES_MAX];
};

struct op_rig {
    const struct ctkd__op_case *tested;
    struct ctkd__built_case training, inference;
    struct ctkd__weights *weights, *folded; /* of the one graph, of the other */
    struct ctkd__training *one, *all; /* by one worker, whose passes are differentiated; by all */
    struct ctkd__inference *answer;
    float images[N * VALUES_MAX];
    float r[2][VALUES_MAX];            /* the loss is the sum of r * output */
    struct ctkd__reference *reference; /* of the graph for training */
    size_t n_outputs[2];
    float signs[VALUES_MAX], moved[VALUES_MAX];
    size_t n_variables;
    struct variable variables[VARIABLES_MAX];
};

/* What a case came to. */
struct errors {
    double gradient, value; /* relative, the largest */
    char where[112];        /* the gradient's */
};

static void rig_close(struct op_rig *rig)
{
    if (!rig)
        return;
    ctkd__reference_destroy(rig->reference);
    ctkd__inference_destroy(rig->answer);
    ctkd__training_destroy(rig->one);
    ctkd__training_destroy(rig->all);
    ctkd__weights_destroy(rig->weights);
    ctkd__weights_destroy(rig->folded);
    ctkd__graph_destroy(rig->training.graph);
    ctkd__graph_destroy(rig->inference.graph);
    free(rig);
}

static bool is_block(const struct ctkd__op_case *tested)
{
    return tested->op == CTKD__OP_COUNT;
}

/* The step of the differences. For an op that is linear in each input any step is exact, and a
   large one has the least rounding; with kinks, twice 0.03 is less than the distance to the next; a
   block is far from linear. */
static float step_of(const struct ctkd__op_case *tested)
{
    if (is_block(tested))
        return 0.00390625f;
    return tested->kinks || tested->op == CTKD__OP_BATCH_NORM ? 0.03125f : 1;
}

/* For each channel of an image another order of the same distances from another start: 0.125 away
   from the multiples of 0.5, where activations have their kinks, and 0.5 from each other for
   pools. */
static void fill_apart(const struct ctkd__op_case *tested, uint64_t seed, float *x)
{
    const size_t hw = tested->h * tested->w;
    for (size_t plane = 0; plane < N * tested->c; plane++, x += hw) {
        const uint32_t start = ctkd_random_below(seed, CTKD_RANDOM_TEST, plane, hw, 9);
        for (size_t i = 0; i < hw; i++)
            x[i] = 0.5f * ((float)i - (float)(hw / 2) + (float)start - 4) + 0.125f;
        for (size_t i = hw - 1; i > 0; i--) {
            const uint32_t j =
                ctkd_random_below(seed, CTKD_RANDOM_TEST, plane, i, (uint32_t)(i + 1));
            const float other = x[j];
            x[j] = x[i];
            x[i] = other;
        }
    }
}

static void fill_source(const struct ctkd__op_case *tested, uint64_t seed, float *x)
{
    if (tested->kinks)
        fill_apart(tested, seed, x);
    else
        for (size_t i = 0; i < N * tested->c * tested->h * tested->w; i++)
            x[i] = ctkd_random_normal(seed, CTKD_RANDOM_TEST, 0, i);
}

/* Weights that keep the size of values. Batch norms put each channel on one side of the ReLU behind
   them, whatever the batch. */
static float parameter_value(const struct ctkd__graph *graph, int which, size_t i)
{
    const struct ctkd__parameter *const p = &graph->parameters[which];
    const float u = 2 * ctkd_random_uniform(11, CTKD_RANDOM_TEST, (uint64_t)which, i) - 1;
    const size_t fan_in = ctkd__parameter_elements(p) / p->shape[0];
    if (graph->nodes[p->node].op != CTKD__OP_BATCH_NORM)
        return u * sqrtf(3 / (float)fan_in);
    return p->role == CTKD__ROLE_WEIGHT ? 0.3f + 0.1f * u : (i % 3 ? 2 : -2) + 0.2f * u;
}

static bool is_buffer(const struct ctkd__parameter *p)
{
    return p->role == CTKD__ROLE_MEAN || p->role == CTKD__ROLE_VARIANCE;
}

static struct variable *add_variable(struct op_rig *rig, const char *name, int source,
                                     int parameter, size_t n, ctkd_error *err)
{
    if (rig->n_variables == VARIABLES_MAX || n > VALUES_MAX) {
        ctkd__fail(err, CTKD_ERANGE, "%s: variable %zu has %zu values, expected at most %d of %d",
                   name, rig->n_variables, n, VARIABLES_MAX, VALUES_MAX);
        return NULL;
    }
    struct variable *const v = &rig->variables[rig->n_variables++];
    v->name = name;
    v->source = source;
    v->parameter = parameter;
    v->n = n;
    return v;
}

static ctkd_status add_parameters(struct op_rig *rig, ctkd_error *err)
{
    const struct ctkd__graph *const graph = rig->training.graph;
    for (int i = 0; i < graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &graph->parameters[i];
        if (is_buffer(p))
            continue;
        struct variable *const v =
            add_variable(rig, p->name, -1, i, ctkd__parameter_elements(p), err);
        if (!v)
            return CTKD_ERANGE;
        for (size_t j = 0; j < v->n; j++)
            v->values[j] = parameter_value(graph, i, j);
        ctkd__weights_pack(rig->weights, i, v->values,
                           rig->weights->values + rig->weights->offsets[i]);
        ctkd__reference_parameter(rig->reference, i, v->n, v->values);
    }
    return CTKD_OK;
}

/* The sources, as variables where they are side inputs, and as channels of the images. */
static ctkd_status add_sources(struct op_rig *rig, ctkd_error *err)
{
    const struct ctkd__op_case *const tested = rig->tested;
    const size_t floats = tested->c * tested->h * tested->w, parts = tested->images ? 1 : 2;
    float x[VALUES_MAX];
    if (N * floats > VALUES_MAX)
        return ctkd__fail(err, CTKD_ERANGE, "found %zu values, expected at most %d", N * floats,
                          VALUES_MAX);
    for (size_t i = 0; i < (tested->two ? 2 : 1); i++) {
        fill_source(tested, i, x);
        for (size_t n = 0; n < N; n++)
            memcpy(rig->images + (n * parts + i) * floats, x + n * floats, floats * sizeof *x);
        if (tested->images)
            continue;
        struct variable *const v =
            add_variable(rig, rig->training.graph->nodes[rig->training.sources[i]].name, (int)i, -1,
                         N * floats, err);
        if (!v)
            return CTKD_ERANGE;
        memcpy(v->values, x, N * floats * sizeof *x);
        if (ctkd__reference_side_input(rig->reference, rig->training.sources[i], v->n, x) !=
            CTKD_OK)
            return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    }
    return CTKD_OK;
}

static ctkd_status add_outputs(struct op_rig *rig, ctkd_error *err)
{
    for (size_t i = 0; i < rig->training.n_outputs; i++) {
        const struct ctkd__node *const y = &rig->training.graph->nodes[rig->training.outputs[i]];
        const size_t n = y->c * y->h * y->w * (y->op == CTKD__OP_PARAMETER ? 1 : N);
        if (n > VALUES_MAX)
            return ctkd__fail(err, CTKD_ERANGE,
                              "found an output of %zu values, expected at most %d", n, VALUES_MAX);
        rig->n_outputs[i] = n;
        for (size_t j = 0; j < n; j++)
            rig->r[i][j] = ctkd_random_normal(4 + i, CTKD_RANDOM_TEST, 0, j);
    }
    return CTKD_OK;
}

/* A parameter has no value in inference, a dropout another one. */
static bool has_inference(const struct ctkd__op_case *tested)
{
    return tested->op != CTKD__OP_PARAMETER && tested->op != CTKD__OP_DROPOUT;
}

static ctkd_status compile_training(struct op_rig *rig, const struct op_variant *v,
                                    const struct ctkd__engine *engine, struct ctkd__training **out,
                                    ctkd_error *err)
{
    struct ctkd__training_config config = ctkd__engine_training(engine, "selftest", N);
    config.kernels = v->kernels;
    config.conv = v->conv;
    config.outputs = rig->training.outputs;
    config.n_outputs = rig->training.n_outputs;
    config.no_logits = config.input_gradients = true;
    return ctkd__training_create(rig->training.graph, rig->weights, &config, out, err);
}

static ctkd_status compile_inference(struct op_rig *rig, const struct op_variant *v,
                                     const struct ctkd__engine *engine, ctkd_error *err)
{
    struct ctkd__inference_config config = ctkd__engine_inference(engine, "selftest");
    config.kernels = v->kernels;
    config.conv = v->conv;
    config.outputs = rig->inference.outputs;
    config.n_outputs = 1;
    config.no_logits = true;
    ctkd_status status = ctkd__selftest_build(v->tested, true, &rig->inference, err);
    if (status == CTKD_OK)
        status = ctkd__weights_create(rig->inference.graph, v->kernels->block, &rig->folded, err);
    if (status == CTKD_OK)
        status = ctkd__inference_create(rig->inference.graph, &config, &rig->answer, err);
    return status;
}

static ctkd_status rig_open(const struct op_variant *v,
                            const struct ctkd__selftest_engines *engines, struct op_rig **out,
                            ctkd_error *err)
{
    struct op_rig *const rig = *out = calloc(1, sizeof *rig);
    if (!rig)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    rig->tested = v->tested;
    ctkd_status status = ctkd__selftest_build(v->tested, false, &rig->training, err);
    if (status == CTKD_OK)
        status = ctkd__weights_create(rig->training.graph, v->kernels->block, &rig->weights, err);
    if (status == CTKD_OK &&
        ctkd__reference_create(rig->training.graph, NULL, &rig->reference) != CTKD_OK)
        status = ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    if (status == CTKD_OK)
        status = add_sources(rig, err);
    if (status == CTKD_OK)
        status = add_parameters(rig, err);
    if (status == CTKD_OK)
        status = add_outputs(rig, err);
    if (status == CTKD_OK)
        status = compile_training(rig, v, &engines->one, &rig->one, err);
    if (status == CTKD_OK)
        status = compile_training(rig, v, &engines->all, &rig->all, err);
    if (status == CTKD_OK && has_inference(v->tested))
        status = compile_inference(rig, v, &engines->all, err);
    return status;
}

/* --- gradients */

/* A training program's forward pass with `moved` in place of one variable's values. */
static ctkd_status forward(struct op_rig *rig, struct ctkd__training *training,
                           const struct variable *at, const float *moved, ctkd_error *err)
{
    struct ctkd__weights *const w = rig->weights;
    for (size_t i = 0; i < rig->n_variables; i++) {
        const struct variable *const v = &rig->variables[i];
        if (v->source >= 0)
            ctkd__training_input(training, rig->training.sources[v->source],
                                 v == at ? moved : v->values);
    }
    if (at && at->parameter >= 0)
        ctkd__weights_pack(w, at->parameter, moved, w->values + w->offsets[at->parameter]);
    return ctkd__training_forward(training, N, rig->images, NULL, err);
}

/* The gradients of all variables, by all workers. */
static ctkd_status backward(struct op_rig *rig, ctkd_error *err)
{
    struct ctkd__tensors list = { 0 };
    ctkd_status status = forward(rig, rig->all, NULL, NULL, err);
    for (size_t i = 0; i < rig->training.n_outputs; i++)
        ctkd__training_output_gradient(rig->all, i, rig->r[i]);
    if (status == CTKD_OK)
        status = ctkd__training_backward(rig->all, NULL, err);
    if (status == CTKD_OK)
        status = ctkd__training_export_gradient(rig->all, &list, err);
    for (size_t i = 0; i < rig->n_variables && status == CTKD_OK; i++) {
        struct variable *const v = &rig->variables[i];
        const struct ctkd__tensor *const tensor = ctkd__tensors_find(&list, v->name);
        const float *const found =
            v->source >= 0
                ? ctkd__training_input_gradient(rig->all, rig->training.sources[v->source])
            : tensor ? tensor->data
                     : NULL;
        if (found)
            memcpy(v->gradient, found, v->n * sizeof *found);
        else
            status = ctkd__fail(err, CTKD_EINVAL, "%s: found no gradient, expected one", v->name);
    }
    ctkd__tensors_fini(&list);
    return status;
}

/* The slope of the loss along a direction of random signs, by five points, and what the gradient
   says. */
static ctkd_status slopes(struct op_rig *rig, const struct variable *v, uint64_t seed,
                          double *actual, double *expected, ctkd_error *err)
{
    static const float offsets[4] = { -2, -1, 1, 2 };
    static const double factors[4] = { 1, -8, 8, -1 };
    const float step = step_of(rig->tested);
    struct ctkd__weights *const w = rig->weights;
    ctkd_status status = CTKD_OK;
    *actual = *expected = 0;
    for (size_t i = 0; i < v->n; i++) {
        rig->signs[i] = ctkd_random_uniform(seed, CTKD_RANDOM_TEST, 0, i) < 0.5f ? -1 : 1;
        *actual += (double)(rig->signs[i] * v->gradient[i]);
    }
    for (size_t j = 0; j < 4 && status == CTKD_OK; j++) {
        for (size_t i = 0; i < v->n; i++)
            rig->moved[i] = v->values[i] + offsets[j] * step * rig->signs[i];
        status = forward(rig, rig->one, v, rig->moved, err);
        for (size_t o = 0; o < rig->training.n_outputs && status == CTKD_OK; o++) {
            const float *const y = ctkd__training_output(rig->one, o);
            for (size_t i = 0; i < rig->n_outputs[o]; i++)
                *expected += factors[j] * (double)rig->r[o][i] * (double)y[i];
        }
    }
    *expected /= 12 * (double)step;
    if (v->parameter >= 0)
        ctkd__weights_pack(w, v->parameter, v->values, w->values + w->offsets[v->parameter]);
    return status;
}

/* Along random signs the error of a gradient is as its norm: a few directions tell it. In a block a
   gradient that is next to nothing (what a batch norm takes out again) is compared with the
   largest. */
static ctkd_status differentiate(struct op_rig *rig, struct errors *errors, ctkd_error *err)
{
    double error[VARIABLES_MAX] = { 0 }, norm[VARIABLES_MAX] = { 0 }, largest = 0;
    ctkd_status status = backward(rig, err);
    for (size_t i = 0; i < rig->n_variables; i++) {
        for (uint64_t d = 0; d < DIRECTIONS && status == CTKD_OK; d++) {
            double actual, expected;
            status = slopes(rig, &rig->variables[i], 20 + d, &actual, &expected, err);
            error[i] = hypot(error[i], actual - expected);
            norm[i] = hypot(norm[i], expected);
        }
        largest = fmax(largest, norm[i]);
    }
    for (size_t i = 0; i < rig->n_variables; i++) {
        const double floor = is_block(rig->tested) ? 0.1 * largest : 0;
        const double relative = error[i] / (norm[i] + floor);
        if (ctkd__selftest_worse(relative, errors->gradient)) {
            errors->gradient = relative;
            snprintf(errors->where, sizeof errors->where, "%s", rig->variables[i].name);
        }
    }
    return status;
}

/* --- values: all ways to an output */

static double difference(const float *a, const double *b, size_t n)
{
    double error = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return sqrt(error / norm);
}

/* Running statistics as those of the batch: its mean and, for inference, its biased variance. */
static ctkd_status settle_statistics(struct op_rig *rig, ctkd_error *err)
{
    const struct ctkd__graph *const graph = rig->training.graph;
    struct ctkd__weights *const w = rig->weights;
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < SETTLING && w->n_buffers > 0 && status == CTKD_OK; i++)
        status = forward(rig, rig->one, NULL, NULL, err);
    memcpy(rig->folded->values, w->values, w->n_values * sizeof(float));
    memcpy(rig->folded->buffers, w->buffers, w->n_buffers * sizeof(float));
    for (int i = 0; i < graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &graph->parameters[i];
        const struct ctkd__node *const node = &graph->nodes[p->node];
        const float count = (float)(N * node->h * node->w);
        for (size_t j = 0; p->role == CTKD__ROLE_VARIANCE && j < p->shape[0]; j++)
            rig->folded->buffers[w->offsets[i] + j] *= (count - 1) / count;
    }
    return status;
}

/* The output of inference. */
static ctkd_status infer(struct op_rig *rig, float *y, ctkd_error *err)
{
    float *const outputs[] = { y };
    ctkd_status status = settle_statistics(rig, err);
    if (status == CTKD_OK)
        status = ctkd__inference_load(rig->answer, rig->folded, err);
    if (status == CTKD_OK)
        status = ctkd__inference_run_outputs(rig->answer, N, rig->images, NULL, outputs, err);
    return status;
}

/* Compares a case's output by one worker, by all, and in inference with the reference in double. */
static ctkd_status compare_values(struct op_rig *rig, struct errors *errors, ctkd_error *err)
{
    const size_t n = rig->n_outputs[0];
    struct ctkd__training *const programs[] = { rig->one, rig->all };
    double **const expected = ctkd__reference_values(rig->reference, N, rig->images, true);
    ctkd_status status = expected ? CTKD_OK : ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    for (size_t i = 0; i < (rig->answer ? 3 : 2) && status == CTKD_OK; i++) {
        float y[VALUES_MAX];
        status = i == 2 ? infer(rig, y, err) : forward(rig, programs[i], NULL, NULL, err);
        if (status != CTKD_OK)
            break;
        if (i < 2)
            memcpy(y, ctkd__training_output(programs[i], 0), n * sizeof *y);
        const double error = difference(y, expected[rig->training.outputs[0]], n);
        if (ctkd__selftest_worse(error, errors->value))
            errors->value = error;
    }
    ctkd__reference_free_values(rig->reference, expected);
    return status;
}

/* --- which */

/* What was tried. */
struct tried {
    bool ops[CTKD__OP_COUNT];
    size_t convs[CONVS_MAX]; /* graphs, by implementation */
};

/* Whether an implementation takes a convolution of a graph in any direction. */
static bool applies(const struct ctkd__conv_impl *impl, const struct ctkd__graph *graph,
                    const struct ctkd__kernels *kernels)
{
    bool found = false;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct ctkd__node *const y = &graph->nodes[i];
        if (y->op != CTKD__OP_CONV && y->op != CTKD__OP_TRANSPOSED_CONV)
            continue;
        const bool transposed = y->op == CTKD__OP_TRANSPOSED_CONV;
        const struct ctkd__node *const x = &graph->nodes[y->inputs[0]];
        const struct ctkd__node *const from = transposed ? y : x, *const to = transposed ? x : y;
        struct ctkd__conv_request request = { .shape = { from->c, from->h, from->w, to->c, to->h,
                                                         to->w, y->kernel, y->stride, y->padding,
                                                         x->op == CTKD__OP_INPUT, y->groups },
                                              .kernels = kernels,
                                              .workers = 1,
                                              .images = N };
        for (int d = CTKD__CONV_FORWARD; d <= CTKD__CONV_BACKWARD_WEIGHTS; d++) {
            request.direction = (enum ctkd__conv_direction)d;
            found = found || impl->supports(&request);
        }
    }
    return found;
}

/* The worst of the variants of a case so far. */
struct worst_variant {
    struct errors errors;
    char gradient_at[208], value_at[88];
    size_t variants;
};

static ctkd_status measure(const struct op_variant *v, const struct ctkd__selftest_engines *engines,
                           struct tried *tried, struct errors *errors, ctkd_error *err)
{
    struct op_rig *rig;
    *errors = (struct errors){ 0 };
    ctkd_status status = rig_open(v, engines, &rig, err);
    if (status == CTKD_OK)
        status = differentiate(rig, errors, err);
    if (status == CTKD_OK)
        status = compare_values(rig, errors, err);
    for (int i = 0; status == CTKD_OK && i < rig->training.graph->n_nodes; i++)
        tried->ops[rig->training.graph->nodes[i].op] = true;
    rig_close(rig);
    return status;
}

static ctkd_status try_variant(const struct op_variant *v,
                               const struct ctkd__selftest_engines *engines, struct tried *tried,
                               struct worst_variant *worst, ctkd_error *err)
{
    struct errors found;
    char name[80];
    snprintf(name, sizeof name, "%s%s%s", v->kernels->name,
             strcmp(v->conv, "auto") != 0 ? " and " : "",
             strcmp(v->conv, "auto") != 0 ? v->conv : "");
    const ctkd_status status = measure(v, engines, tried, &found, err);
    worst->variants++;
    if (ctkd__selftest_worse(found.gradient, worst->errors.gradient)) {
        worst->errors.gradient = found.gradient;
        snprintf(worst->gradient_at, sizeof worst->gradient_at, " (%s with %s)", found.where, name);
    }
    if (ctkd__selftest_worse(found.value, worst->errors.value)) {
        worst->errors.value = found.value;
        snprintf(worst->value_at, sizeof worst->value_at, " (%s)", name);
    }
    return status;
}

/* A case with every instruction set and every implementation of its convolutions. */
static ctkd_status try_case(const struct ctkd__op_case *tested,
                            const struct ctkd__selftest_engines *engines, struct tried *tried,
                            struct worst_variant *worst, ctkd_error *err)
{
    struct ctkd__built_case built;
    ctkd_status status = ctkd__selftest_build(tested, false, &built, err);
    for (size_t i = 0; ctkd__kernels_list()[i] && status == CTKD_OK; i++) {
        struct op_variant v = { tested, ctkd__kernels_list()[i], "auto" };
        status = try_variant(&v, engines, tried, worst, err);
        for (size_t c = 0; ctkd__conv_list()[c] && status == CTKD_OK; c++) {
            v.conv = ctkd__conv_list()[c]->name;
            if (!applies(ctkd__conv_list()[c], built.graph, v.kernels))
                continue;
            status = try_variant(&v, engines, tried, worst, err);
            tried->convs[c]++;
        }
    }
    ctkd__graph_destroy(built.graph);
    return status;
}

static void check_case(struct ctkd__selftest *test, const struct ctkd__op_case *tested,
                       const struct ctkd__selftest_engines *engines, struct tried *tried)
{
    struct worst_variant worst = { 0 };
    char what[96];
    ctkd_error err = { 0 };
    snprintf(what, sizeof what, "op %s", tested->name);
    const double limit = is_block(tested) ? block_limit : gradient_limit;
    if (try_case(tested, engines, tried, &worst, &err) != CTKD_OK)
        ctkd__selftest_report(test, false, what, "%s", err.message);
    else
        ctkd__selftest_report(
            test, worst.errors.gradient <= limit && worst.errors.value <= value_limit, what,
            "gradients differ from central differences by at most %.1e%s, values from those in "
            "double by %.1e%s; %zu ways",
            worst.errors.gradient, worst.gradient_at, worst.errors.value, worst.value_at,
            worst.variants);
}

/* --- what was tried and what was not */

static void list_word(char *text, size_t bytes, const char *word)
{
    const size_t used = strlen(text);
    snprintf(text + used, bytes - used, " %s", word);
}

static void report_tried(struct ctkd__selftest *test, const struct tried *tried)
{
    char ops[2][400] = { "", "" }, convs[2][200] = { "", "" }; /* not tried, tried */
    for (int op = 0; op < CTKD__OP_COUNT; op++)
        list_word(ops[tried->ops[op]], sizeof ops[0], ctkd__op_text((enum ctkd__op)op));
    for (size_t c = 0; ctkd__conv_list()[c]; c++) {
        char word[48];
        snprintf(word, sizeof word, "%s (%zu)", ctkd__conv_list()[c]->name, tried->convs[c]);
        list_word(convs[tried->convs[c] > 0], sizeof convs[0], word);
    }
    ctkd__selftest_report(test, !ops[0][0], "ops", "tried:%s%s%s", ops[1],
                          ops[0][0] ? "; not tried:" : "", ops[0]);
    ctkd__selftest_report(test, !convs[0][0], "convolutions", "tried:%s%s%s", convs[1],
                          convs[0][0] ? "; not tried:" : "", convs[0]);
}

void ctkd__selftest_ops(struct ctkd__selftest *test)
{
    struct tried tried = { 0 };
    struct ctkd__selftest_engines engines;
    if (!ctkd__selftest_engines_open(test, "ops", &engines))
        return;
    for (const struct ctkd__op_case *tested = ctkd__selftest_cases();
         tested->name && !(test->failures && test->first_failure_ends); tested++)
        check_case(test, tested, &engines, &tried);
    if (!(test->failures && test->first_failure_ends))
        report_tried(test, &tried);
    ctkd__selftest_engines_close(&engines);
}
