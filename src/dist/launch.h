/* Finds out whether a launcher (mpirun, srun) has started several processes, and connects them. */
#ifndef CTKD_DIST_LAUNCH_H
#define CTKD_DIST_LAUNCH_H

#include "dist/dist.h"

/* The module with the MPI transport: beside the binary, or where it is installed. */
#define CTKD__MPI_MODULE "libctkd_mpi.so"

/* In how many processes the launcher has started this program; 0: no launcher. It is 1 if the
   launcher does not give the number. */
size_t ctkd__launch_count(void);
/* The environment variable that says so; NULL: no launcher. */
const char *ctkd__launch_variable(void);
/* Whether this is the first of them; also true if nothing says which it is. */
bool ctkd__launch_first(void);
/* Whether the launcher lets the other processes go on, and wait, when one has ended: srun does
   without --kill-on-bad-exit, mpirun does not. */
bool ctkd__launch_lets_wait(void);

/*
 * Connects to the other processes of the launcher: starts MPI if the launcher's environment
 * variables show that there may be several, or if `always` (train.mpi=yes) asks for it. *out is
 * NULL in a run of one process. It fails rather than let several runs start that do not know of
 * each other: CTKD_EUNSUPPORTED without the module; CTKD_EBACKEND if MPI finds another number of
 * ranks than the launcher has started, or srun has started several without MPI.
 */
ctkd_status ctkd__launch_open(bool always, struct ctkd__dist **out, ctkd_error *err);

#endif
