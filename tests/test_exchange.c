#include "weights/exchange.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "nn/models/models.h"
#include "support/check.h"
#include "support/engine_rig.h"
#include "support/scratch.h"
#include "weights/match.h"

enum { SIDE = 32, CLASSES = 10, N = 3, PIXELS = 3 * SIDE * SIDE };

static const struct ctkd__network_info info = { .network = "x",
                                                .classes = CLASSES,
                                                .channels = 3,
                                                .height = SIDE,
                                                .width = SIDE,
                                                .has_normalisation = true,
                                                .mean = { 0.49f, 0.48f, 0.45f },
                                                .std = { 0.2f, 0.25f, 0.3f } };

/* Weights whose batch norms do something. */
static void draw_weights(const struct ctkd__graph *graph, struct ctkd__tensors *tensors)
{
    struct ctkd__weights *weights;
    ctkd_error err;
    check_ok(ctkd__weights_create(graph, 8, &weights, &err), &err);
    ctkd__weights_initialise(weights, 7);
    check_ok(ctkd__weights_export(weights, tensors, &err), &err);
    ctkd__weights_destroy(weights);
    for (int i = 0; i < graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &graph->parameters[i];
        float *const data = ctkd__tensors_find(tensors, p->name)->data;
        if (graph->nodes[p->node].op == CTKD__OP_BATCH_NORM)
            fill_uniform(data, p->shape[0], (uint64_t)i + 1,
                         p->role == CTKD__ROLE_BIAS || p->role == CTKD__ROLE_MEAN ? -0.3f : 0.6f,
                         p->role == CTKD__ROLE_BIAS || p->role == CTKD__ROLE_MEAN ? 0.3f : 1.4f);
    }
}

static struct ctkd__graph *draw(const char *name, struct ctkd__tensors *tensors)
{
    const struct ctkd__model_args args = { 3, SIDE, SIDE, CLASSES };
    struct ctkd__graph *graph;
    ctkd_error err;
    check_ok(ctkd__model_build(name, &args, &graph, &err), &err);
    draw_weights(graph, tensors);
    return graph;
}

static void compute(const struct ctkd__graph *graph, const struct ctkd__tensors *tensors, size_t n,
                    const float *x, float *logits)
{
    struct ctkd__weights *weights;
    struct ctkd__inference *inference;
    struct ctkd__engine engine = engine_with(NULL, 1);
    const struct ctkd__inference_config config = ctkd__engine_inference(&engine, "test");
    ctkd_error err;
    check_ok(ctkd__weights_create(graph, engine.kernels->block, &weights, &err), &err);
    check_ok(ctkd__weights_import(weights, tensors, &err), &err);
    check_ok(ctkd__inference_create(graph, &config, &inference, &err), &err);
    check_ok(ctkd__inference_load(inference, weights, &err), &err);
    check_ok(ctkd__inference_run(inference, n, x, logits, &err), &err);
    ctkd__inference_destroy(inference);
    ctkd__weights_destroy(weights);
    ctkd__engine_close(&engine);
}

/* Out, through a file and in again: the same logits and, unless folded, the same tensors. */
static void check_round(const struct ctkd__graph *graph, const struct ctkd__tensors *tensors,
                        bool fold, bool normalise)
{
    struct ctkd__tensors back = { 0 };
    struct ctkd__graph *imported;
    struct ctkd__onnx_model model = { 0 };
    struct ctkd__network_info found;
    ctkd_error err;
    const struct ctkd__export_args args = { graph, tensors, &info, fold, normalise };
    check_ok(ctkd__onnx_export(&args, &model, &err), &err);
    check_ok(ctkd__onnx_write(scratch_path("x.onnx"), &model, &err), &err);
    ctkd__onnx_fini(&model);
    check_ok(ctkd__onnx_read(scratch_path("x.onnx"), &model, &err), &err);
    for (size_t i = 0; i < model.n_nodes; i++) /* ONNX Runtime wants a name for each */
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(model.nodes[i].name, model.nodes[j].name);
    check_ok(ctkd__onnx_import("x.onnx", &model, &imported, &back, &found, &err), &err);
    ctkd__onnx_fini(&model);

    assert_int_equal(found.classes, CLASSES);
    assert_int_equal(found.height, SIDE);
    assert_true(found.has_normalisation);
    assert_memory_equal(found.mean, info.mean, 3 * sizeof *info.mean);
    assert_memory_equal(found.std, info.std, 3 * sizeof *info.std);
    if (!fold)
        for (int i = 0; i < graph->n_parameters; i++) {
            const struct ctkd__tensor *const a =
                ctkd__tensors_find(tensors, graph->parameters[i].name);
            const struct ctkd__tensor *const b = ctkd__tensors_find(&back, a->name);
            assert_true(b && b->bytes == a->bytes && b->rank == a->rank);
            assert_memory_equal(a->data, b->data, a->bytes);
        }
    assert_true(ctkd__match_fits(graph, &back) == !fold);

    float *const x = malloc((size_t)N * PIXELS * sizeof *x);
    float expected[N * CLASSES], logits[N * CLASSES];
    fill_normal(x, (size_t)N * PIXELS, 3);
    compute(graph, tensors, N, x, expected);
    compute(imported, &back, N, x, logits);
    check_relative(logits, expected, (size_t)N * CLASSES, 1e-5);
    free(x);
    ctkd__graph_destroy(imported);
    ctkd__tensors_fini(&back);
}

