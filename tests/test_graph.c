#include "support/check.h"

#include "nn/graph.h"

static struct ctkd__graph *graph;

static int start(void **state)
{
    (void)state;
    return ctkd__graph_create(&graph);
}

static int stop(void **state)
{
    (void)state;
    ctkd__graph_destroy(graph);
    graph = NULL;
    return 0;
}

static int conv(int x, const char *name, size_t out, size_t kernel, size_t stride, size_t padding)
{
    const struct ctkd__conv_args args = { .out = out,
                                          .kernel = kernel,
                                          .stride = stride,
                                          .padding = padding,
                                          .bias = true,
                                          .init = CTKD__INIT_NORMAL,
                                          .value = 0.5f,
                                          .bias_init = CTKD__INIT_UNIFORM,
                                          .bias_value = 0.25f };
    return ctkd__graph_conv(graph, x, name, &args);
}

static int linear(int x, size_t out)
{
    return ctkd__graph_linear(graph, x, "fc", out, CTKD__INIT_UNIFORM, 0.1f, CTKD__INIT_CONSTANT,
                              0.0f);
}

static void check_shape(int x, size_t c, size_t h, size_t w)
{
    assert_in_range(x, 0, graph->n_nodes - 1);
    assert_int_equal(graph->nodes[x].c, c);
    assert_int_equal(graph->nodes[x].h, h);
    assert_int_equal(graph->nodes[x].w, w);
}

/* The graph refuses with this status and a message that holds `text`. */
static void check_refused(int logits, ctkd_status status, const char *text)
{
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__graph_finish(graph, logits, &err), status);
    assert_int_equal(err.status, status);
    if (!strstr(err.message, text))
        fail_msg("message \"%s\", expected one with \"%s\"", err.message, text);
}

static void shapes_follow_windows_and_strides(void **state)
{
    (void)state;
    const int x = ctkd__graph_input(graph, 3, 11, 8);
    check_shape(conv(x, "a", 5, 3, 1, 1), 5, 11, 8);
    check_shape(conv(x, "b", 5, 3, 2, 1), 5, 6, 4);
    check_shape(conv(x, "c", 5, 7, 2, 3), 5, 6, 4);
    check_shape(conv(x, "d", 5, 1, 2, 0), 5, 6, 4);
    check_shape(ctkd__graph_subsample(graph, x, 6, 2), 6, 6, 4);
    check_shape(ctkd__graph_max_pool(graph, x, &(struct ctkd__pool_args){ 2, 2, { 0, 0 }, false }),
                3, 5, 4);
    check_shape(ctkd__graph_max_pool(graph, x, &(struct ctkd__pool_args){ 3, 2, { 1, 1 }, false }),
                3, 6, 4);
    check_shape(ctkd__graph_global_pool(graph, x), 3, 1, 1);
    check_shape(ctkd__graph_relu(graph, ctkd__graph_batch_norm(graph, x, "bn")), 3, 11, 8);
    assert_int_equal(graph->status, CTKD_OK);
}

static void parameters_carry_names_shapes_and_initial_values(void **state)
{
    (void)state;
    const int x = ctkd__graph_input(graph, 4, 6, 6);
    const struct ctkd__conv_args grouped = { .out = 6, .kernel = 3, .stride = 1, .groups = 2 };
    const int y = ctkd__graph_conv(graph, x, "block.conv", &grouped);
    const int z = ctkd__graph_batch_norm(graph, y, "block.bn");
    const int logits = linear(ctkd__graph_global_pool(graph, z), 7);
    check_ok(ctkd__graph_finish(graph, logits, NULL), NULL);
    static const char *const names[] = {
        "block.conv.weight",    "block.bn.weight", "block.bn.bias", "block.bn.running_mean",
        "block.bn.running_var", "fc.weight",       "fc.bias"
    };
    assert_int_equal(graph->n_parameters, 7);
    for (int i = 0; i < 7; i++)
        assert_string_equal(graph->parameters[i].name, names[i]);
    const struct ctkd__parameter *const weight = &graph->parameters[0];
    assert_int_equal(weight->rank, 4);
    assert_int_equal(weight->shape[0], 6);
    assert_int_equal(weight->shape[1], 2);
    assert_int_equal(ctkd__parameter_elements(weight), 6 * 2 * 3 * 3);
    assert_true(graph->parameters[4].init == CTKD__INIT_CONSTANT);
    check_close(graph->parameters[4].value, 1, 0, 0);
    assert_int_equal(graph->nodes[z].parameters[CTKD__ROLE_VARIANCE], 4);
    assert_int_equal(ctkd__graph_trainable(graph), 108 + 12 + 42 + 7);
    assert_int_equal(ctkd__graph_macs(graph), 108 * 4 * 4 + 42);
    assert_int_equal(ctkd__graph_state_tensors(graph), 8);
}

