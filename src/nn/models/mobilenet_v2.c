/* MobileNetV2 of half width for small images (Sandler et al. 2018), as published with contrastive
   representation distillation (Tian et al. 2020): plain ReLU, an expanding convolution in the first
   block too, no dropout. */
#include "nn/models/models.h"

/* Inverted residuals in a row: expansion, channels out, how many, stride of the first. */
static const struct row {
    size_t expansion, out, count, stride;
    size_t ends_stage; /* 0: none */
} rows[] = {
    { 1, 8, 1, 1, 0 },  { 6, 12, 2, 1, 1 }, { 6, 16, 3, 2, 2 },  { 6, 32, 4, 2, 0 },
    { 6, 48, 3, 1, 3 }, { 6, 80, 3, 2, 0 }, { 6, 160, 1, 1, 4 },
};
enum { ROWS = sizeof rows / sizeof rows[0], STEM = 16, HEAD = 1280 };

/* Modules `index` and `index + 1` of a list: convolution and batch norm. */
static int conv_norm(struct ctkd__graph *graph, int x, const char *prefix, size_t index,
                     struct ctkd__conv_args args)
{
    char name[96];
    args.padding = args.kernel / 2;
    args.init = CTKD__INIT_NORMAL;
    args.value = ctkd__init_he_out(args.kernel, args.out);
    x = ctkd__graph_conv(graph, x, ctkd__model_path(name, "%s.%zu", prefix, index), &args);
    return ctkd__graph_batch_norm(graph, x, ctkd__model_path(name, "%s.%zu", prefix, index + 1));
}

/* Expand, convolve each channel, project; nothing is rectified after the projection. */
static int inverted_residual(struct ctkd__graph *graph, int x, const char *prefix, size_t in,
                             size_t expanded, size_t out, size_t stride)
{
    const struct ctkd__conv_args expand = { .out = expanded, .kernel = 1, .stride = 1 };
    const struct ctkd__conv_args depthwise = {
        .out = expanded, .kernel = 3, .stride = stride, .groups = expanded
    };
    const struct ctkd__conv_args project = { .out = out, .kernel = 1, .stride = 1 };
    int y = ctkd__graph_relu(graph, conv_norm(graph, x, prefix, 0, expand));
    y = ctkd__graph_relu(graph, conv_norm(graph, y, prefix, 3, depthwise));
    y = conv_norm(graph, y, prefix, 6, project);
    return stride == 1 && in == out ? ctkd__graph_add(graph, y, x) : y;
}

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    (void)model;
    const struct ctkd__conv_args stem = { .out = STEM, .kernel = 3, .stride = 2 };
    const struct ctkd__conv_args head = { .out = HEAD, .kernel = 1, .stride = 1 };
    char name[96];
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    x = ctkd__graph_relu(graph, conv_norm(graph, x, "conv1", 0, stem));
    ctkd__graph_tap(graph, "f0", x);
    size_t in = STEM;
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < rows[i].count; j++, in = rows[i].out) {
            ctkd__model_path(name, "blocks.%zu.%zu.conv", i, j);
            x = inverted_residual(graph, x, name, in, in * rows[i].expansion, rows[i].out,
                                  j == 0 ? rows[i].stride : 1);
        }
        if (rows[i].ends_stage) /* linear: the value before the activation is the same */
            ctkd__model_tap_stage(graph, rows[i].ends_stage, x, x);
    }
    x = ctkd__graph_relu(graph, conv_norm(graph, x, "conv2", 0, head));
    x = ctkd__graph_global_pool(graph, x);
    ctkd__graph_tap(graph, "f5", x);
    return ctkd__graph_linear(graph, x, "classifier.0", args->classes, CTKD__INIT_NORMAL, 0.01f,
                              CTKD__INIT_CONSTANT, 0);
}

static const struct ctkd__model models[] = {
    { .name = "MobileNetV2" },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_mobilenet_v2 = {
    .name = "mobilenet_v2",
    .title = "MobileNetV2 of half width for small images",
    .source = "Sandler et al. 2018, arXiv:1801.04381; Tian et al. 2020, arXiv:1910.10699",
    .models = models,
    .build = build,
    .side = 32,
    .side_min = 16,
};