static void check_rounds(struct ctkd__graph *graph, struct ctkd__tensors *tensors)
{
    for (int i = 0; i < 4; i++)
        check_round(graph, tensors, i & 1, i & 2);
    ctkd__graph_destroy(graph);
    ctkd__tensors_fini(tensors);
}

/* Networks of so many parameters take longer than all others; their ops are those of the next test.
 */
static const size_t large = 30000000;

static bool is_large(const char *name)
{
    const struct ctkd__model_args args = { 3, SIDE, SIDE, CLASSES };
    struct ctkd__graph *graph;
    ctkd_error err;
    check_ok(ctkd__model_build(name, &args, &graph, &err), &err);
    const bool answer = ctkd__graph_trainable(graph) > large;
    ctkd__graph_destroy(graph);
    return answer;
}

static void every_family_survives_the_way_through_onnx(void **state)
{
    (void)state;
    for (const struct ctkd__model_family *const *family = ctkd__model_families(); *family;
         family++) {
        struct ctkd__tensors tensors = { 0 };
        if (is_large((*family)->models[0].name))
            continue;
        struct ctkd__graph *const graph = draw((*family)->models[0].name, &tensors);
        check_rounds(graph, &tensors);
    }
}

/* What the families have not: every activation, parts of channels, pools, gates, groups. */
static void every_op_survives_the_way_through_onnx(void **state)
{
    (void)state;
    struct ctkd__tensors tensors = { 0 };
    struct ctkd__graph *g;
    ctkd_error err;
    assert_int_equal(ctkd__graph_create(&g), CTKD_OK);
    const struct ctkd__conv_args stem = {
        .out = 12, .kernel = 3, .stride = 1, .padding = 1, .init = CTKD__INIT_NORMAL, .value = 0.2f
    };
    struct ctkd__conv_args grouped = stem;
    grouped.groups = 3, grouped.bias = true;
    struct ctkd__conv_args depth = stem;
    depth.groups = 12;
    int x = ctkd__graph_input(g, 3, SIDE, SIDE);
    x = ctkd__graph_activate(g, ctkd__graph_conv(g, x, "stem", &stem), CTKD__LEAKY_RELU, 0.1f);
    x = ctkd__graph_batch_norm(g, ctkd__graph_conv(g, x, "grouped", &grouped), "norm");
    x = ctkd__graph_shuffle(g, ctkd__graph_activate(g, x, CTKD__RELU6, 0), 3);
    x = ctkd__graph_batch_norm(g, ctkd__graph_conv(g, x, "depth", &depth), "norm2");
    const int a = ctkd__graph_activate(g, ctkd__graph_slice(g, x, 0, 5), CTKD__HARD_SWISH, 0);
    const int b = ctkd__graph_activate(g, ctkd__graph_slice(g, x, 5, 7), CTKD__SIGMOID, 0);
    x = ctkd__graph_concat(g, b, a);
    x = ctkd__graph_add(
        g, ctkd__graph_average_pool(g, x, &(struct ctkd__pool_args){ 3, 2, { 1, 1 }, true }),
        ctkd__graph_average_pool(g, x, &(struct ctkd__pool_args){ 3, 2, { 0, 1 }, false }));
    const int gate = ctkd__graph_activate(g, ctkd__graph_global_pool(g, x), CTKD__HARD_SIGMOID, 0);
    x = ctkd__graph_pool_to(g, ctkd__graph_multiply(g, x, gate), 4, 4);
    x = ctkd__graph_flatten(g, ctkd__graph_relu(g, x));
    x = ctkd__graph_linear(g, x, "hidden", 20, CTKD__INIT_NORMAL, 1, CTKD__INIT_CONSTANT, 0.5f);
    x = ctkd__graph_dropout(g, ctkd__graph_relu(g, x), 0.5f);
    x = ctkd__graph_linear(g, x, "fc", CLASSES, CTKD__INIT_NORMAL, 1, CTKD__INIT_CONSTANT, 0.5f);
    check_ok(ctkd__graph_finish(g, x, &err), &err);
    draw_weights(g, &tensors);
    check_rounds(g, &tensors);
}

