/* Residual networks for photographs (He et al. 2016; Zagoruyko & Komodakis 2016; Xie et al. 2017)
   with the layouts and names of torchvision. */
#include "nn/models/resnet_stages.h"

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    const struct ctkd__resnet_stages stages = { .counts = model->counts,
                                                .expansion = model->depth < 50 ? 1 : 4,
                                                .groups = model->groups,
                                                .group_width = model->width,
                                                .shortcut = "downsample" };
    const struct ctkd__pool_args pool = { .kernel = 3, .stride = 2, .padding = { 1, 1 } };
    size_t features;
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    x = ctkd__model_conv(graph, x, "conv1", 64, 7, 2);
    x = ctkd__graph_relu(graph, ctkd__graph_batch_norm(graph, x, "bn1"));
    x = ctkd__graph_max_pool(graph, x, &pool);
    ctkd__graph_tap(graph, "f0", x);
    x = ctkd__resnet_stages(graph, x, &stages, &features);
    x = ctkd__graph_global_pool(graph, x);
    ctkd__graph_tap(graph, "f5", x);
    const float bound = ctkd__init_default(features);
    return ctkd__graph_linear(graph, x, "fc", args->classes, CTKD__INIT_UNIFORM, bound,
                              CTKD__INIT_UNIFORM, bound);
}

/* Blocks per stage. */
static const size_t counts18[] = { 2, 2, 2, 2 };
static const size_t counts50[] = { 3, 4, 6, 3 }; /* and 34 */
static const size_t counts101[] = { 3, 4, 23, 3 };
static const size_t counts152[] = { 3, 8, 36, 3 };

/* width: channels per group of a bottleneck's 3x3 in the first stage. */
static const struct ctkd__model models[] = {
    { .name = "resnet18", .depth = 18, .width = 64, .groups = 1, .counts = counts18 },
    { .name = "resnet34", .depth = 34, .width = 64, .groups = 1, .counts = counts50 },
    { .name = "resnet50", .depth = 50, .width = 64, .groups = 1, .counts = counts50 },
    { .name = "resnet101", .depth = 101, .width = 64, .groups = 1, .counts = counts101 },
    { .name = "resnet152", .depth = 152, .width = 64, .groups = 1, .counts = counts152 },
    { .name = "wide_resnet50_2", .depth = 50, .width = 128, .groups = 1, .counts = counts50 },
    { .name = "resnext50_32x4d", .depth = 50, .width = 4, .groups = 32, .counts = counts50 },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_resnet_imagenet = {
    .name = "resnet_imagenet",
    .title = "ResNet for photographs, as in torchvision",
    .source = "He et al. 2016, arXiv:1512.03385; Zagoruyko & Komodakis 2016, arXiv:1605.07146; Xie "
              "et al. 2017, arXiv:1611.05431",
    .models = models,
    .build = build,
    .side = 224,
    .side_min = 32,
};
