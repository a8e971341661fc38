/*
 * The part of the selftest on whole networks: the smallest of every family, in training and in
 * inference, with every instruction set and all workers against the portable kernels and one
 * worker. That these are correct is shown op by op (selftest_ops.c).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctkd/random.h"
#include "nn/compile/inference.h"
#include "nn/compile/training.h"
#include "nn/models/models.h"
#include "selftest/selftest.h"
#include "util/error.h"

enum { N = 8, K = 10, SIDE = 16, CHANNELS = 3 };

/* A network compiled for both uses. */
struct network_rig {
    struct ctkd__graph *graph;
    struct ctkd__weights *weights;
    struct ctkd__training *training;
    struct ctkd__inference *inference;
    struct ctkd__tensors gradient;
    float *x;               /* [N][c][h][w] */
    float r[N * K];         /* the loss is the sum of r * logits */
    float logits[2][N * K]; /* of the training pass, of inference */
};

struct network_variant {
    const char *network;
    const struct ctkd__kernels *kernels;
    const struct ctkd__engine *engine;
    const struct ctkd__tensors *start;
};

static void rig_close(struct network_rig *rig)
{
    ctkd__tensors_fini(&rig->gradient);
    ctkd__inference_destroy(rig->inference);
    ctkd__training_destroy(rig->training);
    ctkd__weights_destroy(rig->weights);
    ctkd__graph_destroy(rig->graph);
    free(rig->x);
    *rig = (struct network_rig){ 0 };
}

static ctkd_status build(const char *network, struct ctkd__graph **out, ctkd_error *err)
{
    const struct ctkd__model_family *family = NULL;
    struct ctkd__model_args args = { CHANNELS, SIDE, SIDE, K };
    if (ctkd__model_find(network, &family) && 2 * family->side_min > SIDE)
        args.height = args.width = 2 * family->side_min;
    return ctkd__model_build(network, &args, out, err);
}

/* Breaks the symmetry of the start, in which weights and biases of batch norms are all equal. */
static void disturb(struct ctkd__weights *weights)
{
    const struct ctkd__graph *graph = weights->graph;
    for (int i = 0; i < graph->n_parameters; i++) {
        const struct ctkd__parameter *p = &graph->parameters[i];
        if (p->rank != 1 || p->role == CTKD__ROLE_MEAN || p->role == CTKD__ROLE_VARIANCE)
            continue;
        float *values = weights->values + weights->offsets[i];
        for (size_t j = 0; j < p->shape[0]; j++)
            values[j] += 0.2f * ctkd_random_normal(7, CTKD_RANDOM_TEST, (uint64_t)i, j);
    }
}

static ctkd_status make_inputs(struct network_rig *rig, ctkd_error *err)
{
    const struct ctkd__node *input = &rig->graph->nodes[0];
    const size_t floats = N * input->c * input->h * input->w;
    rig->x = calloc(floats, sizeof *rig->x);
    if (!rig->x)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    for (size_t i = 0; i < floats; i++)
        rig->x[i] = ctkd_random_normal(3, CTKD_RANDOM_TEST, 0, i);
    for (size_t i = 0; i < N * K; i++)
        rig->r[i] = ctkd_random_normal(4, CTKD_RANDOM_TEST, 0, i);
    return CTKD_OK;
}

/* The weights that all variants of a network start from. */
static ctkd_status draw(const char *network, struct ctkd__tensors *list, ctkd_error *err)
{
    struct ctkd__graph *graph;
    struct ctkd__weights *weights = NULL;
    ctkd_status status = build(network, &graph, err);
    if (status == CTKD_OK)
        status = ctkd__weights_create(graph, 8, &weights, err);
    if (status == CTKD_OK) {
        ctkd__weights_initialise(weights, 5);
        disturb(weights);
        status = ctkd__weights_export(weights, list, err);
    }
    ctkd__weights_destroy(weights);
    ctkd__graph_destroy(graph);
    return status;
}

static ctkd_status rig_open(const struct network_variant *v, struct network_rig *rig,
                            ctkd_error *err)
{
    *rig = (struct network_rig){ 0 };
    ctkd_status status = build(v->network, &rig->graph, err);
    if (status == CTKD_OK)
        status = ctkd__weights_create(rig->graph, v->kernels->block, &rig->weights, err);
    if (status == CTKD_OK)
        status = ctkd__weights_import(rig->weights, v->start, err);
    if (status == CTKD_OK)
        status = make_inputs(rig, err);
    struct ctkd__training_config training = ctkd__engine_training(v->engine, "selftest", N);
    struct ctkd__inference_config inference = ctkd__engine_inference(v->engine, "selftest");
    training.kernels = inference.kernels = v->kernels;
    if (status == CTKD_OK)
        status = ctkd__training_create(rig->graph, rig->weights, &training, &rig->training, err);
    if (status == CTKD_OK)
        status = ctkd__inference_create(rig->graph, &inference, &rig->inference, err);
    return status;
}

/* Forward and backward, then inference with the statistics that this left. */
static ctkd_status compute(struct network_rig *rig, ctkd_error *err)
{
    ctkd_status status = ctkd__training_forward(rig->training, N, rig->x, rig->logits[0], err);
    if (status == CTKD_OK)
        status = ctkd__training_backward(rig->training, rig->r, err);
    if (status == CTKD_OK)
        status = ctkd__training_export_gradient(rig->training, &rig->gradient, err);
    if (status == CTKD_OK)
        status = ctkd__inference_load(rig->inference, rig->weights, err);
    if (status == CTKD_OK)
        status = ctkd__inference_run(rig->inference, N, rig->x, rig->logits[1], err);
    return status;
}

