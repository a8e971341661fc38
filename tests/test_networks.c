/* Whole networks against PyTorch in float64 (tests/golden/networks.py), for every instruction set
   that this CPU runs, with one and two threads. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "ctkd/loss.h"
#include "ctkd/random.h"
#include "nn/inference.h"
#include "nn/models/models.h"
#include "nn/training.h"

/* As in networks.py. */
enum { N = 6, CLASSES = 10, SEED = 20230207, SAMPLES = 8 };
enum { MAJOR_PIXELS = 1 << 20, MAJOR_WEIGHTS = 1 << 21 };

struct network {
    const char *name;
    size_t channels, side;
};

struct fixture {
    const struct network *network;
    struct golden *golden;
    struct ctkd__graph *graph;
    struct ctkd__tensors values; /* without num_batches_tracked */
    float *x;
    int32_t labels[N];
};

static float draw_normal(size_t major, size_t minor)
{
    return ctkd_random_normal(SEED, CTKD_RANDOM_TEST, major, minor);
}

/* Element i of a parameter: He's deviation for weights, near their defaults for batch norm. */
static float draw(const struct ctkd__parameter *parameter, size_t index, size_t i)
{
    const size_t fan_in = ctkd__parameter_elements(parameter) / parameter->shape[0];
    if (parameter->role == CTKD__ROLE_VARIANCE)
        return 0.75f + 0.5f * ctkd_random_uniform(SEED, CTKD_RANDOM_TEST, index, i);
    if (parameter->rank > 1)
        return (float)sqrt(2.0 / (double)fan_in) * draw_normal(index, i);
    if (parameter->role == CTKD__ROLE_WEIGHT)
        return 1.0f + 0.125f * draw_normal(index, i);
    return 0.125f * draw_normal(index, i);
}

static void fill_values(struct fixture *fixture)
{
    ctkd_error err = { 0 };
    for (int index = 0; index < fixture->graph->n_parameters; index++) {
        const struct ctkd__parameter *const parameter = &fixture->graph->parameters[index];
        int64_t shape[4];
        for (int i = 0; i < 4; i++)
            shape[i] = (int64_t)parameter->shape[i];
        struct ctkd__tensor *tensor;
        check_ok(ctkd__tensors_add(&fixture->values, parameter->name, CTKD__F32, parameter->rank,
                                   shape, &tensor, &err),
                 &err);
        const size_t n = ctkd__parameter_elements(parameter);
        for (size_t i = 0; i < n; i++)
            ((float *)tensor->data)[i] = draw(parameter, (size_t)index, i);
    }
}

static void fixture_init(struct fixture *fixture, const struct network *network)
{
    *fixture = (struct fixture){ .network = network };
    char file[96];
    snprintf(file, sizeof file, "network_%s_%zux%zux%zu.txt", network->name, network->side,
             network->side, network->channels);
    fixture->golden = golden_open(file);
    const struct ctkd__model_args args = { network->channels, network->side, network->side,
                                           CLASSES };
    ctkd_error err = { 0 };
    check_ok(ctkd__model_build(network->name, &args, &fixture->graph, &err), &err);
    fill_values(fixture);
    const size_t pixels = N * network->channels * network->side * network->side;
    fixture->x = malloc(pixels * sizeof *fixture->x);
    assert_non_null(fixture->x);
    for (size_t i = 0; i < pixels; i++)
        fixture->x[i] = draw_normal(MAJOR_PIXELS, i);
    for (int i = 0; i < N; i++)
        fixture->labels[i] = (7 * i + 3) % CLASSES;
}

static void fixture_fini(struct fixture *fixture)
{
    free(fixture->x);
    ctkd__tensors_fini(&fixture->values);
    ctkd__graph_destroy(fixture->graph);
    golden_close(fixture->golden);
}

/* Largest error of a parameter's norm, projection on a random direction and single elements,
   relative to its norm; `floor` is added to that, for gradients that are 0 (a bias in front of a
   batch norm). */
static double summary_error(const struct fixture *fixture, size_t index,
                            const struct ctkd__tensors *list, double floor)
{
    const char *const name = fixture->graph->parameters[index].name;
    const float *const expected = golden_get(fixture->golden, name, 3 + SAMPLES);
    const struct ctkd__tensor *const tensor = ctkd__tensors_find(list, name);
    assert_non_null(tensor);
    const float *const values = tensor->data;
    const size_t n = ctkd__tensor_elements(tensor);
    double squares = 0, projection = 0;
    for (size_t i = 0; i < n; i++) {
        squares += (double)values[i] * (double)values[i];
        projection += (double)values[i] * (double)draw_normal(MAJOR_WEIGHTS + index, i);
    }
    double worst =
        fmax(fabs(sqrt(squares) - (double)expected[1]), fabs(projection - (double)expected[2]));
    for (size_t i = 0; i < SAMPLES; i++)
        worst = fmax(worst,
                     fabs((double)values[i * (n - 1) / (SAMPLES - 1)] - (double)expected[3 + i]));
    return isfinite(squares) ? worst / ((double)expected[1] + floor) : (double)INFINITY;
}

