#include "support/check.h"

#include <stdio.h>

#include "nn/models/models.h"

/* Published sizes at 100 classes and 32x32x3, or 1000 classes and 224x224x3: parameters, 10^6
   multiply-adds, tensors of the state dict. */
static const struct expected {
    const char *name;
    size_t parameters;
    double megamacs;
    size_t tensors;
} expected[] = {
    { "resnet8", 83892, 12.51, 56 },
    { "resnet14", 181108, 26.66, 92 },
    { "resnet20", 278324, 40.82, 128 },
    { "resnet32", 472756, 69.13, 200 },
    { "resnet44", 667188, 97.44, 272 },
    { "resnet56", 861620, 125.75, 344 },
    { "resnet110", 1736564, 253.16, 668 },
    { "resnet8x4", 1233540, 177.07, 62 },
    { "resnet32x4", 7433860, 1083.04, 206 },
    { "resnet8x4_double", 4875428, 706.46, 62 },
    { "resnet20a", 275572, 40.56, 116 },
    { "resnet32a", 470004, 68.87, 188 },
    { "resnet44a", 664436, 97.18, 260 },
    { "resnet56a", 858868, 125.49, 332 },
    { "resnet110a", 1733812, 252.89, 656 },
    { "wrn_16_1", 180916, 26.66, 82 },
    { "wrn_16_2", 703284, 101.12, 83 },
    { "wrn_40_1", 569780, 83.29, 226 },
    { "wrn_40_2", 2255156, 327.61, 227 },
    { "vgg8", 3965028, 96.19, 37 },
    { "vgg11", 9277284, 209.44, 58 },
    { "vgg13", 9462180, 284.94, 72 },
    { "vgg16", 14774436, 398.18, 93 },
    { "vgg19", 20086692, 511.43, 114 },
    { "ResNet18", 11220132, 555.47, 122 },
    { "ResNet50", 23705252, 1298.01, 320 },
    { "MobileNetV2", 812836, 6.52, 320 },
    { "ShuffleV1", 949258, 38.69, 296 },
    { "ShuffleV2", 1355528, 44.50, 338 },
    { "resnet18", 11689512, 1814.07, 122 },
    { "resnet34", 21797672, 3663.76, 218 },
    { "resnet50", 25557032, 4089.18, 320 },
    { "resnet101", 44549160, 7801.41, 626 },
    { "resnet152", 60192808, 11513.63, 932 },
    { "wide_resnet50_2", 68883240, 11398.02, 320 },
    { "resnext50_32x4d", 25028904, 4230.48, 320 },
    { "MobileNetV1", 4231976, 568.74, 164 },
    { "mobilenet_v2", 3504872, 300.77, 314 },
    { "vgg11_bn", 132868840, 7609.09, 62 },
    { "vgg13_bn", 133053736, 11308.47, 76 },
    { "shufflenet_v2_x0_5", 1366792, 40.48, 338 },
    { "shufflenet_v2_x1_0", 2278604, 144.91, 338 },
    { "shufflenet_v2_x1_5", 3503624, 295.76, 338 },
    { "shufflenet_v2_x2_0", 7393996, 583.25, 338 },
};

static struct ctkd__graph *build_args(const char *name, const struct ctkd__model_args *args)
{
    struct ctkd__graph *graph;
    ctkd_error err = { 0 };
    check_ok(ctkd__model_build(name, args, &graph, &err), &err);
    return graph;
}

static struct ctkd__graph *build(const char *name, size_t channels, size_t side, size_t classes)
{
    return build_args(name, &(struct ctkd__model_args){ channels, side, side, classes });
}

static void each_network_has_its_published_size(void **state)
{
    (void)state;
    size_t found = 0;
    for (size_t f = 0; ctkd__model_families()[f]; f++)
        for (const struct ctkd__model *model = ctkd__model_families()[f]->models; model->name;
             model++, found++) {
            const struct expected *row = expected;
            while (row < expected + sizeof expected / sizeof expected[0] &&
                   strcmp(row->name, model->name) != 0)
                row++;
            if (row == expected + sizeof expected / sizeof expected[0])
                fail_msg("%s: no expected size", model->name);
            const struct ctkd__model_args args = ctkd__model_published(ctkd__model_families()[f]);
            struct ctkd__graph *const graph = build_args(model->name, &args);
            const size_t parameters = ctkd__graph_trainable(graph);
            const size_t tensors = ctkd__graph_state_tensors(graph);
            const double megamacs = (double)ctkd__graph_macs(graph) / 1e6;
            if (parameters != row->parameters || tensors != row->tensors ||
                !(fabs(megamacs - row->megamacs) <= 0.005))
                fail_msg("%s: %zu parameters, %.3f M, %zu tensors; expected %zu, %.2f M, %zu",
                         model->name, parameters, megamacs, tensors, row->parameters, row->megamacs,
                         row->tensors);
            ctkd__graph_destroy(graph);
        }
    assert_int_equal(found, sizeof expected / sizeof expected[0]);
}