static double norm(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* --- one path against another */

struct differences {
    double logits, inference, gradient; /* relative */
    char where[112];                    /* the parameter of the largest gradient's error */
};

static double difference(const float *a, const float *b, size_t n, double floor)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum) / (norm(b, n) + floor);
}

/* Parameters with a negligible gradient are compared on the scale of the whole gradient. */
static void compare(const struct network_rig *a, const struct network_rig *b,
                    struct differences *out)
{
    double total = 0;
    *out = (struct differences){ .logits = difference(a->logits[0], b->logits[0], N * K, 0),
                                 .inference = difference(a->logits[1], b->logits[1], N * K, 0) };
    for (size_t i = 0; i < b->gradient.count; i++) {
        const struct ctkd__tensor *t = &b->gradient.items[i];
        total = hypot(total, norm(t->data, ctkd__tensor_elements(t)));
    }
    for (size_t i = 0; i < b->gradient.count; i++) {
        const struct ctkd__tensor *t = &b->gradient.items[i];
        const struct ctkd__tensor *other = ctkd__tensors_find(&a->gradient, t->name);
        const double error =
            other ? difference(other->data, t->data, ctkd__tensor_elements(t), 0.01 * total)
                  : (double)NAN;
        if (ctkd__selftest_worse(error, out->gradient)) {
            out->gradient = error;
            snprintf(out->where, sizeof out->where, "%s", t->name);
        }
    }
}

static void check_variant(struct ctkd__selftest *test, const struct network_variant *v,
                          const struct network_rig *reference)
{
    struct network_rig rig;
    struct differences d;
    char what[128];
    ctkd_error err = { 0 };
    snprintf(what, sizeof what, "%s kernels: %s", v->kernels->name, v->network);
    ctkd_status status = rig_open(v, &rig, &err);
    if (status == CTKD_OK)
        status = compute(&rig, &err);
    if (status == CTKD_OK) {
        compare(&rig, reference, &d);
        /* A unit near a ReLU's kink may be on in one path and off in the other, which a batch norm
           over few values makes large: a deep network's gradients tell less than its logits. */
        ctkd__selftest_report(test, d.logits <= 1e-4 && d.inference <= 1e-4 && d.gradient <= 0.15,
                              what,
                              "differs from portable kernels by %.1e in logits, %.1e in inference, "
                              "%.1e in gradients%s%s",
                              d.logits, d.inference, d.gradient, d.where[0] ? " at " : "", d.where);
    } else {
        ctkd__selftest_report(test, false, what, "%s", err.message);
    }
    rig_close(&rig);
}

static const struct ctkd__kernels *portable(void)
{
    const struct ctkd__kernels *const *list = ctkd__kernels_list();
    size_t i = 0;
    while (list[i + 1])
        i++;
    return list[i];
}

static void check_paths(struct ctkd__selftest *test, const char *network,
                        const struct ctkd__selftest_engines *engines)
{
    struct network_rig reference = { 0 };
    ctkd_error err = { 0 };
    const struct ctkd__kernels *const *list = ctkd__kernels_list();
    struct ctkd__tensors start = { 0 };
    ctkd_status status = draw(network, &start, &err);
    const struct network_variant plain = { network, portable(), &engines->one, &start };
    if (status == CTKD_OK)
        status = rig_open(&plain, &reference, &err);
    if (status == CTKD_OK)
        status = compute(&reference, &err);
    if (status != CTKD_OK)
        ctkd__selftest_report(test, false, network, "%s", err.message);
    for (size_t i = 0; list[i] && status == CTKD_OK; i++)
        check_variant(test, &(struct network_variant){ network, list[i], &engines->all, &start },
                      &reference);
    rig_close(&reference);
    ctkd__tensors_fini(&start);
}

static const char *smallest(const struct ctkd__model_family *family)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (const struct ctkd__model *model = family->models; model->name; model++) {
        struct ctkd__graph *graph = NULL;
        if (build(model->name, &graph, NULL) == CTKD_OK && ctkd__graph_macs(graph) < least) {
            least = ctkd__graph_macs(graph);
            best = model->name;
        }
        ctkd__graph_destroy(graph);
    }
    return best;
}

static size_t parameters_of(const char *network)
{
    struct ctkd__graph *graph = NULL;
    const size_t parameters =
        build(network, &graph, NULL) == CTKD_OK ? ctkd__graph_trainable(graph) : 0;
    ctkd__graph_destroy(graph);
    return parameters;
}

/* Larger networks would take gigabytes, and more time than all the others. */
static const size_t parameters_max = 30000000;

static void check_families(struct ctkd__selftest *test,
                           const struct ctkd__selftest_engines *engines)
{
    for (size_t i = 0; ctkd__model_families()[i]; i++) {
        const struct ctkd__model_family *const family = ctkd__model_families()[i];
        const char *const network = smallest(family);
        if (test->failures && test->first_failure_ends)
            return;
        if (network && parameters_of(network) > parameters_max)
            ctkd__selftest_report(
                test, true, network,
                "not tried: %zu million parameters; its layers are those of others",
                parameters_of(network) / 1000000);
        else if (network)
            check_paths(test, network, engines);
        else
            ctkd__selftest_report(test, false, family->name,
                                  "no network of this family can be built");
    }
}

void ctkd__selftest_networks(struct ctkd__selftest *test)
{
    struct ctkd__selftest_engines engines;
    if (!ctkd__selftest_engines_open(test, "networks", &engines))
        return;
    check_families(test, &engines);
    ctkd__selftest_engines_close(&engines);
}
