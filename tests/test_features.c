/* Ops on feature maps, outputs and side inputs through the engine: values against double, gradients
   against central differences in double, for every instruction set of this CPU and one and several
   threads. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "nn/compile/program.h"
#include "support/engine_rig.h"
#include "support/feature_networks.h"

enum { N_MAX = 4 };

struct rig {
    const char *name;
    struct network net;
    struct ctkd__graph *graph;
    struct ctkd__reference *reference;
    float **plain;   /* [parameters] */
    float *x;        /* images; NULL: none */
    float **sides;   /* [nodes] */
    float **weights; /* [nodes] of the sum that is differentiated; outputs and logits have some */
};

static size_t image_floats(const struct ctkd__graph *graph, int node)
{
    return graph->nodes[node].c * graph->nodes[node].h * graph->nodes[node].w;
}

static float *random_values(size_t count, uint64_t seed)
{
    float *const values = calloc(count, sizeof *values);
    fill_normal(values, count, seed);
    return values;
}

static bool is_buffer(const struct ctkd__parameter *p)
{
    return p->role == CTKD__ROLE_MEAN || p->role == CTKD__ROLE_VARIANCE;
}

static void rig_parameters(struct rig *rig)
{
    rig->plain = calloc((size_t)rig->graph->n_parameters, sizeof *rig->plain);
    for (int i = 0; i < rig->graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &rig->graph->parameters[i];
        const size_t count = ctkd__parameter_elements(p);
        rig->plain[i] = random_values(count, 100 + (uint64_t)i);
        for (size_t j = 0; j < count; j++) {
            float *const value = &rig->plain[i][j];
            if (p->role == CTKD__ROLE_VARIANCE)
                *value = 0.5f + fabsf(*value);
            else if (p->role == CTKD__ROLE_WEIGHT && p->rank == 1)
                *value = 1 + 0.3f * *value;
            else
                *value *= p->rank == 4 ? 1.5f / sqrtf((float)(count / p->shape[0])) : 0.4f;
        }
    }
}

static struct rig rig_open(size_t which)
{
    struct rig rig = { .name = feature_networks[which].name };
    ctkd_error err;
    check_ok(ctkd__graph_create(&rig.graph), NULL);
    rig.net.graph = rig.graph;
    feature_networks[which].build(&rig.net);
    check_ok(ctkd__graph_finish(rig.graph, rig.net.logits, &err), &err);
    rig_parameters(&rig);
    check_ok(ctkd__reference_create(rig.graph, rig.plain, &rig.reference), NULL);
    const size_t nodes = (size_t)rig.graph->n_nodes;
    rig.sides = calloc(nodes, sizeof *rig.sides);
    rig.weights = calloc(nodes, sizeof *rig.weights);
    for (int i = 0; i < rig.graph->n_nodes; i++) {
        const size_t count = N_MAX * image_floats(rig.graph, i);
        if (rig.graph->nodes[i].op == CTKD__OP_INPUT)
            rig.x = random_values(count, 3);
        if (rig.graph->nodes[i].op == CTKD__OP_SIDE_INPUT)
            rig.sides[i] = random_values(count, 4 + (uint64_t)i);
        bool read_outside = i == rig.net.logits && !rig.net.no_logits;
        for (size_t j = 0; j < rig.net.n_outputs; j++)
            read_outside = read_outside || rig.net.outputs[j] == i;
        if (read_outside)
            rig.weights[i] = random_values(count, 50 + (uint64_t)i);
    }
    return rig;
}

static void rig_close(struct rig *rig)
{
    for (int i = 0; i < rig->graph->n_parameters; i++)
        free(rig->plain[i]);
    for (int i = 0; i < rig->graph->n_nodes; i++) {
        free(rig->sides[i]);
        free(rig->weights[i]);
    }
    free(rig->plain);
    free(rig->sides);
    free(rig->weights);
    free(rig->x);
    ctkd__reference_destroy(rig->reference);
    ctkd__graph_destroy(rig->graph);
}