static void classes_and_channels_change_only_the_ends(void **state)
{
    (void)state;
    static const size_t classes[] = { 2, 10, 100, 1000 };
    for (size_t f = 0; ctkd__model_families()[f]; f++)
        for (const struct ctkd__model *model = ctkd__model_families()[f]->models; model->name;
             model++) {
            const size_t side = ctkd__model_families()[f]->side;
            struct ctkd__graph *const base = build(model->name, 3, side, 100);
            const size_t features = base->nodes[base->nodes[base->output].inputs[0]].c;
            const size_t *const stem = base->parameters[0].shape;
            for (size_t i = 0; i < 4; i++) {
                struct ctkd__graph *const graph = build(model->name, 1, side - 4, classes[i]);
                assert_int_equal(graph->nodes[graph->output].c, classes[i]);
                assert_int_equal(graph->n_parameters, base->n_parameters);
                assert_int_equal(ctkd__graph_trainable(graph) + 2 * stem[0] * stem[2] * stem[3] +
                                     100 * (features + 1),
                                 ctkd__graph_trainable(base) + classes[i] * (features + 1));
                ctkd__graph_destroy(graph);
            }
            ctkd__graph_destroy(base);
        }
}

/* Every parameter of a network in order; batch norms are written bn1.* as in their documentation.
 */
static void check_keys(const char *network, const char *const *keys)
{
    struct ctkd__graph *const graph = build(network, 3, 32, 10);
    static const char *const norm[] = { "weight", "bias", "running_mean", "running_var" };
    int i = 0;
    for (size_t k = 0; keys[k]; k++) {
        const size_t length = strlen(keys[k]);
        const bool many = keys[k][length - 1] == '*';
        for (size_t part = 0; part < (many ? 4 : 1); part++, i++) {
            char name[128];
            snprintf(name, sizeof name, "%.*s%s", (int)(many ? length - 1 : length), keys[k],
                     many ? norm[part] : "");
            assert_in_range(i, 0, graph->n_parameters - 1);
            assert_string_equal(graph->parameters[i].name, name);
        }
    }
    assert_int_equal(i, graph->n_parameters);
    ctkd__graph_destroy(graph);
}

static void names_are_in_the_published_order(void **state)
{
    (void)state;
    static const char *const resnet8[] = { "conv1.weight",
                                           "bn1.*",
                                           "layer1.0.conv1.weight",
                                           "layer1.0.bn1.*",
                                           "layer1.0.conv2.weight",
                                           "layer1.0.bn2.*",
                                           "layer2.0.conv1.weight",
                                           "layer2.0.bn1.*",
                                           "layer2.0.conv2.weight",
                                           "layer2.0.bn2.*",
                                           "layer2.0.downsample.0.weight",
                                           "layer2.0.downsample.1.*",
                                           "layer3.0.conv1.weight",
                                           "layer3.0.bn1.*",
                                           "layer3.0.conv2.weight",
                                           "layer3.0.bn2.*",
                                           "layer3.0.downsample.0.weight",
                                           "layer3.0.downsample.1.*",
                                           "fc.weight",
                                           "fc.bias",
                                           NULL };
    static const char *const vgg11[] = { "block0.0.weight",   "block0.0.bias",   "block0.1.*",
                                         "block1.0.weight",   "block1.0.bias",   "block1.1.*",
                                         "block2.0.weight",   "block2.0.bias",   "block2.1.*",
                                         "block2.3.weight",   "block2.3.bias",   "block2.4.*",
                                         "block3.0.weight",   "block3.0.bias",   "block3.1.*",
                                         "block3.3.weight",   "block3.3.bias",   "block3.4.*",
                                         "block4.0.weight",   "block4.0.bias",   "block4.1.*",
                                         "block4.3.weight",   "block4.3.bias",   "block4.4.*",
                                         "classifier.weight", "classifier.bias", NULL };
    static const char *const wrn_16_1[] = { "conv1.weight",
                                            "block1.layer.0.bn1.*",
                                            "block1.layer.0.conv1.weight",
                                            "block1.layer.0.bn2.*",
                                            "block1.layer.0.conv2.weight",
                                            "block1.layer.1.bn1.*",
                                            "block1.layer.1.conv1.weight",
                                            "block1.layer.1.bn2.*",
                                            "block1.layer.1.conv2.weight",
                                            "block2.layer.0.bn1.*",
                                            "block2.layer.0.conv1.weight",
                                            "block2.layer.0.bn2.*",
                                            "block2.layer.0.conv2.weight",
                                            "block2.layer.0.convShortcut.weight",
                                            "block2.layer.1.bn1.*",
                                            "block2.layer.1.conv1.weight",
                                            "block2.layer.1.bn2.*",
                                            "block2.layer.1.conv2.weight",
                                            "block3.layer.0.bn1.*",
                                            "block3.layer.0.conv1.weight",
                                            "block3.layer.0.bn2.*",
                                            "block3.layer.0.conv2.weight",
                                            "block3.layer.0.convShortcut.weight",
                                            "block3.layer.1.bn1.*",
                                            "block3.layer.1.conv1.weight",
                                            "block3.layer.1.bn2.*",
                                            "block3.layer.1.conv2.weight",
                                            "bn1.*",
                                            "fc.weight",
                                            "fc.bias",
                                            NULL };
    check_keys("resnet8", resnet8);
    check_keys("vgg11", vgg11);
    check_keys("wrn_16_1", wrn_16_1);
}