static void a_branch_built_early_can_be_listed_last(void **state)
{
    (void)state;
    const int x = ctkd__graph_input(graph, 4, 6, 6);
    const int a = conv(x, "main.conv", 8, 3, 1, 1);
    const int s = conv(x, "short.conv", 8, 1, 1, 0);
    const int t = ctkd__graph_batch_norm(graph, s, "short.bn");
    const int b = ctkd__graph_batch_norm(graph, a, "main.bn");
    ctkd__graph_list_last(graph, s);
    ctkd__graph_list_last(graph, t);
    const int y = ctkd__graph_add(graph, b, t);
    check_ok(ctkd__graph_finish(graph, linear(ctkd__graph_global_pool(graph, y), 2), NULL), NULL);
    static const char *const names[] = { "main.conv.weight",
                                         "main.conv.bias",
                                         "main.bn.weight",
                                         "main.bn.bias",
                                         "main.bn.running_mean",
                                         "main.bn.running_var",
                                         "short.conv.weight",
                                         "short.conv.bias",
                                         "short.bn.weight",
                                         "short.bn.bias",
                                         "short.bn.running_mean",
                                         "short.bn.running_var",
                                         "fc.weight",
                                         "fc.bias" };
    assert_int_equal(graph->n_parameters, 14);
    for (int i = 0; i < 14; i++) {
        const struct ctkd__parameter *const parameter = &graph->parameters[i];
        assert_string_equal(parameter->name, names[i]);
        assert_int_equal(graph->nodes[parameter->node].parameters[parameter->role], i);
    }
}

static void the_first_error_stays(void **state)
{
    (void)state;
    const int x = ctkd__graph_input(graph, 3, 2, 2);
    const int y = conv(x, "stem", 8, 5, 1, 1);
    assert_int_equal(y, -1);
    const int z = ctkd__graph_relu(graph, ctkd__graph_batch_norm(graph, y, "bn"));
    assert_int_equal(z, -1);
    ctkd__graph_tap(graph, "f0", z);
    check_refused(linear(z, 2), CTKD_ESHAPE,
                  "stem: found an input of 2x2 with padding 1 and 1, expected at least 5x5");
}

static void adding_different_shapes_is_refused(void **state)
{
    (void)state;
    const int x = ctkd__graph_input(graph, 3, 8, 8);
    check_refused(ctkd__graph_add(graph, x, conv(x, "a", 4, 3, 1, 1)), CTKD_ESHAPE,
                  "add: input is 3x8x8 and a is 4x8x8");
}

static void a_linear_layer_wants_a_vector(void **state)
{
    (void)state;
    check_refused(linear(ctkd__graph_input(graph, 3, 8, 8), 2), CTKD_ESHAPE,
                  "fc: input input is 3x8x8, expected 3x1x1");
}

static void logits_must_be_linear(void **state)
{
    (void)state;
    check_refused(ctkd__graph_global_pool(graph, ctkd__graph_input(graph, 3, 8, 8)), CTKD_EINVAL,
                  "of kind global_pool, expected linear");
}

static void an_unused_branch_is_refused(void **state)
{
    (void)state;
    const int x = ctkd__graph_input(graph, 3, 8, 8);
    conv(x, "forgotten", 4, 3, 1, 1);
    check_refused(linear(ctkd__graph_global_pool(graph, x), 2), CTKD_EINVAL,
                  "forgotten: found no reader of its output, expected one");
}

static void a_parameter_name_is_used_once(void **state)
{
    (void)state;
    const int x = ctkd__graph_input(graph, 3, 8, 8);
    const int y = conv(conv(x, "fc", 4, 3, 1, 1), "other", 4, 3, 1, 1);
    check_refused(linear(ctkd__graph_global_pool(graph, y), 2), CTKD_EEXIST, "fc.weight");
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    const struct {
        size_t out, kernel, stride, padding;
    } bad[] = {
        { 0, 3, 1, 1 }, { 4, 0, 1, 0 }, { 4, 3, 0, 1 }, { 4, 3, 1, 3 }, { SIZE_MAX, 3, 1, 1 }
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const int x = ctkd__graph_input(graph, 3, 8, 8);
        assert_int_equal(conv(x, "a", bad[i].out, bad[i].kernel, bad[i].stride, bad[i].padding),
                         -1);
        assert_int_not_equal(graph->status, CTKD_OK);
        stop(NULL);
        start(NULL);
    }
    const int x = ctkd__graph_input(graph, 3, 8, 8);
    assert_int_equal(ctkd__graph_subsample(graph, x, 2, 2), -1);
    check_refused(x, CTKD_EINVAL, "subsample: found 3 to 2 channels");
}