static void an_op_without_an_onnx_form_is_named(void **state)
{
    (void)state;
    struct ctkd__tensors tensors = { 0 };
    struct ctkd__onnx_model model = { 0 };
    struct ctkd__graph *g;
    ctkd_error err;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ctkd__graph_create(&g), CTKD_OK);
        int x = ctkd__graph_input(g, 3, SIDE, SIDE);
        x = i ? ctkd__graph_resize(g, x, 8, 8) : ctkd__graph_pool_to(g, x, 5, 5);
        x = ctkd__graph_linear(g, ctkd__graph_global_pool(g, x), "fc", CLASSES, CTKD__INIT_NORMAL,
                               1, CTKD__INIT_CONSTANT, 0);
        check_ok(ctkd__graph_finish(g, x, &err), &err);
        draw_weights(g, &tensors);
        const struct ctkd__export_args args = { g, &tensors, &info, false, false };
        assert_int_equal(ctkd__onnx_export(&args, &model, &err), CTKD_EUNSUPPORTED);
        assert_non_null(
            strstr(err.message, i ? "found kind resize, which cannot be exported to ONNX"
                                  : "found a resize from 32x32 to 5x5, which has no form in ONNX"));
        ctkd__graph_destroy(g);
        ctkd__tensors_fini(&tensors);
    }
}

/* Forms of other exporters; a normalisation at the beginning is left to the caller. */
static void models_of_others_answer_as_onnx_runtime(void **state)
{
    (void)state;
    static const char *const names[] = { "onnx_plain",         "onnx_shapes",
                                         "onnx_traced",        "onnx_channels",
                                         "onnx_mobile_traced", "onnx_mobile_exported",
                                         "onnx_pools",         "onnx_free_traced",
                                         "onnx_free_exported", "onnx_half",
                                         "onnx_bytes" };
    enum { IMAGES = 2, PLANE = 64, SIZE = IMAGES * 3 * PLANE, KINDS = 5 };
    struct golden *const golden = golden_open("onnx.txt");
    const float *const values = golden_get(golden, "x", SIZE);
    const float *const bytes = golden_get(golden, "bytes", SIZE);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct ctkd__onnx_model model = { 0 };
        struct ctkd__tensors tensors = { 0 };
        struct ctkd__network_info found = { .classes = 0 };
        struct ctkd__graph *graph;
        char path[1024];
        float x[SIZE], logits[IMAGES * KINDS];
        ctkd_error err;
        snprintf(path, sizeof path, "%s/tests/golden/%s.onnx", CTKD_SOURCE_DIR, names[i]);
        const bool of_bytes = strcmp(names[i], "onnx_bytes") == 0;
        check_ok(ctkd__onnx_read(path, &model, &err), &err);
        assert_true(ctkd__onnx_is_free(&model) == !!strstr(names[i], "_free_"));
        ctkd__onnx_take_size(&model, 3, 8, 8);
        check_ok(ctkd__onnx_import(path, &model, &graph, &tensors, &found, &err), &err);
        assert_int_equal(found.classes, KINDS);
        assert_true(found.has_normalisation == (i == 0 || of_bytes));
        for (size_t k = 0; k < SIZE; k++) {
            const size_t c = k / PLANE % 3;
            const float pixel = of_bytes ? bytes[k] / 255 : values[k];
            x[k] = found.has_normalisation ? (pixel - found.mean[c]) / found.std[c] : pixel;
        }
        compute(graph, &tensors, IMAGES, x, logits);
        /* ONNX Runtime rounds to half precision in between */
        const double tolerance = strcmp(names[i], "onnx_half") == 0 ? 4e-3 : 1e-5;
        check_relative(logits, golden_get(golden, names[i], sizeof logits / sizeof *logits),
                       sizeof logits / sizeof *logits, tolerance);
        ctkd__graph_destroy(graph);
        ctkd__tensors_fini(&tensors);
        ctkd__onnx_fini(&model);
    }
    golden_close(golden);
}