/* Keys in their order, others between them. */
static void check_some_keys(const char *network, const char *const *keys)
{
    struct ctkd__graph *const graph = build(network, 3, 32, 10);
    int i = 0;
    for (size_t k = 0; keys[k]; k++, i++) {
        while (i < graph->n_parameters && strcmp(graph->parameters[i].name, keys[k]) != 0)
            i++;
        if (i == graph->n_parameters)
            fail_msg("%s: %s is missing or too early", network, keys[k]);
    }
    assert_int_equal(i, graph->n_parameters); /* the last is the last */
    ctkd__graph_destroy(graph);
}

static const struct {
    const char *network;
    const char *const *keys; /* some, in their order */
} published_names[] = {
    { "ResNet18",
      (const char *const[]){ "conv1.weight", "bn1.running_var", "layer1.0.conv1.weight",
                             "layer1.0.bn2.running_var", "layer1.1.conv1.weight",
                             "layer2.0.bn2.running_var", "layer2.0.shortcut.0.weight",
                             "layer2.0.shortcut.1.running_var", "layer2.1.conv1.weight",
                             "layer4.1.bn2.running_var", "linear.weight", "linear.bias", NULL } },
    { "ResNet50",
      (const char *const[]){ "conv1.weight", "bn1.running_var", "layer1.0.conv1.weight",
                             "layer1.0.bn1.weight", "layer1.0.conv2.weight", "layer1.0.bn2.weight",
                             "layer1.0.conv3.weight", "layer1.0.bn3.running_var",
                             "layer1.0.shortcut.0.weight", "layer1.0.shortcut.1.running_var",
                             "layer1.1.conv1.weight", "layer3.5.bn3.bias",
                             "layer4.2.bn3.running_var", "linear.weight", "linear.bias", NULL } },
    { "resnet34",
      (const char *const[]){
          "conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer1.0.bn2.running_var",
          "layer1.1.conv1.weight", "layer2.0.bn2.running_var", "layer2.0.downsample.0.weight",
          "layer2.0.downsample.1.running_var", "layer2.1.conv1.weight", "layer3.5.bn2.bias",
          "layer4.2.bn2.running_var", "fc.weight", "fc.bias", NULL } },
    { "resnext50_32x4d",
      (const char *const[]){ "conv1.weight", "bn1.running_var", "layer1.0.conv1.weight",
                             "layer1.0.bn1.weight", "layer1.0.conv2.weight", "layer1.0.bn2.weight",
                             "layer1.0.conv3.weight", "layer1.0.bn3.running_var",
                             "layer1.0.downsample.0.weight", "layer1.0.downsample.1.running_var",
                             "layer1.1.conv1.weight", "layer3.5.bn3.bias",
                             "layer4.2.bn3.running_var", "fc.weight", "fc.bias", NULL } },
    { "MobileNetV1",
      (const char *const[]){ "model.0.0.weight", "model.0.1.running_var", "model.1.0.weight",
                             "model.1.1.weight", "model.1.3.weight", "model.1.4.running_var",
                             "model.2.0.weight", "model.13.4.running_var", "fc.weight", "fc.bias",
                             NULL } },
    { "mobilenet_v2",
      (const char *const[]){
          "features.0.0.weight", "features.0.1.running_var", "features.1.conv.0.0.weight",
          "features.1.conv.0.1.bias", "features.1.conv.1.weight", "features.1.conv.2.running_var",
          "features.2.conv.0.0.weight", "features.2.conv.1.0.weight", "features.2.conv.1.1.weight",
          "features.2.conv.2.weight", "features.2.conv.3.running_var", "features.17.conv.3.bias",
          "features.18.0.weight", "features.18.1.running_var", "classifier.1.weight",
          "classifier.1.bias", NULL } },
    { "vgg11_bn",
      (const char *const[]){ "features.0.weight", "features.0.bias", "features.1.running_var",
                             "features.4.weight", "features.5.weight", "features.8.weight",
                             "features.11.bias", "features.12.running_var", "features.15.weight",
                             "features.25.weight", "features.26.running_var", "classifier.0.weight",
                             "classifier.0.bias", "classifier.3.weight", "classifier.6.weight",
                             "classifier.6.bias", NULL } },
    { "vgg13_bn",
      (const char *const[]){ "features.0.weight", "features.3.weight", "features.7.weight",
                             "features.31.bias", "features.32.running_var", "classifier.0.weight",
                             "classifier.6.bias", NULL } },
    { "shufflenet_v2_x1_0", (const char *const[]){ "conv1.0.weight",
                                                   "conv1.1.running_var",
                                                   "stage2.0.branch1.0.weight",
                                                   "stage2.0.branch1.1.running_var",
                                                   "stage2.0.branch1.2.weight",
                                                   "stage2.0.branch1.3.running_var",
                                                   "stage2.0.branch2.0.weight",
                                                   "stage2.0.branch2.1.weight",
                                                   "stage2.0.branch2.3.weight",
                                                   "stage2.0.branch2.4.weight",
                                                   "stage2.0.branch2.5.weight",
                                                   "stage2.0.branch2.6.running_var",
                                                   "stage2.1.branch2.0.weight",
                                                   "stage3.7.branch2.6.bias",
                                                   "stage4.3.branch2.6.running_var",
                                                   "conv5.0.weight",
                                                   "conv5.1.running_var",
                                                   "fc.weight",
                                                   "fc.bias",
                                                   NULL } },
    { "MobileNetV2",
      (const char *const[]){
          "conv1.0.weight", "conv1.1.running_var", "blocks.0.0.conv.0.weight",
          "blocks.0.0.conv.1.weight", "blocks.0.0.conv.3.weight", "blocks.0.0.conv.4.bias",
          "blocks.0.0.conv.6.weight", "blocks.0.0.conv.7.running_mean", "blocks.1.0.conv.0.weight",
          "blocks.1.1.conv.7.running_var", "blocks.3.3.conv.0.weight",
          "blocks.6.0.conv.7.running_var", "conv2.0.weight", "conv2.1.running_var",
          "classifier.0.weight", "classifier.0.bias", NULL } },
    { "ShuffleV1",
      (const char *const[]){ "conv1.weight", "bn1.running_var", "layer1.0.conv1.weight",
                             "layer1.0.bn1.weight", "layer1.0.conv2.weight", "layer1.0.bn2.weight",
                             "layer1.0.conv3.weight", "layer1.0.bn3.running_var",
                             "layer1.1.conv1.weight", "layer2.7.bn3.bias",
                             "layer3.3.bn3.running_var", "linear.weight", "linear.bias", NULL } },
    { "ShuffleV2", (const char *const[]){ "conv1.weight",
                                          "bn1.running_var",
                                          "layer1.0.conv1.weight",
                                          "layer1.0.bn1.weight",
                                          "layer1.0.conv2.weight",
                                          "layer1.0.bn2.weight",
                                          "layer1.0.conv3.weight",
                                          "layer1.0.bn3.weight",
                                          "layer1.0.conv4.weight",
                                          "layer1.0.bn4.weight",
                                          "layer1.0.conv5.weight",
                                          "layer1.0.bn5.running_var",
                                          "layer1.1.conv1.weight",
                                          "layer2.7.bn3.bias",
                                          "layer3.3.bn3.running_var",
                                          "conv2.weight",
                                          "bn2.running_var",
                                          "linear.weight",
                                          "linear.bias",
                                          NULL } },
};

