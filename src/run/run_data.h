/* What a run records of a data set of image files: its classes, and which files it consists of. */
#ifndef CTKD_RUN_RUN_DATA_H
#define CTKD_RUN_RUN_DATA_H

#include "data/dataset.h"

/* Writes classes.txt if the classes have names, and images.txt if the images are files. */
ctkd_status ctkd__run_data_save(const char *dir, const struct ctkd__dataset *dataset,
                                ctkd_error *err);
/* CTKD_EINVAL: the data set has other files than the run in `dir` recorded; the message shows the
   first difference. CTKD_OK if the run has no images.txt. */
ctkd_status ctkd__run_data_check(const char *dir, const struct ctkd__dataset *dataset,
                                 ctkd_error *err);

#endif