/* --- refused models: images [n, 3, 8, 8] -> one or two nodes -> y */

static struct ctkd__onnx_model *begin(struct ctkd__onnx_model *model)
{
    struct ctkd__tensor *tensor;
    ctkd_error err;
    *model = (struct ctkd__onnx_model){ .opset = 13 };
    ctkd__onnx_add_input(model, "x", 4, (const int64_t[]){ -1, 3, 8, 8 });
    ctkd__onnx_add_output(model, "y", 2, (const int64_t[]){ -1, 4 });
    check_ok(ctkd__tensors_add(&model->initialisers, "w", CTKD__F32, 2, (int64_t[]){ 4, 3 },
                               &tensor, &err),
             &err);
    check_ok(ctkd__tensors_add(&model->initialisers, "conv.weight", CTKD__F32, 4,
                               (int64_t[]){ 4, 3, 1, 1 }, &tensor, &err),
             &err);
    return model;
}

static void add(struct ctkd__onnx_model *model, const char *op, const char *from, const char *to)
{
    ctkd__onnx_add(model, op, "", 1, (const char *[]){ from }, to);
}

static void end_refused(struct ctkd__onnx_model *model, const char *message)
{
    struct ctkd__graph *graph;
    struct ctkd__tensors tensors = { 0 };
    struct ctkd__network_info found;
    ctkd_error err = { .status = CTKD_OK };
    const ctkd_status status = ctkd__onnx_import("m.onnx", model, &graph, &tensors, &found, &err);
    if (status == CTKD_OK || status != err.status || !strstr(err.message, message))
        fail_msg("\"%s\", expected \"%s\"", err.message, message);
    assert_true(!graph && !tensors.items);
    ctkd__onnx_fini(model);
}

static void an_operator_that_is_not_known_is_named_with_its_node(void **state)
{
    (void)state;
    struct ctkd__onnx_model model;
    ctkd__onnx_add(begin(&model), "Einsum", "block3/attention", 1, (const char *[]){ "x" }, "y");
    end_refused(&model, "m.onnx: node block3/attention (Einsum): this operator is not supported");
    add(begin(&model), "Einsum", "x", "y"); /* nodes without a name are known by their output */
    end_refused(&model, "m.onnx: node y (Einsum): ");
    add(begin(&model), "Einsum", "x", "z"); /* nothing asks for what this one makes */
    end_refused(&model, "m.onnx: output y: found no node that computes it, expected one");
}

