/* Grouped and depthwise convolutions through the engine: forward against double, gradients against
   central differences in double, for every instruction set of this CPU, every implementation, one
   and several threads. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "nn/compile/inference.h"
#include "nn/compile/training.h"
#include "nn/conv/conv.h"
#include "support/engine_rig.h"

enum { N = 4, K = 5 };

/* One case: a 1x1 stem, batch norm and ReLU (so that a prologue is possible), the convolution in
   question, a batch norm, a 1x1, and the classifier. */
struct layer {
    size_t c, o, groups, kernel, stride, padding, h, w;
    bool plain; /* the convolution reads the images */
};

static const struct layer layers[] = {
    { 16, 16, 16, 3, 1, 1, 8, 8, false },   { 20, 20, 20, 3, 2, 1, 9, 7, false },
    { 24, 24, 24, 5, 1, 2, 8, 6, false },   { 33, 33, 33, 5, 2, 2, 7, 11, false },
    { 16, 16, 16, 3, 1, 1, 2, 2, false },   { 16, 16, 16, 3, 2, 1, 4, 4, false },
    { 17, 17, 17, 7, 3, 0, 13, 12, false }, { 16, 16, 16, 2, 2, 0, 6, 6, false },
    { 16, 16, 16, 1, 1, 0, 5, 5, false },   { 16, 16, 16, 2, 3, 0, 9, 8, false },
    { 16, 16, 16, 1, 1, 0, 5, 5, false },   { 12, 24, 12, 3, 1, 1, 6, 6, false },
    { 32, 48, 2, 3, 1, 1, 6, 5, false },    { 32, 32, 2, 3, 2, 1, 7, 7, false },
    { 54, 27, 3, 3, 1, 1, 5, 5, false },    { 32, 32, 8, 3, 1, 1, 6, 6, false },
    { 48, 30, 3, 1, 1, 0, 6, 5, false },    { 54, 36, 3, 1, 1, 0, 4, 4, false },
    { 96, 60, 3, 1, 1, 0, 3, 3, false },    { 30, 96, 3, 1, 1, 0, 3, 5, false },
    { 64, 64, 2, 1, 1, 0, 4, 4, false },    { 40, 24, 1, 1, 1, 0, 7, 5, false },
    { 130, 35, 1, 1, 1, 0, 5, 3, false },   { 32, 16, 2, 1, 2, 0, 7, 7, false },
    { 40, 24, 1, 3, 1, 1, 10, 9, false },   { 20, 18, 1, 5, 2, 2, 9, 8, false },
    { 3, 18, 3, 3, 1, 1, 8, 8, true },      { 4, 12, 2, 3, 2, 1, 8, 8, true },
};

static int conv(struct ctkd__graph *g, int x, const char *name, struct ctkd__conv_args args)
{
    args.init = args.bias_init = CTKD__INIT_UNIFORM;
    args.value = 0.6f;
    args.bias_value = 0.3f;
    return ctkd__graph_conv(g, x, name, &args);
}

static int build(struct ctkd__graph *g, const struct layer *l)
{
    int x = ctkd__graph_input(g, l->plain ? l->c : 3, l->h, l->w);
    if (!l->plain) {
        x = conv(g, x, "stem", (struct ctkd__conv_args){ .out = l->c, .kernel = 1, .stride = 1 });
        x = ctkd__graph_relu(g, ctkd__graph_batch_norm(g, x, "n0"));
    }
    const struct ctkd__conv_args args = { .out = l->o,
                                          .kernel = l->kernel,
                                          .stride = l->stride,
                                          .padding = l->padding,
                                          .groups = l->groups,
                                          .bias = l->kernel == 3 };
    int y = conv(g, x, "tested", args);
    y = ctkd__graph_relu(g, ctkd__graph_batch_norm(g, y, "n1"));
    const struct ctkd__conv_args square = {
        .out = l->o, .kernel = l->kernel, .stride = 1, .padding = l->kernel / 2, .groups = l->groups
    };
    /* Twice where it fits, the second with a residual and without a batch norm behind it. */
    if (l->o % l->groups == 0 && l->kernel % 2 == 1)
        y = ctkd__graph_relu(g, ctkd__graph_add(g, conv(g, y, "again", square), y));
    y = conv(g, y, "last", (struct ctkd__conv_args){ .out = 16, .kernel = 1, .stride = 1 });
    return ctkd__graph_linear(g, ctkd__graph_global_pool(g, y), "fc", K, CTKD__INIT_UNIFORM, 0.5f,
                              CTKD__INIT_UNIFORM, 0.5f);
}

