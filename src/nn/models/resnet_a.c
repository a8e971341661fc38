/* Residual networks for small images with parameter-free shortcuts: option A of He et al. 2016,
   sec. 4.2. Names and initial values as in the widely used PyTorch port: weights N(0, 2 / fan_in).
 */
#include <math.h>

#include "nn/models/models.h"

static const size_t channels[] = { 16, 16, 32, 64 };

static float he_in(size_t fan_in)
{
    return (float)sqrt(2.0 / (double)fan_in);
}

static int conv(struct ctkd__graph *graph, int x, const char *name, size_t in, size_t out,
                size_t stride)
{
    const struct ctkd__conv_args args = { .out = out,
                                          .kernel = 3,
                                          .stride = stride,
                                          .padding = 1,
                                          .init = CTKD__INIT_NORMAL,
                                          .value = he_in(9 * in) };
    return ctkd__graph_conv(graph, x, name, &args);
}

/* A basic block up to the sum. The shortcut comes before the last batch norm, so that batch norm,
   sum and ReLU are neighbours. */
static int block(struct ctkd__graph *graph, int x, const char *prefix, size_t in, size_t out,
                 size_t stride)
{
    char name[96];
    int y = conv(graph, x, ctkd__model_path(name, "%s.conv1", prefix), in, out, stride);
    y = ctkd__graph_batch_norm(graph, y, ctkd__model_path(name, "%s.bn1", prefix));
    y = ctkd__graph_relu(graph, y);
    y = conv(graph, y, ctkd__model_path(name, "%s.conv2", prefix), out, out, 1);
    if (stride != 1 || in != out)
        x = ctkd__graph_subsample(graph, x, out, stride);
    y = ctkd__graph_batch_norm(graph, y, ctkd__model_path(name, "%s.bn2", prefix));
    return ctkd__graph_add(graph, y, x);
}

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    char name[96];
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    x = conv(graph, x, "conv1", args->channels, channels[0], 1);
    x = ctkd__graph_relu(graph, ctkd__graph_batch_norm(graph, x, "bn1"));
    ctkd__graph_tap(graph, "f0", x);
    for (size_t stage = 1, in = channels[0]; stage <= 3; in = channels[stage++]) {
        int sum = x;
        for (size_t b = 0; b < (model->depth - 2) / 6; b++) {
            ctkd__model_path(name, "layer%zu.%zu", stage, b);
            sum = block(graph, x, name, b == 0 ? in : channels[stage], channels[stage],
                        b == 0 && stage > 1 ? 2 : 1);
            x = ctkd__graph_relu(graph, sum);
        }
        ctkd__model_tap_stage(graph, stage, x, sum);
    }
    x = ctkd__graph_global_pool(graph, x);
    ctkd__graph_tap(graph, "f4", x);
    return ctkd__graph_linear(graph, x, "linear", args->classes, CTKD__INIT_NORMAL,
                              he_in(channels[3]), CTKD__INIT_UNIFORM,
                              ctkd__init_default(channels[3]));
}

static const struct ctkd__model models[] = {
    { .name = "resnet20a", .depth = 20 },   { .name = "resnet32a", .depth = 32 },
    { .name = "resnet44a", .depth = 44 },   { .name = "resnet56a", .depth = 56 },
    { .name = "resnet110a", .depth = 110 }, { .name = NULL },
};

const struct ctkd__model_family ctkd__model_resnet_a = {
    .name = "resnet_a",
    .title = "ResNet for small images, parameter-free shortcuts (option A)",
    .source = "He et al. 2016, arXiv:1512.03385, sec. 4.2",
    .models = models,
    .build = build,
    .side = 32,
    .side_min = 4,
};
