/* The configuration that belongs to trained weights: that of the run that produced them. */
#ifndef CTKD_RUN_ORIGIN_H
#define CTKD_RUN_ORIGIN_H

#include "config/config.h"
#include "weights/match.h"

/* Sets the configuration for using the network of a run directory or weights file: from the
   config.yaml of its run, if one lies beside the weights and belongs to them, else from what the
   file's metadata say about its images (student.network is then "": the file names it). The
   settings of the command line are applied afterwards. `note`: why a config.yaml is not used; "":
   nothing. */
ctkd_status ctkd__origin_configure(const char *path, struct ctkd__config *config,
                                   char note[CTKD__NOTE_BYTES], ctkd_error *err);

#endif
