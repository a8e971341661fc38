/*
 * The command line over a configuration: files, `key=value`, and the spellings of the published
 * scripts
 * (-r, --kd_T, --decay_loops ...). Two passes, so that a CONFIG file may stand anywhere and every
 * setting beside it overrides it, in order.
 */
#ifndef CTKD_TRAIN_ARGUMENTS_H
#define CTKD_TRAIN_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "train/config.h"

enum { CTKD__POSITIONALS_MAX = 4 };

/* What is not a setting. */
struct ctkd__arguments {
    const char *positionals[CTKD__POSITIONALS_MAX];
    size_t n_positionals;
    bool help, json;
};

/* The flags with the keys that they set; ends with a NULL flag. */
const struct ctkd__alias *ctkd__argument_aliases(void);

/* First pass. CTKD_ENOTFOUND: an unknown flag (the nearest is offered); CTKD_EINVAL: a flag without
   its value, or too many positionals. argv[0] is the first argument, not the program. */
ctkd_status ctkd__arguments_scan(int argc, char *const *argv, struct ctkd__arguments *out,
                                 ctkd_error *err);

/* Second pass: applies every setting, in order. */
ctkd_status ctkd__arguments_apply(int argc, char *const *argv, struct ctkd__config *config,
                                  ctkd_error *err);

#endif
