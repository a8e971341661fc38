/* MobileNetV1 for photographs (Howard et al. 2017) with the names of mdistiller, whose ImageNet
   student it is. */
#include "nn/models/models.h"

/* Separable units in a row, each behind the stem: channels out, stride; which of them end a stage.
 */
static const struct unit {
    size_t out, stride;
    bool ends_stage;
} units[] = {
    { 64, 1, false },  { 128, 2, false },  { 128, 1, true },  { 256, 2, false }, { 256, 1, true },
    { 512, 2, false }, { 512, 1, false },  { 512, 1, false }, { 512, 1, false }, { 512, 1, false },
    { 512, 1, true },  { 1024, 2, false }, { 1024, 1, true },
};
enum { UNITS = sizeof units / sizeof units[0], STEM = 32 };

/* Modules `index` and `index` + 1 of model.N: convolution and batch norm. */
static int conv_norm(struct ctkd__graph *graph, int x, size_t module, size_t index,
                     struct ctkd__conv_args args, size_t fan_in)
{
    char name[96];
    args.padding = args.kernel / 2;
    args.init = CTKD__INIT_UNIFORM;
    args.value = ctkd__init_default(fan_in);
    ctkd__model_path(name, "model.%zu.%zu", module, index);
    x = ctkd__graph_conv(graph, x, name, &args);
    ctkd__model_path(name, "model.%zu.%zu", module, index + 1);
    return ctkd__graph_batch_norm(graph, x, name);
}

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    (void)model;
    const struct ctkd__conv_args stem = { .out = STEM, .kernel = 3, .stride = 2 };
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    x = ctkd__graph_relu(graph, conv_norm(graph, x, 0, 0, stem, 9 * args->channels));
    ctkd__graph_tap(graph, "f0", x);
    for (size_t i = 0, in = STEM, stage = 1; i < UNITS; in = units[i++].out) {
        const struct ctkd__conv_args depthwise = {
            .out = in, .kernel = 3, .stride = units[i].stride, .groups = in
        };
        const struct ctkd__conv_args mix = { .out = units[i].out, .kernel = 1, .stride = 1 };
        x = ctkd__graph_relu(graph, conv_norm(graph, x, i + 1, 0, depthwise, 9));
        const int before = conv_norm(graph, x, i + 1, 3, mix, in);
        x = ctkd__graph_relu(graph, before);
        if (!units[i].ends_stage)
            continue;
        ctkd__model_tap_stage(graph, stage++, x, before);
    }
    x = ctkd__graph_global_pool(graph, x);
    ctkd__graph_tap(graph, "f5", x);
    const float bound = ctkd__init_default(units[UNITS - 1].out);
    return ctkd__graph_linear(graph, x, "fc", args->classes, CTKD__INIT_UNIFORM, bound,
                              CTKD__INIT_UNIFORM, bound);
}

static const struct ctkd__model models[] = {
    { .name = "MobileNetV1" },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_mobilenet_v1 = {
    .name = "mobilenet_v1",
    .title = "MobileNetV1 for photographs, as in mdistiller",
    .source = "Howard et al. 2017, arXiv:1704.04861; Zhao et al. 2022, arXiv:2203.08679",
    .models = models,
    .build = build,
    .side = 224,
    .side_min = 32,
};