static void names_of_large_networks_are_in_the_published_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof published_names / sizeof *published_names; i++)
        check_some_keys(published_names[i].network, published_names[i].keys);
}

static bool has_parameter(const char *network, const char *name)
{
    struct ctkd__graph *const graph = build(network, 3, 32, 10);
    bool found = false;
    for (int i = 0; i < graph->n_parameters; i++)
        found = found || strcmp(graph->parameters[i].name, name) == 0;
    ctkd__graph_destroy(graph);
    return found;
}

static void shortcuts_have_parameters_only_where_the_shape_changes(void **state)
{
    (void)state;
    assert_true(has_parameter("resnet8x4", "layer1.0.downsample.0.weight"));
    assert_false(has_parameter("resnet20", "layer1.0.downsample.0.weight"));
    assert_false(has_parameter("resnet20", "layer2.1.downsample.0.weight"));
    assert_true(has_parameter("wrn_16_2", "block1.layer.0.convShortcut.weight"));
    assert_false(has_parameter("resnet20a", "layer2.0.downsample.0.weight"));
    assert_true(has_parameter("resnet20a", "layer3.2.bn2.running_var"));
    assert_true(has_parameter("resnet20a", "linear.weight"));
}

struct tap {
    const char *name;
    size_t c, side;
    enum ctkd__op op;
};

static void check_taps(const char *network, size_t side, const struct tap *taps, size_t count)
{
    struct ctkd__graph *const graph = build(network, 3, side, 100);
    assert_int_equal(graph->n_taps, count);
    for (size_t i = 0; i < count; i++) {
        const int node = ctkd__graph_find_tap(graph, taps[i].name);
        assert_in_range(node, 0, graph->n_nodes - 1);
        assert_int_equal(graph->nodes[node].c, taps[i].c);
        assert_int_equal(graph->nodes[node].h, taps[i].side);
        assert_int_equal(graph->nodes[node].w, taps[i].side);
        assert_string_equal(ctkd__op_text(graph->nodes[node].op), ctkd__op_text(taps[i].op));
    }
    ctkd__graph_destroy(graph);
}