/* How often the weighted value counts: logits that are an output too count twice. */
static double times_read(const struct rig *rig, int node)
{
    double times = node == rig->net.logits && !rig->net.no_logits;
    for (size_t i = 0; i < rig->net.n_outputs; i++)
        times += rig->net.outputs[i] == node;
    return times;
}

static void give_sides(const struct rig *rig, size_t n)
{
    for (int i = 0; i < rig->graph->n_nodes; i++)
        if (rig->sides[i])
            check_ok(ctkd__reference_side_input(rig->reference, i, n * image_floats(rig->graph, i),
                                                rig->sides[i]),
                     NULL);
}

/* A rig's loss over n images. */
struct rig_loss {
    const struct rig *rig;
    size_t n;
};

static double loss_of(void *context)
{
    const struct rig *const rig = ((struct rig_loss *)context)->rig;
    const size_t n = ((struct rig_loss *)context)->n;
    double **const values = ctkd__reference_values(rig->reference, n, rig->x, true), sum = 0;
    for (int i = 0; i < rig->graph->n_nodes; i++) {
        const bool batch = rig->graph->nodes[i].op != CTKD__OP_PARAMETER;
        for (size_t j = 0; rig->weights[i] && j < (batch ? n : 1) * image_floats(rig->graph, i);
             j++)
            sum += times_read(rig, i) * values[i][j] * (double)rig->weights[i][j];
    }
    ctkd__reference_free_values(rig->reference, values);
    return sum;
}

/* Slopes of some elements of parameters and side inputs, found once for a batch size. */
struct slopes {
    double (*of_parameter)[SLOPES], (*of_side)[SLOPES];
};

static struct slopes find_slopes(const struct rig *rig, size_t n)
{
    const struct ctkd__graph *const graph = rig->graph;
    struct rig_loss loss = { rig, n };
    struct slopes slopes;
    slopes.of_parameter = calloc((size_t)graph->n_parameters, sizeof *slopes.of_parameter);
    slopes.of_side = calloc((size_t)graph->n_nodes, sizeof *slopes.of_side);
    assert_true(slopes.of_parameter && slopes.of_side);
    give_sides(rig, n);
    for (int p = 0; p < graph->n_parameters; p++)
        if (!is_buffer(&graph->parameters[p]))
            slopes_of_doubles(loss_of, &loss, rig->reference->parameters[p],
                              ctkd__parameter_elements(&graph->parameters[p]),
                              slopes.of_parameter[p]);
    for (int s = 0; s < graph->n_nodes; s++)
        if (rig->sides[s])
            slopes_of_doubles(loss_of, &loss, rig->reference->side_inputs[s],
                              n * image_floats(graph, s), slopes.of_side[s]);
    return slopes;
}

/* An engine, and a rig's weights and program on it. */
struct trained {
    struct ctkd__engine engine;
    struct ctkd__weights *weights;
    struct ctkd__training *training;
};

static struct trained trained_open(const struct rig *rig, const struct ctkd__kernels *kernels,
                                   size_t threads)
{
    struct trained trained = { .engine = engine_with(kernels, threads) };
    ctkd_error err;
    check_ok(ctkd__weights_create(rig->graph, kernels->block, &trained.weights, &err), &err);
    for (int i = 0; i < rig->graph->n_parameters; i++)
        ctkd__weights_pack(trained.weights, i, rig->plain[i],
                           (is_buffer(&rig->graph->parameters[i]) ? trained.weights->buffers
                                                                  : trained.weights->values) +
                               trained.weights->offsets[i]);
    struct ctkd__training_config config = ctkd__engine_training(&trained.engine, NULL, N_MAX);
    config.conv = threads == 3 ? "dnnl" : "auto";
    config.outputs = rig->net.outputs;
    config.n_outputs = rig->net.n_outputs;
    config.no_logits = rig->net.no_logits;
    config.input_gradients = true;
    check_ok(ctkd__training_create(rig->graph, trained.weights, &config, &trained.training, &err),
             &err);
    return trained;
}

