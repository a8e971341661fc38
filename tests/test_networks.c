/* Whole networks against PyTorch in float64 (tests/golden/networks.py), for
   every instruction set that this CPU runs, with one and two threads. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "ctkd/loss.h"
#include "nn/models/models.h"
#include "support/drawn.h"
#include "support/engine_rig.h"
#include "train/step.h"

enum { N_MAX = 6, CLASSES = DRAWN_CLASSES, SAMPLES = DRAWN_SAMPLES };

struct network {
    const char *name;
    size_t channels, side;
};

struct fixture {
    const struct network *network;
    struct golden *golden;
    struct ctkd__graph *graph;
    struct ctkd__tensors values; /* without num_batches_tracked */
    struct ctkd__tensors directions;
    struct ctkd__tensors tap_directions; /* [n][c][h][w] each */
    int *tap_nodes;
    uint64_t seed;
    size_t n; /* images */
    /* How much more of its values than others this network loses in float32: 1, or more where
       PyTorch's own float32 is more than 3e-6 from its float64. */
    double amplification;
    float *x;
    int32_t labels[N_MAX];
};

static void fill_taps(struct fixture *fixture)
{
    const int count = fixture->graph->n_taps;
    assert_int_equal(count, (int)golden_get(fixture->golden, "taps", 1)[0]);
    fixture->tap_nodes = malloc((size_t)count * sizeof *fixture->tap_nodes);
    assert_non_null(fixture->tap_nodes);
    for (int i = 0; i < count; i++) {
        const struct ctkd__tap *const tap = &fixture->graph->taps[i];
        const struct ctkd__node *const node = &fixture->graph->nodes[tap->node];
        const int64_t shape[] = { (int64_t)fixture->n, (int64_t)node->c, (int64_t)node->h,
                                  (int64_t)node->w };
        struct ctkd__tensor *tensor;
        ctkd_error err = { 0 };
        check_ok(ctkd__tensors_add(&fixture->tap_directions, tap->name, CTKD__F32, 4, shape,
                                   &tensor, &err),
                 &err);
        float *const direction = tensor->data;
        for (size_t j = 0; j < ctkd__tensor_elements(tensor); j++)
            direction[j] = drawn_tap_direction(fixture->seed, (size_t)i, j);
        fixture->tap_nodes[i] = tap->node;
    }
}

static void fixture_init(struct fixture *fixture, const struct network *network)
{
    *fixture = (struct fixture){ .network = network };
    char file[96];
    snprintf(file, sizeof file, "network_%s_%zux%zux%zu.txt", network->name, network->side,
             network->side, network->channels);
    fixture->golden = golden_open(file);
    fixture->n = network->side < 64 ? N_MAX : network->side < 224 ? 4 : 2; /* as in networks.py */
    fixture->seed = (uint64_t)golden_get(fixture->golden, "seed", 1)[0];
    fixture->amplification = fmax(1, (double)golden_get(fixture->golden, "float32", 1)[0] / 3e-6);
    const struct ctkd__model_args args = { network->channels, network->side, network->side,
                                           CLASSES };
    ctkd_error err = { 0 };
    check_ok(ctkd__model_build(network->name, &args, &fixture->graph, &err), &err);
    drawn_parameters(fixture->graph, fixture->seed, &fixture->values, &fixture->directions);
    fill_taps(fixture);
    const size_t pixels = fixture->n * network->channels * network->side * network->side;
    fixture->x = drawn_pixels(fixture->seed, pixels);
    for (size_t i = 0; i < N_MAX; i++)
        fixture->labels[i] = drawn_label(i);
}

static void fixture_fini(struct fixture *fixture)
{
    free(fixture->x);
    ctkd__tensors_fini(&fixture->values);
    ctkd__tensors_fini(&fixture->directions);
    ctkd__tensors_fini(&fixture->tap_directions);
    free(fixture->tap_nodes);
    ctkd__graph_destroy(fixture->graph);
    golden_close(fixture->golden);
}

/* `suffix` of the entry's name: "" for the loss of labels, ".taps" for that
 * with terms of taps. */