static void what_cannot_be_had_is_named_with_its_node(void **state)
{
    (void)state;
    struct ctkd__onnx_model model;
    add(begin(&model), "Relu", "z", "y");
    end_refused(&model, "node y (Relu): found no value for input 0, expected one that an earlier");
    add(begin(&model), "Relu", "w", "y");
    end_refused(&model, "node y (Relu): found a constant as input 0, expected a computed value");
    ctkd__onnx_add(begin(&model), "Conv", "c", 2, (const char *[]){ "x", "w" }, "y");
    end_refused(&model, "node c (Conv): input 1: found constant w of F32 [4, 3], expected a "
                        "constant float tensor of rank 4");
    ctkd__onnx_add(begin(&model), "Conv", "c", 2, (const char *[]){ "x", "conv.weight" }, "y");
    ctkd__onnx_set_int(&model, "group", 2);
    end_refused(&model, "node c (Conv): found a weight for 3 input channels in 2 groups");
    ctkd__onnx_add(begin(&model), "Conv", "c", 2, (const char *[]){ "x", "conv.weight" }, "y");
    ctkd__onnx_set_int(&model, "strides", 2);
    end_refused(&model, "node c (Conv): attribute strides: found kind 2, expected 7");
    ctkd__onnx_add(begin(&model), "Conv", "c", 2, (const char *[]){ "x", "conv.weight" }, "y");
    ctkd__onnx_set_ints(&model, "strides", 2, (const int64_t[]){ 0, 0 });
    end_refused(
        &model,
        "node c (Conv): found kernel 1x1, strides 0 and 0, dilations 1 and 1, expected at least 1");
    ctkd__onnx_add(begin(&model), "Conv", "c", 2, (const char *[]){ "x", "conv.weight" }, "y");
    ctkd__onnx_set_ints(&model, "kernel_shape", 2, (const int64_t[]){ 3, 3 });
    end_refused(&model, "node c (Conv): kernel_shape: found 3x3, expected the weight's 1x1");
    ctkd__onnx_add(begin(&model), "Gemm", "g", 2, (const char *[]){ "x", "w" }, "y");
    ctkd__onnx_set_int(&model, "transB", 1);
    end_refused(
        &model,
        "node g (Gemm): found a weight for vectors of 3, but an input of 3x8x8 that is not");
    add(begin(&model), "MaxPool", "x", "y");
    end_refused(
        &model,
        "node y (MaxPool): found kernel 0x0, strides 1 and 1, dilations 1 and 1, expected at");
}

static void add_with(struct ctkd__onnx_model *model, const char *op, const char *ints_name,
                     size_t count, const int64_t *ints, const char *from, const char *to)
{
    struct ctkd__tensor *tensor;
    ctkd_error err;
    const int64_t n = (int64_t)count;
    check_ok(ctkd__tensors_add(&model->initialisers, ints_name, CTKD__I64, 1, &n, &tensor, &err),
             &err);
    memcpy(tensor->data, ints, count * sizeof *ints);
    ctkd__onnx_add(model, op, "", 2, (const char *[]){ from, ints_name }, to);
}

static void add_factor(struct ctkd__onnx_model *model, const char *from, const char *to)
{
    struct ctkd__tensor *tensor;
    ctkd_error err;
    check_ok(ctkd__tensors_add(&model->initialisers, "factor", CTKD__F32, 0, NULL, &tensor, &err),
             &err);
    *(float *)tensor->data = 2;
    ctkd__onnx_add(model, "Mul", "", 2, (const char *[]){ from, "factor" }, to);
}

/* The first two of axis 1. */
static void add_slice(struct ctkd__onnx_model *model, const char *from, const char *to)
{
    static const char *const names[] = { "begin", "end", "axis" };
    struct ctkd__tensor *tensor;
    ctkd_error err;
    for (int64_t i = 0; i < 3; i++) {
        check_ok(ctkd__tensors_add(&model->initialisers, names[i], CTKD__I64, 1, (int64_t[]){ 1 },
                                   &tensor, &err),
                 &err);
        *(int64_t *)tensor->data = (const int64_t[]){ 0, 2, 1 }[i];
    }
    ctkd__onnx_add(model, "Slice", "", 4, (const char *[]){ from, "begin", "end", "axis" }, to);
}

