/* `ctkd doctor DATA`: finds what is wrong or unusual with the image files of a data set. */
#ifndef CTKD_CLI_DOCTOR_DATA_H
#define CTKD_CLI_DOCTOR_DATA_H

#include "config/config.h"

/* Whether `name` is such a data set (imagefolder:PATH), or a folder that is no run directory;
   writes its data.set to `set`. */
bool ctkd__doctor_is_data(const char *name, char *set, size_t bytes);

/* Reads all files of config's data.set and prints what was found: lines, or one JSON object. Writes
   the names for data.exclude into `exclude`; NULL: no such file. Returns the exit status. */
int ctkd__doctor_data(const struct ctkd__config *config, const char *exclude, bool json);

#endif