static struct drawn_difference compare_parameter(const struct fixture *fixture, size_t index,
                                                 const struct ctkd__tensors *list,
                                                 const char *suffix, double floor)
{
    const char *const name = fixture->graph->parameters[index].name;
    const size_t samples = suffix[0] ? 0 : SAMPLES;
    char entry[128];
    snprintf(entry, sizeof entry, "%s%s", name, suffix);
    const struct ctkd__tensor *const tensor = ctkd__tensors_find(list, name);
    assert_non_null(tensor);
    return drawn_compare(golden_get(fixture->golden, entry, 3 + samples), index, samples,
                         tensor->data, fixture->directions.items[index].data,
                         ctkd__tensor_elements(tensor), floor);
}

/* The values of a tap; mode: "train" or "eval". */
static void check_tap(const struct fixture *fixture, size_t index, const char *mode,
                      const float *values)
{
    const struct ctkd__tensor *const direction = &fixture->tap_directions.items[index];
    char entry[32];
    snprintf(entry, sizeof entry, "%s.%s", fixture->graph->taps[index].name, mode);
    const struct drawn_difference d =
        drawn_compare(golden_get(fixture->golden, entry, 3 + SAMPLES), index, SAMPLES, values,
                      direction->data, ctkd__tensor_elements(direction), 1e-4);
    check_close(d.norm, 0, 0, 1e-5 * fixture->amplification);
    check_close(d.projection, 0, 0, 1e-4 * fixture->amplification);
    check_close(d.element, 0, 0, 2e-4 * fixture->amplification);
}

static void check_state(const struct fixture *fixture, size_t index,
                        const struct ctkd__tensors *list)
{
    const struct drawn_difference d = compare_parameter(fixture, index, list, "", 1e-4);
    check_close(d.norm, 0, 0, 1e-5 * fixture->amplification);
    check_close(d.projection, 0, 0, 1e-4 * fixture->amplification);
    check_close(d.element, 0, 0, 2e-4 * fixture->amplification);
}

static double largest_norm(const struct ctkd__tensors *list)
{
    double largest = 0;
    for (size_t i = 0; i < list->count; i++) {
        const float *const values = list->items[i].data;
        double squares = 0;
        for (size_t j = 0; j < ctkd__tensor_elements(&list->items[i]); j++)
            squares += (double)values[j] * (double)values[j];
        largest = fmax(largest, sqrt(squares));
    }
    return largest;
}

/* An activation within rounding of 0 flips its ReLU and moves the gradients
   before it by some percent, whoever convolves (probed in float64 PyTorch with
   inputs moved by 1e-7). Hence: three of four parameters within 1e-2, and none
   beyond what flips do. Single ops have their tight checks in test_training. */
static void check_gradients(const struct fixture *fixture, const struct ctkd__tensors *list,
                            const char *suffix)
{
    int count = 0, beyond = 0;
    const double pixels = fmax(1, (double)fixture->network->side / 32); /* each sum rounds more */
    const double floor = 1e-4 + 1e-6 * pixels * largest_norm(list);
    for (int i = 0; i < fixture->graph->n_parameters; i++) {
        if (fixture->graph->parameters[i].role > CTKD__ROLE_BIAS)
            continue;
        const struct drawn_difference d =
            compare_parameter(fixture, (size_t)i, list, suffix, floor);
        check_close(d.norm, 0, 0, 0.1);
        check_close(d.projection, 0, 0, 0.3);
        count++;
        beyond += d.norm > 1e-2;
    }
    if (beyond * 4 > count)
        fail_msg("%d of %d gradients have norms off by more than 1e-2", beyond, count);
}

static const char *const convs[] = { "dnnl", "auto" };

/* Every tap's gradient: its random direction over the root of its size. NULL is
 * no gradient. */
static float *set_tap_gradients(const struct fixture *fixture, struct ctkd__training *training)
{
    size_t floats = 0;
    const size_t count = (size_t)fixture->graph->n_taps;
    for (size_t i = 0; i < count; i++)
        floats += ctkd__tensor_elements(&fixture->tap_directions.items[i]);
    float *const gradients = malloc(floats * sizeof *gradients);
    assert_non_null(gradients);
    float *next = gradients;
    for (size_t i = 0; i < count; i++) {
        const struct ctkd__tensor *const tensor = &fixture->tap_directions.items[i];
        const float *const direction = tensor->data;
        const size_t n = ctkd__tensor_elements(tensor);
        for (size_t j = 0; j < n; j++)
            next[j] = (float)((double)direction[j] / sqrt((double)n));
        ctkd__training_output_gradient(training, i, next);
        next += n;
    }
    return gradients;
}

