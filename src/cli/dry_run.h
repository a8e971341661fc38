/* `ctkd train --dry-run`: what a run would be, without starting it. */
#ifndef CTKD_CLI_DRY_RUN_H
#define CTKD_CLI_DRY_RUN_H

#include "cli/cli.h"

/* Opens everything that the run needs, tries it out, and prints the resolved configuration with
   what was found as comments: the output is a CONFIG. Writes no file and no folder. run.dir has
   been checked by the caller. resume: the run is one that goes on. */
ctkd_status ctkd__dry_run(const struct ctkd__command *command, const struct ctkd__config *config,
                          bool distil, bool resume, ctkd_error *err);

#endif
