/* Reads the configuration of a run directory, also after the directory was copied or moved. */
#ifndef CTKD_CONFIG_RUN_CONFIG_H
#define CTKD_CONFIG_RUN_CONFIG_H

#include "config/config.h"

/*
 * Reads a YAML file, or config.yaml of a run directory. If it is the config.yaml of a run, run.dir
 * becomes the directory in which it lies, and paths below the run.dir that it names (such as
 * train.choices, teacher.path, student.init and data.set) are moved with it. Its other relative
 * paths are those of the folder in which the run began, wherever it is read: a relative run.dir in
 * which the directory's path still ends tells that folder. A path that leads nowhere from there is
 * left as it is. A configuration that
 * was resolved, of a run or by --dry-run, has all keys, and none of them counts as given.
 */
ctkd_status ctkd__run_config_read(const char *path, struct ctkd__config *config, ctkd_error *err);

/* Whether two values of a key mean the same: equal ones or, of a path, one that is the other with a
   folder before it, as _read writes relative paths. */
struct ctkd__option_at;
bool ctkd__config_same_value(const struct ctkd__option_at *at, const char *a, const char *b);

#endif
