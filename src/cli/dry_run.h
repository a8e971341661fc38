/* `ctkd train --dry-run`: what a run would be, without starting it. */
#ifndef CTKD_CLI_DRY_RUN_H
#define CTKD_CLI_DRY_RUN_H

#include "cli/cli.h"
#include "run/sweep.h"

/* Opens everything that the run needs, tries it out, and prints the resolved configuration with
   what was found as comments: the output is a CONFIG. Writes no file and no folder. run.dir has
   been checked by the caller. resume: the run is one that is resumed. */
ctkd_status ctkd__dry_run(const struct ctkd__command *command, const struct ctkd__config *config,
                          bool distil, bool resume, ctkd_error *err);

/* The same for a sweep, which has been planned as all arms of a seed, then all of the next: tries
   the first run of each arm that is left, and prints a line for each arm and the minutes in all. */
ctkd_status ctkd__dry_run_sweep(struct ctkd__sweep *sweep, size_t n_arms, ctkd_error *err);

#endif