struct rig {
    struct engine_rig base;
    float r[N * K];
};

static struct rig rig_open(const struct layer *layer, const struct ctkd__kernels *kernels,
                           size_t threads)
{
    struct rig rig;
    struct ctkd__graph *graph;
    check_ok(ctkd__graph_create(&graph), NULL);
    rig.base = engine_rig_open(graph, build(graph, layer), kernels, threads, N);
    fill_normal(rig.r, N * K, 4);
    return rig;
}

static void rig_close(struct rig *rig)
{
    engine_rig_close(&rig->base);
}

static void check_logits(const struct rig *rig, const float *logits, int training)
{
    engine_rig_check_logits(&rig->base, N, K, logits, training, 1e-5);
}

/* Padding channels and lanes must have no gradient: an optimiser would fill them. */
static void check_padding(const struct rig *rig, const struct ctkd__training *training)
{
    struct ctkd__tensors list = { 0 };
    ctkd_error err;
    check_ok(ctkd__training_export_gradient(training, &list, &err), &err);
    double inside = 0, all = 0;
    for (size_t i = 0; i < list.count; i++)
        for (size_t j = 0; j < list.items[i].bytes / sizeof(float); j++)
            inside += fabs((double)((const float *)list.items[i].data)[j]) > 0;
    float *const sum = calloc(rig->base.weights->n_values, sizeof *sum);
    for (size_t w = 0; w < ctkd__workers_count(rig->base.engine.workers); w++)
        for (size_t i = 0; i < rig->base.weights->n_values; i++)
            sum[i] += ctkd__training_gradient(training, w)[i];
    for (size_t i = 0; i < rig->base.weights->n_values; i++)
        all += fabs((double)sum[i]) > 0;
    check_close(all, inside, 0, 0);
    free(sum);
    ctkd__tensors_fini(&list);
}

static void check_layer(size_t layer, const struct ctkd__kernels *kernels, size_t threads,
                        const char *how, double (**slopes)[SLOPES])
{
    struct rig rig = rig_open(&layers[layer], kernels, threads);
    struct ctkd__training *training;
    ctkd_error err;
    struct ctkd__training_config config = ctkd__engine_training(&rig.base.engine, "test", N);
    config.conv = how;
    check_ok(ctkd__training_create(rig.base.graph, rig.base.weights, &config, &training, &err),
             &err);
    if (!*slopes)
        *slopes = engine_rig_slopes(&rig.base, N, rig.r);
    char what[64];
    snprintf(what, sizeof what, "layer %zu, %s", layer, how);
    float logits[N * K];
    for (int step = 0; step < 2; step++) { /* nothing may be left over from the first */
        check_ok(ctkd__training_forward(training, N, rig.base.x, logits, &err), &err);
        check_logits(&rig, logits, 1);
        check_ok(ctkd__training_backward(training, rig.r, &err), &err);
        engine_rig_check_gradients(&rig.base, training, *slopes, 2e-5, what);
    }
    check_padding(&rig, training);
    ctkd__training_destroy(training);
    rig_close(&rig);
}

static void gradients_match_central_differences(void **state)
{
    (void)state;
    for (size_t layer = 0; layer < sizeof layers / sizeof *layers; layer++) {
        double(*slopes)[SLOPES] = NULL;
        for (size_t isa = 0; ctkd__kernels_list()[isa]; isa++) {
            for (size_t threads = 1; threads <= 3; threads += 2) {
                check_layer(layer, ctkd__kernels_list()[isa], threads, "auto", &slopes);
                for (size_t i = 0; ctkd__conv_list()[i]; i++)
                    check_layer(layer, ctkd__kernels_list()[isa], threads,
                                ctkd__conv_list()[i]->name, &slopes);
            }
        }
        free(slopes);
    }
}

