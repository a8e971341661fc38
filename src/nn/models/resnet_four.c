/* Residual networks of four stages for small images (He et al. 2016): the ImageNet layouts with a
   3x3 stem and without its pool, as published with contrastive representation distillation (Tian et
   al. 2020). */
#include <stdio.h>

#include "nn/models/models.h"

enum { STAGES = 4 };

/* Convolution `index` of a block with its batch norm and ReLU. */
static int layer(struct ctkd__graph *graph, int x, const char *prefix, size_t index, size_t out,
                 size_t kernel, size_t stride)
{
    char name[96];
    x = ctkd__model_conv(graph, x, ctkd__model_path(name, "%s.conv%zu", prefix, index), out, kernel,
                         stride);
    ctkd__model_path(name, "%s.bn%zu", prefix, index);
    return ctkd__graph_relu(graph, ctkd__graph_batch_norm(graph, x, name));
}

/* The last convolution of a block, its batch norm and the sum. The shortcut comes between the two,
   so that batch norm, sum and ReLU are neighbours; its parameters come last, as published. */
static int sum(struct ctkd__graph *graph, int x, int y, const char *prefix, size_t index, size_t in,
               size_t out, size_t kernel, size_t stride)
{
    char name[96];
    y = ctkd__model_conv(graph, y, ctkd__model_path(name, "%s.conv%zu", prefix, index), out, kernel,
                         1);
    int projected = -1, shortcut = x;
    if (stride != 1 || in != out) {
        ctkd__model_path(name, "%s.shortcut.0", prefix);
        projected = ctkd__model_conv(graph, x, name, out, 1, stride);
        ctkd__model_path(name, "%s.shortcut.1", prefix);
        shortcut = ctkd__graph_batch_norm(graph, projected, name);
    }
    ctkd__model_path(name, "%s.bn%zu", prefix, index);
    y = ctkd__graph_batch_norm(graph, y, name);
    if (shortcut != x) {
        ctkd__graph_list_last(graph, projected);
        ctkd__graph_list_last(graph, shortcut);
    }
    return ctkd__graph_add(graph, y, shortcut);
}

/* A block up to the sum: 3x3 and 3x3, or with `expansion` 4 a bottleneck 1x1, 3x3, 1x1 whose stride
 * is on the 3x3. */
static int block(struct ctkd__graph *graph, int x, const char *prefix, size_t expansion, size_t in,
                 size_t planes, size_t stride)
{
    if (expansion == 1)
        return sum(graph, x, layer(graph, x, prefix, 1, planes, 3, stride), prefix, 2, in, planes,
                   3, stride);
    int y = layer(graph, x, prefix, 1, planes, 1, 1);
    y = layer(graph, y, prefix, 2, planes, 3, stride);
    return sum(graph, x, y, prefix, 3, in, planes * expansion, 1, stride);
}

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    const size_t expansion = model->width;
    char name[96], tap[16];
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    x = ctkd__model_conv(graph, x, "conv1", 64, 3, 1);
    x = ctkd__graph_relu(graph, ctkd__graph_batch_norm(graph, x, "bn1"));
    ctkd__graph_tap(graph, "f0", x);
    size_t in = 64, planes = 64;
    for (size_t stage = 1; stage <= STAGES; stage++, planes *= 2) {
        int before = x;
        for (size_t b = 0; b < model->counts[stage - 1]; b++, in = planes * expansion) {
            ctkd__model_path(name, "layer%zu.%zu", stage, b);
            before = block(graph, x, name, expansion, in, planes, b == 0 && stage > 1 ? 2 : 1);
            x = ctkd__graph_relu(graph, before);
        }
        snprintf(tap, sizeof tap, "f%zu", stage);
        ctkd__graph_tap(graph, tap, x);
        snprintf(tap, sizeof tap, "pre%zu", stage);
        ctkd__graph_tap(graph, tap, before);
    }
    x = ctkd__graph_global_pool(graph, x);
    ctkd__graph_tap(graph, "f5", x);
    const float bound = ctkd__init_default(in);
    return ctkd__graph_linear(graph, x, "linear", args->classes, CTKD__INIT_UNIFORM, bound,
                              CTKD__INIT_UNIFORM, bound);
}

/* Blocks per stage. */
static const size_t counts18[] = { 2, 2, 2, 2 };
static const size_t counts50[] = { 3, 4, 6, 3 };

/* width: channels out of a block per channel of its 3x3 convolution. */
static const struct ctkd__model models[] = {
    { .name = "ResNet18", .depth = 18, .width = 1, .counts = counts18 },
    { .name = "ResNet50", .depth = 50, .width = 4, .counts = counts50 },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_resnet_four = {
    .name = "resnet_four",
    .title = "ResNet of four stages for small images",
    .source = "He et al. 2016, arXiv:1512.03385; Tian et al. 2020, arXiv:1910.10699",
    .models = models,
    .build = build,
    .side_min = 8,
};