static void check_training(const struct fixture *fixture, const struct ctkd__kernels *kernels,
                           struct ctkd__workers *workers)
{
    struct ctkd__weights *weights;
    struct ctkd__training *training;
    ctkd_error err = { 0 };
    check_ok(ctkd__weights_create(fixture->graph, kernels->block, &weights, &err), &err);
    check_ok(ctkd__weights_import(weights, &fixture->values, &err), &err);
    const struct ctkd__training_config config = {
        .kernels = kernels, .workers = workers, .batch_max = N, .conv = "auto"
    };
    check_ok(ctkd__training_create(fixture->graph, weights, &config, &training, &err), &err);
    float logits[N * CLASSES], dlogits[N * CLASSES], loss;
    check_ok(ctkd__training_forward(training, N, fixture->x, logits, &err), &err);
    check_relative(logits, golden_get(fixture->golden, "logits_train", N * CLASSES), N * CLASSES,
                   1e-4);
    check_ok(ctkd_cross_entropy(N, CLASSES, logits, fixture->labels, &loss, dlogits), &err);
    check_close(loss, golden_get(fixture->golden, "loss", 1)[0], 1e-4, 0);
    check_ok(ctkd__training_backward(training, dlogits, &err), &err);
    struct ctkd__tensors gradient = { 0 }, state = { 0 };
    check_ok(ctkd__training_export_gradient(training, &gradient, &err), &err);
    check_ok(ctkd__weights_export(weights, &state, &err), &err);
    /* An activation within rounding of 0 flips its ReLU's mask and moves the gradients behind it by
       percents (float64 PyTorch does so too when its input moves by 1e-7): few may exceed 1e-2. */
    int beyond = 0;
    for (int i = 0; i < fixture->graph->n_parameters; i++) {
        if (fixture->graph->parameters[i].role <= CTKD__ROLE_BIAS) {
            const double error = summary_error(fixture, (size_t)i, &gradient, 1e-3);
            check_close(error, 0, 0, 0.1);
            beyond += error > 1e-2;
        } else {
            check_close(summary_error(fixture, (size_t)i, &state, 0), 0, 0, 1e-4);
        }
    }
    if (beyond * 8 > fixture->graph->n_parameters)
        fail_msg("%d of %d parameters have gradients off by more than 1e-2", beyond,
                 fixture->graph->n_parameters);
    ctkd__tensors_fini(&gradient);
    ctkd__tensors_fini(&state);
    ctkd__training_destroy(training);
    ctkd__weights_destroy(weights);
}

static void check_inference(const struct fixture *fixture, const struct ctkd__kernels *kernels,
                            struct ctkd__workers *workers)
{
    struct ctkd__weights *weights;
    struct ctkd__inference *inference;
    ctkd_error err = { 0 };
    check_ok(ctkd__weights_create(fixture->graph, kernels->block, &weights, &err), &err);
    check_ok(ctkd__weights_import(weights, &fixture->values, &err), &err);
    const struct ctkd__inference_config config = { .kernels = kernels,
                                                   .workers = workers,
                                                   .conv = "auto" };
    check_ok(ctkd__inference_create(fixture->graph, &config, &inference, &err), &err);
    check_ok(ctkd__inference_load(inference, weights, &err), &err);
    float logits[N * CLASSES];
    check_ok(ctkd__inference_run(inference, N, fixture->x, logits, &err), &err);
    check_relative(logits, golden_get(fixture->golden, "logits_eval", N * CLASSES), N * CLASSES,
                   1e-4);
    ctkd__inference_destroy(inference);
    ctkd__weights_destroy(weights);
}

static void agrees_with_pytorch(void **state)
{
    struct fixture fixture;
    fixture_init(&fixture, *state);
    assert_int_equal(fixture.graph->n_parameters,
                     (int)golden_get(fixture.golden, "parameters", 1)[0]);
    const struct ctkd__kernels *const *const list = ctkd__kernels_list();
    for (size_t i = 0; list[i]; i++)
        for (size_t threads = 1; threads <= 2 && ctkd__kernels_supported(list[i]); threads++) {
            struct ctkd__workers *workers;
            ctkd_error err = { 0 };
            check_ok(ctkd__workers_create(threads, &workers, &err), &err);
            check_training(&fixture, list[i], workers);
            check_inference(&fixture, list[i], workers);
            ctkd__workers_destroy(workers);
        }
    fixture_fini(&fixture);
}

int main(void)
{
    static struct network networks[] = {
        { "resnet8", 3, 32 },   { "resnet20", 3, 32 }, { "resnet8x4", 3, 32 },
        { "resnet20a", 3, 32 }, { "wrn_16_1", 3, 32 }, { "wrn_16_2", 3, 32 },
        { "vgg8", 3, 32 },      { "vgg13", 3, 32 },    { "resnet8", 1, 28 },
    };
    enum { COUNT = sizeof networks / sizeof networks[0] };
    struct CMUnitTest tests[COUNT];
    static char names[COUNT][64];
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%s_agrees_with_pytorch_at_%zux%zux%zu",
                 networks[i].name, networks[i].side, networks[i].side, networks[i].channels);
        tests[i] = (struct CMUnitTest){ .name = names[i],
                                        .test_func = agrees_with_pytorch,
                                        .initial_state = &networks[i] };
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
