/* Where trained weights come from: the configuration of the run that left them. */
#ifndef CTKD_RUN_ORIGIN_H
#define CTKD_RUN_ORIGIN_H

#include "config/config.h"
#include "weights/match.h"

/* What a run directory or a weights file brings along for users of its network: the config.yaml
   of its run, where one lies beside the weights and belongs to them, else what the file's metadata
   say of its images (student.network is then empty: the file says it). The settings of a command
   line follow. `note`: a config.yaml that is there and not used; "": nothing. */
ctkd_status ctkd__origin_configure(const char *path, struct ctkd__config *config,
                                   char note[CTKD__NOTE_BYTES], ctkd_error *err);

#endif
