#include "support/feature_networks.h"
#include "support/check.h"

static int conv(struct network *net, int x, const char *name, size_t out, size_t kernel)
{
    return ctkd__graph_conv(net->graph, x, name,
                            &(struct ctkd__conv_args){ .out = out,
                                                       .kernel = kernel,
                                                       .stride = 1,
                                                       .padding = kernel / 2,
                                                       .bias = kernel == 1,
                                                       .init = CTKD__INIT_UNIFORM,
                                                       .value = 0.4f,
                                                       .bias_init = CTKD__INIT_UNIFORM,
                                                       .bias_value = 0.3f });
}

static int transposed(struct network *net, int x, const char *name, size_t out, size_t kernel,
                      size_t stride, bool bias)
{
    return ctkd__graph_transposed_conv(net->graph, x, name,
                                       &(struct ctkd__conv_args){ .out = out,
                                                                  .kernel = kernel,
                                                                  .stride = stride,
                                                                  .padding = 1,
                                                                  .bias = bias,
                                                                  .init = CTKD__INIT_UNIFORM,
                                                                  .value = 0.4f,
                                                                  .bias_init = CTKD__INIT_UNIFORM,
                                                                  .bias_value = 0.3f });
}

static int linear(struct network *net, int x, const char *name, size_t out)
{
    return ctkd__graph_linear(net->graph, x, name, out, CTKD__INIT_UNIFORM, 0.5f,
                              CTKD__INIT_UNIFORM, 0.5f);
}

static void head(struct network *net, int x)
{
    net->logits = linear(net, ctkd__graph_global_pool(net->graph, x), "fc", 7);
}

static void read(struct network *net, int node)
{
    net->outputs[net->n_outputs++] = node;
    char tap[8] = { 't', (char)('0' + net->n_outputs), 0 };
    ctkd__graph_tap(net->graph, tap, node);
}

/* Chains of maps that become one, that would have three sources, that read a channel twice, that
   are outputs, that others read too. */
static void build_channels(struct network *net)
{
    struct ctkd__graph *const g = net->graph;
    const int x =
        ctkd__graph_batch_norm(g, conv(net, ctkd__graph_input(g, 3, 6, 5), "stem", 11, 3), "n0");
    const int a = conv(net, x, "a", 13, 1);
    const int shuffled = ctkd__graph_shuffle(g, ctkd__graph_concat(g, x, a), 3); /* 24 */
    const int left = ctkd__graph_slice(g, shuffled, 0, 10);
    const int right = conv(net, ctkd__graph_slice(g, shuffled, 10, 14), "b", 14, 3);
    const int three = ctkd__graph_concat(g, ctkd__graph_concat(g, left, right), a); /* 37 */
    const int twice = ctkd__graph_concat(g, left, left);                            /* 20 */
    const int overlap = ctkd__graph_concat(g, ctkd__graph_slice(g, right, 0, 9),
                                           ctkd__graph_slice(g, right, 4, 10));
    const int kept = ctkd__graph_concat(g, twice, overlap); /* 39 */
    const int both = ctkd__graph_concat(g, ctkd__graph_slice(g, kept, 3, 33),
                                        ctkd__graph_relu(g, kept)); /* 72 */
    read(net, kept);
    read(net, three);
    head(net, conv(net, ctkd__graph_concat(g, three, both), "c", 12, 1));
}

/* As ShuffleNet V2 has them, aligned to every block. */
static void build_aligned(struct network *net)
{
    struct ctkd__graph *const g = net->graph;
    int x = conv(net, ctkd__graph_input(g, 3, 5, 4), "stem", 64, 3);
    for (int unit = 0; unit < 3; unit++) {
        const char name[] = { (char)('a' + unit), 0 };
        const int left = ctkd__graph_slice(g, x, 0, 32), right = ctkd__graph_slice(g, x, 32, 32);
        const int sum = ctkd__graph_concat(g, left, conv(net, right, name, 32, 1));
        if (unit == 1)
            read(net, sum);
        x = ctkd__graph_shuffle(g, sum, 2);
    }
    head(net, x);
}