/* A step whose loss is that of the labels or, `tapped`, has a term for each
 * tap. */
static void run_step(const struct fixture *fixture, struct ctkd__training *training, bool tapped)
{
    ctkd_error err = { 0 };
    float logits[N_MAX * CLASSES], dlogits[N_MAX * CLASSES], loss;
    check_ok(ctkd__training_forward(training, fixture->n, fixture->x, logits, &err), &err);
    check_relative(logits, golden_get(fixture->golden, "logits_train", fixture->n * CLASSES),
                   fixture->n * CLASSES, 1e-4 * fixture->amplification);
    check_ok(ctkd_cross_entropy(fixture->n, CLASSES, logits, fixture->labels, &loss, dlogits),
             &err);
    check_close(loss, golden_get(fixture->golden, "loss", 1)[0], 1e-4 * fixture->amplification, 0);
    float *gradients = NULL;
    for (size_t i = 0; tapped && i < (size_t)fixture->graph->n_taps; i++)
        check_tap(fixture, i, "train", ctkd__training_output(training, i));
    if (tapped)
        gradients = set_tap_gradients(fixture, training);
    check_ok(ctkd__training_backward(training, dlogits, &err), &err);
    free(gradients);
}

static struct ctkd__training_config training_config(const struct fixture *fixture,
                                                    const struct ctkd__engine *engine,
                                                    const char *conv, bool tapped)
{
    struct ctkd__training_config config = ctkd__engine_training(engine, NULL, fixture->n);
    config.conv = conv;
    config.outputs = fixture->tap_nodes;
    config.n_outputs = tapped ? (size_t)fixture->graph->n_taps : 0;
    return config;
}

/* Moves the running statistics of the weights. */
static void check_training(const struct fixture *fixture, const struct ctkd__engine *engine,
                           const char *conv, struct ctkd__weights *weights, bool tapped)
{
    struct ctkd__training *training;
    ctkd_error err = { 0 };
    const struct ctkd__training_config config = training_config(fixture, engine, conv, tapped);
    check_ok(ctkd__training_create(fixture->graph, weights, &config, &training, &err), &err);
    run_step(fixture, training, tapped);
    struct ctkd__tensors gradient = { 0 }, state = { 0 };
    check_ok(ctkd__training_export_gradient(training, &gradient, &err), &err);
    check_ok(ctkd__weights_export(weights, &state, &err), &err);
    check_gradients(fixture, &gradient, tapped ? ".taps" : "");
    for (int i = 0; i < fixture->graph->n_parameters; i++)
        if (fixture->graph->parameters[i].role > CTKD__ROLE_BIAS)
            check_state(fixture, (size_t)i, &state);
    ctkd__tensors_fini(&gradient);
    ctkd__tensors_fini(&state);
    ctkd__training_destroy(training);
}

/* Batch statistics without a backward pass, as a teacher; nobody can write the weights from then
   on. */
static void check_forward_only(const struct fixture *fixture, const struct ctkd__engine *engine,
                               const char *conv, struct ctkd__weights *weights)
{
    struct ctkd__training *training;
    ctkd_error err = { 0 };
    float logits[N_MAX * CLASSES];
    check_ok(ctkd__weights_protect(weights, &err), &err);
    struct ctkd__training_config config = training_config(fixture, engine, conv, true);
    config.forward_only = true;
    check_ok(ctkd__training_create(fixture->graph, weights, &config, &training, &err), &err);
    check_ok(ctkd__training_forward(training, fixture->n, fixture->x, logits, &err), &err);
    check_relative(logits, golden_get(fixture->golden, "logits_train", fixture->n * CLASSES),
                   fixture->n * CLASSES, 1e-4 * fixture->amplification);
    for (size_t i = 0; i < config.n_outputs; i++)
        check_tap(fixture, i, "train", ctkd__training_output(training, i));
    ctkd__training_destroy(training);
}

