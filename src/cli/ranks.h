/* Commands that run on several ranks: how they meet, and how they end. */
#ifndef CTKD_CLI_RANKS_H
#define CTKD_CLI_RANKS_H

#include "dist/dist.h"

/* Meets the other ranks where a launcher has started several, or `always` (train.mpi=yes), and
   divides the cores with those of the same machine. Ranks behind the first make no notes from then
   on. False: *status is that of the process. */
bool ctkd__ranks_meet(bool always, struct ctkd__dist **out, int *status);

/*
 * Tells of a failure and returns the exit status. What all ranks know (ctkd__dist_failed_together)
 * the first of them tells, and all may leave together. Else a rank that cannot go on prints its
 * message, with its name, and ends all ranks, the lowest one where several see the same fault; it
 * does not return where ranks are processes. In a run of one process it is ctkd__cli_failed.
 */
int ctkd__ranks_failed(struct ctkd__dist *dist, const ctkd_error *err);

#endif
