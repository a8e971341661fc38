/* Wide residual networks, pre-activation (Zagoruyko & Komodakis 2016), without dropout. */
#include <stdio.h>

#include "nn/models/models.h"

/* A unit. Its first batch norm is the pre-activation of what came before, so it is tapped as `pre`
   when that is not NULL. The shortcut's convolution reads the activated input, comes before the
   main branch's last convolution (to which the sum can then be fused) and is listed last. */
static int unit(struct ctkd__graph *graph, int x, const char *prefix, const char *pre, size_t in,
                size_t out, size_t stride)
{
    char name[96];
    const int normed = ctkd__graph_batch_norm(graph, x, ctkd__model_path(name, "%s.bn1", prefix));
    if (pre)
        ctkd__graph_tap(graph, pre, normed);
    const int active = ctkd__graph_relu(graph, normed);
    int y =
        ctkd__model_conv(graph, active, ctkd__model_path(name, "%s.conv1", prefix), out, 3, stride);
    y = ctkd__graph_batch_norm(graph, y, ctkd__model_path(name, "%s.bn2", prefix));
    y = ctkd__graph_relu(graph, y);
    if (in == out)
        return ctkd__graph_add(
            graph,
            ctkd__model_conv(graph, y, ctkd__model_path(name, "%s.conv2", prefix), out, 3, 1), x);
    const int shortcut = ctkd__model_conv(
        graph, active, ctkd__model_path(name, "%s.convShortcut", prefix), out, 1, stride);
    y = ctkd__model_conv(graph, y, ctkd__model_path(name, "%s.conv2", prefix), out, 3, 1);
    ctkd__graph_list_last(graph, shortcut);
    return ctkd__graph_add(graph, y, shortcut);
}

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    static const char *const taps[] = { "f0", "f1", "f2", "f3" };
    static const char *const pres[] = { NULL, "pre1", "pre2" };
    const size_t channels[] = { 16, 16 * model->width, 32 * model->width, 64 * model->width };
    char name[96];
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    x = ctkd__model_conv(graph, x, "conv1", channels[0], 3, 1);
    ctkd__graph_tap(graph, taps[0], x);
    for (size_t stage = 1; stage <= 3; stage++) {
        for (size_t b = 0; b < (model->depth - 4) / 6; b++) {
            ctkd__model_path(name, "block%zu.layer.%zu", stage, b);
            x = unit(graph, x, name, b == 0 ? pres[stage - 1] : NULL,
                     channels[b == 0 ? stage - 1 : stage], channels[stage],
                     b == 0 && stage > 1 ? 2 : 1);
        }
        ctkd__graph_tap(graph, taps[stage], x);
    }
    x = ctkd__graph_batch_norm(graph, x, "bn1");
    ctkd__graph_tap(graph, "pre3", x);
    x = ctkd__graph_global_pool(graph, ctkd__graph_relu(graph, x));
    ctkd__graph_tap(graph, "f4", x);
    return ctkd__graph_linear(graph, x, "fc", args->classes, CTKD__INIT_UNIFORM,
                              ctkd__init_default(channels[3]), CTKD__INIT_CONSTANT, 0);
}

static const struct ctkd__model models[] = {
    { .name = "wrn_16_1", .depth = 16, .width = 1 },
    { .name = "wrn_16_2", .depth = 16, .width = 2 },
    { .name = "wrn_40_1", .depth = 40, .width = 1 },
    { .name = "wrn_40_2", .depth = 40, .width = 2 },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_wrn = {
    .name = "wrn",
    .title = "wide ResNet, pre-activation",
    .source = "Zagoruyko & Komodakis 2016, arXiv:1605.07146",
    .models = models,
    .build = build,
    .side = 32,
    .side_min = 4,
};