static void taps_have_their_published_shapes(void **state)
{
    (void)state;
    const struct tap resnet[] = {
        { "f0", 16, 32, CTKD__OP_RELU },       { "f1", 16, 32, CTKD__OP_RELU },
        { "f2", 32, 16, CTKD__OP_RELU },       { "f3", 64, 8, CTKD__OP_RELU },
        { "f4", 64, 1, CTKD__OP_GLOBAL_POOL }, { "pre1", 16, 32, CTKD__OP_ADD },
        { "pre2", 32, 16, CTKD__OP_ADD },      { "pre3", 64, 8, CTKD__OP_ADD },
    };
    check_taps("resnet56", 32, resnet, 8);
    check_taps("resnet110a", 32, resnet, 8);
    const struct tap wrn[] = {
        { "f0", 16, 32, CTKD__OP_CONV },         { "f1", 32, 32, CTKD__OP_ADD },
        { "f2", 64, 16, CTKD__OP_ADD },          { "f3", 128, 8, CTKD__OP_ADD },
        { "f4", 128, 1, CTKD__OP_GLOBAL_POOL },  { "pre1", 32, 32, CTKD__OP_BATCH_NORM },
        { "pre2", 64, 16, CTKD__OP_BATCH_NORM }, { "pre3", 128, 8, CTKD__OP_BATCH_NORM },
    };
    check_taps("wrn_40_2", 32, wrn, 8);
    struct tap vgg[] = {
        { "f0", 64, 32, CTKD__OP_RELU },          { "f1", 128, 16, CTKD__OP_RELU },
        { "f2", 256, 8, CTKD__OP_RELU },          { "f3", 512, 4, CTKD__OP_RELU },
        { "f4", 512, 4, CTKD__OP_RELU },          { "f5", 512, 1, CTKD__OP_GLOBAL_POOL },
        { "pre1", 128, 16, CTKD__OP_BATCH_NORM }, { "pre2", 256, 8, CTKD__OP_BATCH_NORM },
        { "pre3", 512, 4, CTKD__OP_BATCH_NORM },  { "pre4", 512, 4, CTKD__OP_BATCH_NORM },
    };
    check_taps("vgg13", 32, vgg, 10);
    for (size_t i = 0; i < 10; i++) /* at 64x64 the fourth block is pooled too */
        if (vgg[i].side > 1 && strcmp(vgg[i].name, "f4") != 0 && strcmp(vgg[i].name, "pre4") != 0)
            vgg[i].side *= 2;
    check_taps("vgg13", 64, vgg, 10);
}

