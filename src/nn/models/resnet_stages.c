#include "nn/models/resnet_stages.h"

enum { STAGES = 4, PLANES = 64 };

/* A block: what it reads, and its place. */
struct resnet_block {
    const char *prefix; /* "layer1.0" */
    size_t in, planes, stride;
};

/* Convolution `index` of a block, drawn from N(0, 2/(kernel^2 out)). */
static int conv(struct ctkd__graph *graph, int x, const struct resnet_block *block, size_t index,
                struct ctkd__conv_args args)
{
    char name[96];
    args.padding = args.kernel / 2;
    args.init = CTKD__INIT_NORMAL;
    args.value = ctkd__init_he_out(args.kernel, args.out);
    ctkd__model_path(name, "%s.conv%zu", block->prefix, index);
    return ctkd__graph_conv(graph, x, name, &args);
}

/* The same with its batch norm and ReLU. */
static int layer(struct ctkd__graph *graph, int x, const struct resnet_block *block, size_t index,
                 struct ctkd__conv_args args)
{
    char name[96];
    x = conv(graph, x, block, index, args);
    ctkd__model_path(name, "%s.bn%zu", block->prefix, index);
    return ctkd__graph_relu(graph, ctkd__graph_batch_norm(graph, x, name));
}

/* The batch norm of a block's last convolution y, and the sum. The shortcut comes between
   convolution and batch norm, so that batch norm, sum and ReLU are neighbours; its parameters come
   last, as published. */
static int sum(struct ctkd__graph *graph, int x, int y, const struct resnet_block *block,
               size_t index, size_t out, const char *shortcut)
{
    char name[96];
    int projected = -1, beside = x;
    if (block->stride != 1 || block->in != out) {
        ctkd__model_path(name, "%s.%s.0", block->prefix, shortcut);
        projected = ctkd__model_conv(graph, x, name, out, 1, block->stride);
        ctkd__model_path(name, "%s.%s.1", block->prefix, shortcut);
        beside = ctkd__graph_batch_norm(graph, projected, name);
    }
    ctkd__model_path(name, "%s.bn%zu", block->prefix, index);
    y = ctkd__graph_batch_norm(graph, y, name);
    if (beside != x) {
        ctkd__graph_list_last(graph, projected);
        ctkd__graph_list_last(graph, beside);
    }
    return ctkd__graph_add(graph, y, beside);
}

/* A block up to the sum. */
static int block_sum(struct ctkd__graph *graph, int x, const struct resnet_block *block,
                     const struct ctkd__resnet_stages *stages)
{
    const size_t out = block->planes * stages->expansion;
    struct ctkd__conv_args inner = { .out = block->planes, .kernel = 3, .stride = block->stride };
    if (stages->expansion == 1) {
        const int y = layer(graph, x, block, 1, inner);
        inner.stride = 1;
        return sum(graph, x, conv(graph, y, block, 2, inner), block, 2, out, stages->shortcut);
    }
    inner.groups = stages->groups;
    inner.out = block->planes / PLANES * stages->group_width * stages->groups;
    const struct ctkd__conv_args narrow = { .out = inner.out, .kernel = 1, .stride = 1 };
    const struct ctkd__conv_args widen = { .out = out, .kernel = 1, .stride = 1 };
    int y = layer(graph, x, block, 1, narrow);
    y = layer(graph, y, block, 2, inner);
    return sum(graph, x, conv(graph, y, block, 3, widen), block, 3, out, stages->shortcut);
}

int ctkd__resnet_stages(struct ctkd__graph *graph, int x, const struct ctkd__resnet_stages *stages,
                        size_t *out)
{
    char prefix[96];
    *out = PLANES;
    for (size_t stage = 1, planes = PLANES; stage <= STAGES; stage++, planes *= 2) {
        int before = x;
        for (size_t b = 0; b < stages->counts[stage - 1]; b++, *out = planes * stages->expansion) {
            ctkd__model_path(prefix, "layer%zu.%zu", stage, b);
            const size_t stride = b == 0 && stage > 1 ? 2 : 1;
            before =
                block_sum(graph, x, &(struct resnet_block){ prefix, *out, planes, stride }, stages);
            x = ctkd__graph_relu(graph, before);
        }
        ctkd__model_tap_stage(graph, stage, x, before);
    }
    return x;
}
