/* The four stages that residual networks of He et al. 2016 have in common, whatever their stem. */
#ifndef CTKD_NN_MODELS_RESNET_STAGES_H
#define CTKD_NN_MODELS_RESNET_STAGES_H

#include "nn/models/models.h"

struct ctkd__resnet_stages {
    const size_t *counts; /* blocks of each stage */
    /* Channels out of a block per 64 << stage: 1 for blocks of 3x3 and 3x3; 4 for bottlenecks of
       1x1, 3x3 and 1x1, whose stride is on the 3x3. */
    size_t expansion;
    /* Of a bottleneck's 3x3: groups, and channels per group in the first stage. */
    size_t groups, group_width;
    const char *shortcut; /* published name of a projected shortcut */
};

/* Appends stages 1 to 4 to x of 64 channels, with taps f1 to f4 and, before the last ReLU, pre1 to
   pre4. *out: channels of the result. */
int ctkd__resnet_stages(struct ctkd__graph *graph, int x, const struct ctkd__resnet_stages *stages,
                        size_t *out);

#endif
