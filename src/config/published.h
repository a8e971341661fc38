/*
 * What the published scripts say in their own words: train_student.py and train_teacher.py of CTKD,
 * and train_student.py of RepDistiller, whose parser they began with. Their flags are aliases of
 * keys (arguments.h); here are their defaults, names of methods, and flags without a meaning here.
 */
#ifndef CTKD_CONFIG_PUBLISHED_H
#define CTKD_CONFIG_PUBLISHED_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

/* Flags that change nothing here: of GPUs, processes and printing, or of what is always so. Ends
   with a NULL flag. */
struct ctkd__idle_flag {
    const char *flag;
    bool takes_value;
};
extern const struct ctkd__idle_flag ctkd__idle_flags[];

/* A value of --distill as method.name says it: "similarity" is "sp", "kd" is "none". */
const char *ctkd__published_method(const char *name);

/* The network for photographs that --model or --model_s means with such data; NULL: as it says.
   "ResNet18" is "resnet18" there, with a 7x7 stem; for small images it is another network. */
const char *ctkd__published_network(const char *name);

/* Sets what the published parser has by default where that differs from ours, of train_student.py
   or (distil false) of train_teacher.py. Not taken over: -b 0, which leaves every method without
   effect, and the decay of 0 loops, which divides by 0. */
ctkd_status ctkd__published_defaults(struct ctkd__config *config, bool distil, ctkd_error *err);

/* The learning rate that the published scripts set after reading their flags, whatever these say:
   0.01 for MobileNetV2, ShuffleV1 and ShuffleV2. 0: as the flags say. */
float ctkd__published_rate(const char *network);

#endif