static void taps_of_large_networks_have_their_published_shapes(void **state)
{
    (void)state;
    struct tap resnet[] = {
        { "f0", 64, 32, CTKD__OP_RELU },   { "f1", 256, 32, CTKD__OP_RELU },
        { "f2", 512, 16, CTKD__OP_RELU },  { "f3", 1024, 8, CTKD__OP_RELU },
        { "f4", 2048, 4, CTKD__OP_RELU },  { "pre1", 256, 32, CTKD__OP_ADD },
        { "pre2", 512, 16, CTKD__OP_ADD }, { "pre3", 1024, 8, CTKD__OP_ADD },
        { "pre4", 2048, 4, CTKD__OP_ADD }, { "f5", 2048, 1, CTKD__OP_GLOBAL_POOL },
    };
    check_taps("ResNet50", 32, resnet, 10);
    for (size_t i = 1; i < 10; i++)
        resnet[i].c /= 4;
    check_taps("ResNet18", 32, resnet, 10);
    struct tap photographs[] = {
        { "f0", 64, 56, CTKD__OP_MAX_POOL }, { "f1", 64, 56, CTKD__OP_RELU },
        { "f2", 128, 28, CTKD__OP_RELU },    { "f3", 256, 14, CTKD__OP_RELU },
        { "f4", 512, 7, CTKD__OP_RELU },     { "pre1", 64, 56, CTKD__OP_ADD },
        { "pre2", 128, 28, CTKD__OP_ADD },   { "pre3", 256, 14, CTKD__OP_ADD },
        { "pre4", 512, 7, CTKD__OP_ADD },    { "f5", 512, 1, CTKD__OP_GLOBAL_POOL },
    };
    check_taps("resnet34", 224, photographs, 10);
    for (size_t i = 1; i < 10; i++)
        photographs[i].c *= 4;
    check_taps("resnext50_32x4d", 224, photographs, 10);
    const struct tap mobilenet[] = {
        { "f0", 16, 16, CTKD__OP_RELU },         { "f1", 12, 16, CTKD__OP_ADD },
        { "f2", 16, 8, CTKD__OP_ADD },           { "f3", 48, 4, CTKD__OP_ADD },
        { "f4", 160, 2, CTKD__OP_BATCH_NORM },   { "pre1", 12, 16, CTKD__OP_ADD },
        { "pre2", 16, 8, CTKD__OP_ADD },         { "pre3", 48, 4, CTKD__OP_ADD },
        { "pre4", 160, 2, CTKD__OP_BATCH_NORM }, { "f5", 1280, 1, CTKD__OP_GLOBAL_POOL },
    };
    check_taps("MobileNetV2", 32, mobilenet, 10);
    const struct tap shuffle_v1[] = {
        { "f0", 24, 32, CTKD__OP_RELU },   { "f1", 240, 16, CTKD__OP_RELU },
        { "f2", 480, 8, CTKD__OP_RELU },   { "f3", 960, 4, CTKD__OP_RELU },
        { "pre1", 240, 16, CTKD__OP_ADD }, { "pre2", 480, 8, CTKD__OP_ADD },
        { "pre3", 960, 4, CTKD__OP_ADD },  { "f4", 960, 1, CTKD__OP_GLOBAL_POOL },
    };
    check_taps("ShuffleV1", 32, shuffle_v1, 8);
    const struct tap shuffle_v2[] = {
        { "f0", 24, 32, CTKD__OP_RELU },      { "f1", 116, 16, CTKD__OP_SHUFFLE },
        { "f2", 232, 8, CTKD__OP_SHUFFLE },   { "f3", 464, 4, CTKD__OP_SHUFFLE },
        { "pre1", 116, 16, CTKD__OP_CONCAT }, { "pre2", 232, 8, CTKD__OP_CONCAT },
        { "pre3", 464, 4, CTKD__OP_CONCAT },  { "f4", 1024, 1, CTKD__OP_GLOBAL_POOL },
    };
    check_taps("ShuffleV2", 32, shuffle_v2, 8);
    const struct tap mobilenet_v1[] = {
        { "f0", 32, 112, CTKD__OP_RELU },         { "f1", 128, 56, CTKD__OP_RELU },
        { "f2", 256, 28, CTKD__OP_RELU },         { "f3", 512, 14, CTKD__OP_RELU },
        { "f4", 1024, 7, CTKD__OP_RELU },         { "pre1", 128, 56, CTKD__OP_BATCH_NORM },
        { "pre2", 256, 28, CTKD__OP_BATCH_NORM }, { "pre3", 512, 14, CTKD__OP_BATCH_NORM },
        { "pre4", 1024, 7, CTKD__OP_BATCH_NORM }, { "f5", 1024, 1, CTKD__OP_GLOBAL_POOL },
    };
    check_taps("MobileNetV1", 224, mobilenet_v1, 10);
    const struct tap mobilenet_v2[] = {
        { "f0", 32, 112, CTKD__OP_ACTIVATE },    { "f1", 24, 56, CTKD__OP_ADD },
        { "f2", 32, 28, CTKD__OP_ADD },          { "f3", 96, 14, CTKD__OP_ADD },
        { "f4", 320, 7, CTKD__OP_BATCH_NORM },   { "pre1", 24, 56, CTKD__OP_ADD },
        { "pre2", 32, 28, CTKD__OP_ADD },        { "pre3", 96, 14, CTKD__OP_ADD },
        { "pre4", 320, 7, CTKD__OP_BATCH_NORM }, { "f5", 1280, 1, CTKD__OP_GLOBAL_POOL },
    };
    check_taps("mobilenet_v2", 224, mobilenet_v2, 10);
    const struct tap vgg11[] = {
        { "f0", 64, 224, CTKD__OP_RELU },    { "f1", 64, 112, CTKD__OP_MAX_POOL },
        { "f2", 128, 112, CTKD__OP_RELU },   { "f3", 256, 56, CTKD__OP_RELU },
        { "f4", 512, 7, CTKD__OP_MAX_POOL }, { "f5", 25088, 1, CTKD__OP_FLATTEN },
    };
    check_taps("vgg11_bn", 224, vgg11, 6);
    const struct tap vgg13[] = {
        { "f0", 64, 224, CTKD__OP_RELU },   { "f1", 64, 224, CTKD__OP_RELU },
        { "f2", 128, 112, CTKD__OP_RELU },  { "f3", 128, 112, CTKD__OP_RELU },
        { "f4", 512, 7, CTKD__OP_POOL_TO }, { "f5", 25088, 1, CTKD__OP_FLATTEN },
    };
    struct tap vgg13_64[6];
    for (size_t i = 0; i < 6; i++) {
        vgg13_64[i] = vgg13[i];
        if (i < 4)
            vgg13_64[i].side = vgg13[i].side * 64 / 224;
    }
    check_taps("vgg13_bn", 64, vgg13_64, 6);
    const struct tap shufflenet[] = {
        { "f0", 24, 56, CTKD__OP_MAX_POOL },     { "f1", 116, 28, CTKD__OP_SHUFFLE },
        { "f2", 232, 14, CTKD__OP_SHUFFLE },     { "f3", 464, 7, CTKD__OP_SHUFFLE },
        { "f4", 1024, 1, CTKD__OP_GLOBAL_POOL },
    };
    check_taps("shufflenet_v2_x1_0", 224, shufflenet, 5);
}

/* Batch norm, sum and ReLU are neighbours in node order, and every input of a node comes before it:
   what the compilers of the engine fuse. */
static void sums_follow_their_main_branch_at_once(void **state)
{
    (void)state;
    for (size_t f = 0; ctkd__model_families()[f]; f++) {
        struct ctkd__graph *const graph = build(ctkd__model_families()[f]->models->name, 3, 32, 10);
        for (int i = 1; i < graph->n_nodes; i++) {
            const struct ctkd__node *const node = &graph->nodes[i];
            assert_in_range(node->inputs[0], 0, i - 1);
            if (node->op == CTKD__OP_ADD || node->op == CTKD__OP_RELU)
                assert_int_equal(node->inputs[0], i - 1);
            if (node->op == CTKD__OP_ADD)
                assert_in_range(node->inputs[1], 0, i - 2);
        }
        ctkd__graph_destroy(graph);
    }
}

