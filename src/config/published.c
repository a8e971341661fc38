#include "config/published.h"

#include <string.h>

const struct ctkd__idle_flag ctkd__idle_flags[] = {
    { "--print_freq", true },
    { "--save_freq", true },
    { "--tb_freq", true },
    { "--num_workers", true },
    { "--gpu_id", true },
    { "--dist_url", true },
    { "--dali", true }, /* views are torchvision's, however they are computed */
    { "--skip_validation", false },
    { "--multiprocessing_distributed", false },
    { "--save_model", false },        /* weights are always saved */
    { "--deterministic", false },     /* and a run always repeats */
    { "--no_edge_transform", false }, /* read by nothing there */
    { NULL, false },
};

const char *ctkd__published_method(const char *name)
{
    static const char *const names[][2] = {
        { "kd", "none" },       { "hint", "fitnet" },    { "attention", "at" },
        { "similarity", "sp" }, { "correlation", "cc" }, { "abound", "ab" },
        { "factor", "ft" },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i][0]) == 0)
            return names[i][1];
    return name;
}

const char *ctkd__published_network(const char *name)
{
    static const char *const names[][2] = {
        { "ResNet18", "resnet18" },
        { "ResNet34", "resnet34" },
        { "ResNet18Double", "resnet18" }, /* their factors of the width are overwritten by 1 */
        { "resnet34x4", "resnet34" },
        { "wrn_50_2", "wide_resnet50_2" },
        { "MobileNetV2_Imagenet", "mobilenet_v2" },
        { "ShuffleV2_Imagenet", "shufflenet_v2_x1_0" },
        { "vgg11_imagenet", "vgg11_bn" },
        { "vgg13_imagenet", "vgg13_bn" },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i][0]) == 0)
            return names[i][1];
    return NULL;
}

ctkd_status ctkd__published_defaults(struct ctkd__config *config, bool distil, ctkd_error *err)
{
    static const char *const student[][2] = {
        { "data.set", "cifar100:data" }, { "student.network", "resnet8" },
        { "train.batch", "128" },        { "optimizer.lr", "0.1" },
        { "temperature.kind", "fixed" }, { "method.dkd.beta", "2" },
    };
    /* Epochs, whatever --epochs says. */
    static const char *const both[][2] = {
        { "schedule.milestones", "150,180,210" },
        { "temperature.curriculum_epochs", "10" },
        { "method.initial_epochs", "30" },
    };
    static const char *const teacher[][2] = {
        { "data.set", "cifar100:data" },
        { "student.network", "resnet110" },
    };
    const char *const(*pairs)[2] = distil ? student : teacher;
    const size_t n = distil ? sizeof student / sizeof *student : sizeof teacher / sizeof *teacher;
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < n && status == CTKD_OK; i++)
        status = ctkd__sections_set(ctkd__config_sections(config), "preset published", pairs[i][0],
                                    pairs[i][1], err);
    for (size_t i = 0; i < sizeof both / sizeof *both && status == CTKD_OK; i++)
        status = ctkd__sections_set(ctkd__config_sections(config), "preset published", both[i][0],
                                    both[i][1], err);
    return status;
}

float ctkd__published_rate(const char *network)
{
    static const char *const names[] = { "MobileNetV2", "ShuffleV1", "ShuffleV2" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(network, names[i]) == 0)
            return 0.01f;
    return 0;
}
