/* Every op through the engine: forward against double, gradients against central differences in
   double, for every instruction set of this CPU, every convolution, one and several threads. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "nn/compile/inference.h"
#include "nn/compile/training_internal.h"
#include "nn/conv/conv.h"
#include "nn/models/models.h"
#include "support/engine_rig.h"

enum { N_MAX = 5, K = 7 };

static int conv3(struct ctkd__graph *g, int x, const char *name, size_t out, size_t stride)
{
    return ctkd__graph_conv(g, x, name,
                            &(struct ctkd__conv_args){ out, 3, stride, 1, 1, false,
                                                       CTKD__INIT_NORMAL, ctkd__init_he_out(3, out),
                                                       CTKD__INIT_CONSTANT, 0 });
}

static int conv1(struct ctkd__graph *g, int x, const char *name, size_t out, size_t stride)
{
    return ctkd__graph_conv(g, x, name,
                            &(struct ctkd__conv_args){ out, 1, stride, 0, 1, true,
                                                       CTKD__INIT_UNIFORM, 0.4f, CTKD__INIT_UNIFORM,
                                                       0.3f });
}

static int head(struct ctkd__graph *g, int x)
{
    return ctkd__graph_linear(g, ctkd__graph_global_pool(g, x), "fc", K, CTKD__INIT_UNIFORM, 0.5f,
                              CTKD__INIT_UNIFORM, 0.5f);
}

static int build_plain(struct ctkd__graph *g) /* no kinks: a tight tolerance */
{
    int x = ctkd__graph_input(g, 3, 9, 7);
    x = ctkd__graph_batch_norm(g, conv3(g, x, "a", 16, 1), "na");
    x = ctkd__graph_batch_norm(g, conv3(g, x, "b", 24, 2), "nb");
    x = conv1(g, x, "c", 16, 1);
    x = ctkd__graph_batch_norm(g, conv3(g, x, "d", 16, 1), "nd");
    return head(g, x);
}

static int build_residual(struct ctkd__graph *g)
{
    int x = ctkd__graph_input(g, 1, 8, 8);
    x = ctkd__graph_relu(g, ctkd__graph_batch_norm(g, conv3(g, x, "stem", 16, 1), "n0"));
    for (int block = 0; block < 2; block++) {
        char name[8];
        const size_t out = block ? 32 : 16, stride = block ? 2 : 1;
        int shortcut = x;
        snprintf(name, sizeof name, "s%d", block);
        if (block)
            shortcut = ctkd__graph_batch_norm(g, conv1(g, x, name, out, stride), "ns");
        snprintf(name, sizeof name, "a%d", block);
        int y = conv3(g, x, name, out, stride);
        snprintf(name, sizeof name, "na%d", block);
        y = ctkd__graph_relu(g, ctkd__graph_batch_norm(g, y, name));
        snprintf(name, sizeof name, "b%d", block);
        y = conv3(g, y, name, out, 1);
        snprintf(name, sizeof name, "nb%d", block);
        y = ctkd__graph_batch_norm(g, y, name);
        x = ctkd__graph_relu(g, ctkd__graph_add(g, y, shortcut));
    }
    return head(g, x);
}

static int build_preactivation(struct ctkd__graph *g)
{
    int x = conv3(g, ctkd__graph_input(g, 3, 6, 6), "stem", 16, 1);
    for (int block = 0; block < 3; block++) {
        char name[8];
        const size_t out = block == 1 ? 32 : block == 2 ? 32 : 16, stride = block == 1 ? 2 : 1;
        snprintf(name, sizeof name, "na%d", block);
        const int a = ctkd__graph_relu(g, ctkd__graph_batch_norm(g, x, name));
        snprintf(name, sizeof name, "s%d", block);
        const int shortcut = block == 1 ? conv1(g, a, name, out, stride) : x;
        snprintf(name, sizeof name, "a%d", block);
        int y = conv3(g, a, name, out, stride);
        snprintf(name, sizeof name, "nb%d", block);
        y = ctkd__graph_relu(g, ctkd__graph_batch_norm(g, y, name));
        snprintf(name, sizeof name, "b%d", block);
        x = ctkd__graph_add(g, conv3(g, y, name, out, 1), shortcut);
    }
    return head(g, ctkd__graph_relu(g, ctkd__graph_batch_norm(g, x, "last")));
}

