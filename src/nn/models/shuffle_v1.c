/* ShuffleNet with three groups for small images (Zhang et al. 2018), as published with contrastive
   representation distillation (Tian et al. 2020): a 1x1 stem without a pool. */
#include "nn/models/models.h"

enum { GROUPS = 3, STEM = 24, STAGES = 3 };
static const size_t widths[STAGES + 1] = { STEM, 240, 480, 960 };
static const size_t counts[STAGES] = { 4, 8, 4 };

/* Convolution `index` of a unit and its batch norm. `in` counts the channels that an output reads
 * from. */
static int conv_norm(struct ctkd__graph *graph, int x, const char *prefix, size_t index, size_t in,
                     struct ctkd__conv_args args)
{
    char name[96];
    args.padding = args.kernel / 2;
    args.init = CTKD__INIT_UNIFORM;
    args.value = ctkd__init_default(args.kernel * args.kernel * in / args.groups);
    x = ctkd__graph_conv(graph, x, ctkd__model_path(name, "%sconv%zu", prefix, index), &args);
    return ctkd__graph_batch_norm(graph, x, ctkd__model_path(name, "%sbn%zu", prefix, index));
}

/* A unit up to its last ReLU. With stride 2 the pooled input is not added but concatenated to the
   convolutions' output, which therefore has that many channels fewer. */
static int unit(struct ctkd__graph *graph, int x, const char *prefix, size_t in, size_t out,
                size_t stride)
{
    const size_t made = stride == 2 ? out - in : out, middle = made / 4;
    const size_t groups = in == STEM ? 1 : GROUPS; /* 24 channels are too few for groups */
    const struct ctkd__conv_args first = {
        .out = middle, .kernel = 1, .stride = 1, .groups = groups
    };
    const struct ctkd__conv_args depthwise = {
        .out = middle, .kernel = 3, .stride = stride, .groups = middle
    };
    const struct ctkd__conv_args last = { .out = made, .kernel = 1, .stride = 1, .groups = GROUPS };
    int y = ctkd__graph_relu(graph, conv_norm(graph, x, prefix, 1, in, first));
    if (groups > 1)
        y = ctkd__graph_shuffle(graph, y, groups);
    y = ctkd__graph_relu(graph, conv_norm(graph, y, prefix, 2, middle, depthwise));
    y = conv_norm(graph, y, prefix, 3, middle, last);
    if (stride == 1)
        return ctkd__graph_add(graph, y, x);
    return ctkd__graph_concat(
        graph, y,
        ctkd__graph_average_pool(graph, x, &(struct ctkd__pool_args){ 3, 2, { 1, 1 }, true }));
}

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    (void)model;
    const struct ctkd__conv_args stem = { .out = STEM, .kernel = 1, .stride = 1, .groups = 1 };
    char name[96];
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    x = ctkd__graph_relu(graph, conv_norm(graph, x, "", 1, args->channels, stem));
    ctkd__graph_tap(graph, "f0", x);
    for (size_t stage = 1; stage <= STAGES; stage++) {
        int before = x;
        for (size_t b = 0; b < counts[stage - 1]; b++) {
            ctkd__model_path(name, "layer%zu.%zu.", stage, b);
            before = unit(graph, x, name, widths[b == 0 ? stage - 1 : stage], widths[stage],
                          b == 0 ? 2 : 1);
            x = ctkd__graph_relu(graph, before);
        }
        ctkd__model_tap_stage(graph, stage, x, before);
    }
    x = ctkd__graph_global_pool(graph, x);
    ctkd__graph_tap(graph, "f4", x);
    const float bound = ctkd__init_default(widths[STAGES]);
    return ctkd__graph_linear(graph, x, "linear", args->classes, CTKD__INIT_UNIFORM, bound,
                              CTKD__INIT_UNIFORM, bound);
}

static const struct ctkd__model models[] = {
    { .name = "ShuffleV1" },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_shuffle_v1 = {
    .name = "shuffle_v1",
    .title = "ShuffleNet with three groups for small images",
    .source = "Zhang et al. 2018, arXiv:1707.01083; Tian et al. 2020, arXiv:1910.10699",
    .models = models,
    .build = build,
    .side = 32,
    .side_min = 8,
};