static void inference_matches_running_statistics(void **state)
{
    (void)state;
    for (size_t layer = 0; layer < sizeof layers / sizeof *layers; layer++)
        for (size_t isa = 0; ctkd__kernels_list()[isa]; isa++)
            for (size_t i = 0; ctkd__conv_list()[i]; i++) {
                struct rig rig = rig_open(&layers[layer], ctkd__kernels_list()[isa], 2);
                struct ctkd__inference *inference;
                ctkd_error err;
                struct ctkd__inference_config config =
                    ctkd__engine_inference(&rig.base.engine, "test");
                config.chunk = 3;
                config.conv = ctkd__conv_list()[i]->name;
                check_ok(ctkd__inference_create(rig.base.graph, &config, &inference, &err), &err);
                check_ok(ctkd__inference_load(inference, rig.base.weights, &err), &err);
                float logits[N * K];
                check_ok(ctkd__inference_run(inference, N, rig.base.x, logits, &err), &err);
                check_logits(&rig, logits, 0);
                ctkd__inference_destroy(inference);
                rig_close(&rig);
            }
}

static void weights_keep_their_names_shapes_and_values(void **state)
{
    (void)state;
    for (size_t layer = 0; layer < sizeof layers / sizeof *layers; layer++) {
        const struct layer *const l = &layers[layer];
        struct rig rig = rig_open(l, ctkd__kernels_list()[0], 1);
        struct ctkd__tensors list = { 0 }, again = { 0 };
        ctkd_error err;
        check_ok(ctkd__weights_export(rig.base.weights, &list, &err), &err);
        const struct ctkd__tensor *const w = ctkd__tensors_find(&list, "tested.weight");
        assert_int_equal(w->rank, 4);
        assert_int_equal(w->shape[0], l->o);
        assert_int_equal(w->shape[1], l->c / l->groups);
        assert_int_equal(w->shape[2], l->kernel);
        memset(rig.base.weights->values, 0, rig.base.weights->n_values * sizeof(float));
        check_ok(ctkd__weights_import(rig.base.weights, &list, &err), &err);
        check_ok(ctkd__weights_export(rig.base.weights, &again, &err), &err);
        for (size_t i = 0; i < list.count; i++)
            assert_memory_equal(list.items[i].data, again.items[i].data, list.items[i].bytes);
        ctkd__tensors_fini(&list);
        ctkd__tensors_fini(&again);
        rig_close(&rig);
    }
}

static void multiply_adds_count_only_the_own_group(void **state)
{
    (void)state;
    struct ctkd__graph *g;
    ctkd_error err;
    check_ok(ctkd__graph_create(&g), NULL);
    int x = ctkd__graph_input(g, 12, 8, 8);
    x = conv(
        g, x, "a",
        (struct ctkd__conv_args){ .out = 24, .kernel = 3, .stride = 2, .padding = 1, .groups = 3 });
    x = ctkd__graph_linear(g, ctkd__graph_global_pool(g, x), "fc", 5, CTKD__INIT_CONSTANT, 0,
                           CTKD__INIT_CONSTANT, 0);
    check_ok(ctkd__graph_finish(g, x, &err), &err);
    assert_int_equal(ctkd__graph_macs(g), 4 * 4 * 24 * (12 / 3) * 9 + 24 * 5);
    const struct ctkd__conv_shape shape = { 12, 8, 8, 24, 4, 4, 3, 2, 1, true, 3 };
    check_close(ctkd__conv_flops(&shape), 2.0 * 4 * 4 * 24 * 4 * 9, 0, 0);
    ctkd__graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_central_differences),
        cmocka_unit_test(inference_matches_running_statistics),
        cmocka_unit_test(weights_keep_their_names_shapes_and_values),
        cmocka_unit_test(multiply_adds_count_only_the_own_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