static int build_pooled(struct ctkd__graph *g)
{
    int x = ctkd__graph_batch_norm(g, ctkd__graph_input(g, 3, 13, 11), "n0"); /* it needs no dx */
    x = ctkd__graph_relu(g, ctkd__graph_batch_norm(g, conv1(g, x, "a", 20, 1), "na"));
    x = ctkd__graph_max_pool(g, x, &(struct ctkd__pool_args){ 2, 2, { 0, 1 }, false });
    x = ctkd__graph_relu(g, conv3(g, x, "b", 16, 1));
    x = ctkd__graph_max_pool(g, x, &(struct ctkd__pool_args){ 3, 2, { 1, 1 }, false });
    const int y = ctkd__graph_subsample(g, x, 36, 2);
    const int z = conv3(g, x, "c", 36, 2);
    x = ctkd__graph_relu(g, ctkd__graph_add(g, z, y));
    x = ctkd__graph_add(g, x, conv3(g, x, "d", 36, 1));
    return head(g, x);
}

struct network {
    const char *name;
    int (*build)(struct ctkd__graph *g);
    double gradient_tolerance;
    double (*slopes[N_MAX + 1])[SLOPES]; /* by batch: found once, they are slow */
};

static struct network networks[] = {
    { "plain", build_plain, 2e-5, { 0 } },
    { "residual", build_residual, 2e-5, { 0 } },
    { "preactivation", build_preactivation, 2e-5, { 0 } },
    { "pooled", build_pooled, 2e-5, { 0 } },
};

struct rig {
    struct engine_rig base;
    struct ctkd__training *training;
    float r[N_MAX * K];
};

static struct rig rig_open(const struct network *network, const struct ctkd__kernels *kernels,
                           size_t threads, const char *conv)
{
    struct rig rig = { 0 };
    struct ctkd__graph *graph;
    ctkd_error err;
    check_ok(ctkd__graph_create(&graph), NULL);
    rig.base = engine_rig_open(graph, network->build(graph), kernels, threads, N_MAX);
    fill_normal(rig.r, N_MAX * K, 4);
    struct ctkd__training_config config = ctkd__engine_training(&rig.base.engine, "test", N_MAX);
    config.conv = conv;
    check_ok(ctkd__training_create(rig.base.graph, rig.base.weights, &config, &rig.training, &err),
             &err);
    return rig;
}

static void rig_close(struct rig *rig)
{
    ctkd__training_destroy(rig->training);
    engine_rig_close(&rig->base);
}

static void check_logits(const struct rig *rig, size_t n, const float *logits, int training,
                         double tolerance)
{
    engine_rig_check_logits(&rig->base, n, K, logits, training, tolerance);
}

/* Some elements of every parameter; the norm over them is compared, so that small ones do not
 * matter. */
static void check_gradient(struct rig *rig, struct network *network, size_t n)
{
    char what[64];
    snprintf(what, sizeof what, "%s, batch %zu", network->name, n);
    if (!network->slopes[n])
        network->slopes[n] = engine_rig_slopes(&rig->base, n, rig->r);
    engine_rig_check_gradients(&rig->base, rig->training, network->slopes[n],
                               network->gradient_tolerance, what);
}

static void check_network(struct network *network, const struct ctkd__kernels *kernels,
                          size_t threads, const char *conv)
{
    struct rig rig = rig_open(network, kernels, threads, conv);
    ctkd_error err;
    float logits[N_MAX * K];
    const size_t sizes[] = { N_MAX, 2, 1 };
    for (size_t i = 0; i < 3; i++) {
        const size_t n = sizes[i];
        check_ok(ctkd__training_forward(rig.training, n, rig.base.x, logits, &err), &err);
        check_logits(&rig, n, logits, 1, 1e-5);
        check_ok(ctkd__training_backward(rig.training, rig.r, &err), &err);
        if (n != 2)
            check_gradient(&rig, network, n);
    }
    rig_close(&rig);
}

