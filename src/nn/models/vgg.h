/* What both families of VGG share. */
#ifndef CTKD_NN_MODELS_VGG_H
#define CTKD_NN_MODELS_VGG_H

#include "nn/graph.h"

/* 3x3, stride 1, padding 1, with a bias of 0; N(0, 2 / (9 out)). */
int ctkd__vgg_conv(struct ctkd__graph *graph, int x, const char *name, size_t out);

#endif