static void run_inference(const struct fixture *fixture, struct ctkd__inference *inference,
                          bool tapped)
{
    const size_t count = tapped ? (size_t)fixture->graph->n_taps : 0;
    struct ctkd__tensors values = { 0 };
    float *outputs[16], logits[N_MAX * CLASSES];
    ctkd_error err = { 0 };
    assert_in_range(count, 0, sizeof outputs / sizeof outputs[0]);
    for (size_t i = 0; i < count; i++) {
        const struct ctkd__tensor *const like = &fixture->tap_directions.items[i];
        struct ctkd__tensor *tensor;
        check_ok(ctkd__tensors_add(&values, like->name, CTKD__F32, 4, like->shape, &tensor, &err),
                 &err);
        outputs[i] = tensor->data;
    }
    check_ok(ctkd__inference_run_outputs(inference, fixture->n, fixture->x, logits, outputs, &err),
             &err);
    check_relative(logits, golden_get(fixture->golden, "logits_eval", fixture->n * CLASSES),
                   fixture->n * CLASSES, 1e-4 * fixture->amplification);
    for (size_t i = 0; i < count; i++)
        check_tap(fixture, i, "eval", outputs[i]);
    ctkd__tensors_fini(&values);
}

static void check_inference(const struct fixture *fixture, const struct ctkd__engine *engine,
                            const char *conv, const struct ctkd__weights *weights, bool tapped)
{
    struct ctkd__inference *inference;
    ctkd_error err = { 0 };
    struct ctkd__inference_config config = ctkd__engine_inference(engine, NULL);
    config.conv = conv;
    config.outputs = fixture->tap_nodes;
    config.n_outputs = tapped ? (size_t)fixture->graph->n_taps : 0;
    check_ok(ctkd__inference_create(fixture->graph, &config, &inference, &err), &err);
    check_ok(ctkd__inference_load(inference, weights, &err), &err);
    run_inference(fixture, inference, tapped);
    ctkd__inference_destroy(inference);
}

#ifdef __SANITIZE_ADDRESS__ /* the widest alone: test_training has every op with every set */
static const size_t most_sets = 1;
#else
static const size_t most_sets = SIZE_MAX;
#endif
/* Networks of more values only with two threads, and with oneDNN's convolutions (slow for wide
   layers on small maps) only once. */
static const size_t large = 3000000;

static void check_with(const struct fixture *fixture, const struct ctkd__kernels *kernels,
                       size_t first_conv, size_t threads)
{
    struct ctkd__engine engine = engine_with(kernels, threads);
    ctkd_error err = { 0 };
    for (size_t c = first_conv; c < sizeof convs / sizeof convs[0]; c++) {
        const bool tapped = (c + threads) % 2; /* each way with either conv */
        struct ctkd__weights *weights;
        check_ok(ctkd__weights_create(fixture->graph, kernels->block, &weights, &err), &err);
        check_ok(ctkd__weights_import(weights, &fixture->values, &err), &err);
        check_inference(fixture, &engine, convs[c], weights, tapped);
        check_training(fixture, &engine, convs[c], weights, tapped);
        if (tapped)
            check_forward_only(fixture, &engine, convs[c], weights);
        ctkd__weights_destroy(weights);
    }
    ctkd__engine_close(&engine);
}

static void agrees_with_pytorch(void **state)
{
    struct fixture fixture;
    fixture_init(&fixture, *state);
    assert_int_equal(fixture.graph->n_parameters,
                     (int)golden_get(fixture.golden, "parameters", 1)[0]);
    size_t values = 0;
    for (int i = 0; i < fixture.graph->n_parameters; i++)
        values += ctkd__parameter_elements(&fixture.graph->parameters[i]);
    const bool is_large = values > large;
    const struct ctkd__kernels *const *const list = ctkd__kernels_list();
    /* Maps of photographs: the widest instruction set alone. */
    const size_t sets = fixture.network->side < 224 ? most_sets : 1;
    for (size_t i = 0; list[i] && i < sets; i++)
        for (size_t threads = is_large ? 2 : 1; threads <= 2; threads++)
            check_with(&fixture, list[i], is_large && i > 0, threads);
    fixture_fini(&fixture);
}

