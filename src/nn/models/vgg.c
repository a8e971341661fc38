/* VGG with batch norm for small images (Simonyan & Zisserman 2015), as published with contrastive
   representation distillation (Tian et al. 2020): global average pool and one linear layer. */
#include "nn/models/vgg.h"
#include "nn/models/models.h"

int ctkd__vgg_conv(struct ctkd__graph *graph, int x, const char *name, size_t out)
{
    const struct ctkd__conv_args args = { .out = out,
                                          .kernel = 3,
                                          .stride = 1,
                                          .padding = 1,
                                          .bias = true,
                                          .init = CTKD__INIT_NORMAL,
                                          .value = ctkd__init_he_out(3, out),
                                          .bias_init = CTKD__INIT_CONSTANT };
    return ctkd__graph_conv(graph, x, name, &args);
}

/* Pools between blocks. The fourth is published for 64x64 images only. */
static int pool(struct ctkd__graph *graph, int x, size_t block, const struct ctkd__model_args *args)
{
    const bool large = args->height == 64 && args->width == 64;
    return block < 3 || (block == 3 && large)
               ? ctkd__graph_max_pool(graph, x,
                                      &(struct ctkd__pool_args){ .kernel = 2, .stride = 2 })
               : x;
}

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    static const size_t widths[] = { 64, 128, 256, 512, 512 };
    char name[96];
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    for (size_t block = 0; block < 5; block++) {
        int normed = x;
        /* A block's module list counts conv, batch norm and ReLU. */
        for (size_t j = 0; j < 3 * model->counts[block]; j += 3) {
            x = ctkd__vgg_conv(graph, x, ctkd__model_path(name, "block%zu.%zu", block, j),
                               widths[block]);
            ctkd__model_path(name, "block%zu.%zu", block, j + 1);
            normed = ctkd__graph_batch_norm(graph, x, name);
            x = ctkd__graph_relu(graph, normed);
        }
        ctkd__model_tap_stage(graph, block, x, block > 0 ? normed : -1);
        x = pool(graph, x, block, args);
    }
    x = ctkd__graph_global_pool(graph, x);
    ctkd__graph_tap(graph, "f5", x);
    return ctkd__graph_linear(graph, x, "classifier", args->classes, CTKD__INIT_NORMAL, 0.01f,
                              CTKD__INIT_CONSTANT, 0);
}

/* Convolutions per block. */
static const size_t counts8[] = { 1, 1, 1, 1, 1 };
static const size_t counts11[] = { 1, 1, 2, 2, 2 };
static const size_t counts13[] = { 2, 2, 2, 2, 2 };
static const size_t counts16[] = { 2, 2, 3, 3, 3 };
static const size_t counts19[] = { 2, 2, 4, 4, 4 };

static const struct ctkd__model models[] = {
    { .name = "vgg8", .depth = 8, .counts = counts8 },
    { .name = "vgg11", .depth = 11, .counts = counts11 },
    { .name = "vgg13", .depth = 13, .counts = counts13 },
    { .name = "vgg16", .depth = 16, .counts = counts16 },
    { .name = "vgg19", .depth = 19, .counts = counts19 },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_vgg = {
    .name = "vgg",
    .title = "VGG with batch norm for small images",
    .source = "Simonyan & Zisserman 2015, arXiv:1409.1556; Tian et al. 2020, arXiv:1910.10699",
    .models = models,
    .build = build,
    .side = 32,
    .side_min = 8,
};