static void groups_divide_channels(void **state)
{
    (void)state;
    const int x = ctkd__graph_input(graph, 3, 8, 8);
    const struct ctkd__conv_args args = { .out = 4, .kernel = 1, .stride = 1, .groups = 2 };
    check_refused(ctkd__graph_conv(graph, x, "a", &args), CTKD_ESHAPE, "in 2 groups");
}

static void channel_ops_have_their_shapes(void **state)
{
    (void)state;
    const int x = ctkd__graph_input(graph, 6, 9, 7), y = conv(x, "a", 4, 1, 1, 0);
    check_shape(ctkd__graph_concat(graph, x, y), 10, 9, 7);
    check_shape(ctkd__graph_slice(graph, x, 2, 4), 4, 9, 7);
    check_shape(ctkd__graph_shuffle(graph, x, 3), 6, 9, 7);
    check_shape(ctkd__graph_scale_by(graph, x, y, 3), 6, 9, 7);
    check_shape(ctkd__graph_multiply(graph, x, ctkd__graph_global_pool(graph, x)), 6, 9, 7);
    check_shape(ctkd__graph_activate(graph, x, CTKD__LEAKY_RELU, 0.1f), 6, 9, 7);
    check_shape(
        ctkd__graph_average_pool(graph, x, &(struct ctkd__pool_args){ 3, 2, { 1, 1 }, true }), 6, 5,
        4);
    check_shape(ctkd__graph_pool_to(graph, x, 4, 12), 6, 4, 12);
    check_shape(ctkd__graph_resize(graph, x, 18, 7), 6, 18, 7);
    assert_int_equal(ctkd__graph_pool_to(graph, x, 9, 7), x);
    assert_int_equal(ctkd__graph_resize(graph, x, 9, 7), x);
    assert_int_equal(graph->status, CTKD_OK);
}

static void transposed_convolutions_and_parameters_have_published_shapes(void **state)
{
    (void)state;
    const int x = ctkd__graph_side_input(graph, "teacher", 6, 9, 7);
    const struct ctkd__conv_args args = {
        .out = 4, .kernel = 4, .stride = 2, .padding = 1, .bias = true
    };
    const int up = ctkd__graph_transposed_conv(graph, x, "up", &args);
    check_shape(up, 4, 18, 14);
    const int scale = ctkd__graph_parameter(graph, "log_scale", 5, 2.5f);
    check_shape(scale, 5, 1, 1);
    ctkd__graph_tap(graph, "up", up);
    ctkd__graph_tap(graph, "scale", scale);
    check_ok(ctkd__graph_finish(graph, -1, NULL), NULL);
    static const char *const names[] = { "up.weight", "up.bias", "log_scale" };
    static const size_t shapes[3][4] = { { 6, 4, 4, 4 }, { 4, 1, 1, 1 }, { 5, 1, 1, 1 } };
    assert_int_equal(graph->n_parameters, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(graph->parameters[i].name, names[i]);
        for (int j = 0; j < 4; j++)
            assert_int_equal(graph->parameters[i].shape[j], shapes[i][j]);
    }
    check_close(graph->parameters[2].value, 2.5, 0, 0);
    assert_int_equal(ctkd__graph_macs(graph), 9 * 7 * 6 * 4 * 16);
}

