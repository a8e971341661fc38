/* ShuffleNetV2 for photographs (Ma et al. 2018) with the layout and names of torchvision. */
#include "nn/models/models.h"

enum { STEM = 24, STAGES = 3 };
static const size_t counts[STAGES] = { 4, 8, 4 };

/* Modules `index` and `index` + 1 of a branch: convolution and batch norm. */
static int conv_norm(struct ctkd__graph *graph, int x, const char *prefix, size_t index,
                     struct ctkd__conv_args args, size_t fan_in)
{
    char name[96];
    args.padding = args.kernel / 2;
    args.init = CTKD__INIT_UNIFORM;
    args.value = ctkd__init_default(fan_in);
    x = ctkd__graph_conv(graph, x, ctkd__model_path(name, "%s.%zu", prefix, index), &args);
    return ctkd__graph_batch_norm(graph, x, ctkd__model_path(name, "%s.%zu", prefix, index + 1));
}

static int mix(struct ctkd__graph *graph, int x, const char *prefix, size_t index, size_t in,
               size_t out)
{
    const struct ctkd__conv_args args = { .out = out, .kernel = 1, .stride = 1 };
    return ctkd__graph_relu(graph, conv_norm(graph, x, prefix, index, args, in));
}

static int depthwise(struct ctkd__graph *graph, int x, const char *prefix, size_t index,
                     size_t channels, size_t stride)
{
    const struct ctkd__conv_args args = {
        .out = channels, .kernel = 3, .stride = stride, .groups = channels
    };
    return conv_norm(graph, x, prefix, index, args, 9);
}

/* Branch 2: 1x1, depthwise, 1x1. */
static int right(struct ctkd__graph *graph, int x, const char *unit, size_t in, size_t out,
                 size_t stride)
{
    char prefix[96];
    ctkd__model_path(prefix, "%s.branch2", unit);
    x = mix(graph, x, prefix, 0, in, out);
    return mix(graph, depthwise(graph, x, prefix, 3, out, stride), prefix, 5, out, out);
}

static int down(struct ctkd__graph *graph, int x, const char *unit, size_t in, size_t out)
{
    char prefix[96];
    ctkd__model_path(prefix, "%s.branch1", unit);
    int left = depthwise(graph, x, prefix, 0, in, 2);
    left = mix(graph, left, prefix, 2, in, out / 2);
    return ctkd__graph_concat(graph, left, right(graph, x, unit, in, out / 2, 2));
}

static int basic(struct ctkd__graph *graph, int x, const char *unit, size_t channels)
{
    const size_t half = channels / 2;
    const int left = ctkd__graph_slice(graph, x, 0, half);
    const int from = ctkd__graph_slice(graph, x, half, half);
    return ctkd__graph_concat(graph, left, right(graph, from, unit, half, half, 1));
}

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    const size_t *const widths = model->counts;
    const size_t head = model->width;
    const struct ctkd__conv_args stem = { .out = STEM, .kernel = 3, .stride = 2 };
    const struct ctkd__pool_args pool = { .kernel = 3, .stride = 2, .padding = { 1, 1 } };
    char unit[96];
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    x = ctkd__graph_relu(graph, conv_norm(graph, x, "conv1", 0, stem, 9 * args->channels));
    x = ctkd__graph_max_pool(graph, x, &pool);
    ctkd__graph_tap(graph, "f0", x);
    size_t in = STEM;
    for (size_t stage = 0; stage < STAGES; in = widths[stage++]) {
        for (size_t b = 0; b < counts[stage]; b++) {
            ctkd__model_path(unit, "stage%zu.%zu", stage + 2, b);
            x = b == 0 ? down(graph, x, unit, in, widths[stage])
                       : basic(graph, x, unit, widths[stage]);
            x = ctkd__graph_shuffle(graph, x, 2);
        }
        ctkd__model_tap_stage(graph, stage + 1, x, -1);
    }
    const struct ctkd__conv_args last = { .out = head, .kernel = 1, .stride = 1 };
    x = ctkd__graph_relu(graph, conv_norm(graph, x, "conv5", 0, last, in));
    x = ctkd__graph_global_pool(graph, x);
    ctkd__graph_tap(graph, "f4", x);
    const float bound = ctkd__init_default(head);
    return ctkd__graph_linear(graph, x, "fc", args->classes, CTKD__INIT_UNIFORM, bound,
                              CTKD__INIT_UNIFORM, bound);
}

/* Channels of the stages. */
static const size_t x0_5[STAGES] = { 48, 96, 192 };
static const size_t x1_0[STAGES] = { 116, 232, 464 };
static const size_t x1_5[STAGES] = { 176, 352, 704 };
static const size_t x2_0[STAGES] = { 244, 488, 976 };

/* width: of the last convolution. */
static const struct ctkd__model models[] = {
    { .name = "shufflenet_v2_x0_5", .width = 1024, .counts = x0_5 },
    { .name = "shufflenet_v2_x1_0", .width = 1024, .counts = x1_0 },
    { .name = "shufflenet_v2_x1_5", .width = 1024, .counts = x1_5 },
    { .name = "shufflenet_v2_x2_0", .width = 2048, .counts = x2_0 },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_shuffle_v2_imagenet = {
    .name = "shuffle_v2_imagenet",
    .title = "ShuffleNetV2 for photographs, as in torchvision",
    .source = "Ma et al. 2018, arXiv:1807.11164",
    .models = models,
    .build = build,
    .side = 224,
    .side_min = 32,
};