/* A step of labels with rate 1 and nothing else: the parameters lose their gradient. */
static void a_step_in_groups_agrees_with_pytorch(void **state)
{
    (void)state;
    static const struct network network = { "resnet8", 3, 32 };
    struct fixture fixture;
    fixture_init(&fixture, &network);
    ctkd_error err = { 0 };
    struct ctkd__config *config;
    check_ok(ctkd__config_create(&config, &err), &err);
    config->train.batch = (int64_t)fixture.n;
    config->train.batch_norm_group = 4;
    config->optimizer.lr = 1;
    config->optimizer.momentum = config->optimizer.weight_decay = 0;
    struct ctkd__engine engine = engine_with(NULL, 2);
    struct ctkd__weights *weights;
    struct ctkd__training *training;
    struct ctkd__training_step *step;
    struct ctkd__run_state run = { 0 };
    check_ok(ctkd__weights_create(fixture.graph, engine.kernels->block, &weights, &err), &err);
    check_ok(ctkd__weights_import(weights, &fixture.values, &err), &err);
    struct ctkd__training_config of_training = training_config(&fixture, &engine, "auto", false);
    of_training.batch_max = 4;
    check_ok(ctkd__training_create(fixture.graph, weights, &of_training, &training, &err), &err);
    check_ok(ctkd__run_state_init(&run, weights, NULL, 0, &err), &err);
    const struct ctkd__step_args args = { .config = config,
                                          .stage = CTKD_STAGE_MAIN,
                                          .training = training,
                                          .workers = engine.workers,
                                          .state = &run,
                                          .classes = CLASSES,
                                          .image_floats =
                                              network.channels * network.side * network.side };
    check_ok(ctkd__step_create(&args, &step, &err), &err);
    const uint64_t ids[N_MAX] = { 0, 1, 2, 3, 4, 5 };
    const struct ctkd__batch batch = {
        .n = fixture.n, .x = ctkd__batch_images_of(fixture.x), .labels = fixture.labels, .ids = ids
    };
    struct ctkd__step_report report;
    check_ok(ctkd__step_run(step, &batch, 1, 1, &report, &err), &err);

    struct ctkd__tensors moved = { 0 };
    check_ok(ctkd__weights_export(weights, &moved, &err), &err);
    for (int i = 0; i < fixture.graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &fixture.graph->parameters[i];
        float *const values = ctkd__tensors_find(&moved, p->name)->data;
        const float *const before = ctkd__tensors_find(&fixture.values, p->name)->data;
        for (size_t j = 0; j < ctkd__parameter_elements(p) && p->role <= CTKD__ROLE_BIAS; j++)
            values[j] = before[j] - values[j];
        const struct drawn_difference d =
            compare_parameter(&fixture, (size_t)i, &moved, ".groups", 1e-4);
        check_close(d.norm, 0, 0, p->role <= CTKD__ROLE_BIAS ? 1e-3 : 1e-5);
        check_close(d.projection, 0, 0, p->role <= CTKD__ROLE_BIAS ? 1e-3 : 1e-4);
    }
    ctkd__tensors_fini(&moved);
    ctkd__step_destroy(step);
    ctkd__run_state_fini(&run);
    ctkd__training_destroy(training);
    ctkd__weights_destroy(weights);
    ctkd__engine_close(&engine);
    ctkd__config_destroy(config);
    fixture_fini(&fixture);
}

int main(void)
{
    static struct network networks[] = {
        { "resnet8", 3, 32 },
        { "resnet20", 3, 32 },
        { "resnet8x4", 3, 32 },
        { "resnet20a", 3, 32 },
        { "wrn_16_1", 3, 32 },
        { "wrn_16_2", 3, 32 },
        { "vgg8", 3, 32 },
        { "vgg13", 3, 16 },
        { "resnet8", 1, 28 },
        { "ResNet18", 3, 16 },
        { "ResNet50", 3, 16 },
        { "MobileNetV2", 3, 32 },
        { "ShuffleV1", 3, 16 },
        { "ShuffleV2", 3, 16 },
        { "ShuffleV2", 1, 28 },
        { "resnet18", 3, 64 },
        { "resnext50_32x4d", 3, 64 },
        { "MobileNetV1", 3, 64 },
        { "mobilenet_v2", 3, 64 },
        { "shufflenet_v2_x1_0", 3, 64 },
        { "resnet18", 3, 224 },
        { "mobilenet_v2", 3, 224 },
        { "shufflenet_v2_x0_5", 3, 224 },
    };
    enum { COUNT = sizeof networks / sizeof networks[0] };
    struct CMUnitTest tests[COUNT + 1];
    static char names[COUNT][64];
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%s_agrees_with_pytorch_at_%zux%zux%zu",
                 networks[i].name, networks[i].side, networks[i].side, networks[i].channels);
        tests[i] = (struct CMUnitTest){ .name = names[i],
                                        .test_func = agrees_with_pytorch,
                                        .initial_state = &networks[i] };
    }
    tests[COUNT] = (struct CMUnitTest)cmocka_unit_test(a_step_in_groups_agrees_with_pytorch);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
