/* What a run remembers of a data set of files: its classes, and which files it consists of. */
#ifndef CTKD_RUN_RUN_DATA_H
#define CTKD_RUN_RUN_DATA_H

#include "data/dataset.h"

/* Writes classes.txt where the classes have names, and images.txt where images are files. */
ctkd_status ctkd__run_data_save(const char *dir, const struct ctkd__dataset *dataset,
                                ctkd_error *err);
/* CTKD_EINVAL: the run in `dir` has a list of other files; the message has the first difference.
   Without a list there is nothing to compare. */
ctkd_status ctkd__run_data_check(const char *dir, const struct ctkd__dataset *dataset,
                                 ctkd_error *err);

#endif