static void trained_close(struct trained *trained)
{
    ctkd__training_destroy(trained->training);
    ctkd__weights_destroy(trained->weights);
    ctkd__engine_close(&trained->engine);
}

static void check_value(const struct rig *rig, int node, size_t n, const float *actual,
                        const double *expected)
{
    const bool batch = rig->graph->nodes[node].op != CTKD__OP_PARAMETER;
    const size_t count = (batch ? n : 1) * image_floats(rig->graph, node);
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        const double d = (double)actual[i] - expected[i];
        difference += d * d;
        norm += expected[i] * expected[i];
    }
    if (!(sqrt(difference) <= 1e-5 * sqrt(norm)))
        fail_msg("%s: %s, batch %zu: value differs by %.3g of %.3g", rig->name,
                 rig->graph->nodes[node].name, n, sqrt(difference), sqrt(norm));
}

static void forward(const struct rig *rig, struct trained *trained, size_t n, float *logits)
{
    ctkd_error err;
    for (int i = 0; i < rig->graph->n_nodes; i++)
        if (rig->sides[i])
            ctkd__training_input(trained->training, i, rig->sides[i]);
    check_ok(ctkd__training_forward(trained->training, n, rig->x, logits, &err), &err);
}

/* The gradients of the outputs as given, or none. */
static void backward(const struct rig *rig, struct trained *trained, bool with_gradients)
{
    ctkd_error err;
    static const float zeros[N_MAX * 7];
    for (size_t i = 0; i < rig->net.n_outputs && with_gradients; i++)
        ctkd__training_output_gradient(trained->training, i, rig->weights[rig->net.outputs[i]]);
    const float *const dlogits = rig->net.no_logits ? NULL
                                 : with_gradients   ? rig->weights[rig->net.logits]
                                                    : zeros;
    check_ok(ctkd__training_backward(trained->training, dlogits, &err), &err);
}

static void check_forward(const struct rig *rig, struct trained *trained, size_t n)
{
    float logits[N_MAX * 7];
    forward(rig, trained, n, rig->net.no_logits ? NULL : logits);
    give_sides(rig, n);
    double **const values = ctkd__reference_values(rig->reference, n, rig->x, true);
    if (!rig->net.no_logits)
        check_value(rig, rig->net.logits, n, logits, values[rig->net.logits]);
    for (size_t i = 0; i < rig->net.n_outputs; i++)
        check_value(rig, rig->net.outputs[i], n, ctkd__training_output(trained->training, i),
                    values[rig->net.outputs[i]]);
    ctkd__reference_free_values(rig->reference, values);
}

/* What pads a parameter to whole blocks has no gradient: the optimiser would move it. */
static void check_padding(const struct rig *rig, struct trained *trained, size_t threads)
{
    const struct ctkd__weights *const w = trained->weights;
    for (size_t t = 0; t < threads; t++) {
        const float *const slice = ctkd__training_gradient(trained->training, t);
        float *const without = calloc(w->n_values, sizeof *without);
        for (int p = 0; p < rig->graph->n_parameters; p++) {
            if (is_buffer(&rig->graph->parameters[p]))
                continue;
            float *const plain =
                calloc(ctkd__parameter_elements(&rig->graph->parameters[p]), sizeof *plain);
            ctkd__weights_unpack(w, p, slice + w->offsets[p], plain);
            ctkd__weights_pack(w, p, plain, without + w->offsets[p]);
            free(plain);
        }
        for (size_t i = 0; i < w->n_values; i++)
            if (slice[i] != without[i])
                fail_msg("%s: gradient %zu of thread %zu is %g, expected 0 in the padding",
                         rig->name, i, t, (double)slice[i]);
        free(without);
    }
}

