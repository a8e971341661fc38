#include "weights/known_files.h"

#include <stdio.h>
#include <string.h>

/* Both the files in PyTorch's old format ("legacy") and those published today. V2 are the weights
   of the longer schedule of 2021. */
static const struct ctkd__known_file files[] = {
    { "5c106cde", "resnet18", "IMAGENET1K_V1, legacy", 69.758, 89.078, 256 },
    { "f37072fd", "resnet18", "IMAGENET1K_V1", 69.758, 89.078, 256 },
    { "333f7ec4", "resnet34", "IMAGENET1K_V1, legacy", 73.314, 91.420, 256 },
    { "b627a593", "resnet34", "IMAGENET1K_V1", 73.314, 91.420, 256 },
    { "19c8e357", "resnet50", "IMAGENET1K_V1, legacy", 76.130, 92.862, 256 },
    { "0676ba61", "resnet50", "IMAGENET1K_V1", 76.130, 92.862, 256 },
    { "11ad3fa6", "resnet50", "IMAGENET1K_V2", 80.854, 95.434, 232 },
    { "5d3b4d8f", "resnet101", "IMAGENET1K_V1, legacy", 77.374, 93.546, 256 },
    { "63fe2227", "resnet101", "IMAGENET1K_V1", 77.374, 93.546, 256 },
    { "cd907fc2", "resnet101", "IMAGENET1K_V2", 81.886, 95.780, 232 },
    { "b121ed2d", "resnet152", "IMAGENET1K_V1, legacy", 78.312, 94.046, 256 },
    { "394f9c45", "resnet152", "IMAGENET1K_V1", 78.312, 94.046, 256 },
    { "f82ba261", "resnet152", "IMAGENET1K_V2", 82.284, 96.002, 232 },
    { "b0353104", "mobilenet_v2", "IMAGENET1K_V1", 71.878, 90.286, 256 },
    { "7ebf99e0", "mobilenet_v2", "IMAGENET1K_V2", 72.154, 90.822, 232 },
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