static void build_activations(struct network *net)
{
    struct ctkd__graph *const g = net->graph;
    static const enum ctkd__activation kinds[] = { CTKD__RELU6, CTKD__LEAKY_RELU, CTKD__SIGMOID,
                                                   CTKD__HARD_SIGMOID, CTKD__HARD_SWISH };
    int x = ctkd__graph_input(g, 3, 5, 5);
    for (size_t i = 0; i < 5; i++) {
        const char name[] = { (char)('a' + i), 0 }, norm[] = { 'n', (char)('a' + i), 0 };
        const int y = ctkd__graph_batch_norm(g, conv(net, x, name, 9 + 3 * i, 1), norm);
        /* Wide enough to reach every piece of the functions. */
        const int wide = ctkd__graph_add(g, ctkd__graph_add(g, y, y), ctkd__graph_add(g, y, y));
        x = ctkd__graph_activate(g, wide, kinds[i], 0.1f);
        if (i == 2)
            read(net, x);
    }
    const int squeezed = conv(net, ctkd__graph_global_pool(g, x), "se", 21, 1);
    const int gate = ctkd__graph_activate(g, squeezed, CTKD__HARD_SIGMOID, 0);
    head(net, ctkd__graph_multiply(g, x, gate));
}

static void build_pools(struct network *net)
{
    struct ctkd__graph *const g = net->graph;
    const int x =
        ctkd__graph_batch_norm(g, conv(net, ctkd__graph_input(g, 3, 9, 7), "a", 11, 3), "na");
    const int a = ctkd__graph_average_pool(
        g, x, &(struct ctkd__pool_args){ 3, 2, { 1, 1 }, true }); /* 5 x 4 */
    const int b = ctkd__graph_average_pool(
        g, x, &(struct ctkd__pool_args){ 3, 2, { 1, 1 }, false }); /* 5 x 4 */
    const int c = ctkd__graph_pool_to(g, x, 5, 4);
    const int d = ctkd__graph_resize(g, ctkd__graph_pool_to(g, x, 4, 3), 5, 4); /* upwards */
    const int e = ctkd__graph_resize(g, x, 5, 4);                               /* downwards */
    const int f = ctkd__graph_resize(g, ctkd__graph_pool_to(g, x, 12, 9), 5, 4);
    read(net, ctkd__graph_pool_to(g, x, 1, 1));
    read(net, ctkd__graph_average_pool(g, x, &(struct ctkd__pool_args){ 4, 3, { 0, 2 }, false }));
    int y = ctkd__graph_concat(g, ctkd__graph_concat(g, a, b), ctkd__graph_concat(g, c, d));
    y = ctkd__graph_concat(g, y, ctkd__graph_concat(g, e, f));
    assert_int_equal(ctkd__graph_pool_to(g, y, 5, 4), y);
    assert_int_equal(ctkd__graph_resize(g, y, 5, 4), y);
    head(net, conv(net, y, "b", 13, 1));
}

/* The fusion of ReviewKD (doc/methods.md, "ReviewKD"): two gates over a map of the network and one
   from outside. */
static void build_gates(struct network *net)
{
    struct ctkd__graph *const g = net->graph;
    const int x = conv(net, ctkd__graph_input(g, 3, 6, 5), "a", 21, 3);
    const int deep = ctkd__graph_side_input(g, "deep", 21, 3, 2);
    const int y = ctkd__graph_resize(g, deep, 6, 5);
    const int gates = ctkd__graph_activate(g, conv(net, ctkd__graph_concat(g, x, y), "gate", 19, 1),
                                           CTKD__SIGMOID, 0);
    const int sum = ctkd__graph_add(g, ctkd__graph_scale_by(g, x, gates, 0),
                                    ctkd__graph_scale_by(g, y, gates, 17));
    read(net, sum);
    read(net, ctkd__graph_batch_norm(g, conv(net, sum, "out", 10, 3), "nout"));
    net->no_logits = net->training_only = true;
    head(net, x);
}

static void build_transposed(struct network *net)
{
    struct ctkd__graph *const g = net->graph;
    int x = conv(net, ctkd__graph_input(g, 3, 4, 3), "a", 11, 3);
    const int up = transposed(net, x, "up", 19, 4, 2, true); /* 8 x 6 */
    const int down = ctkd__graph_pool_to(g, up, 4, 3);
    const int same = transposed(net, x, "same", 19, 3, 1, false);
    x = ctkd__graph_concat(g, ctkd__graph_concat(g, down, same), x); /* x has three readers */
    read(net, up);
    head(net, conv(net, x, "b", 9, 1));
}

