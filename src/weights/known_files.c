#include "weights/known_files.h"

#include <stdio.h>
#include <string.h>

/* Both the files in PyTorch's old format ("legacy") and those published today. V2 are the weights
   of the longer schedule of 2021. tests/python/test_known_files.py compares with torchvision. */
static const struct ctkd__known_file files[] = {
    { "5c106cde", "resnet18", "IMAGENET1K_V1, legacy", 69.758, 89.078, 256 },
    { "f37072fd", "resnet18", "IMAGENET1K_V1", 69.758, 89.078, 256 },
    { "333f7ec4", "resnet34", "IMAGENET1K_V1, legacy", 73.314, 91.420, 256 },
    { "b627a593", "resnet34", "IMAGENET1K_V1", 73.314, 91.420, 256 },
    { "19c8e357", "resnet50", "IMAGENET1K_V1, legacy", 76.130, 92.862, 256 },
    { "0676ba61", "resnet50", "IMAGENET1K_V1", 76.130, 92.862, 256 },
    { "11ad3fa6", "resnet50", "IMAGENET1K_V2", 80.858, 95.434, 232 },
    { "5d3b4d8f", "resnet101", "IMAGENET1K_V1, legacy", 77.374, 93.546, 256 },
    { "63fe2227", "resnet101", "IMAGENET1K_V1", 77.374, 93.546, 256 },
    { "cd907fc2", "resnet101", "IMAGENET1K_V2", 81.886, 95.780, 232 },
    { "b121ed2d", "resnet152", "IMAGENET1K_V1, legacy", 78.312, 94.046, 256 },
    { "394f9c45", "resnet152", "IMAGENET1K_V1", 78.312, 94.046, 256 },
    { "f82ba261", "resnet152", "IMAGENET1K_V2", 82.284, 96.002, 232 },
    { "95faca4d", "wide_resnet50_2", "IMAGENET1K_V1", 78.468, 94.086, 256 },
    { "9ba9bcbe", "wide_resnet50_2", "IMAGENET1K_V2", 81.602, 95.758, 232 },
    { "7cdf4587", "resnext50_32x4d", "IMAGENET1K_V1", 77.618, 93.698, 256 },
    { "1a0047aa", "resnext50_32x4d", "IMAGENET1K_V2", 81.198, 95.340, 232 },
    { "b0353104", "mobilenet_v2", "IMAGENET1K_V1", 71.878, 90.286, 256 },
    { "7ebf99e0", "mobilenet_v2", "IMAGENET1K_V2", 72.154, 90.822, 232 },
    { "f707e712", "shufflenet_v2_x0_5", "IMAGENET1K_V1", 60.552, 81.746, 256 },
    { "5666bf0f", "shufflenet_v2_x1_0", "IMAGENET1K_V1", 69.362, 88.316, 256 },
    { "3c479a10", "shufflenet_v2_x1_5", "IMAGENET1K_V1", 72.996, 91.086, 232 },
    { "8be3c8ee", "shufflenet_v2_x2_0", "IMAGENET1K_V1", 76.230, 93.006, 232 },
    { "6002323d", "vgg11_bn", "IMAGENET1K_V1", 70.370, 89.810, 256 },
    { "abd245e5", "vgg13_bn", "IMAGENET1K_V1", 71.586, 90.374, 256 },
};

const size_t ctkd__known_file_bytes_min = 4 << 20;

const struct ctkd__known_file *ctkd__known_file_find(const char *sha256)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strncmp(files[i].sha256, sha256, strlen(files[i].sha256)) == 0)
            return &files[i];
    return NULL;
}

void ctkd__known_file_text(const struct ctkd__known_file *file, char *out, size_t bytes)
{
    snprintf(out, bytes,
             "these are torchvision's weights of %s (%s), published with top-1 %.2f %% and top-5 "
             "%.2f %% on ImageNet, whose images are resized to %d for them before the central "
             "224x224 are cut out",
             file->network, file->weights, file->top1, file->top5, file->resize);
}
