/* Residual networks for small images (He et al. 2016, sec. 4.2) with projection shortcuts, as
   published with contrastive representation distillation (Tian et al. 2020). */
#include "nn/models/models.h"

/* A basic block up to the sum. The shortcut comes before the last batch norm, so that batch norm,
   sum and ReLU are neighbours; its parameters come last, as published. */
static int block(struct ctkd__graph *graph, int x, const char *prefix, size_t in, size_t out,
                 size_t stride)
{
    char name[96];
    int y = ctkd__model_conv(graph, x, ctkd__model_path(name, "%s.conv1", prefix), out, 3, stride);
    y = ctkd__graph_batch_norm(graph, y, ctkd__model_path(name, "%s.bn1", prefix));
    y = ctkd__graph_relu(graph, y);
    y = ctkd__model_conv(graph, y, ctkd__model_path(name, "%s.conv2", prefix), out, 3, 1);
    if (stride == 1 && in == out) {
        y = ctkd__graph_batch_norm(graph, y, ctkd__model_path(name, "%s.bn2", prefix));
        return ctkd__graph_add(graph, y, x);
    }
    const int projected = ctkd__model_conv(
        graph, x, ctkd__model_path(name, "%s.downsample.0", prefix), out, 1, stride);
    const int shortcut =
        ctkd__graph_batch_norm(graph, projected, ctkd__model_path(name, "%s.downsample.1", prefix));
    y = ctkd__graph_batch_norm(graph, y, ctkd__model_path(name, "%s.bn2", prefix));
    ctkd__graph_list_last(graph, projected);
    ctkd__graph_list_last(graph, shortcut);
    return ctkd__graph_add(graph, y, shortcut);
}

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    const size_t *const channels = model->counts;
    char name[96];
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    x = ctkd__model_conv(graph, x, "conv1", channels[0], 3, 1);
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
    const float bound = ctkd__init_default(channels[3]);
    return ctkd__graph_linear(graph, x, "fc", args->classes, CTKD__INIT_UNIFORM, bound,
                              CTKD__INIT_UNIFORM, bound);
}

static const size_t narrow[] = { 16, 16, 32, 64 };
static const size_t x4[] = { 32, 64, 128, 256 };
static const size_t x4_double[] = { 64, 128, 256, 512 };

static const struct ctkd__model models[] = {
    { .name = "resnet8", .depth = 8, .counts = narrow },
    { .name = "resnet14", .depth = 14, .counts = narrow },
    { .name = "resnet20", .depth = 20, .counts = narrow },
    { .name = "resnet32", .depth = 32, .counts = narrow },
    { .name = "resnet44", .depth = 44, .counts = narrow },
    { .name = "resnet56", .depth = 56, .counts = narrow },
    { .name = "resnet110", .depth = 110, .counts = narrow },
    { .name = "resnet8x4", .depth = 8, .counts = x4 },
    { .name = "resnet32x4", .depth = 32, .counts = x4 },
    { .name = "resnet8x4_double", .depth = 8, .counts = x4_double },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_resnet = {
    .name = "resnet",
    .title = "ResNet for small images, projection shortcuts",
    .source = "He et al. 2016, arXiv:1512.03385; Tian et al. 2020, arXiv:1910.10699",
    .models = models,
    .build = build,
    .side = 32,
    .side_min = 4,
};
