/* VGG with batch norm for photographs (Simonyan & Zisserman 2015) with the layout and names of
   torchvision. */
#include "nn/models/models.h"
#include "nn/models/vgg.h"

enum { BLOCKS = 5, HIDDEN = 4096, POOLED = 7 };

static int linear(struct ctkd__graph *graph, int x, const char *name, size_t out)
{
    return ctkd__graph_linear(graph, x, name, out, CTKD__INIT_NORMAL, 0.01f, CTKD__INIT_CONSTANT,
                              0);
}

/* The published taps f0 to f3 stand where networks without batch norm have their stages: behind
   these modules of vgg11_bn and vgg13_bn. */
static void tap_module(struct ctkd__graph *graph, const struct ctkd__model *model, size_t module,
                       int x)
{
    static const size_t modules[2][4] = { { 2, 3, 6, 10 }, { 2, 5, 9, 12 } };
    static const char *const names[4] = { "f0", "f1", "f2", "f3" };
    for (size_t i = 0; i < 4; i++)
        if (modules[model->depth == 13][i] == module)
            ctkd__graph_tap(graph, names[i], x);
}

static int build(struct ctkd__graph *graph, const struct ctkd__model *model,
                 const struct ctkd__model_args *args)
{
    static const size_t widths[BLOCKS] = { 64, 128, 256, 512, 512 };
    const struct ctkd__pool_args pool = { .kernel = 2, .stride = 2 };
    char name[96];
    int x = ctkd__graph_input(graph, args->channels, args->height, args->width);
    for (size_t block = 0, module = 0; block < BLOCKS; block++) {
        for (size_t j = 0; j < model->counts[block]; j++, module += 3) {
            x = ctkd__vgg_conv(graph, x, ctkd__model_path(name, "features.%zu", module),
                               widths[block]);
            ctkd__model_path(name, "features.%zu", module + 1);
            x = ctkd__graph_relu(graph, ctkd__graph_batch_norm(graph, x, name));
            tap_module(graph, model, module + 2, x);
        }
        x = ctkd__graph_max_pool(graph, x, &pool);
        tap_module(graph, model, module++, x);
    }
    x = ctkd__graph_pool_to(graph, x, POOLED, POOLED);
    ctkd__graph_tap(graph, "f4", x);
    x = ctkd__graph_flatten(graph, x);
    ctkd__graph_tap(graph, "f5", x);
    x = ctkd__graph_relu(graph, linear(graph, x, "classifier.0", HIDDEN));
    x = ctkd__graph_dropout(graph, x, 0.5f);
    x = ctkd__graph_relu(graph, linear(graph, x, "classifier.3", HIDDEN));
    x = ctkd__graph_dropout(graph, x, 0.5f);
    return linear(graph, x, "classifier.6", args->classes);
}

/* Convolutions per block. */
static const size_t counts11[] = { 1, 1, 2, 2, 2 };
static const size_t counts13[] = { 2, 2, 2, 2, 2 };

static const struct ctkd__model models[] = {
    { .name = "vgg11_bn", .depth = 11, .counts = counts11 },
    { .name = "vgg13_bn", .depth = 13, .counts = counts13 },
    { .name = NULL },
};

const struct ctkd__model_family ctkd__model_vgg_imagenet = {
    .name = "vgg_imagenet",
    .title = "VGG with batch norm for photographs, as in torchvision",
    .source = "Simonyan & Zisserman 2015, arXiv:1409.1556",
    .models = models,
    .build = build,
    .side = 224,
    .side_min = 32,
};
