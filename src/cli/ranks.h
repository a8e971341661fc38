/* How commands that run on several ranks connect and end. */
#ifndef CTKD_CLI_RANKS_H
#define CTKD_CLI_RANKS_H

#include "dist/dist.h"

struct ctkd__command;

/* For a mistake in the command line, before the ranks have met: all of them see it, as a rule, and
   the first prints it, whereupon its launcher ends the others. They wait here for that; a rank that
   goes on is the only one with the mistake. */
void ctkd__ranks_let_first_speak(void);

/* Connects to the other ranks if a launcher has started several, or if `always` (train.mpi=yes),
   and divides the cores among those of one machine. From then on only rank 0 prints notes. False:
   it failed, and *status is the exit status. */
bool ctkd__ranks_meet(bool always, struct ctkd__dist **out, int *status);

/*
 * Reports a failure and returns the exit status. A failure that all ranks know of
 * (ctkd__dist_failed_together) is printed by the first of them, and all may leave together.
 * Otherwise the rank prints its message with its name and ends all ranks; if several see the same
 * failure, the lowest one does. Where ranks are processes it then does not return. In a run of one
 * process it is ctkd__cli_failed.
 */
int ctkd__ranks_failed(struct ctkd__dist *dist, const ctkd_error *err);

/* The same for a mistake in the command line that all ranks know of: the first one prints it. */
int ctkd__ranks_misused(struct ctkd__dist *dist, const struct ctkd__command *command,
                        const ctkd_error *err);

#endif