/* Each builds on an input of 6x9x7 and is refused with a message that holds the text. */
static int bad_concat(int x)
{
    return ctkd__graph_concat(graph, x, ctkd__graph_global_pool(graph, x));
}
static int bad_slice(int x)
{
    return ctkd__graph_slice(graph, x, 3, 4);
}
static int empty_slice(int x)
{
    return ctkd__graph_slice(graph, x, 3, 0);
}
static int bad_shuffle(int x)
{
    return ctkd__graph_shuffle(graph, x, 4);
}
static int bad_gate(int x)
{
    return ctkd__graph_scale_by(graph, x, x, 6);
}
static int bad_product(int x)
{
    return ctkd__graph_multiply(graph, x, ctkd__graph_slice(graph, x, 0, 5));
}
static int bad_kind(int x)
{
    return ctkd__graph_activate(graph, x, (enum ctkd__activation)5, 0);
}
static int bad_slope(int x)
{
    return ctkd__graph_activate(graph, x, CTKD__LEAKY_RELU, NAN);
}
static int bad_pool(int x)
{
    return ctkd__graph_pool_to(graph, x, 0, 3);
}
static int bad_window(int x)
{
    return ctkd__graph_average_pool(graph, x, &(struct ctkd__pool_args){ 3, 2, { 3, 3 }, false });
}
static int grouped_transposed(int x)
{
    return ctkd__graph_transposed_conv(
        graph, x, "up",
        &(struct ctkd__conv_args){ .out = 4, .kernel = 4, .stride = 2, .groups = 2 });
}
static int nothing_left(int x)
{
    return ctkd__graph_transposed_conv(
        graph, ctkd__graph_global_pool(graph, x), "up",
        &(struct ctkd__conv_args){ .out = 4, .kernel = 4, .stride = 2, .padding = 3 });
}
static int parameter_within(int x)
{
    return ctkd__graph_multiply(graph, x, ctkd__graph_parameter(graph, "scale", 6, 1));
}
static void feature_ops_name_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        int (*build)(int x);
        ctkd_status status;
        const char *text;
    } bad[] = {
        { bad_concat, CTKD_ESHAPE, "concat: input is 6x9x7 and input.global_pool is 6x1x1" },
        { bad_slice, CTKD_ESHAPE,
          "slice: found 4 channels from channel 3 of input, expected some of its 6 channels" },
        { empty_slice, CTKD_ESHAPE, "slice: found 0 channels from channel 3" },
        { bad_shuffle, CTKD_ESHAPE, "shuffle: found 6 channels of input in 4 groups" },
        { bad_gate, CTKD_ESHAPE, "scale_by: found channel 6 of input, expected a channel below 6" },
        { bad_product, CTKD_ESHAPE, "expected the same shape or 6x1x1" },
        { bad_kind, CTKD_EINVAL, "activate: found kind 5 and slope 0, expected kind 0 to 4" },
        { bad_slope, CTKD_EINVAL, "a finite slope" },
        { bad_pool, CTKD_ESHAPE, "pool_to: found an output of 6x0x3" },
        { bad_window, CTKD_EINVAL, "average_pool: found kernel 3, stride 2, padding 3" },
        { grouped_transposed, CTKD_EINVAL, "up: found kernel 4, stride 2, padding 0, groups 2" },
        { nothing_left, CTKD_ESHAPE, "up: found an output of 4x0x0" },
        { parameter_within, CTKD_EINVAL, "multiply: found the parameter scale as input" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(bad[i].build(ctkd__graph_input(graph, 6, 9, 7)), -1);
        check_refused(-1, bad[i].status, bad[i].text);
        stop(NULL);
        start(NULL);
    }
}

static void a_branch_that_is_a_tap_is_used(void **state)
{
    (void)state;
    const int x = ctkd__graph_input(graph, 3, 8, 8);
    ctkd__graph_tap(graph, "pre1", conv(x, "seen", 4, 3, 1, 1));
    check_ok(ctkd__graph_finish(graph, linear(ctkd__graph_global_pool(graph, x), 2), NULL), NULL);
}

static void a_graph_ends_in_logits_or_taps(void **state)
{
    (void)state;
    (void)ctkd__graph_input(graph, 3, 8, 8);
    check_refused(-1, CTKD_EINVAL, "neither logits nor taps");
}

static void taps_are_found_by_name(void **state)
{
    (void)state;
    const int x = ctkd__graph_input(graph, 3, 8, 8);
    const int y = ctkd__graph_relu(graph, x);
    ctkd__graph_tap(graph, "f0", x);
    ctkd__graph_tap(graph, "f1", y);
    assert_int_equal(ctkd__graph_find_tap(graph, "f1"), y);
    assert_int_equal(ctkd__graph_find_tap(graph, "f2"), -1);
    ctkd__graph_tap(graph, "f1", x);
    check_refused(y, CTKD_EINVAL, "tap f1: found a name that is taken");
}

static void initial_deviations_match_their_formulas(void **state)
{
    (void)state;
    check_close(ctkd__init_he_out(3, 32), 0.083333333333, 1e-6, 0);
    check_close(ctkd__init_default(64), 0.125, 0, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(shapes_follow_windows_and_strides),
        TEST(parameters_carry_names_shapes_and_initial_values),
        TEST(a_branch_built_early_can_be_listed_last),
        TEST(the_first_error_stays),
        TEST(adding_different_shapes_is_refused),
        TEST(a_linear_layer_wants_a_vector),
        TEST(logits_must_be_linear),
        TEST(an_unused_branch_is_refused),
        TEST(a_parameter_name_is_used_once),
        TEST(bad_arguments_are_refused),
        TEST(groups_divide_channels),
        TEST(channel_ops_have_their_shapes),
        TEST(transposed_convolutions_and_parameters_have_published_shapes),
        TEST(feature_ops_name_what_is_wrong),
        TEST(a_branch_that_is_a_tap_is_used),
        TEST(a_graph_ends_in_logits_or_taps),
        TEST(taps_are_found_by_name),
        TEST(initial_deviations_match_their_formulas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