static void check_gradients(const struct rig *rig, struct trained *trained, size_t n,
                            const struct slopes *slopes)
{
    struct ctkd__tensors list = { 0 };
    ctkd_error err;
    check_ok(ctkd__training_export_gradient(trained->training, &list, &err), &err);
    for (int p = 0; p < rig->graph->n_parameters; p++) {
        const struct ctkd__parameter *const parameter = &rig->graph->parameters[p];
        if (!is_buffer(parameter))
            slopes_check(ctkd__tensors_find(&list, parameter->name)->data,
                         ctkd__parameter_elements(parameter), slopes->of_parameter[p], 3e-5,
                         "%s: %s", rig->name, parameter->name);
    }
    for (int s = 0; s < rig->graph->n_nodes; s++)
        if (rig->sides[s])
            slopes_check(ctkd__training_input_gradient(trained->training, s),
                         n * image_floats(rig->graph, s), slopes->of_side[s], 3e-5, "%s: %s",
                         rig->name, rig->graph->nodes[s].name);
    ctkd__tensors_fini(&list);
}

static void check_no_gradient(const struct rig *rig, struct trained *trained, size_t threads)
{
    for (size_t w = 0; w < threads; w++)
        for (size_t i = 0; i < trained->weights->n_values; i++)
            if (ctkd__training_gradient(trained->training, w)[i] != 0)
                fail_msg("%s: gradient %zu of thread %zu is not 0 without any gradient", rig->name,
                         i, w);
}

static void gradients_match_central_differences(void **state)
{
    (void)state;
    for (size_t which = 0; feature_networks[which].name; which++) {
        struct rig rig = rig_open(which);
        struct slopes slopes[] = { find_slopes(&rig, 2), find_slopes(&rig, N_MAX) };
        for (size_t isa = 0; ctkd__kernels_list()[isa]; isa++)
            for (size_t threads = 1; threads <= 3; threads += 2) {
                const struct ctkd__kernels *const kernels = ctkd__kernels_list()[isa];
                struct trained trained = trained_open(&rig, kernels, threads);
                const size_t sizes[] = { N_MAX, 2,
                                         N_MAX }; /* with three threads one has no image */
                for (size_t i = 0; i < 3; i++) {
                    check_forward(&rig, &trained, sizes[i]);
                    if (i == 0) /* forward again, without a backward between */
                        check_forward(&rig, &trained, sizes[i]);
                    backward(&rig, &trained, true);
                    check_gradients(&rig, &trained, sizes[i], &slopes[sizes[i] == N_MAX]);
                    check_padding(&rig, &trained, threads);
                }
                float logits[N_MAX * 7];
                forward(&rig, &trained, N_MAX, rig.net.no_logits ? NULL : logits);
                backward(&rig, &trained, false);
                check_no_gradient(&rig, &trained, threads);
                trained_close(&trained);
            }
        for (size_t i = 0; i < 2; i++) {
            free(slopes[i].of_parameter);
            free(slopes[i].of_side);
        }
        rig_close(&rig);
    }
}