static const struct ctkd__parameter *find(const struct ctkd__graph *graph, const char *name)
{
    for (int i = 0; i < graph->n_parameters; i++)
        if (strcmp(graph->parameters[i].name, name) == 0)
            return &graph->parameters[i];
    fail_msg("%s: no such parameter", name);
    return NULL;
}

static void initial_values_are_the_published_ones(void **state)
{
    (void)state;
    static const struct {
        const char *network, *parameter;
        enum ctkd__init init;
        double value;
    } rows[] = {
        { "resnet20", "layer2.0.conv1.weight", CTKD__INIT_NORMAL, 0.083333333 },
        { "resnet20", "layer2.0.downsample.0.weight", CTKD__INIT_NORMAL, 0.25 },
        { "resnet20", "fc.weight", CTKD__INIT_UNIFORM, 0.125 },
        { "resnet20", "fc.bias", CTKD__INIT_UNIFORM, 0.125 },
        { "resnet20a", "layer2.0.conv1.weight", CTKD__INIT_NORMAL, 0.117851130 },
        { "resnet20a", "linear.weight", CTKD__INIT_NORMAL, 0.176776695 },
        { "resnet20a", "linear.bias", CTKD__INIT_UNIFORM, 0.125 },
        { "wrn_16_1", "fc.weight", CTKD__INIT_UNIFORM, 0.125 },
        { "wrn_16_1", "fc.bias", CTKD__INIT_CONSTANT, 0 },
        { "vgg8", "block0.0.weight", CTKD__INIT_NORMAL, 0.058925565 },
        { "vgg8", "block0.0.bias", CTKD__INIT_CONSTANT, 0 },
        { "vgg8", "classifier.weight", CTKD__INIT_NORMAL, 0.01 },
        { "vgg8", "classifier.bias", CTKD__INIT_CONSTANT, 0 },
        { "ResNet18", "layer4.0.shortcut.0.weight", CTKD__INIT_NORMAL, 0.0625 },
        { "ResNet50", "layer1.0.conv2.weight", CTKD__INIT_NORMAL, 0.058925565 },
        { "ResNet50", "layer1.0.conv3.weight", CTKD__INIT_NORMAL, 0.088388348 },
        { "ResNet50", "linear.weight", CTKD__INIT_UNIFORM, 0.022097087 },
        { "ResNet50", "linear.bias", CTKD__INIT_UNIFORM, 0.022097087 },
        { "resnet18", "conv1.weight", CTKD__INIT_NORMAL, 0.025253814 },
        { "resnet18", "layer4.0.downsample.0.weight", CTKD__INIT_NORMAL, 0.0625 },
        { "resnet18", "fc.weight", CTKD__INIT_UNIFORM, 0.044194174 },
        { "resnet18", "fc.bias", CTKD__INIT_UNIFORM, 0.044194174 },
        { "wide_resnet50_2", "layer1.0.conv2.weight", CTKD__INIT_NORMAL, 0.041666667 },
        /* all output channels count, though each group has only some */
        { "resnext50_32x4d", "layer1.0.conv2.weight", CTKD__INIT_NORMAL, 0.041666667 },
        { "resnext50_32x4d", "layer1.0.conv3.weight", CTKD__INIT_NORMAL, 0.088388348 },
        { "MobileNetV1", "model.0.0.weight", CTKD__INIT_UNIFORM, 0.192450090 },
        { "MobileNetV1", "model.2.0.weight", CTKD__INIT_UNIFORM, 0.333333333 },
        { "MobileNetV1", "model.2.3.weight", CTKD__INIT_UNIFORM, 0.125 },
        { "MobileNetV1", "fc.bias", CTKD__INIT_UNIFORM, 0.03125 },
        { "mobilenet_v2", "features.1.conv.0.0.weight", CTKD__INIT_NORMAL, 0.083333333 },
        { "mobilenet_v2", "features.18.0.weight", CTKD__INIT_NORMAL, 0.039528471 },
        { "mobilenet_v2", "classifier.1.weight", CTKD__INIT_NORMAL, 0.01 },
        { "mobilenet_v2", "classifier.1.bias", CTKD__INIT_CONSTANT, 0 },
        { "vgg11_bn", "features.4.weight", CTKD__INIT_NORMAL, 0.041666667 },
        { "vgg11_bn", "features.4.bias", CTKD__INIT_CONSTANT, 0 },
        { "vgg11_bn", "classifier.0.weight", CTKD__INIT_NORMAL, 0.01 },
        { "vgg11_bn", "classifier.6.bias", CTKD__INIT_CONSTANT, 0 },
        { "shufflenet_v2_x0_5", "stage2.0.branch1.0.weight", CTKD__INIT_UNIFORM, 0.333333333 },
        { "shufflenet_v2_x0_5", "stage2.0.branch2.0.weight", CTKD__INIT_UNIFORM, 0.204124145 },
        { "shufflenet_v2_x0_5", "fc.weight", CTKD__INIT_UNIFORM, 0.03125 },
        { "MobileNetV2", "conv1.0.weight", CTKD__INIT_NORMAL, 0.117851130 },
        /* all output channels count, even where each reads only one input */
        { "MobileNetV2", "blocks.6.0.conv.3.weight", CTKD__INIT_NORMAL, 0.021516574 },
        { "MobileNetV2", "classifier.0.weight", CTKD__INIT_NORMAL, 0.01 },
        { "MobileNetV2", "classifier.0.bias", CTKD__INIT_CONSTANT, 0 },
        { "ShuffleV1", "conv1.weight", CTKD__INIT_UNIFORM, 0.577350269 },
        { "ShuffleV1", "layer1.0.conv1.weight", CTKD__INIT_UNIFORM, 0.204124145 }, /* one group */
        { "ShuffleV1", "layer1.1.conv1.weight", CTKD__INIT_UNIFORM, 0.111803399 }, /* three */
        { "ShuffleV1", "layer1.1.conv2.weight", CTKD__INIT_UNIFORM, 0.333333333 },
        { "ShuffleV1", "layer1.1.conv3.weight", CTKD__INIT_UNIFORM, 0.223606798 },
        { "ShuffleV1", "linear.bias", CTKD__INIT_UNIFORM, 0.032274861 },
        { "ShuffleV2", "layer1.0.conv1.weight", CTKD__INIT_UNIFORM, 0.333333333 },
        { "ShuffleV2", "layer1.0.conv2.weight", CTKD__INIT_UNIFORM, 0.204124145 },
        { "ShuffleV2", "layer1.1.conv3.weight", CTKD__INIT_UNIFORM, 0.131306433 },
        { "ShuffleV2", "conv2.weight", CTKD__INIT_UNIFORM, 0.046423835 },
        { "ShuffleV2", "linear.weight", CTKD__INIT_UNIFORM, 0.03125 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ctkd__graph *const graph = build(rows[i].network, 3, 32, 10);
        const struct ctkd__parameter *const parameter = find(graph, rows[i].parameter);
        assert_int_equal(parameter->init, rows[i].init);
        check_close(parameter->value, rows[i].value, 1e-6, 0);
        ctkd__graph_destroy(graph);
    }
}

static void check_refused(const char *name, struct ctkd__model_args args, ctkd_status status,
                          const char *message)
{
    struct ctkd__graph *graph;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__model_build(name, &args, &graph, &err), status);
    assert_null(graph);
    assert_string_equal(err.message, message);
}

