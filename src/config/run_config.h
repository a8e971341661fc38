/* The configuration that a run directory holds, wherever that has been copied or moved to. */
#ifndef CTKD_CONFIG_RUN_CONFIG_H
#define CTKD_CONFIG_RUN_CONFIG_H

#include "config/config.h"

/*
 * Reads a YAML file, or config.yaml of a run directory. A config.yaml that lies in a run directory
 * is that run's: run.dir becomes the directory where it lies, and paths that begin with the one it
 * names (train.choices, teacher.path, student.init, data.set) follow.
 */
ctkd_status ctkd__run_config_read(const char *path, struct ctkd__config *config, ctkd_error *err);

#endif