static void inference_gives_logits_and_outputs(void **state)
{
    (void)state;
    for (size_t which = 0; feature_networks[which].name; which++) {
        struct rig rig = rig_open(which);
        for (size_t isa = 0; ctkd__kernels_list()[isa] && !rig.net.training_only; isa++)
            for (size_t chunk = 0; chunk <= 3; chunk += 3) {
                const struct ctkd__kernels *const kernels = ctkd__kernels_list()[isa];
                struct trained trained = trained_open(&rig, kernels, 2);
                struct ctkd__inference *inference;
                ctkd_error err;
                struct ctkd__inference_config config =
                    ctkd__engine_inference(&trained.engine, NULL);
                config.chunk = chunk;
                config.outputs = rig.net.outputs;
                config.n_outputs = rig.net.n_outputs;
                check_ok(ctkd__inference_create(rig.graph, &config, &inference, &err), &err);
                check_ok(ctkd__inference_load(inference, trained.weights, &err), &err);
                float logits[N_MAX * 7], *outputs[OUTPUTS_MAX] = { NULL };
                for (size_t i = 0; i < rig.net.n_outputs; i++)
                    outputs[i] =
                        calloc(N_MAX * image_floats(rig.graph, rig.net.outputs[i]), sizeof(float));
                double **const values = ctkd__reference_values(rig.reference, N_MAX, rig.x, false);
                check_ok(
                    ctkd__inference_run_outputs(inference, N_MAX, rig.x, logits, outputs, &err),
                    &err);
                check_value(&rig, rig.net.logits, N_MAX, logits, values[rig.net.logits]);
                for (size_t i = 0; i < rig.net.n_outputs; i++)
                    check_value(&rig, rig.net.outputs[i], N_MAX, outputs[i],
                                values[rig.net.outputs[i]]);
                memset(logits, 0, sizeof logits);
                check_ok(ctkd__inference_run(inference, N_MAX, rig.x, logits, &err), &err);
                check_value(&rig, rig.net.logits, N_MAX, logits, values[rig.net.logits]);
                for (size_t i = 0; i < rig.net.n_outputs; i++)
                    free(outputs[i]);
                ctkd__reference_free_values(rig.reference, values);
                ctkd__inference_destroy(inference);
                trained_close(&trained);
            }
        rig_close(&rig);
    }
}

static const struct ctkd__kernels *portable(void)
{
    const struct ctkd__kernels *kernels;
    ctkd_error err;
    check_ok(ctkd__kernels_select("portable", &kernels, &err), &err);
    return kernels;
}

static size_t index_of(const char *name)
{
    size_t which = 0;
    while (strcmp(feature_networks[which].name, name) != 0)
        which++;
    return which;
}

static size_t count_instructions(const struct ctkd__program *program,
                                 enum ctkd__instruction_kind kind)
{
    size_t count = 0;
    for (int i = 0; i < program->count; i++)
        count += program->instructions[i].kind == kind;
    return count;
}

/* Three units of two slices, concat and shuffle. Computed are: the right halves, the left halves of
   the later units, which would have more than two sources, and the last shuffle. */
static void chains_of_channel_maps_become_one_instruction(void **state)
{
    (void)state;
    struct rig rig = rig_open(index_of("aligned"));
    struct ctkd__program program;
    const struct ctkd__program_request without = { 0 };
    check_ok(ctkd__program_create(rig.graph, &without, &program), NULL);
    assert_int_equal(count_instructions(&program, CTKD__INSTRUCTION_CHANNELS), 3 + 2 + 1);
    ctkd__program_fini(&program);
    /* The second unit's sum is an output: the last left half is then read from it. */
    const struct ctkd__program_request with = { .outputs = rig.net.outputs, .n_outputs = 1 };
    check_ok(ctkd__program_create(rig.graph, &with, &program), NULL);
    assert_int_equal(count_instructions(&program, CTKD__INSTRUCTION_CHANNELS), 3 + 1 + 1 + 1);
    assert_int_equal(count_instructions(&program, CTKD__INSTRUCTION_OUTPUT), 1);
    ctkd__program_fini(&program);
    rig_close(&rig);
}

static void instructions_that_nothing_needs_are_left_out(void **state)
{
    (void)state;
    struct rig rig = rig_open(index_of("gates"));
    struct ctkd__program program;
    const struct ctkd__program_request without = { 0 };
    check_ok(ctkd__program_create(rig.graph, &without, &program), NULL);
    assert_int_equal(program.count, 3); /* stem, pool, linear: neither gates nor side input */
    ctkd__program_fini(&program);
    const struct ctkd__program_request outputs = { .no_logits = true,
                                                   .outputs = rig.net.outputs,
                                                   .n_outputs = rig.net.n_outputs };
    check_ok(ctkd__program_create(rig.graph, &outputs, &program), NULL);
    assert_int_equal(count_instructions(&program, CTKD__INSTRUCTION_LINEAR), 0);
    assert_int_equal(count_instructions(&program, CTKD__INSTRUCTION_SCALE_BY), 2);
    ctkd__program_fini(&program);
    rig_close(&rig);
}

