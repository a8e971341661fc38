/* ShuffleNetV2 for small images (Ma et al. 2018), as published with contrastive representation
   distillation (Tian et al. 2020): a 1x1 stem without a pool. */
#include "nn/models/models.h"

enum { STEM = 24, STAGES = 3, HEAD = 1024 };
static const size_t widths[STAGES + 1] = { STEM, 116, 232, 464 };
static const size_t counts[STAGES] = { 4, 8, 4 };

/* What a unit returns: its output, and its two halves before the shuffle and before the right
   half's last ReLU. */
struct unit {
    int output, left, right;
};

/* Convolution `index` of a unit and its batch norm, from `in` channels. */
static int conv_norm(struct ctkd__graph *graph, int x, const char *prefix, size_t index, size_t in,
                     size_t out)
{
    char name[96];
    const struct ctkd__conv_args args = { .out = out,
                                          .kernel = 1,
                                          .stride = 1,
                                          .init = CTKD__INIT_UNIFORM,
                                          .value = ctkd__init_default(in) };
    x = ctkd__graph_conv(graph, x, ctkd__model_path(name, "%sconv%zu", prefix, index), &args);
    return ctkd__graph_batch_norm(graph, x, ctkd__model_path(name, "%sbn%zu", prefix, index));
}

static int depthwise_norm(struct ctkd__graph *graph, int x, const char *prefix, size_t index,
                          size_t channels, size_t stride)
{
    char name[96];
    const struct ctkd__conv_args args = { .out = channels,
                                          .kernel = 3,
                                          .stride = stride,
                                          .padding = 1,
                                          .groups = channels,
                                          .init = CTKD__INIT_UNIFORM,
                                          .value = ctkd__init_default(9) };
    x = ctkd__graph_conv(graph, x, ctkd__model_path(name, "%sconv%zu", prefix, index), &args);
    return ctkd__graph_batch_norm(graph, x, ctkd__model_path(name, "%sbn%zu", prefix, index));
}

/* The right half up to its last ReLU: 1x1, depthwise, 1x1; convolutions `index` to `index` + 2. */
static int right_half(struct ctkd__graph *graph, int x, const char *prefix, size_t index, size_t in,
                      size_t out, size_t stride)
{
    int y = ctkd__graph_relu(graph, conv_norm(graph, x, prefix, index, in, out));
    y = depthwise_norm(graph, y, prefix, index + 1, out, stride);
    return conv_norm(graph, y, prefix, index + 2, out, out);
}

static struct unit joined(struct ctkd__graph *graph, int left, int right, int left_before)
{
    const int both = ctkd__graph_concat(graph, left, ctkd__graph_relu(graph, right));
    return (struct unit){ ctkd__graph_shuffle(graph, both, 2), left_before, right };
}

static struct unit down(struct ctkd__graph *graph, int x, const char *prefix, size_t in, size_t out)
{
    int left = depthwise_norm(graph, x, prefix, 1, in, 2);
    left = conv_norm(graph, left, prefix, 2, in, out / 2);
    const int active = ctkd__graph_relu(graph, left);
    return joined(graph, active, right_half(graph, x, prefix, 3, in, out / 2, 2), left);
}

static struct unit basic(struct ctkd__graph *graph, int x, const char *prefix, size_t channels)
{
    const size_t half = channels / 2;
    const int left = ctkd__graph_slice(graph, x, 0, half);
    const int right = ctkd__graph_slice(graph, x, half, half);
    return joined(graph, left, right_half(graph, right, prefix, 1, half, half, 1), left);
}

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    (void)model;
    char name[96];
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    x = ctkd__graph_relu(graph, conv_norm(graph, x, "", 1, args->channels, STEM));
    ctkd__graph_tap(graph, "f0", x);
    for (size_t stage = 1; stage <= STAGES; stage++) {
        struct unit last = { 0 };
        for (size_t b = 0; b < counts[stage - 1]; b++, x = last.output) {
            ctkd__model_path(name, "layer%zu.%zu.", stage, b);
            last = b == 0 ? down(graph, x, name, widths[stage - 1], widths[stage])
                          : basic(graph, x, name, widths[stage]);
        }
        /* Only the tap reads this one: its channels are in the order before the shuffle. */
        const int before = ctkd__graph_concat(graph, last.left, last.right);
        ctkd__model_tap_stage(graph, stage, x, before);
    }
    x = ctkd__graph_relu(graph, conv_norm(graph, x, "", 2, widths[STAGES], HEAD));
    x = ctkd__graph_global_pool(graph, x);
    ctkd__graph_tap(graph, "f4", x);
    const float bound = ctkd__init_default(HEAD);
    return ctkd__graph_linear(graph, x, "linear", args->classes, CTKD__INIT_UNIFORM, bound,
                              CTKD__INIT_UNIFORM, bound);
}

static const struct ctkd__model models[] = {
    { .name = "ShuffleV2" },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_shuffle_v2 = {
    .name = "shuffle_v2",
    .title = "ShuffleNetV2 for small images",
    .source = "Ma et al. 2018, arXiv:1807.11164; Tian et al. 2020, arXiv:1910.10699",
    .models = models,
    .build = build,
    .side = 32,
    .side_min = 8,
};