static void channels_that_do_not_add_up_are_named(void **state)
{
    (void)state;
    struct ctkd__onnx_model model;
    add_with(begin(&model), "Split", "parts", 2, (const int64_t[]){ 1, 1 }, "x", "y");
    ctkd__onnx_set_int(&model, "axis", 1);
    end_refused(&model, "node y (Split): split: found [1, 1] for 1 outputs, expected the 3 "
                        "channels in at most 8 parts");
    add(begin(&model), "Split", "x", "y");
    ctkd__onnx_set_int(&model, "axis", 2);
    end_refused(&model, "node y (Split): axis: found 2, expected 1 (the channels)");
    ctkd__onnx_add(begin(&model), "Concat", "", 2, (const char *[]){ "x", "x" }, "y");
    ctkd__onnx_set_int(&model, "axis", 2);
    end_refused(&model, "node y (Concat): axis: found 2, expected 1 (the channels)");
    add_with(begin(&model), "Reshape", "to", 5, (const int64_t[]){ 0, 2, 1, 8, 8 }, "x", "y");
    end_refused(&model, "node y (Reshape): shape: found [0, 2, 1, 8, 8] for an image of 3x8x8, "
                        "expected a flat one or that of a channel shuffle");
    add_with(begin(&model), "Reshape", "to", 5, (const int64_t[]){ 0, 3, 1, 8, 8 }, "x", "z");
    add(&model, "Relu", "z", "y");
    end_refused(&model,
                "node y (Relu): found an input of rank 5, expected one only in a channel shuffle");
    add_with(begin(&model), "Reshape", "to", 5, (const int64_t[]){ 0, 3, 1, 8, 8 }, "x", "z");
    add(&model, "Transpose", "z", "y");
    ctkd__onnx_set_ints(&model, "perm", 5, (const int64_t[]){ 0, 1, 2, 3, 4 });
    end_refused(&model, "node y (Transpose): perm: found [0, 1, 2, 3, 4], expected [0, 2, 1, 3, 4] "
                        "inside a channel shuffle");
    add(begin(&model), "Transpose", "x", "y");
    end_refused(&model,
                "node y (Transpose): perm: found no perm outside a channel shuffle, expected");
    add(begin(&model), "Shape", "x", "shape");
    add_with(&model, "Mul", "sizes", 1, (const int64_t[]){ 2 }, "shape", "y");
    end_refused(&model, "node y (Mul): found [the batch size, 3, 8, 8] and [2], expected sizes of "
                        "images");
}

static void flatten(struct ctkd__onnx_model *model)
{
    add(begin(model), "Flatten", "x", "f");
}

/* Models of random_models.py that had other logits here than in ONNX Runtime. */
static void what_would_be_computed_otherwise_is_refused(void **state)
{
    (void)state;
    struct ctkd__onnx_model model;
    add_with(begin(&model), "Reshape", "to", 5, (const int64_t[]){ 0, 3, 1, 8, 8 }, "x", "z");
    add_factor(&model, "z", "y");
    end_refused(&model,
                "node y (Mul): found an input of rank 5, expected one only in a channel shuffle");
    flatten(&model);
    add(&model, "Softmax", "f", "p");
    add_factor(&model, "p", "y");
    end_refused(
        &model,
        "node y (Mul): found the value of a Softmax as input, expected the end of the model");
    flatten(&model);
    add(&model, "Split", "f", "y");
    ctkd__onnx_set_int(&model, "axis", 1);
    end_refused(&model, "node y (Split): found parts of flattened images");
    flatten(&model);
    add_slice(&model, "f", "y");
    end_refused(&model, "node y (Slice): found parts of flattened images");
    flatten(&model);
    ctkd__onnx_add(&model, "Mul", "", 2, (const char *[]){ "x", "f" }, "y");
    end_refused(
        &model,
        "node y (Mul): found an image of 3x8x8 and a vector of 192, expected two of a kind");
    add(begin(&model), "GlobalAveragePool", "x", "g");
    add_with(&model, "Squeeze", "axes", 1, (const int64_t[]){ 2 }, "g", "y");
    end_refused(&model, "node y (Squeeze): axes: found [2], expected height and width (2 and 3)");
}

/* x -> BatchNormalization -> pool -> flat, of three channels. */
static struct ctkd__onnx_model *normalise(struct ctkd__onnx_model *model, float variance,
                                          float epsilon)
{
    static const char *const names[4] = { "g", "b", "m", "v" };
    const float values[4] = { 0.5f, 0.25f, 0.125f, variance };
    struct ctkd__tensor *tensor;
    ctkd_error err;
    begin(model);
    for (int i = 0; i < 4; i++) {
        check_ok(ctkd__tensors_add(&model->initialisers, names[i], CTKD__F32, 1, (int64_t[]){ 3 },
                                   &tensor, &err),
                 &err);
        for (int c = 0; c < 3; c++)
            ((float *)tensor->data)[c] = values[i];
    }
    ctkd__onnx_add(model, "BatchNormalization", "bn", 5,
                   (const char *[]){ "x", "g", "b", "m", "v" }, "n");
    ctkd__onnx_set_float(model, "epsilon", epsilon);
    add(model, "GlobalAveragePool", "n", "p");
    add(model, "Flatten", "p", "y");
    return model;
}

/* A channel that is dead has a variance of 0; its batch norm may have a smaller epsilon than ours.
 */