static void unreached_parameters_have_no_gradient(void **state)
{
    (void)state;
    struct rig rig = rig_open(index_of("gates"));
    struct trained trained = trained_open(&rig, portable(), 2);
    struct ctkd__tensors list = { 0 };
    ctkd_error err;
    forward(&rig, &trained, N_MAX, NULL);
    /* The second output only: "out" gets a gradient, and the first's value through it. */
    ctkd__training_output_gradient(trained.training, 1, rig.weights[rig.net.outputs[1]]);
    check_ok(ctkd__training_backward(trained.training, NULL, &err), &err);
    check_ok(ctkd__training_export_gradient(trained.training, &list, &err), &err);
    const struct ctkd__tensor *const fc = ctkd__tensors_find(&list, "fc.weight");
    for (size_t i = 0; i < 7 * 21; i++) /* no_logits: never computed */
        check_close(((const float *)fc->data)[i], 0, 0, 0);
    double norm = 0;
    const float *const a = ctkd__tensors_find(&list, "a.weight")->data;
    for (size_t i = 0; i < 21 * 3 * 9; i++)
        norm += fabs((double)a[i]);
    assert_true(norm > 0.1);
    ctkd__tensors_fini(&list);
    trained_close(&trained);
    rig_close(&rig);
}

static void two_runs_give_the_same_bits(void **state)
{
    (void)state;
    struct rig rig = rig_open(index_of("activations"));
    float *gradients[2];
    size_t count = 0;
    for (int run = 0; run < 2; run++) {
        struct trained trained = trained_open(&rig, portable(), 3);
        float logits[N_MAX * 7];
        for (int step = 0; step < 5; step++) {
            forward(&rig, &trained, N_MAX, logits);
            backward(&rig, &trained, true);
        }
        count = trained.weights->n_values;
        gradients[run] = calloc(3 * count, sizeof(float));
        for (size_t w = 0; w < 3; w++)
            memcpy(gradients[run] + w * count, ctkd__training_gradient(trained.training, w),
                   count * sizeof(float));
        trained_close(&trained);
    }
    assert_memory_equal(gradients[0], gradients[1], 3 * count * sizeof(float));
    free(gradients[0]);
    free(gradients[1]);
    rig_close(&rig);
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    struct rig rig = rig_open(index_of("gates"));
    struct trained trained = trained_open(&rig, portable(), 1);
    ctkd_error err;
    assert_int_equal(ctkd__training_forward(trained.training, 2, rig.x, NULL, &err), CTKD_EINVAL);
    assert_string_equal(err.message,
                        "training: side input deep: found no value, expected one for this step");
    forward(&rig, &trained, 2, NULL);
    backward(&rig, &trained, true); /* forgets the side input */
    assert_int_equal(ctkd__training_forward(trained.training, 2, rig.x, NULL, &err), CTKD_EINVAL);
    trained_close(&trained);

    const int outside = rig.graph->n_nodes;
    struct ctkd__engine engine = engine_with(portable(), 1);
    struct ctkd__training_config config = ctkd__engine_training(&engine, NULL, 1);
    config.outputs = &outside;
    config.n_outputs = 1;
    struct ctkd__training *training;
    struct ctkd__weights *weights;
    check_ok(ctkd__weights_create(rig.graph, 8, &weights, &err), &err);
    assert_int_equal(ctkd__training_create(rig.graph, weights, &config, &training, &err),
                     CTKD_EINVAL);
    assert_non_null(strstr(err.message, "training: output 0: found node "));
    config.n_outputs = 0;
    config.no_logits = true;
    assert_int_equal(ctkd__training_create(rig.graph, weights, &config, &training, &err),
                     CTKD_EINVAL);
    assert_string_equal(err.message,
                        "training: found neither logits nor outputs, expected one of them");
    config.no_logits = false;
    check_ok(ctkd__training_create(rig.graph, weights, &config, &training, &err), &err);
    float logits[7];
    assert_int_equal(ctkd__training_forward(training, 1, rig.x, NULL, &err), CTKD_EINVAL);
    check_ok(ctkd__training_forward(training, 1, rig.x, logits, &err), &err);
    assert_int_equal(ctkd__training_backward(training, NULL, &err), CTKD_EINVAL);
    assert_string_equal(err.message,
                        "training: gradient of the logits: found NULL, expected values");
    ctkd__training_destroy(training);
    ctkd__weights_destroy(weights);
    ctkd__engine_close(&engine);
    rig_close(&rig);
}

