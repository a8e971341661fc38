/* MobileNetV2 for photographs (Sandler et al. 2018) with the layout and names of torchvision. */
#include "nn/models/models.h"

/* Inverted residuals in a row: expansion, channels out, how many, stride of the first. */
static const struct row {
    size_t expansion, out, count, stride;
    size_t ends_stage; /* 0: none */
} rows[] = {
    { 1, 16, 1, 1, 0 }, { 6, 24, 2, 2, 1 },  { 6, 32, 3, 2, 2 },  { 6, 64, 4, 2, 0 },
    { 6, 96, 3, 1, 3 }, { 6, 160, 3, 2, 0 }, { 6, 320, 1, 1, 4 },
};
enum { ROWS = sizeof rows / sizeof rows[0], STEM = 32, HEAD = 1280 };

/* A convolution and the batch norm whose name is given too. */
static int conv_norm(struct ctkd__graph *graph, int x, const char *conv, const char *norm,
                     struct ctkd__conv_args args)
{
    args.padding = args.kernel / 2;
    args.init = CTKD__INIT_NORMAL;
    args.value = ctkd__init_he_out(args.kernel, args.out);
    return ctkd__graph_batch_norm(graph, ctkd__graph_conv(graph, x, conv, &args), norm);
}

/* Modules prefix.0 and prefix.1 with a ReLU6. */
static int layer(struct ctkd__graph *graph, int x, const char *prefix, struct ctkd__conv_args args)
{
    char conv[96], norm[96];
    ctkd__model_path(conv, "%s.0", prefix);
    ctkd__model_path(norm, "%s.1", prefix);
    return ctkd__graph_activate(graph, conv_norm(graph, x, conv, norm, args), CTKD__RELU6, 0);
}

/* Expand (but by 1), convolve each channel, project; nothing is rectified after the projection. */
static int inverted_residual(struct ctkd__graph *graph, int x, size_t index, size_t in,
                             size_t expansion, size_t out, size_t stride)
{
    char prefix[96], conv[96], norm[96];
    const size_t expanded = in * expansion;
    const struct ctkd__conv_args expand = { .out = expanded, .kernel = 1, .stride = 1 };
    const struct ctkd__conv_args depthwise = {
        .out = expanded, .kernel = 3, .stride = stride, .groups = expanded
    };
    const struct ctkd__conv_args project = { .out = out, .kernel = 1, .stride = 1 };
    size_t part = 0;
    int y = x;
    if (expansion > 1)
        y = layer(graph, y, ctkd__model_path(prefix, "features.%zu.conv.%zu", index, part++),
                  expand);
    y = layer(graph, y, ctkd__model_path(prefix, "features.%zu.conv.%zu", index, part++),
              depthwise);
    ctkd__model_path(conv, "features.%zu.conv.%zu", index, part);
    ctkd__model_path(norm, "features.%zu.conv.%zu", index, part + 1);
    y = conv_norm(graph, y, conv, norm, project);
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
    x = layer(graph, x, "features.0", stem);
    ctkd__graph_tap(graph, "f0", x);
    size_t in = STEM, index = 1;
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < rows[i].count; j++, in = rows[i].out)
            x = inverted_residual(graph, x, index++, in, rows[i].expansion, rows[i].out,
                                  j == 0 ? rows[i].stride : 1);
        if (rows[i].ends_stage) /* linear: the value before the activation is the same */
            ctkd__model_tap_stage(graph, rows[i].ends_stage, x, x);
    }
    x = layer(graph, x, ctkd__model_path(name, "features.%zu", index), head);
    x = ctkd__graph_global_pool(graph, x);
    ctkd__graph_tap(graph, "f5", x);
    x = ctkd__graph_dropout(graph, x, 0.2f);
    return ctkd__graph_linear(graph, x, "classifier.1", args->classes, CTKD__INIT_NORMAL, 0.01f,
                              CTKD__INIT_CONSTANT, 0);
}

static const struct ctkd__model models[] = {
    { .name = "mobilenet_v2" },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_mobilenet_v2_imagenet = {
    .name = "mobilenet_v2_imagenet",
    .title = "MobileNetV2 for photographs, as in torchvision",
    .source = "Sandler et al. 2018, arXiv:1801.04381",
    .models = models,
    .build = build,
    .side = 224,
    .side_min = 32,
};