static void gradients_of_every_op_match_central_differences(void **state)
{
    (void)state;
    static const char *const convs[] = { "auto", "dnnl", "winograd" };
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        for (size_t isa = 0; ctkd__kernels_list()[isa]; isa++)
            for (size_t conv = 0; conv < 3; conv++)
                for (size_t threads = 1; threads <= 3; threads += 2)
                    check_network(&networks[i], ctkd__kernels_list()[isa], threads, convs[conv]);
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        for (size_t n = 0; n <= N_MAX; n++)
            free(networks[i].slopes[n]);
}

/* Weights in read-only memory: a write to them would end the process. */
static void a_forward_only_program_uses_batch_statistics_and_writes_no_weight(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        struct rig rig = rig_open(&networks[i], ctkd__kernels_list()[0], 2, "auto");
        struct ctkd__training *only;
        ctkd_error err;
        float logits[N_MAX * K];
        struct ctkd__training_config config =
            ctkd__engine_training(&rig.base.engine, "test", N_MAX);
        config.forward_only = true;
        const int64_t batches = rig.base.weights->batches_tracked;
        check_ok(ctkd__weights_protect(rig.base.weights, &err), &err);
        check_ok(ctkd__training_create(rig.base.graph, rig.base.weights, &config, &only, &err),
                 &err);
        for (size_t n = N_MAX; n > 0; n--) {
            check_ok(ctkd__training_forward(only, n, rig.base.x, logits, &err), &err);
            check_logits(&rig, n, logits, 1, 1e-5);
        }
        assert_int_equal(rig.base.weights->batches_tracked, batches);
        assert_true(ctkd__training_bytes(only) < ctkd__training_bytes(rig.training));
        assert_int_equal(ctkd__training_backward(only, rig.r, &err), CTKD_EINVAL);
        assert_non_null(strstr(err.message, "only runs forward"));
        ctkd__training_destroy(only);
        rig_close(&rig);
    }
}

static void inference_matches_running_statistics_in_double(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        for (size_t isa = 0; ctkd__kernels_list()[isa]; isa++)
            for (size_t chunk = 0; chunk <= 3; chunk++) {
                struct rig rig = rig_open(&networks[i], ctkd__kernels_list()[isa], 2, "auto");
                struct ctkd__inference *inference;
                ctkd_error err;
                struct ctkd__inference_config config =
                    ctkd__engine_inference(&rig.base.engine, "test");
                config.chunk = chunk;
                config.conv = chunk == 3 ? "dnnl" : "auto";
                check_ok(ctkd__inference_create(rig.base.graph, &config, &inference, &err), &err);
                check_ok(ctkd__inference_load(inference, rig.base.weights, &err), &err);
                float logits[N_MAX * K];
                for (size_t n = 1; n <= N_MAX; n += 2) {
                    check_ok(ctkd__inference_run(inference, n, rig.base.x, logits, &err), &err);
                    check_logits(&rig, n, logits, 0, 1e-5);
                }
                ctkd__inference_destroy(inference);
                rig_close(&rig);
            }
}

static int build_single_pixel(struct ctkd__graph *g)
{
    const int x = ctkd__graph_relu(
        g, ctkd__graph_batch_norm(g, conv3(g, ctkd__graph_input(g, 3, 2, 2), "a", 16, 2), "na"));
    return head(g, x);
}

