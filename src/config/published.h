/*
 * The defaults and names of the published scripts: train_student.py and train_teacher.py of CTKD,
 * and train_student.py of RepDistiller, from whose parser theirs is derived. Their flags are
 * aliases of keys (arguments.h); this module has their defaults, their names of methods and
 * networks, and the flags that have no meaning here.
 */
#ifndef CTKD_CONFIG_PUBLISHED_H
#define CTKD_CONFIG_PUBLISHED_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

/* Flags that have no effect here: they concern GPUs, processes or printing, or ask for what ctkd
   always does. Ends with a NULL flag. */
struct ctkd__idle_flag {
    const char *flag;
    bool takes_value;
};
extern const struct ctkd__idle_flag ctkd__idle_flags[];

/* The method.name for a value of --distill: "similarity" is "sp", "kd" is "none". */
const char *ctkd__published_method(const char *name);

/* The network that --model or --model_s means for photographs; NULL: the one of that name.
   "ResNet18" is "resnet18" there, with a 7x7 stem; for small images it is another network. */
const char *ctkd__published_network(const char *name);

/* Sets the defaults of the published parser where they differ from ours: that of train_student.py
   or, without `distil`, of train_teacher.py. Not taken over are -b 0, which leaves every method
   without effect, and --decay_loops 0, which divides by 0. */
ctkd_status ctkd__published_defaults(struct ctkd__config *config, bool distil, ctkd_error *err);

/* The learning rate that the published scripts use whatever their flags say: 0.01 for MobileNetV2,
   ShuffleV1 and ShuffleV2. 0: that of the flags. */
float ctkd__published_rate(const char *network);

#endif
