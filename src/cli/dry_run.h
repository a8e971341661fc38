/* `ctkd train --dry-run`: shows what a run would do, without starting it. */
#ifndef CTKD_CLI_DRY_RUN_H
#define CTKD_CLI_DRY_RUN_H

#include "cli/cli.h"
#include "run/sweep.h"

/* Opens everything that the run needs, tries it out, and prints the resolved configuration with the
   findings as comments, so that the output is a CONFIG. Creates no file or folder. The caller has
   checked run.dir. resume: the run would be resumed. */
ctkd_status ctkd__dry_run(const struct ctkd__command *command, const struct ctkd__config *config,
                          bool distil, bool resume, ctkd_error *err);

/* The same for a sweep, whose runs are ordered by seed, with all arms of a seed together: tries the
   first unfinished run of each arm and prints a line for each arm and the total time. */
ctkd_status ctkd__dry_run_sweep(struct ctkd__sweep *sweep, size_t n_arms, ctkd_error *err);

#endif
