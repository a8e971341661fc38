/* Residual networks of four stages for small images (He et al. 2016): the ImageNet layouts with a
   3x3 stem and without its pool, as published with contrastive representation distillation (Tian et
   al. 2020). */
#include "nn/models/resnet_stages.h"

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    const struct ctkd__resnet_stages stages = { .counts = model->counts,
                                                .expansion = model->depth < 50 ? 1 : 4,
                                                .groups = 1,
                                                .group_width = model->width,
                                                .shortcut = "shortcut" };
    size_t features;
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    x = ctkd__model_conv(graph, x, "conv1", 64, 3, 1);
    x = ctkd__graph_relu(graph, ctkd__graph_batch_norm(graph, x, "bn1"));
    ctkd__graph_tap(graph, "f0", x);
    x = ctkd__resnet_stages(graph, x, &stages, &features);
    x = ctkd__graph_global_pool(graph, x);
    ctkd__graph_tap(graph, "f5", x);
    const float bound = ctkd__init_default(features);
    return ctkd__graph_linear(graph, x, "linear", args->classes, CTKD__INIT_UNIFORM, bound,
                              CTKD__INIT_UNIFORM, bound);
}

/* Blocks per stage. */
static const size_t counts18[] = { 2, 2, 2, 2 };
static const size_t counts50[] = { 3, 4, 6, 3 };

static const struct ctkd__model models[] = {
    { .name = "ResNet18", .depth = 18, .width = 64, .counts = counts18 },
    { .name = "ResNet50", .depth = 50, .width = 64, .counts = counts50 },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_resnet_four = {
    .name = "resnet_four",
    .title = "ResNet of four stages for small images",
    .source = "He et al. 2016, arXiv:1512.03385; Tian et al. 2020, arXiv:1910.10699",
    .models = models,
    .build = build,
    .side = 32,
    .side_min = 8,
};