static void any_epsilon_is_kept_whatever_the_variance(void **state)
{
    (void)state;
    const float variances[] = { 0, 1e-7f, 1 }, epsilons[] = { 1e-6f, 1e-5f, 1e-3f };
    for (int i = 0; i < 9; i++) {
        const float variance = variances[i / 3], epsilon = epsilons[i % 3];
        struct ctkd__onnx_model model;
        struct ctkd__tensors tensors = { 0 };
        struct ctkd__network_info found;
        struct ctkd__graph *graph;
        float x[3 * 64], logits[3];
        ctkd_error err;
        normalise(&model, variance, epsilon);
        check_ok(ctkd__onnx_import("m.onnx", &model, &graph, &tensors, &found, &err), &err);
        check_ok(ctkd__tensors_check_finite("m.onnx", &tensors, &err),
                 &err); /* no variance below 0 */
        for (size_t k = 0; k < sizeof x / sizeof *x; k++)
            x[k] = 0.126f;
        compute(graph, &tensors, 1, x, logits);
        const double expected =
            0.25 + 0.5 * ((double)x[0] - 0.125) / sqrt((double)variance + (double)epsilon);
        check_close(logits[2], expected, 1e-4, 1e-6);
        ctkd__graph_destroy(graph);
        ctkd__tensors_fini(&tensors);
        ctkd__onnx_fini(&model);
    }
    struct ctkd__onnx_model model;
    end_refused(
        normalise(&model, -0.5f, 1e-5f),
        "node bn (BatchNormalization): found variance -0.5 of channel 0, expected at least 0");
}

static void functions_that_are_not_ours_are_named(void **state)
{
    (void)state;
    struct ctkd__onnx_model model;
    add(begin(&model), "Clip", "x", "y");
    end_refused(&model,
                "node y (Clip): found bounds -inf and inf, expected 0 and 6 (ReLU6) or 0 (ReLU)");
    add(begin(&model), "HardSigmoid", "x", "y");
    end_refused(&model, "node y (HardSigmoid): found alpha 0.2, expected 1/6 and a beta of 0.5");
    ctkd__onnx_add(begin(&model), "Div", "", 2, (const char *[]){ "x", "x" }, "y");
    end_refused(&model, "node y (Div): found two computed values, expected a constant");
    add(begin(&model), "AveragePool", "x", "y");
    ctkd__onnx_set_ints(&model, "kernel_shape", 2, (const int64_t[]){ 3, 2 });
    end_refused(&model, "node y (AveragePool): found a window of 3x2 with stride 1, dilations 1 "
                        "and 1 and pads 0, 0, 0, 0, expected");
    add_with(begin(&model), "Pad", "pads", 8, (const int64_t[]){ 0, 0, 1, 1, 0, 0, 1, 1 }, "x",
             "p");
    add(&model, "AveragePool", "p", "y");
    ctkd__onnx_set_ints(&model, "kernel_shape", 2, (const int64_t[]){ 5, 5 });
    ctkd__onnx_set_ints(&model, "pads", 4, (const int64_t[]){ 1, 1, 1, 1 });
    end_refused(
        &model,
        "node y (AveragePool): found a mean that counts some zeros around the image but not");
}

static void begin_with(struct ctkd__onnx_model *model, int rank, const int64_t *shape, int type)
{
    *model = (struct ctkd__onnx_model){ .opset = 13 };
    ctkd__onnx_add_input(model, "x", rank, shape);
    model->inputs[0].type = type;
    ctkd__onnx_add_output(model, "y", 2, (const int64_t[]){ -1, 4 });
    add(model, "Relu", "x", "y");
}

static void cast_to(struct ctkd__onnx_model *model, const char *from, int64_t type, const char *to)
{
    add(model, "Cast", from, to);
    ctkd__onnx_set_int(model, "to", type);
}

static void casts_that_change_values_are_named(void **state)
{
    (void)state;
    struct ctkd__onnx_model model;
    cast_to(begin(&model), "x", CTKD__ONNX_TYPE_INT64, "y");
    end_refused(&model, "node y (Cast): found a cast of images to integers, expected floats");
    cast_to(begin(&model), "x", 9, "y");
    end_refused(&model, "node y (Cast): found element type 9, expected floats or integers");
    add(begin(&model), "Shape", "x", "s");
    cast_to(&model, "s", CTKD__ONNX_TYPE_FLOAT, "y");
    end_refused(&model, "node y (Cast): found a cast of a shape to floats, expected integers");
    add_factor(begin(&model), "x", "z");
    *(float *)model.initialisers.items[2].data = INFINITY;
    cast_to(&model, "factor", CTKD__ONNX_TYPE_INT32, "y");
    end_refused(&model, "node y (Cast): found a constant out of the range of integers");
}