/* As PyTorch, which expects more than one value per channel; nothing moves then. */
static void a_batch_norm_over_a_single_value_is_refused_by_name(void **state)
{
    (void)state;
    const struct network network = { .build = build_single_pixel };
    const struct ctkd__kernels *kernels;
    struct ctkd__training *of_one;
    float logits[N_MAX * K];
    ctkd_error err;
    check_ok(ctkd__kernels_select("portable", &kernels, &err), &err);
    struct rig rig = rig_open(&network, kernels, 2, "auto");
    check_ok(ctkd__training_forward(rig.training, 2, rig.base.x, logits, &err), &err);
    const int64_t before = rig.base.weights->batches_tracked;
    const char *const expected = "na: found one image of 1x1, which has no deviation";
    assert_int_equal(ctkd__training_forward(rig.training, 1, rig.base.x, logits, &err),
                     CTKD_ERANGE);
    assert_int_equal(strncmp(err.message, expected, strlen(expected)), 0);
    assert_int_equal(ctkd__training_prepare(rig.training, 1, &err), CTKD_ERANGE);
    assert_true(rig.base.weights->batches_tracked == before);
    const struct ctkd__training_config config = ctkd__engine_training(&rig.base.engine, "test", 1);
    assert_int_equal(
        ctkd__training_create(rig.base.graph, rig.base.weights, &config, &of_one, &err),
        CTKD_ERANGE);
    assert_null(of_one);
    rig_close(&rig);
}

static void running_statistics_move_as_pytorch_moves_them(void **state)
{
    (void)state;
    const struct ctkd__kernels *kernels;
    ctkd_error err;
    check_ok(ctkd__kernels_select("portable", &kernels, &err), &err);
    struct rig rig = rig_open(&networks[0], kernels, 2, "auto");
    float logits[N_MAX * K], *const before = malloc(rig.base.weights->n_buffers * sizeof *before);
    memcpy(before, rig.base.weights->buffers, rig.base.weights->n_buffers * sizeof *before);
    /* "na" normalises conv "a": recompute its batch statistics from the reference's definition. */
    check_ok(ctkd__training_forward(rig.training, N_MAX, rig.base.x, logits, &err), &err);
    assert_int_equal(rig.base.weights->batches_tracked, 1);
    const struct ctkd__node *const node = &rig.base.graph->nodes[2];
    assert_int_equal(node->op, CTKD__OP_BATCH_NORM);
    const struct ctkd__node *const in = &rig.base.graph->nodes[0], *const conv =
                                                                       &rig.base.graph->nodes[1];
    const double *const w = rig.base.reference->parameters[conv->parameters[CTKD__ROLE_WEIGHT]];
    for (size_t c = 0; c < 3; c++) {
        double sum = 0, square = 0;
        const double count = (double)(N_MAX * conv->h * conv->w);
        for (size_t n = 0; n < N_MAX; n++)
            for (size_t y = 0; y < conv->h; y++)
                for (size_t x = 0; x < conv->w; x++) {
                    double v = 0;
                    for (size_t i = 0; i < 3; i++)
                        for (size_t k = 0; k < 9; k++) {
                            const size_t iy = y + k / 3 - 1, ix = x + k % 3 - 1;
                            if (iy < in->h && ix < in->w)
                                v += w[(c * 3 + i) * 9 + k] *
                                     (double)rig.base.x[((n * 3 + i) * in->h + iy) * in->w + ix];
                        }
                    sum += v;
                    square += v * v;
                }
        const double mean = sum / count, variance = (square - count * mean * mean) / (count - 1);
        const size_t m = rig.base.weights->offsets[node->parameters[CTKD__ROLE_MEAN]] + c;
        const size_t v = rig.base.weights->offsets[node->parameters[CTKD__ROLE_VARIANCE]] + c;
        check_close(rig.base.weights->buffers[m], 0.9 * (double)before[m] + 0.1 * mean, 1e-5, 1e-6);
        check_close(rig.base.weights->buffers[v], 0.9 * (double)before[v] + 0.1 * variance, 1e-5,
                    1e-6);
    }
    free(before);
    rig_close(&rig);
}