static void inference_refuses_what_is_not_of_an_image(void **state)
{
    (void)state;
    struct rig gates = rig_open(index_of("gates")), alone = rig_open(index_of("alone"));
    struct ctkd__inference *inference;
    ctkd_error err;
    struct ctkd__engine engine = engine_with(portable(), 1);
    struct ctkd__inference_config config = ctkd__engine_inference(&engine, NULL);
    config.outputs = gates.net.outputs;
    config.n_outputs = 1;
    assert_int_equal(ctkd__inference_create(gates.graph, &config, &inference, &err),
                     CTKD_EUNSUPPORTED);
    assert_string_equal(
        err.message, "inference: found side input deep, expected none outside a training program");
    config.outputs = alone.net.outputs; /* the parameter */
    assert_int_equal(ctkd__inference_create(alone.graph, &config, &inference, &err), CTKD_EINVAL);
    assert_string_equal(err.message,
                        "inference: output 0: found the parameter log_scale, expected a value");
    config.n_outputs = 0;
    assert_int_equal(ctkd__inference_create(alone.graph, &config, &inference, &err), CTKD_EINVAL);
    ctkd__engine_close(&engine);
    rig_close(&gates);
    rig_close(&alone);
}

static void profiles_name_every_kind(void **state)
{
    (void)state;
    struct rig rig = rig_open(index_of("gates"));
    struct ctkd__profile *profile;
    check_ok(ctkd__profile_create(1, &profile), NULL);
    struct trained trained = { .engine = engine_with(portable(), 1) };
    ctkd_error err;
    struct ctkd__training_config config = ctkd__engine_training(&trained.engine, "gated", N_MAX);
    config.profile = profile;
    config.outputs = rig.net.outputs;
    config.n_outputs = rig.net.n_outputs;
    config.no_logits = true;
    check_ok(ctkd__weights_create(rig.graph, 8, &trained.weights, &err), &err);
    check_ok(ctkd__training_create(rig.graph, trained.weights, &config, &trained.training, &err),
             &err);
    forward(&rig, &trained, N_MAX, NULL);
    backward(&rig, &trained, true);
    char *text = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&text, &bytes);
    ctkd__profile_print(profile, 1, out);
    fclose(out);
    static const char *const kinds[] = { "gated ",           "input forward",
                                         "channels forward", "channels backward",
                                         "activate forward", "average forward",
                                         "scale by forward", "output forward",
                                         "output backward" };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strstr(text, kinds[i]))
            fail_msg("no row \"%s\" in\n%s", kinds[i], text);
    free(text);
    trained_close(&trained);
    ctkd__profile_destroy(profile);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_central_differences),
        cmocka_unit_test(inference_gives_logits_and_outputs),
        cmocka_unit_test(chains_of_channel_maps_become_one_instruction),
        cmocka_unit_test(instructions_that_nothing_needs_are_left_out),
        cmocka_unit_test(unreached_parameters_have_no_gradient),
        cmocka_unit_test(two_runs_give_the_same_bits),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(inference_refuses_what_is_not_of_an_image),
        cmocka_unit_test(profiles_name_every_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