/* No images and no logits: adaptors alone, with trainable vectors. */
static void build_alone(struct network *net)
{
    struct ctkd__graph *const g = net->graph;
    const int s = ctkd__graph_side_input(g, "student", 10, 4, 5);
    const int t = ctkd__graph_side_input(g, "teacher", 14, 4, 5);
    const int scale = ctkd__graph_parameter(g, "log_scale", 14, 0.7f);
    const int y =
        ctkd__graph_activate(g, conv(net, s, "regressor.0", 14, 1), CTKD__LEAKY_RELU, 0.1f);
    read(net, scale);
    read(net, ctkd__graph_batch_norm(g, ctkd__graph_multiply(g, y, t), "regressor.1"));
    read(net, scale);
    read(net, y);
    read(net, t); /* as it came */
    const int dead = conv(net, s, "dead", 3, 1);
    ctkd__graph_tap(g, "dead", dead);
    net->logits = -1;
    net->no_logits = net->training_only = true;
}

/* A batch norm that is read twice, one with residual and ReLU; a linear layer within; logits read
   twice. */
static void build_read_twice(struct network *net)
{
    struct ctkd__graph *const g = net->graph;
    const int x = conv(net, ctkd__graph_input(g, 3, 6, 5), "a", 12, 3);
    const int first = ctkd__graph_batch_norm(g, x, "na");
    const int plain = ctkd__graph_batch_norm(g, conv(net, first, "b", 12, 3), "nb");
    const int last = ctkd__graph_batch_norm(g, conv(net, plain, "c", 12, 3), "nc");
    const int sum = ctkd__graph_add(g, last, first);
    read(net, sum);
    const int pooled = ctkd__graph_global_pool(g, ctkd__graph_relu(g, sum));
    const int hidden =
        ctkd__graph_activate(g, linear(net, pooled, "hidden", 9), CTKD__HARD_SWISH, 0);
    read(net, hidden);
    net->logits = linear(net, hidden, "fc", 7);
    read(net, ctkd__graph_activate(g, net->logits, CTKD__SIGMOID, 0));
    read(net, net->logits);
}

/* One value as both operands; images that more than convolutions read. */
static void build_same(struct network *net)
{
    struct ctkd__graph *const g = net->graph;
    const int images = ctkd__graph_input(g, 3, 6, 5);
    int x = ctkd__graph_concat(g, conv(net, images, "a", 9, 3), images);
    x = ctkd__graph_batch_norm(g, x, "na");
    x = ctkd__graph_add(g, ctkd__graph_batch_norm(g, x, "nb"), x);
    x = ctkd__graph_add(g, x, x);
    x = ctkd__graph_multiply(g, x, x);
    x = ctkd__graph_scale_by(g, x, x, 10);
    const int y = ctkd__graph_batch_norm(g, conv(net, x, "b", 12, 1), "nc");
    const int sum = ctkd__graph_relu(g, ctkd__graph_add(g, y, x)); /* x is read again below */
    read(net, ctkd__graph_batch_norm(g, images, "ni"));
    read(net, images);
    head(net, ctkd__graph_concat(g, sum, ctkd__graph_slice(g, x, 1, 5)));
}

/* The residual's value is read behind the sum: its gradient exists when the sum's arrives. */
static void build_late_reader(struct network *net)
{
    struct ctkd__graph *const g = net->graph;
    const int x =
        ctkd__graph_batch_norm(g, conv(net, ctkd__graph_input(g, 3, 5, 4), "a", 10, 3), "na");
    const int y = ctkd__graph_batch_norm(g, conv(net, x, "b", 10, 3), "nb");
    const int sum = ctkd__graph_add(g, y, x);
    const int relu = ctkd__graph_relu(g, ctkd__graph_add(g, conv(net, x, "c", 10, 1), x));
    head(net, ctkd__graph_concat(g, sum, relu));
}

const struct feature_network feature_networks[] = {
    { "channels", build_channels },
    { "aligned", build_aligned },
    { "activations", build_activations },
    { "pools", build_pools },
    { "gates", build_gates },
    { "transposed", build_transposed },
    { "alone", build_alone },
    { "read twice", build_read_twice },
    { "same", build_same },
    { "late_reader", build_late_reader },
    { NULL, NULL },
};