static void two_runs_give_the_same_bits(void **state)
{
    (void)state;
    for (size_t isa = 0; ctkd__kernels_list()[isa]; isa++) {
        const struct ctkd__kernels *const kernels = ctkd__kernels_list()[isa];
        float *gradients[2], logits[2][N_MAX * K];
        size_t count = 0;
        for (int run = 0; run < 2; run++) {
            struct rig rig = rig_open(&networks[1], kernels, 3, "auto");
            ctkd_error err;
            for (int step = 0; step < 20; step++) {
                check_ok(ctkd__training_forward(rig.training, N_MAX, rig.base.x, logits[run], &err),
                         &err);
                check_ok(ctkd__training_backward(rig.training, rig.r, &err), &err);
            }
            count = rig.base.weights->n_values;
            gradients[run] = malloc(3 * count * sizeof(float));
            for (size_t w = 0; w < 3; w++)
                memcpy(gradients[run] + w * count, ctkd__training_gradient(rig.training, w),
                       count * sizeof(float));
            rig_close(&rig);
        }
        assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
        assert_memory_equal(gradients[0], gradients[1], 3 * count * sizeof(float));
        free(gradients[0]);
        free(gradients[1]);
    }
}

/* What a step and an evaluation leave. */
struct outcome {
    float logits[N_MAX * K], evaluated[N_MAX * K];
    float *gradients, *buffers; /* [threads][n_values], [n_buffers] */
    size_t n_gradients, n_buffers;
};

static struct outcome outcome_of(const struct network *network, const struct ctkd__kernels *kernels,
                                 size_t threads, struct ctkd__batch_images images)
{
    struct rig rig = rig_open(network, kernels, threads, "auto");
    const size_t count = rig.base.weights->n_values, n_buffers = rig.base.weights->n_buffers;
    struct outcome out = { .n_gradients = threads * count, .n_buffers = n_buffers };
    struct ctkd__inference *inference;
    ctkd_error err;
    struct ctkd__inference_config config = ctkd__engine_inference(&rig.base.engine, "test");
    config.chunk = 2;
    check_ok(ctkd__inference_create(rig.base.graph, &config, &inference, &err), &err);
    check_ok(ctkd__inference_load(inference, rig.base.weights, &err), &err);
    check_ok(ctkd__inference_run_images(inference, N_MAX, images, out.evaluated, NULL, &err), &err);
    check_ok(ctkd__training_forward_images(rig.training, N_MAX, images, out.logits, &err), &err);
    check_ok(ctkd__training_backward(rig.training, rig.r, &err), &err);
    out.gradients = malloc(threads * count * sizeof(float));
    out.buffers = malloc((n_buffers + 1) * sizeof(float));
    for (size_t w = 0; w < threads; w++)
        memcpy(out.gradients + w * count, ctkd__training_gradient(rig.training, w),
               count * sizeof(float));
    memcpy(out.buffers, rig.base.weights->buffers, n_buffers * sizeof(float));
    ctkd__inference_destroy(inference);
    rig_close(&rig);
    return out;
}

/* Networks whose first op is a convolution, which reads images as they are, and others. */
static void images_as_bytes_give_the_bits_of_their_values(void **state)
{
    (void)state;
    enum { PIXELS_MAX = N_MAX * 3 * 13 * 11 };
    static uint8_t bytes[PIXELS_MAX];
    static float tables[3][256], values[PIXELS_MAX];
    for (size_t i = 0; i < PIXELS_MAX; i++)
        bytes[i] = (uint8_t)(i * i / 7 + 31 * i);
    fill_normal(tables[0], 3 * 256, 8);
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        for (size_t isa = 0; ctkd__kernels_list()[isa]; isa++)
            for (size_t threads = 1; threads <= 3; threads += 2) {
                const struct ctkd__batch_images images = { NULL, bytes, tables };
                const size_t channels = i == 1 ? 1 : 3, planes[] = { 9 * 7, 8 * 8, 6 * 6, 13 * 11 };
                ctkd__batch_images_write(images, N_MAX, channels, planes[i], values);
                const struct ctkd__kernels *const kernels = ctkd__kernels_list()[isa];
                struct outcome a = outcome_of(&networks[i], kernels, threads, images);
                struct outcome b =
                    outcome_of(&networks[i], kernels, threads, ctkd__batch_images_of(values));
                assert_memory_equal(a.logits, b.logits, sizeof a.logits);
                assert_memory_equal(a.evaluated, b.evaluated, sizeof a.evaluated);
                assert_memory_equal(a.gradients, b.gradients, a.n_gradients * sizeof(float));
                assert_memory_equal(a.buffers, b.buffers, a.n_buffers * sizeof(float));
                free(a.gradients);
                free(a.buffers);
                free(b.gradients);
                free(b.buffers);
            }
}