static void an_unknown_name_offers_the_nearest(void **state)
{
    (void)state;
    const struct ctkd__model_args args = { 3, 32, 32, 10 };
    check_refused("resnet21", args, CTKD_ENOTFOUND,
                  "unknown network 'resnet21', did you mean 'resnet20'?");
    check_refused("transformer-xxl", args, CTKD_ENOTFOUND,
                  "unknown network 'transformer-xxl'; `ctkd models` lists them");
}

static void sizes_without_sense_are_refused(void **state)
{
    (void)state;
    check_refused("vgg8", (struct ctkd__model_args){ 3, 32, 7, 10 }, CTKD_ERANGE,
                  "vgg8: found images of 32x7, expected sides of 8 to 8192");
    check_refused("resnet20", (struct ctkd__model_args){ 3, 3, 32, 10 }, CTKD_ERANGE,
                  "resnet20: found images of 3x32, expected sides of 4 to 8192");
    check_refused("wrn_16_2", (struct ctkd__model_args){ 0, 32, 32, 10 }, CTKD_ERANGE,
                  "wrn_16_2: found images of 0 channels, expected 1 to 1024");
    check_refused("wrn_16_2", (struct ctkd__model_args){ 3, 32, 32, 1 }, CTKD_ERANGE,
                  "wrn_16_2: found 1 classes, expected 2 to 4194304");
}

static void the_smallest_images_of_each_family_are_enough(void **state)
{
    (void)state;
    for (size_t f = 0; ctkd__model_families()[f]; f++) {
        const struct ctkd__model_family *const family = ctkd__model_families()[f];
        ctkd__graph_destroy(build(family->models->name, 3, family->side_min, 10));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_network_has_its_published_size),
        cmocka_unit_test(classes_and_channels_change_only_the_ends),
        cmocka_unit_test(names_are_in_the_published_order),
        cmocka_unit_test(names_of_large_networks_are_in_the_published_order),
        cmocka_unit_test(shortcuts_have_parameters_only_where_the_shape_changes),
        cmocka_unit_test(taps_have_their_published_shapes),
        cmocka_unit_test(taps_of_large_networks_have_their_published_shapes),
        cmocka_unit_test(sums_follow_their_main_branch_at_once),
        cmocka_unit_test(initial_values_are_the_published_ones),
        cmocka_unit_test(an_unknown_name_offers_the_nearest),
        cmocka_unit_test(sizes_without_sense_are_refused),
        cmocka_unit_test(the_smallest_images_of_each_family_are_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