static void inputs_and_outputs_are_those_of_a_classifier(void **state)
{
    (void)state;
    struct ctkd__onnx_model model;
    ctkd__onnx_add_input(begin(&model), "x2", 4, (const int64_t[]){ -1, 3, 8, 8 });
    add(&model, "Relu", "x", "y");
    end_refused(&model, "m.onnx: found 2 inputs and 1 outputs, expected images and logits");
    begin_with(&model, 4, (const int64_t[]){ -1, 3, -1, 8 }, CTKD__ONNX_TYPE_FLOAT);
    end_refused(&model, "m.onnx: input x: its height and width are free; set a size");
    begin_with(&model, 4, (const int64_t[]){ -1, -1, 8, 8 }, CTKD__ONNX_TYPE_FLOAT);
    end_refused(&model, "m.onnx: input x: its channels are free; set a size");
    begin_with(&model, 3, (const int64_t[]){ 3, 8, 8 }, CTKD__ONNX_TYPE_FLOAT);
    end_refused(&model, "m.onnx: input x: found rank 3, expected [batch, channels, height, width]");
    begin_with(&model, 4, (const int64_t[]){ -1, 3, 8, 8 }, CTKD__ONNX_TYPE_INT64);
    end_refused(&model, "m.onnx: input x: found element type 7, expected floats (1, 10, 11, 16)");
    begin_with(&model, 4, (const int64_t[]){ -1, 3, 8, 8 }, CTKD__ONNX_TYPE_UINT8);
    end_refused(&model,
                "node y (Relu): found an input of bytes, expected a Cast to floats before it");
    add(begin(&model), "Relu", "x", "z");
    end_refused(&model, "m.onnx: output y: found no node that computes it, expected one");
    add(begin(&model), "Softmax", "x", "p");
    ctkd__onnx_set_int(&model, "axis", 1);
    add(&model, "Relu", "p", "y");
    end_refused(&model, "node y (Relu): found the value of a Softmax");
}

static void export_wants_every_parameter_and_the_constants(void **state)
{
    (void)state;
    struct ctkd__tensors tensors = { 0 };
    struct ctkd__graph *const graph = draw("resnet8", &tensors);
    struct ctkd__network_info without = info;
    struct ctkd__onnx_model model = { 0 };
    ctkd_error err;
    without.has_normalisation = false;
    struct ctkd__export_args args = { graph, &tensors, &without, false, true };
    assert_int_equal(ctkd__onnx_export(&args, &model, &err), CTKD_EINVAL);
    assert_non_null(strstr(err.message, "normalise: found no mean and std of the network"));
    args.normalise = false;
    tensors.items[0].name[0] = '?';
    assert_int_equal(ctkd__onnx_export(&args, &model, &err), CTKD_EINVAL);
    assert_non_null(strstr(err.message, "conv1.weight: found no tensor of this name and shape"));
    ctkd__graph_destroy(graph);
    ctkd__tensors_fini(&tensors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_survives_the_way_through_onnx),
        cmocka_unit_test(every_op_survives_the_way_through_onnx),
        cmocka_unit_test(an_op_without_an_onnx_form_is_named),
        cmocka_unit_test(models_of_others_answer_as_onnx_runtime),
        cmocka_unit_test(an_operator_that_is_not_known_is_named_with_its_node),
        cmocka_unit_test(what_cannot_be_had_is_named_with_its_node),
        cmocka_unit_test(channels_that_do_not_add_up_are_named),
        cmocka_unit_test(what_would_be_computed_otherwise_is_refused),
        cmocka_unit_test(any_epsilon_is_kept_whatever_the_variance),
        cmocka_unit_test(functions_that_are_not_ours_are_named),
        cmocka_unit_test(casts_that_change_values_are_named),
        cmocka_unit_test(inputs_and_outputs_are_those_of_a_classifier),
        cmocka_unit_test(export_wants_every_parameter_and_the_constants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