/* Without the floats of images the arena would be as large: they lie where activations are at other
   times. */
static void values_of_bytes_take_no_memory_of_their_own(void **state)
{
    (void)state;
    static const char *const names[] = { "resnet18", "mobilenet_v2", "vgg11_bn" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct ctkd__model_args args = { 3, 64, 64, K };
        struct ctkd__engine engine = engine_with(NULL, 2);
        struct ctkd__graph *graph;
        struct ctkd__weights *weights;
        struct ctkd__training *training;
        ctkd_error err;
        check_ok(ctkd__model_build(names[i], &args, &graph, &err), &err);
        check_ok(ctkd__weights_create(graph, engine.kernels->block, &weights, &err), &err);
        struct ctkd__training_config config = ctkd__engine_training(&engine, "test", 8);
        check_ok(ctkd__training_create(graph, weights, &config, &training, &err), &err);
        const struct ctkd__lowered *const stem = &training->lowering.ops[0];
        struct ctkd__arena plan = training->lowering.plan;
        const size_t bytes = plan.bytes;
        plan.bytes = 0;
        for (size_t b = 0; b < plan.count; b++)
            plan.buffers[b].offset = SIZE_MAX;
        for (size_t pass = 0; pass < 2; pass++) {
            assert_int_equal(plan.buffers[stem->images[pass]].bytes,
                             4 * 3 * 64 * 64 * sizeof(float));
            plan.buffers[stem->images[pass]].bytes = 0;
        }
        ctkd__arena_plan(&plan);
        assert_int_equal(plan.bytes, bytes);
        ctkd__training_destroy(training);
        ctkd__weights_destroy(weights);
        ctkd__graph_destroy(graph);
        ctkd__engine_close(&engine);
    }
}

static void impossible_batches_are_refused(void **state)
{
    (void)state;
    const struct ctkd__kernels *kernels;
    ctkd_error err;
    check_ok(ctkd__kernels_select("portable", &kernels, &err), &err);
    struct rig rig = rig_open(&networks[0], kernels, 1, "auto");
    float logits[(N_MAX + 1) * K];
    assert_int_equal(ctkd__training_backward(rig.training, rig.r, &err), CTKD_EINVAL);
    assert_int_equal(ctkd__training_forward(rig.training, N_MAX + 1, rig.base.x, logits, &err),
                     CTKD_EINVAL);
    assert_string_equal(err.message, "training: found a batch of 6, expected 1 to 5");
    assert_int_equal(ctkd__training_forward(rig.training, 0, rig.base.x, logits, &err),
                     CTKD_EINVAL);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_every_op_match_central_differences),
        cmocka_unit_test(a_forward_only_program_uses_batch_statistics_and_writes_no_weight),
        cmocka_unit_test(inference_matches_running_statistics_in_double),
        cmocka_unit_test(a_batch_norm_over_a_single_value_is_refused_by_name),
        cmocka_unit_test(running_statistics_move_as_pytorch_moves_them),
        cmocka_unit_test(two_runs_give_the_same_bits),
        cmocka_unit_test(images_as_bytes_give_the_bits_of_their_values),
        cmocka_unit_test(values_of_bytes_take_no_memory_of_their_own),
        cmocka_unit_test(impossible_batches_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
